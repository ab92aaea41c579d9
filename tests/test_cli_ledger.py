"""The ledger for people: the list of decisions, one in full, and what was live when."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rasen.deploy.ledger import append
from rasen.errors import InvalidInput, NotFound
from rasen.settings import load_settings
from rasen.tracking.keys import deployment_key, manifest_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.signature import Role, open_signer
from stand.ledger_home import LedgerHome, ask, ask_json
from stand.manifests import BAD, run_of

TEN_PAST = datetime(2026, 5, 1, 12, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    """Endpoint `demand`: run 1 live at 12:10, 2 refused at 12:20, 3 live at 12:30; at `supply` one was refused."""
    home = LedgerHome(load_settings(home=tmp_path_factory.mktemp("home"), environment="dev"))
    home.release("demand")
    home.release("supply")
    for number, metrics in ((1, {}), (2, BAD), (3, {})):
        home.publish(number, "demand", decide=False, **({"metrics": metrics} if metrics else {}))
    home.publish(1, "supply", metrics=BAD, decide=False)
    # What the decider of this moment would write, as of May: records differ from it in nothing but the time.
    for pipeline in ("demand", "supply"):
        for number, record in enumerate(decided(home, pipeline)):
            at = TEN_PAST + timedelta(minutes=10 * number)
            signer = open_signer(home.settings, Role.DECIDER)
            assert append(home.store, signer, record.model_copy(update={"decided_at": at}))
    return home


def decided(home: LedgerHome, pipeline: str) -> list[LedgerRecord]:
    records = home.decider.decide(pipeline)
    for record in records:
        home.store.delete(deployment_key(record.endpoint, record.number))
    return records


@pytest.fixture(autouse=True)
def here(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TZ", "UTC")


def test_decisions_are_listed_newest_first(home: LedgerHome) -> None:
    lines = ask("deployments", "demand").splitlines()
    assert [line.split("  ")[:3] for line in lines[::2]] == [
        ["demand 3", "deploy", run_of(3)],
        ["demand 2", "refuse", run_of(2)],
        ["demand 1", "deploy", run_of(1)],
    ]
    assert "by function" in lines[0]
    assert lines[3].strip() == "0 of 1 gates passed: rmse 4.2 is 5 % worse than profile_rmse 4"
    assert {row["endpoint"] for row in ask_json("deployments")} == {"demand", "supply"}


def test_decisions_are_filtered() -> None:
    def numbers(*arguments: str) -> list[int]:
        return [row["number"] for row in ask_json("deployments", "demand", *arguments)]

    assert numbers("--action", "deploy") == [3, 1]
    assert numbers("--since", "2026-05-01T12:15Z") == [3, 2]
    assert numbers("--since", "2026-05-01T12:15Z", "--until", "2026-05-01T12:25Z") == [2]
    assert numbers("--until", "2026-05-01T12:10Z") == []
    assert numbers("--limit", "1") == [3]
    assert "nothing that fits was decided yet about endpoint 'demand'" in ask(
        "deployments", "demand", "--action", "rollback"
    )
    with pytest.raises(InvalidInput, match="--action 'deployed' is none; choose from deploy, hold"):
        ask("deployments", "--action", "deployed")
    with pytest.raises(NotFound, match="nothing was decided about endpoint 'demnd': did you mean 'demand'"):
        ask("deployments", "demnd")


def test_a_record_is_shown_in_full(home: LedgerHome) -> None:
    shown = ask("deployments", "demand", "3")
    assert "gate baseline rmse: pass" in shown
    assert f"before   {run_of(1)} (champion, 100 %)" in shown
    assert f"after    {run_of(3)} (champion, 100 %)" in shown
    assert "previous 1, whose versions answered before" in shown
    assert re.search(r"\n  metrics  .*\brmse 3.1\b", shown)
    found = ask_json("deployments", "demand", "3")
    decider = open_signer(home.settings, Role.DECIDER)
    assert (found["key_id"], found["role"]) == (decider.key_id, "decider")
    assert found["record"]["state"]["variants"][0]["run"] == run_of(3)
    assert found["before"][0]["run"] == run_of(1)
    assert "before   nothing" in ask("deployments", "demand", "1")
    with pytest.raises(NotFound, match="endpoint 'demand' has no record 4; its records are 1 to 3"):
        ask("deployments", "demand", "4")
    with pytest.raises(InvalidInput, match="by its number alone"):
        ask("deployments", "demand", "3", "--action", "deploy")


@pytest.mark.parametrize(
    ("at", "number", "run"),
    [
        ("2026-05-01T12:10:00Z", 1, run_of(1)),
        ("2026-05-01T12:29:59.999Z", 2, run_of(1)),
        ("2026-05-01T21:30:00+09:00", 3, run_of(3)),
        ("2026-05-02", 3, run_of(3)),
        ("1s", 3, run_of(3)),
    ],
)
def test_what_was_live_when(at: str, number: int, run: str) -> None:
    (found,) = ask_json("live", "demand", "--at", at)
    (version,) = found["versions"]
    assert (found["number"], version["run"], version["role"]) == (number, run, "champion")
    assert (version["release"], version["commit"]) == ("1-0123456789ab", "0" * 40)
    assert found["since"] == {1: 1, 2: 1, 3: 3}[number]
    assert (found["action"], found["actor"]) == ("deploy", "function")


def test_before_the_first_decision_nothing_was_live() -> None:
    (found,) = ask_json("live", "demand", "--at", "2026-05-01")
    assert (found["number"], found["versions"]) == (0, [])
    assert found["first_at"] == TEN_PAST.isoformat()
    assert "nothing was decided yet at" in ask("live", "demand", "--at", "2026-05-01")
    with pytest.raises(InvalidInput, match="--at 'noon' is no time"):
        ask("live", "demand", "--at", "noon")


def test_all_endpoints_are_shown_with_what_is_live_now() -> None:
    shown = ask("live")
    assert f"champion     100 %  {run_of(3)}  release 1-0123456789ab, commit 000000000000" in shown
    assert "since record 3, " in shown
    assert "supply  ledger 1\n  nothing answers: no version was ever let in" in shown
    with pytest.raises(NotFound, match="did you mean 'supply'"):
        ask("live", "suply")


def test_a_version_whose_manifest_is_gone_is_still_named(home: LedgerHome, tmp_path: Path) -> None:
    key = manifest_key("demand", run_of(1))
    data = home.store.read(key)
    home.store.delete(key)
    try:
        (found,) = ask_json("live", "demand", "--at", "2026-05-01T12:15Z")
    finally:
        home.store.write(key, data)
    (version,) = found["versions"]
    assert (version["run"], version["release"]) == (run_of(1), None)
    assert "no object" in version["problem"]


def test_a_forged_record_is_told_of_and_never_believed(home: LedgerHome) -> None:
    key = deployment_key("demand", 2)
    data = home.store.read(key)
    home.store.delete(key)
    home.store.write(key, data.replace(b"refuse", b"deploy"))
    try:
        ask("reindex")
        shown = ask("deployments", "demand")
        assert "demand 3" in shown
        assert f"{key}: object {key!r}: the signature by key" in shown
        found = ask_json("reindex")
        assert [problem["key"] for problem in found["problems"]] == [key]
        assert "1 objects cannot be read or believed" in ask("reindex")
    finally:
        home.store.delete(key)
        home.store.write(key, data)
        assert "4 runs, 2 releases and 4 deployments indexed" in ask("reindex")
