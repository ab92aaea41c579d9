"""Rollouts as the ledger tells them: begun, promoted and aborted from what the replicas report, never by a clock."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.deploy import ledger
from rasen.deploy.assignment import assign, cut, piece_at, point_of
from rasen.deploy.commands import Command, sign_command
from rasen.deploy.decide import Decider
from rasen.deploy.rollout import Seen, judge_step
from rasen.errors import InvalidInput, KeyRefused
from rasen.model.schema import ModelSchema
from rasen.store import MemoryStore
from rasen.tracking.keys import HEADS_KEY, replica_key
from rasen.tracking.ledger_records import EndpointState, LedgerRecord, LogPolicy, RolloutState
from rasen.tracking.replica_report import EndpointReport, ReplicaReport, VariantReport
from stand.manifests import BAD, Publisher, run_of

CANARY = {"kind": "canary", "steps": ["5%", "25%"], "watch": "10m"}
FAST = {"0.025": 1.0, "0.05": 1.0, "0.1": 1.0, "+Inf": 1.0}


@dataclass
class Stage:
    """A store with a clock of its own, one decider, and replicas that report what a test says."""

    folder: Path
    now: datetime = datetime(2026, 1, 2, tzinfo=UTC)
    publisher: Publisher = field(init=False)
    decider: Decider = field(init=False)

    def __post_init__(self) -> None:
        self.publisher = Publisher(MemoryStore(clock=lambda: self.now), self.folder / "trap")
        self.decider = self.another()

    def another(self) -> Decider:
        """Return a decider that remembers nothing."""
        return Decider(
            self.publisher.store,
            self.publisher.decider,
            trust=self.publisher.trust,
            environment=self.publisher.environment,
            scratch_dir=self.folder,
        )

    def begin(self, rollout: Mapping[str, object] | None = None, **keys: Any) -> None:
        """Have run 1 live and run 2 under way: ledger records 1 and 2."""
        self.publisher.register(rollout=dict(rollout or CANARY), **keys)
        self.publisher.publish(1)
        self.publisher.publish(2)
        assert [record.action for record in self.decider.reconcile()] == ["deploy", "deploy"]

    def report(
        self,
        requests: int,
        *,
        errors: int = 0,
        buckets: Mapping[str, float] = FAST,
        run: int = 2,
        revision: int = 2,
        replica: str = "one",
        minutes: float = 11,
        **more: Any,
    ) -> None:
        """Let the time pass, then let a replica report so many requests for a run under a ledger record."""
        self.now += timedelta(minutes=minutes)
        variant = VariantReport(
            run=run_of(run),
            revision=revision,
            role="challenger",
            requests=requests,
            errors=errors,
            latency_buckets={bound: round(requests * share) for bound, share in buckets.items()},
        )
        record = ReplicaReport(
            replica=replica,
            started_at=datetime(2031, 1, 1, tzinfo=UTC),  # a replica's own clock means nothing
            reported_at=datetime(2019, 1, 1, tzinfo=UTC),
            endpoints={"demand": EndpointReport(revision=revision, variants=[variant], **more)},
        )
        self.publisher.store.write(replica_key(replica), record.to_bytes())

    def story(self) -> list[tuple[str, dict[str, float]]]:
        """Return action and weights of each record."""
        return [
            (record.action, {each.run: each.weight for each in record.state.variants})
            for record in self.records()
        ]

    def records(self, endpoint: str = "demand") -> list[LedgerRecord]:
        publisher = self.publisher
        return list(
            ledger.list_records(
                publisher.store, publisher.trust(), endpoint, environment=publisher.environment
            )
        )

    def command(self, command: Any, *, seen: int = 2, by: str = "ada", signer: Any = None) -> str:
        return sign_command(
            Command(endpoint="demand", command=command, seen=seen, by=by),
            signer or self.publisher.operator,
        )


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_first_version_goes_live_at_once_and_the_second_in_steps(stage: Stage) -> None:
    stage.begin()
    assert stage.story() == [
        ("deploy", {run_of(1): 1.0}),
        ("deploy", {run_of(1): 0.95, run_of(2): 0.05}),
    ]
    first, second = stage.records()
    assert first.state.rollout is None
    assert second.reason.endswith("; canary, step 1 of 2: 5 % of the requests")
    assert [variant.role for variant in second.state.variants] == ["champion", "challenger"]
    rollout = second.state.rollout
    assert rollout is not None
    assert (rollout.salt, rollout.step_number, rollout.steps, rollout.error_rate) == (
        2,
        2,
        [0.05, 0.25],
        0.01,
    )


def test_a_good_canary_is_promoted_step_by_step(stage: Stage) -> None:
    stage.begin()
    stage.report(100)
    (record,) = stage.decider.reconcile()
    assert (record.action, record.run, record.actor) == ("promote", run_of(2), "function")
    assert record.reason.startswith(
        "watched 11 min of 10 min, 100 requests of at least 100, 0 failed, 99th perc"
    )
    assert stage.decider.reconcile() == []  # what was counted before the step began does not count for it
    stage.report(1000, revision=3, errors=9)
    assert [each.action for each in stage.decider.reconcile()] == ["promote"]
    assert stage.story()[2:] == [
        ("promote", {run_of(1): 0.75, run_of(2): 0.25}),
        ("promote", {run_of(2): 1.0}),
    ]
    assert stage.records()[-1].state.rollout is None
    assert stage.records()[-1].state.variants[0].role == "champion"
    assert stage.decider.reconcile() == []


def test_a_step_of_all_requests_keeps_the_old_version_until_it_was_watched(stage: Stage) -> None:
    stage.begin({"kind": "canary", "steps": ["100%"], "watch": "10m"})
    assert stage.story()[-1] == ("deploy", {run_of(1): 0.0, run_of(2): 1.0})
    stage.report(100, errors=2)
    stage.decider.reconcile()
    assert stage.story()[-1] == ("abort", {run_of(1): 1.0})


@pytest.mark.parametrize(
    ("requests", "minutes", "outcome"),
    [(99, 11, []), (100, 9, []), (0, 600, []), (100, 10, ["promote"])],
)
def test_a_step_takes_its_time_and_its_requests(
    stage: Stage, requests: int, minutes: float, outcome: list[str]
) -> None:
    stage.begin()
    stage.report(requests, minutes=minutes)
    assert [record.action for record in stage.decider.reconcile()] == outcome


def test_time_without_a_report_is_not_watched(stage: Stage) -> None:
    stage.begin()
    stage.report(500, minutes=1)
    stage.now += timedelta(days=3)
    assert stage.decider.reconcile() == []


def test_a_replica_that_has_not_switched_yet_watches_nothing(stage: Stage) -> None:
    stage.begin()
    stage.report(500, revision=1)
    assert stage.decider.reconcile() == []


def test_errors_abort_as_soon_as_the_rest_cannot_make_up_for_them(stage: Stage) -> None:
    stage.begin()
    stage.report(10, errors=1, minutes=0.2)
    assert stage.decider.reconcile() == []
    stage.report(10, errors=2, minutes=0.2)
    (record,) = stage.decider.reconcile()
    assert record.action == "abort"
    assert record.reason == "2 of 10 requests failed; 1 % of 100 are allowed, 1"
    assert record.state.rollout is None
    assert stage.story()[-1] == ("abort", {run_of(1): 1.0})
    # The run is decided: the next look finds nothing to do, a new decider neither.
    assert stage.decider.reconcile() == stage.another().reconcile() == []


def test_errors_of_the_champion_and_of_other_steps_abort_nothing(stage: Stage) -> None:
    stage.begin()
    stage.report(500, errors=400, run=1)
    stage.report(500, errors=400, revision=1, replica="two", minutes=0)
    assert stage.decider.reconcile() == []


def test_latency_aborts(stage: Stage) -> None:
    stage.begin(CANARY | {"abort_on": {"p99_ms": 50}})
    stage.report(1000, buckets=FAST | {"0.05": 0.99, "0.025": 0.99})
    assert [record.action for record in stage.decider.reconcile()] == ["promote"]
    stage.report(1000, buckets=FAST | {"0.05": 0.98, "0.025": 0.98}, revision=3)
    (record,) = stage.decider.reconcile()
    assert record.action == "abort"
    assert record.reason.startswith(
        "about 20 of 1000 requests took longer than 50 ms, the limit of the 99th perc"
    )


def test_reports_are_added_up_over_replicas_and_a_restart_only_counts_less(stage: Stage) -> None:
    stage.begin()
    stage.report(60, replica="one", minutes=5)
    stage.report(60, replica="two", minutes=6)
    assert [record.action for record in stage.decider.reconcile()] == ["promote"]
    stage.report(60, replica="one", revision=3)
    stage.report(10, replica="one", revision=3)  # it was restarted
    stage.report(60, replica="two", revision=3, minutes=0)
    assert stage.decider.reconcile() == []
    stage.report(40, replica="one", revision=3, minutes=0.5)
    assert [record.action for record in stage.decider.reconcile()] == ["promote"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"refused": {"2": "it has no libgomp"}}, "it has no libgomp"),
        ({"left_out": {run_of(2): "it has no memory"}}, "it has no memory"),
    ],
)
def test_a_replica_that_cannot_serve_the_candidate_aborts(
    stage: Stage, said: dict[str, Any], reason: str
) -> None:
    stage.begin()
    stage.report(0, minutes=0.1, **said)
    (record,) = stage.decider.reconcile()
    assert (record.action, record.reason) == ("abort", f"replica 'one' cannot serve {run_of(2)}: {reason}")


def test_refusals_before_the_rollout_do_not_matter(stage: Stage) -> None:
    stage.begin()
    stage.report(100, refused={"1": "long ago", "x": "?"}, left_out={run_of(1): "another one"})
    assert [record.action for record in stage.decider.reconcile()] == ["promote"]


def test_a_newer_candidate_supersedes_the_one_under_way(stage: Stage) -> None:
    stage.begin()
    stage.report(500, errors=0)
    stage.publisher.publish(3)
    (record,) = stage.decider.reconcile()  # a new rollout, with nothing counted for it
    assert record.reason.endswith(f"; supersedes {run_of(2)}, which was under way")
    assert stage.story()[-1] == ("deploy", {run_of(1): 0.95, run_of(3): 0.05})
    rollout = record.state.rollout
    assert rollout is not None
    assert (rollout.salt, rollout.step_number, rollout.run) == (3, 3, run_of(3))


def test_a_refused_run_leaves_the_rollout_as_it_is(stage: Stage) -> None:
    stage.begin()
    stage.report(60, minutes=3)
    stage.publisher.publish(3, metrics=BAD)
    (record,) = stage.decider.reconcile()
    assert (record.action, record.state.rollout) == ("refuse", stage.records()[1].state.rollout)
    # What was answered under both records counts for the step.
    under_both = [
        VariantReport(run=run_of(2), revision=number, requests=60, latency_buckets={"+Inf": 60})
        for number in (2, 3)
    ]
    stage.now += timedelta(minutes=8)
    report = ReplicaReport(
        replica="one",
        started_at=stage.now,
        reported_at=stage.now,
        endpoints={"demand": EndpointReport(revision=3, variants=under_both)},
    )
    stage.publisher.store.write(replica_key("one"), report.to_bytes())
    assert [each.action for each in stage.decider.reconcile()] == ["promote"]


def test_a_version_without_rollout_ends_the_one_under_way(stage: Stage) -> None:
    stage.begin()
    stage.publisher.register(release="2-0123456789ab")
    stage.publisher.publish(3, release="2-0123456789ab")
    stage.decider.reconcile()
    assert stage.story()[-1] == ("deploy", {run_of(3): 1.0})
    assert stage.records()[-1].state.rollout is None


def test_a_shadow_stands_beside_the_weights_and_is_promoted_when_it_was_watched(stage: Stage) -> None:
    stage.begin({"kind": "shadow", "share": "20%", "watch": "10m"})
    record = stage.records()[-1]
    assert [(each.role, each.weight) for each in record.state.variants] == [
        ("champion", 1.0),
        ("shadow", 0.2),
    ]
    stage.report(100)
    stage.decider.reconcile()
    assert stage.story()[-1] == ("promote", {run_of(2): 1.0})


@pytest.mark.parametrize("kind", ["ab", "shadow", "bandit"])
def test_without_watch_only_a_person_ends_it(stage: Stage, kind: str) -> None:
    stage.begin({"kind": kind})
    stage.report(100_000, minutes=100_000)
    assert stage.decider.reconcile() == []
    (record,) = stage.decider.obey(stage.command("promote"))
    assert (record.action, record.actor, record.reason) == ("promote", "ada", "ada decided so")
    assert stage.story()[-1] == ("promote", {run_of(2): 1.0})


@pytest.mark.parametrize("rollout", [{"kind": "ab", "watch": "1h"}, {"kind": "bandit", "requests": 100}])
def test_an_experiment_that_reached_its_end_is_recorded_once_and_waits(
    stage: Stage, rollout: dict[str, object]
) -> None:
    stage.begin(rollout)
    stage.report(100, minutes=61)
    (record,) = stage.decider.reconcile()
    assert record.action == "hold"
    assert record.reason.startswith("the planned end is reached, a person decides now; watched 1.02 h")
    assert stage.story()[-1][1] == stage.story()[-2][1] == {run_of(1): 0.5, run_of(2): 0.5}
    assert stage.decider.reconcile() == []
    stage.report(300, errors=200, revision=3)
    assert [each.action for each in stage.decider.reconcile()] == ["abort"]


def test_whoever_looks_and_however_often_the_ledger_is_the_same(tmp_path: Path) -> None:
    stories = []
    for name, lookers in itertools.product("ab", (1, 3)):
        stage = Stage(tmp_path / f"{name}{lookers}")
        stage.begin()
        deciders = [stage.another() for _ in range(lookers)] if name == "a" else [stage.decider] * lookers
        for requests, errors, revision in ((50, 0, 2), (120, 1, 2), (90, 0, 3), (400, 5, 3)):
            stage.report(requests, errors=errors, revision=revision)
            for decider in deciders:
                decider.reconcile()
                decider.decide("demand")
        stories.append(stage.story())
    assert [action for action, _ in stories[0]] == ["deploy", "deploy", "promote", "abort"]
    assert stories == [stories[0]] * 4


def test_two_who_promote_at_once_make_one_record(stage: Stage) -> None:
    stage.begin()
    rival = stage.another()
    stage.report(100)

    class Raced(MemoryStore):
        """Lets the rival watch just before the first record is created."""

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            if key.startswith("endpoints/demand/"):
                rival.reconcile()
            return stage.publisher.store.write(key, data, if_generation=if_generation)

    raced = Raced()
    raced._objects = stage.publisher.store._objects  # type: ignore[attr-defined]  # the same objects
    late = Decider(
        raced,
        stage.publisher.decider,
        trust=stage.publisher.trust,
        environment="dev",
        scratch_dir=stage.folder,
    )
    assert late.reconcile() == []
    assert [action for action, _ in stage.story()] == ["deploy", "deploy", "promote"]


def test_a_report_that_is_none_is_ignored(stage: Stage) -> None:
    stage.begin()
    stage.publisher.store.write("replicas/two.json", b"not json")
    stage.report(100)
    assert [record.action for record in stage.decider.reconcile()] == ["promote"]


def test_a_rollout_is_watched_without_heads(stage: Stage) -> None:
    stage.begin()
    stage.report(100)
    stage.publisher.store.delete(HEADS_KEY)
    assert [record.action for record in stage.another().reconcile()] == ["promote"]


def test_policies_go_with_the_version_that_is_deployed(stage: Stage) -> None:
    stage.begin(fallback={"stale_after": "8d"}, log={"sample": "10%"})
    state = stage.records()[-1].state
    assert state.fallback.stale_after_seconds == 691_200
    assert state.log == LogPolicy(sample=0.1)


# What a person asks.


def test_a_person_aborts(stage: Stage) -> None:
    stage.begin()
    (record,) = stage.decider.obey(stage.command("abort"))
    assert (record.action, record.run, record.actor) == ("abort", run_of(2), "ada")
    assert stage.story()[-1] == ("abort", {run_of(1): 1.0})


def test_a_command_that_comes_twice_or_late_does_nothing(stage: Stage) -> None:
    stage.begin()
    command = stage.command("promote")
    stage.decider.obey(command)
    with pytest.raises(
        InvalidInput, match=r"record 3 \(promote by ada: ada decided so\) has changed it since"
    ):
        stage.decider.obey(command)
    stage.decider.obey(stage.command("promote", seen=3))
    with pytest.raises(InvalidInput, match=r"record 4 .* has changed it since"):
        stage.decider.obey(command)
    assert [action for action, _ in stage.story()] == ["deploy", "deploy", "promote", "promote"]


def test_a_command_of_somebody_who_may_not_is_refused(stage: Stage) -> None:
    stage.begin()
    with pytest.raises(KeyRefused):
        stage.decider.obey(stage.command("abort", signer=stage.publisher.registrar))
    stranger = Publisher(MemoryStore(), stage.folder / "trap").control
    with pytest.raises(KeyRefused):
        stage.decider.obey(stage.command("abort", signer=stranger))
    assert len(stage.records()) == 2


# Challengers.


def test_runs_of_an_invited_pipeline_enter_as_challengers(stage: Stage) -> None:
    stage.publisher.register("rival")
    stage.publisher.publish(3, "rival")
    stage.publisher.publish(4, "rival")
    stage.decider.reconcile()
    stage.publisher.register(rollout={"kind": "ab", "share": "10%"}, challengers=["rival"])
    stage.publisher.publish(1)
    stage.decider.reconcile()
    for _ in range(2):
        stage.decider.reconcile()
    # Of what was published before the invitation only the newest run enters.
    assert stage.story() == [
        ("deploy", {run_of(1): 1.0}),
        ("deploy", {run_of(1): 0.9, run_of(4): 0.1}),
    ]
    state = stage.records()[-1].state
    assert [each.pipeline for each in state.variants] == ["demand", "rival"]
    assert (state.pipeline, state.newest_run, state.claims) == ("demand", run_of(1), {"rival": run_of(4)})
    # It goes on being decided for its own endpoint.
    stage.publisher.publish(5, "rival")
    written = stage.decider.decide("rival")
    assert {(each.endpoint, each.action) for each in written} == {("rival", "deploy"), ("demand", "deploy")}
    assert stage.another().decide("rival") == []


def test_a_challenger_is_judged_by_the_owners_gates(stage: Stage) -> None:
    stage.begin(
        {"kind": "ab"}, challengers=["rival"], gates=[{"kind": "threshold", "metric": "rmse", "max": 3.5}]
    )
    stage.publisher.register(
        "rival", endpoint="demand", gates=[{"kind": "threshold", "metric": "rmse", "max": 9}]
    )
    stage.publisher.publish(7, "rival", metrics=BAD)
    (record,) = stage.decider.decide("rival")
    assert (record.action, record.endpoint) == ("refuse", "demand")
    assert record.state.claims == {"rival": run_of(7)}
    stage.publisher.publish(8, "rival")
    assert [each.action for each in stage.decider.decide("rival")] == ["deploy"]
    stage.decider.obey(stage.command("promote", seen=4))
    state = stage.records()[-1].state
    assert [(each.pipeline, each.role) for each in state.variants] == [("rival", "champion")]
    assert state.pipeline == "demand"


def test_an_invitation_that_was_withdrawn_lets_nobody_in(stage: Stage) -> None:
    stage.begin({"kind": "ab"}, challengers=["rival"])
    stage.publisher.register(release="2-0123456789ab")
    stage.publisher.publish(3, release="2-0123456789ab")
    stage.publisher.register("rival", endpoint="demand")
    stage.decider.reconcile()
    stage.publisher.publish(4, "rival")
    assert [(each.endpoint, each.action) for each in stage.decider.reconcile()] == [("demand", "refuse")]


# Schemas.


def schema(*names: str) -> dict[str, object]:
    inputs = [{"name": name, "type": "int64", "nullable": False, "dtype": "int64"} for name in names]
    data = {"format": 1, "inputs": inputs, "output": {"kind": "scalar", "type": "float64"}}
    return ModelSchema.from_dict(data).to_dict()


def test_a_candidate_that_callers_would_notice_shares_no_requests(stage: Stage) -> None:
    stage.publisher.register(rollout=CANARY, gates=[{"kind": "threshold", "metric": "rmse", "max": 4}])
    stage.publisher.publish(1, schema=schema("hour"))
    stage.publisher.publish(2, schema=schema("hour", "day"))
    stage.publisher.publish(3, schema=schema("hour"))
    stage.decider.reconcile()
    assert stage.story() == [
        ("deploy", {run_of(1): 1.0}),
        ("refuse", {run_of(1): 1.0}),
        ("deploy", {run_of(1): 0.95, run_of(3): 0.05}),
    ]
    assert "it cannot share the requests with the champion: input 'day' is new" in stage.records()[1].reason


# The arithmetic.

ROLLOUT = RolloutState(
    kind="canary",
    run="r",
    salt=1,
    step_number=1,
    steps=[0.5],
    watch_seconds=60,
    requests=100,
    error_rate=0.01,
    p99_seconds=0.05,
)


@given(requests=st.integers(0, 10_000), errors=st.integers(0, 10_000), watched=st.floats(0, 1000))
def test_a_step_is_promoted_only_with_time_requests_and_few_errors(
    requests: int, errors: int, watched: float
) -> None:
    errors = min(errors, requests)
    seen = Seen(
        requests=requests,
        errors=errors,
        buckets={0.05: requests, math.inf: requests},
        watched_seconds=watched,
    )
    action = judge_step(ROLLOUT, seen).action
    assert (action == "abort") == (errors > 0.01 * max(requests, 100))
    assert (action == "promote") == (requests >= 100 and watched >= 60 and errors <= 0.01 * requests)


@given(st.lists(st.floats(0.0001, 20), min_size=1, max_size=300), st.sampled_from([0.01, 0.05, 0.1]))
def test_slow_requests_are_exact_where_the_limit_is_a_bound_of_the_histogram(
    latencies: list[float], limit: float
) -> None:
    bounds = [0.001, 0.01, 0.05, 0.1, 1.0, math.inf]
    buckets = {bound: sum(each <= bound for each in latencies) for bound in bounds}
    seen = Seen(requests=len(latencies), buckets=buckets)
    assert seen.slower_than(limit) == pytest.approx(sum(each > limit for each in latencies))
    between = seen.slower_than(limit * 1.5)
    assert seen.slower_than(limit) >= between >= 0
    percentile = seen.percentile_seconds(0.99)
    lower = max([0.0, *(bound for bound in bounds if buckets[bound] < 0.99 * len(latencies))])
    assert percentile >= lower


# Who is answered by what.


def test_a_key_lies_where_it_lay_in_every_process_and_version() -> None:
    assert point_of("demand", 7, "ada") == 0.4728533821776821
    assert point_of("demand", 8, "ada") != point_of("demand", 7, "ada")
    assert 0 <= point_of("demand", 7, "\ud800") < 1  # half a surrogate pair, as JSON may bring it


@given(st.text(), st.integers(0, 10**6), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_who_has_the_candidate_keeps_it_while_its_share_grows(
    key: str, salt: int, one: float, other: float
) -> None:
    point = point_of("demand", salt, key)
    low, high = sorted((one, other))
    before, after = (
        piece_at(cut([("old", "champion", 1 - share), ("new", "challenger", share)]), point)
        for share in (low, high)
    )
    assert (before, after) != ("new", "old")
    assert (before == "new") == (point < low)


@given(st.floats(0, 1), st.lists(st.integers(1, 100), min_size=1, max_size=5), st.randoms())
def test_pieces_do_not_depend_on_the_order_and_leave_no_gap(
    point: float, parts: list[int], random: Any
) -> None:
    variants = [(f"run{index}", "challenger", part / (sum(parts) + 7)) for index, part in enumerate(parts)]
    variants += [("champion", "champion", 7 / (sum(parts) + 7)), ("shadow", "shadow", 1.0)]
    answered = piece_at(cut(variants), point)
    random.shuffle(variants)
    assert answered == piece_at(cut(variants), point) != "shadow"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_the_split_is_as_the_weights_say(share: float) -> None:
    pieces = cut([("old", "champion", 1 - share), ("new", "challenger", share)])
    count = 20_000
    new = sum(piece_at(pieces, point_of("demand", 3, f"customer {each}")) == "new" for each in range(count))
    chi2 = (new - share * count) ** 2 / (count * share * (1 - share))
    assert chi2 < 10.83  # 99.9 % of chi2 with one degree of freedom


@pytest.mark.parametrize(("weight", "run"), [(0.0, "old"), (1.0, "new")])
def test_weights_of_nothing_and_all(weight: float, run: str) -> None:
    pieces = cut([("old", "champion", 1 - weight), ("new", "challenger", weight)])
    assert {piece_at(pieces, point_of("demand", 1, str(each))) for each in range(1000)} == {run}


def test_a_ledger_record_says_who_is_answered_by_what(stage: Stage) -> None:
    stage.begin({"kind": "ab", "share": "30%"})
    one, two = (record.state for record in stage.records())
    assert assign("demand", one, "ada").run == run_of(1)
    found = {key: assign("demand", two, key).run for key in "abcdefgh"}
    assert found == {key: run_of(2 if point_of("demand", 2, key) < 0.3 else 1) for key in "abcdefgh"}
    assert len(set(found.values())) == 2
    with pytest.raises(InvalidInput, match="nothing is live"):
        assign("demand", EndpointState(), "ada")


def test_the_draws_of_a_bandit_are_not_made_up(stage: Stage) -> None:
    stage.begin({"kind": "bandit"})
    with pytest.raises(InvalidInput, match="a bandit shares out the requests to 'demand'"):
        assign("demand", stage.records()[-1].state, "ada")
