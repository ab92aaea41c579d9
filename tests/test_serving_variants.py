"""Several versions behind one endpoint: who is answered by what, and what becomes of a candidate that is bad."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.deploy.assignment import assign, point_of
from rasen.deploy.decide import Decider
from rasen.deploy.ledger import latest
from rasen.settings import load_settings
from rasen.store import open_store
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen_serving.bandit import Bandits, Learnt, best_probabilities
from rasen_serving.breaker import PAUSE_SECONDS, Breaker
from rasen_serving.comparison import compare
from rasen_serving.counts import FOLDED, KEPT_REVISIONS, Counts
from rasen_serving.messages import Compared, Reward, Rewarded
from rasen_serving.report import variant_reports
from stand.app import App
from stand.serving import ROW, Server, new_settings, running_server, under_load, wait_until
from stand.versions import linear, publish_and_deploy, publish_version, share_out

GATE = threading.Event()


class Moody:
    """Answers the hour twice; raises for 101, waits for 103."""

    def predict(self, frame: pd.DataFrame) -> Any:
        hour = frame["hour"].astype("float64")
        if (hour == 101).any():
            raise ValueError("secret")
        if (hour == 103).any():
            GATE.wait(20)
        return hour * 2


class Stage:
    """A worker's service over a store, and the runs of its versions."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = load_settings(home=home, environment="dev", **settings)
        self.store = open_store(self.settings)
        self.app = App(self.store, self.settings)
        self.runs: dict[str, tuple[str, str]] = {}

    def share_out(self, endpoint: str, role: Any = "challenger", weight: float = 0.5, **more: Any) -> None:
        """Have `linear(1)` as the champion and `Moody` beside it."""
        one = publish_version(self.store, self.settings, number=1, pipeline=endpoint)
        two = publish_version(self.store, self.settings, number=2, pipeline=endpoint, model=Moody())
        rest = 1.0 if role == "shadow" else 1.0 - weight
        versions = {one: ("champion", rest), two: (role, weight)}
        share_out(self.store, self.settings, versions, endpoint=endpoint, **more)
        self.app.bring_up()
        self.runs[endpoint] = (one.run, two.run)

    def state(self, endpoint: str) -> LedgerRecord:
        record = latest(self.store, load_trust(self.settings), endpoint, environment="dev")
        assert record is not None
        return record

    def ask(self, endpoint: str, *, hour: int = 7, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.app.predict(endpoint, {"rows": [ROW | {"hour": hour}]}, headers=named)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    yield Stage(tmp_path_factory.mktemp("home"))
    GATE.set()


# Who is answered by what.


def test_a_routing_key_is_answered_as_the_ledger_says_every_time(stage: Stage) -> None:
    stage.share_out("sticky", weight=0.3)
    champion, challenger = stage.runs["sticky"]
    state = stage.state("sticky").state
    seen = set()
    for key in (f"customer {number}" for number in range(40)):
        expected = assign("sticky", state, key)
        for _ in range(2):
            answer = stage.ask("sticky", x_rasen_routing_key=key)
            assert answer.headers["x-rasen-model"] == answer.json()["model"] == expected.run
            assert answer.headers["x-rasen-variant"] == expected.role
            assert answer.headers["x-rasen-reason"] == "sticky"
            assert answer.json()["predictions"] == [14.0 if expected.run == challenger else 7.0]
        seen.add(expected.run)
    assert seen == {champion, challenger}


def test_without_a_key_the_request_id_decides(stage: Stage) -> None:
    stage.share_out("keyless")
    state = stage.state("keyless").state
    for number in range(20):
        answer = stage.ask("keyless", x_request_id=f"request-{number}")
        assert answer.headers["x-rasen-model"] == assign("keyless", state, f"request-{number}").run
        assert answer.headers["x-rasen-reason"] == "request"


def test_one_version_alone_says_nothing_of_variants(stage: Stage) -> None:
    publish_and_deploy(stage.store, stage.settings, number=1, pipeline="alone")
    stage.app.bring_up()
    answer = stage.ask("alone", x_rasen_routing_key="ada")
    assert not {"x-rasen-variant", "x-rasen-reason"} & answer.headers.keys()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_weights_of_nothing_and_all_are_kept(stage: Stage, weight: float) -> None:
    name = f"weight{weight:.0f}"
    stage.share_out(name, weight=weight)
    answers = {stage.ask(name).headers["x-rasen-variant"] for _ in range(30)}
    assert answers == {"challenger" if weight else "champion"}


def test_a_tester_chooses_by_role_or_run(stage: Stage) -> None:
    stage.share_out("tested", weight=0.01)
    champion, challenger = stage.runs["tested"]
    for wish, run in (
        ("challenger", challenger),
        ("champion", champion),
        (challenger, challenger),
        (champion, champion),
    ):
        answer = stage.ask("tested", x_rasen_variant=wish)
        assert (answer.headers["x-rasen-model"], answer.headers["x-rasen-reason"]) == (run, "override")
    refused = stage.ask("tested", x_rasen_variant="chalenger")
    assert refused.status_code == 404
    assert f"no variant 'chalenger' that answers; it has 'champion' ({champion})" in refused.text


def test_a_shadow_is_never_chosen(stage: Stage) -> None:
    stage.share_out("hidden", role="shadow", weight=1.0, kind="shadow")
    assert stage.ask("hidden", x_rasen_variant="shadow").status_code == 404
    assert stage.ask("hidden").headers["x-rasen-model"] == stage.runs["hidden"][0]


def test_where_nobody_may_choose_the_wish_is_not_looked_at(tmp_path: Path) -> None:
    stage = Stage(tmp_path, variant_override=False)
    stage.share_out("demand", weight=0.0)
    for wish in ("challenger", "nonsense"):
        answer = stage.ask("demand", x_rasen_variant=wish)
        assert (answer.status_code, answer.headers["x-rasen-variant"]) == (200, "champion")


@pytest.mark.parametrize(("environment", "allowed"), [("dev", True), ("staging", True), ("prod", False)])
def test_nobody_chooses_in_prod(environment: str, allowed: bool) -> None:
    assert load_settings(environment=environment).variant_override is allowed


# A candidate that is bad.


def test_what_a_candidate_fails_at_the_champion_answers_and_the_breaker_opens(stage: Stage) -> None:
    stage.share_out("failing", weight=1.0)
    champion, challenger = stage.runs["failing"]
    reasons = []
    for _ in range(25):
        answer = stage.ask("failing", hour=101)
        assert (answer.status_code, answer.json()["predictions"]) == (200, [101.0])
        assert answer.headers["x-rasen-model"] == answer.json()["model"] == champion
        assert answer.headers["x-rasen-variant"] == "champion"
        reasons.append(answer.headers["x-rasen-reason"])
    assert reasons == ["rescue: error"] * 20 + ["breaker"] * 5
    # The candidate is charged for what it did not answer, and for nothing else.
    series = [one for one in stage.app.service.counts.series() if one.endpoint == "failing"]
    reports = {report.run: report for report in variant_reports(series)}
    assert (reports[challenger].requests, reports[challenger].errors) == (20, 20)
    assert (reports[champion].requests, reports[champion].errors) == (5, 0)
    assert (reports[challenger].fallbacks, reports[champion].fallbacks) == ({"champion": 20}, {})
    assert {one.reason for one in series if one.model == champion} == {"breaker"}


def test_a_tester_sees_the_candidate_fail(stage: Stage) -> None:
    stage.share_out("shown")
    answer = stage.ask("shown", hour=101, x_rasen_variant="challenger")
    assert answer.status_code == 503
    assert answer.headers["x-rasen-model"] == stage.runs["shown"][1]


def test_a_callers_mistake_is_nobodys_failure(stage: Stage) -> None:
    stage.share_out("mistaken", weight=1.0)
    for _ in range(30):
        answer = stage.app.predict("mistaken", {"rows": [{"origin": "JFK"}]})
        assert (answer.status_code, answer.headers["x-rasen-variant"]) == (422, "challenger")
    assert stage.ask("mistaken").headers["x-rasen-variant"] == "challenger"


def test_a_breaker_opens_at_half_and_tries_once_in_ten_seconds() -> None:
    now = [100.0]
    breaker = Breaker(clock=lambda: now[0])
    for number in range(19):
        breaker.note(failed=number % 2 == 0)
    assert breaker.lets_pass()
    breaker.note(failed=False)
    assert not breaker.lets_pass()
    assert breaker.is_open
    now[0] += PAUSE_SECONDS - 0.1
    breaker.note(failed=False)  # was in flight when it opened
    assert not breaker.lets_pass()
    now[0] += 0.2
    assert [breaker.lets_pass() for _ in range(3)] == [True, False, False]
    breaker.note(failed=True)
    now[0] += PAUSE_SECONDS
    assert breaker.lets_pass()
    breaker.note(failed=False)
    assert [breaker.is_open] == [False]
    assert all(breaker.lets_pass() for _ in range(5))


@given(st.lists(st.booleans(), max_size=200))
def test_a_breaker_is_open_when_half_of_the_last_twenty_failed(outcomes: list[bool]) -> None:
    breaker = Breaker(clock=lambda: 0.0)
    expected = False
    for position, failed in enumerate(outcomes, start=1):
        breaker.note(failed=failed)
        expected = expected or (position >= 20 and sum(outcomes[max(0, position - 20) : position]) >= 10)
        assert breaker.is_open == expected


# Shadows.


def settle(stage: Stage, condition: Callable[[], bool]) -> None:
    """Let the worker's loop run until a condition holds."""

    async def wait() -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, "waited too long"
            await asyncio.sleep(0.005)

    stage.app.run(wait())


def found(stage: Stage, endpoint: str) -> Compared:
    sums = Compared(endpoint=endpoint, model=stage.runs[endpoint][1], revision=1)
    return next(
        (one for one in stage.app.service.shadows.comparisons.all() if one.endpoint == endpoint), sums
    )


def test_a_shadow_is_compared_and_counted_and_never_returned(stage: Stage) -> None:
    stage.share_out("watched", role="shadow", weight=1.0, kind="shadow")
    champion, shadow = stage.runs["watched"]
    for hour in (0, 7, 3):
        answer = stage.ask("watched", hour=hour)
        assert (answer.json()["predictions"], answer.json()["model"]) == ([float(hour)], champion)
        assert answer.headers["x-rasen-variant"] == "champion"
    settle(stage, lambda: found(stage, "watched").answers == 3)
    sums = found(stage, "watched")
    assert (sums.equal, sums.numbers, sums.difference, sums.dropped) == (1, 3, 10.0, 0)
    series = [one for one in stage.app.service.counts.series() if one.endpoint == "watched"]
    reports = {report.role: report for report in variant_reports(series, [sums])}
    assert (reports["champion"].run, reports["champion"].requests) == (champion, 3)
    assert (reports["shadow"].run, reports["shadow"].requests, reports["shadow"].errors) == (shadow, 3, 0)
    assert reports["shadow"].shadow is not None
    assert reports["shadow"].shadow.equal == 1


def test_a_shadow_that_raises_is_charged_and_nobody_notices(stage: Stage) -> None:
    stage.share_out("raising", role="shadow", weight=1.0, kind="shadow")
    assert stage.ask("raising", hour=101).json()["predictions"] == [101.0]
    assert stage.ask("raising", hour=7).json()["predictions"] == [7.0]

    def counted() -> dict[int, int]:
        series = stage.app.service.counts.series()
        return {
            one.status: one.requests for one in series if (one.endpoint, one.role) == ("raising", "shadow")
        }

    settle(stage, lambda: sum(counted().values()) == 2)
    assert counted() == {500: 1, 200: 1}
    assert found(stage, "raising").answers == 1


def test_a_part_of_the_callers_is_copied(stage: Stage) -> None:
    stage.share_out("partly", role="shadow", weight=0.3, kind="shadow")
    salt = stage.state("partly").number
    keys = [f"caller {number}" for number in range(40)]
    expected = sum(point_of("partly", salt, key) < 0.3 for key in keys)
    for key in keys:
        stage.ask("partly", x_rasen_routing_key=key)
    settle(stage, lambda: found(stage, "partly").answers + found(stage, "partly").dropped == expected)
    assert 0 < expected < 40


def test_a_shadow_that_hangs_costs_its_copies_and_nothing_else(stage: Stage) -> None:
    stage.share_out("hanging", role="shadow", weight=1.0, kind="shadow")
    shadows = stage.app.service.shadows
    assert stage.ask("hanging", hour=103).json()["predictions"] == [103.0]
    settle(stage, lambda: shadows.busy_seconds > 0)
    for _ in range(20):
        assert stage.ask("hanging").json()["predictions"] == [7.0]
    settle(stage, lambda: found(stage, "hanging").dropped == 20)  # after they have waited in vain
    assert stage.app.service.stuck_shadow() == ""
    shadows._since = time.monotonic() - 6
    assert stage.app.service.stuck_shadow() != ""
    GATE.set()
    settle(stage, lambda: shadows.busy_seconds == 0)
    assert stage.ask("hanging").json()["predictions"] == [7.0]
    settle(stage, lambda: found(stage, "hanging").answers == 2)


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(-1e6, 1e6), st.booleans(), st.text(max_size=3)),
            st.one_of(st.floats(-1e6, 1e6), st.booleans(), st.text(max_size=3)),
        )
    )
)
def test_comparing_never_fails_and_counts_every_value(pairs: list[tuple[Any, Any]]) -> None:
    sums = Compared(endpoint="e", model="m", revision=1)
    compare([one for one, _ in pairs], [{"a": other} for _, other in pairs], sums)
    compare([one for one, _ in pairs], [other for _, other in pairs], sums)
    assert sums.answers == 2 * len(pairs)
    assert 0 <= sums.equal <= sums.answers
    again = Compared(endpoint="e", model="m", revision=1)
    compare([one for one, _ in pairs], [one for one, _ in pairs], again)
    assert (again.equal, again.difference) == (len(pairs), 0.0)


