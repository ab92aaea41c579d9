"""`rasen history`: commit, release, run, version and deployment, joined without a gap."""

from __future__ import annotations

from typing import Any

import pytest

from rasen.errors import NotFound
from rasen.settings import load_settings
from rasen.tracking.keys import end_key, manifest_key, start_key
from rasen.tracking.records import End, Verdict
from stand.ledger_home import LedgerHome, ask, ask_json
from stand.manifests import BAD, FIRST_INSTANT, run_of


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> LedgerHome:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    monkeypatch.setenv("RASEN_HOME", str(settings.home))
    monkeypatch.setenv("COLUMNS", "250")
    return LedgerHome(settings)


def by_run(pipeline: str = "demand") -> dict[str | None, dict[str, Any]]:
    entries = ask_json("history", pipeline, "--limit", "100")["entries"]
    return {entry["run"]["run"] if entry["run"] else None: entry for entry in entries}


def fail(home: LedgerHome, number: int) -> str:
    """Have a run end as failed."""
    run = home.publish(number, "demand", decide=False)
    home.store.delete(manifest_key("demand", run))
    end = End(
        run=run, pipeline="demand", verdict=Verdict.FAILED, step="train", error="Boom", ended_at=FIRST_INSTANT
    )
    home.store.write(end_key("demand", run), end.to_bytes())
    return run


def test_every_run_has_its_decisions_or_the_reason_why_there_is_none(home: LedgerHome) -> None:
    home.release("demand", endpoint="departures")
    home.publish(1, "demand")
    home.publish(3, "demand", metrics=BAD)
    late = home.publish(2, "demand")
    failed = fail(home, 4)
    modelless = home.publish(5, "demand", model=False)
    private = home.publish(6, "demand", deploy=False)
    waiting = home.publish(7, "demand", decide=False)
    running = home.publish(8, "demand", decide=False)
    home.store.delete(manifest_key("demand", running))
    found = by_run()
    decisions = {
        run: [(one["endpoint"], one["number"], one["action"]) for one in entry["decisions"]]
        for run, entry in found.items()
        if entry["decisions"]
    }
    assert decisions == {run_of(1): [("departures", 1, "deploy")], run_of(3): [("departures", 2, "refuse")]}
    assert {run: entry["undecided"] for run, entry in found.items() if entry["undecided"]} == {
        late: f"superseded: {run_of(3)} was decided before it was published",
        failed: "it ended as failed, so it published nothing",
        modelless: "it published no model",
        private: "it was started without deployment",
        waiting: "the deploy function has not decided yet",
        running: "it has not ended",
    }
    runs = [entry["run"]["run"] for entry in ask_json("history", "demand")["entries"]]
    assert runs == [run_of(number) for number in range(8, 0, -1)]
    assert all(entry["release"]["commit"] == "0" * 40 for entry in found.values())
    shown = ask("history", "demand")
    assert shown.count("release 1-0123456789ab  commit 000000000000") == 1
    assert "  train: Boom  by request:4" in shown
    assert "    departures 2  refuse" in shown
    assert f"    not decided: superseded: {run_of(3)}" in shown


def test_a_release_that_was_never_run_is_part_of_it(home: LedgerHome) -> None:
    home.release("demand", release="1-aaaaaaaaaaaa")
    home.release("demand", release="2-bbbbbbbbbbbb")
    home.publish(1, "demand", release="1-aaaaaaaaaaaa")
    entries = ask_json("history", "demand")["entries"]
    assert [(entry["release_id"], entry["run"] is not None) for entry in entries] == [
        ("2-bbbbbbbbbbbb", False),
        ("1-aaaaaaaaaaaa", True),
    ]
    assert "release 2-bbbbbbbbbbbb" in ask("history", "demand").splitlines()[0]
    assert ask("history", "demand").splitlines()[1].strip() == "never run"


def test_what_cannot_be_read_leaves_no_gap(home: LedgerHome) -> None:
    home.release("demand")
    first, second = home.publish(1, "demand"), home.publish(2, "demand")
    home.store.delete(start_key("demand", first))
    home.store.write(start_key("demand", first), b"nonsense")
    home.store.delete("releases/demand/1-0123456789ab/release.json")
    found = ask_json("history", "demand")
    orphan, other = found["entries"]
    assert (orphan["run"], orphan["decisions"][0]["run"]) == (None, first)
    assert (other["run"]["run"], other["decisions"][0]["run"]) == (second, second)
    assert [problem["key"] for problem in found["problems"]] == [start_key("demand", first)]
    shown = ask("history", "demand")
    assert f"about run {first}, whose start cannot be read" in shown
    assert "its record is gone or cannot be believed" in shown


def test_it_is_cut_by_time_and_number(home: LedgerHome) -> None:
    home.release("demand")
    for number in range(5):
        home.publish(number, "demand")
    assert len(ask_json("history", "demand", "--limit", "2")["entries"]) == 2
    recent = ask_json("history", "demand", "--since", "2026-01-01T00:03Z")["entries"]
    assert [entry["run"]["run"] for entry in recent] == [run_of(4), run_of(3)]
    assert "nothing since then" in ask("history", "demand", "--since", "1s")


def test_an_unknown_pipeline_is_answered_with_the_nearest(home: LedgerHome) -> None:
    home.release("demand")
    with pytest.raises(NotFound, match="pipeline 'demnd' has no history: did you mean 'demand'"):
        ask("history", "demnd")