# Counts by ledger record.


@given(st.lists(st.integers(1, 60), max_size=200))
def test_counts_keep_the_newest_records_apart_and_lose_nothing(revisions: list[int]) -> None:
    counts = Counts()
    for revision in revisions:
        counts.add(
            endpoint="e",
            model="m",
            role="champion",
            revision=revision,
            status=200,
            source="model",
            reason="",
            rows=2,
            seconds=0.002,
        )
    series = counts.series()
    assert sum(one.requests for one in series) == len(revisions)
    assert sum(one.rows for one in series) == 2 * len(revisions)
    apart = {one.revision for one in series} - {FOLDED}
    assert len(apart) <= KEPT_REVISIONS
    assert apart == set(sorted(set(revisions))[-KEPT_REVISIONS:])


# Bandits.


def test_a_bandit_learns_which_version_is_better_and_keeps_its_floor() -> None:
    chance = random.Random(7)
    learnt = {"good": Learnt(), "bad": Learnt()}
    truth = {"good": 0.6, "bad": 0.4}
    weights = best_probabilities(learnt, floor=0.05, chance=chance)
    assert weights["good"] == pytest.approx(0.5, abs=0.05)
    for _ in range(20):
        for run in chance.choices(list(weights), list(weights.values()), k=50):
            learnt[run].rewards += 1
            learnt[run].reward += chance.random() < truth[run]
        weights = best_probabilities(learnt, floor=0.05, chance=chance)
        assert sum(weights.values()) == pytest.approx(1.0)
        assert min(weights.values()) >= 0.05 - 1e-9
    assert weights["good"] == pytest.approx(0.95, abs=0.01)


def test_rewards_count_once_and_only_for_what_is_live(stage: Stage) -> None:
    stage.share_out("drawn", kind="bandit", floor=0.1)
    champion, challenger = stage.runs["drawn"]
    live = stage.app.service.versions.take("drawn")
    bandits = Bandits(chance=random.Random(7))
    assert bandits.changes([live.revision]) == []
    told = [Reward(request_id=f"r{number}", model=challenger, reward=1.0) for number in range(50)]
    bandits.take("drawn", [*told, *told, Reward(request_id="x", model="nobody", reward=1.0)])
    bandits.take(
        "drawn", [Reward(request_id=f"c{number}", model=champion, reward=0.0) for number in range(50)]
    )
    bandits.take("unknown", told)
    assert (bandits.learnt("drawn")[challenger].rewards, bandits.learnt("drawn")[challenger].reward) == (
        50,
        50.0,
    )
    (learned,) = bandits.changes([live.revision])
    assert learned.weights == {champion: pytest.approx(0.1), challenger: pytest.approx(0.9)}
    assert bandits.changes([live.revision]) == []
    assert bandits.known() == [learned]
    # Another record of the same bandit forgets nothing; another bandit does.
    assert live.revision.rollout is not None
    later = msgspec.structs.replace(live.revision, number=9)
    bandits.changes([later])
    assert bandits.known() == [learned]
    other = msgspec.structs.replace(live.revision, rollout=live.revision.rollout | {"salt": 9})
    bandits.changes([other])
    assert bandits.known() == []

    stage.app.service.versions.learn(learned)
    answers = Counter(
        stage.ask("drawn", x_rasen_routing_key="ada").headers["x-rasen-reason"] for _ in range(60)
    )
    assert set(answers) == {"bandit p=0.9000", "bandit p=0.1000"}  # a routing key does not hold
    assert answers["bandit p=0.9000"] > 40
    stage.app.service.versions.keep(live)
    stage.app.service.versions.switch("drawn", live.revision.number)  # a new record of the same bandit
    answers = Counter(stage.ask("drawn").headers["x-rasen-variant"] for _ in range(60))
    assert answers["challenger"] > 40


def test_rewards_are_checked_and_passed_on(stage: Stage) -> None:
    stage.share_out("rewarded", kind="bandit")
    champion, _ = stage.runs["rewarded"]
    told: list[Rewarded] = []
    stage.app.service.tell = told.append
    good = {"request_id": "r", "model": champion, "reward": 0.5}

    def send(endpoint: str, body: object) -> httpx.Response:
        return stage.app.call("POST", f"/endpoints/{endpoint}/rewards", json=body)

    answer = send("rewarded", {"rewards": [good, good | {"model": "gone"}]})
    assert (answer.status_code, answer.json()) == (202, {"taken": 1, "unknown": 1})
    assert told == [
        Rewarded(endpoint="rewarded", rewards=[Reward(request_id="r", model=champion, reward=0.5)])
    ]
    for wrong, path in (
        ({"rewards": [good, good | {"reward": 1.5}]}, ["rewards", 1, "reward"]),
        ({"rewards": [good | {"reward": "1"}]}, ["rewards", 0, "reward"]),
        ({"rewards": [{"model": champion, "reward": 1}]}, ["rewards", 0]),
        ({"rewards": []}, ["rewards"]),
        ({"reward": []}, []),
        ([], []),
    ):
        refused = send("rewarded", wrong)
        (field,) = refused.json()["error"]["fields"]
        assert (refused.status_code, field["path"]) == (422, path)
    for body in (b"{", b"\xff", b"", b'{"rewards": [{"request_id": "r", "model": "m", "reward": NaN}]}'):
        headers = {"content-type": "application/json"}
        refused = stage.app.call("POST", "/endpoints/rewarded/rewards", content=body, headers=headers)
        assert refused.status_code == 400
    assert stage.app.call("POST", "/endpoints/rewarded/rewards", content=b"{}").status_code == 415
    assert send("nobody", {"rewards": [good]}).status_code == 404
    assert len(told) == 1


# One real server, with the function that decides.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(tmp_path_factory.mktemp("serving"), environment="dev", report_seconds=0.5)
    with running_server(settings) as server:
        yield server


def decide_until(server: Server, endpoint: str, action: str) -> LedgerRecord:
    """Ring the reconciler, as the bridge does, until the newest record is of a kind; return it."""
    decider = Decider(
        server.store,
        open_signer(server.settings, Role.DECIDER),
        trust=lambda: load_trust(server.settings),
        environment="dev",
        scratch_dir=server.settings.scratch_dir,
    )
    newest: list[LedgerRecord] = []

    def decided() -> bool:
        newest[:] = [record for record in decider.reconcile() if record.endpoint == endpoint] or newest
        if newest:
            server.wait_revision(endpoint, newest[-1].number)
        return bool(newest) and newest[-1].action == action

    wait_until(decided)
    return newest[-1]


def canary(server: Server, pipeline: str, candidate: object) -> tuple[str, str]:
    """Have a first version live and a candidate published."""
    store, settings = server.store, server.settings
    rollout = {"kind": "canary", "steps": ["50%"], "watch": "1s", "requests": 20}
    one = publish_version(store, settings, number=1, pipeline=pipeline, deploy={"rollout": rollout})
    decide_until(server, pipeline, "deploy")
    two = publish_version(store, settings, number=2, pipeline=pipeline, model=candidate)
    return one.run, two.run


def test_a_canary_becomes_the_champion_without_a_failed_request(server: Server) -> None:
    one, two = canary(server, "canary", linear(2))
    with under_load(server, "canary", callers=2, pause_seconds=0.005) as load:
        record = decide_until(server, "canary", "promote")
        load.wait_for(20)
    assert record.reason.startswith("watched ")
    assert load.failures == []
    assert {status for status, _, _, _ in load.answers} == {200}
    assert load.models() == {one, two}
    assert all(prediction == {one: 7.0, two: 14.0}[model] for _, model, _, prediction in load.answers)
    assert load.answers[-1][1] == two


def bad_from(hour: int) -> Callable[[pd.DataFrame], Any]:
    """Return a model that passes its example and raises for larger hours."""

    def predict(frame: pd.DataFrame) -> Any:
        if (frame["hour"] >= hour).any():
            raise ValueError("bad")
        return frame["hour"].astype("float64")

    return predict


def test_a_bad_canary_is_aborted_without_a_failed_request(server: Server) -> None:
    one, _ = canary(server, "aborted", bad_from(20))
    stop = threading.Event()
    statuses: Counter[int] = Counter()

    def call() -> None:
        with httpx.Client(timeout=20.0) as client:
            while not stop.wait(0.005):
                body = {"rows": [ROW | {"hour": 30}]}
                answer = client.post(f"{server.url}/endpoints/aborted/predict", json=body)
                statuses[answer.status_code] += 1

    caller = threading.Thread(target=call)
    caller.start()
    try:
        record = decide_until(server, "aborted", "abort")
    finally:
        stop.set()
        caller.join()
    assert "requests failed; 1 % of" in record.reason
    assert [variant.run for variant in record.state.variants] == [one]
    assert set(statuses) == {200}


def test_a_bandit_in_many_workers_follows_its_rewards(server: Server) -> None:
    one = publish_version(server.store, server.settings, number=1, pipeline="bandit")
    two = publish_version(server.store, server.settings, number=2, pipeline="bandit")
    versions = {one: ("champion", 0.5), two: ("challenger", 0.5)}
    share_out(server.store, server.settings, versions, endpoint="bandit", kind="bandit", floor=0.05)  # type: ignore[arg-type]  # literals
    server.wait_revision("bandit", 1)

    def is_learned() -> bool:
        """Ask and reward until both workers draw the better version nearly always."""
        rewards = []
        reasons = set()
        for _ in range(20):
            answer = server.predict("bandit")
            model = answer.headers["x-rasen-model"]
            reasons.add((model, answer.headers["x-rasen-reason"]))
            reward = {
                "request_id": answer.headers["x-request-id"],
                "model": model,
                "reward": float(model == two.run),
            }
            rewards.append(reward)
        body = {"rewards": rewards}
        told = server.client.post(f"{server.url}/endpoints/bandit/rewards", json=body)
        assert told.json() == {"taken": 20, "unknown": 0}
        return bool(reasons) and reasons <= {(two.run, "bandit p=0.9500"), (one.run, "bandit p=0.0500")}

    wait_until(is_learned)


def test_a_shadow_that_hangs_in_a_real_worker_gets_the_worker_replaced(server: Server) -> None:
    def hangs(frame: pd.DataFrame) -> Any:
        import time

        if (frame["hour"] == 30).any():
            time.sleep(3600)
        return frame["hour"].astype("float64")

    one = publish_version(server.store, server.settings, number=1, pipeline="hung")
    two = publish_version(server.store, server.settings, number=2, pipeline="hung", model=hangs)
    versions = {one: ("champion", 1.0), two: ("shadow", 1.0)}
    share_out(server.store, server.settings, versions, endpoint="hung", kind="shadow")  # type: ignore[arg-type]  # literals
    server.wait_revision("hung", 1)
    before = {worker.pid for worker in server.workers()}
    with under_load(server, "hung", callers=2, pause_seconds=0.02) as load:
        assert server.predict("hung", hour=30).json()["predictions"] == [30.0]
        wait_until(lambda: {worker.pid for worker in server.workers()} != before)
        # Callers of the drained worker have been sent away; whoever comes is answered.
        assert {server.predict("hung").status_code for _ in range(20)} == {200}
    assert load.failures == []
    assert load.models() == {one.run}
    wait_until(lambda: "a shadow did not come back" in server.log())
    assert server.state()["ready"] is True
