"""`rasen gc`, `rasen pin` and their neighbours as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rasen.cli import build_app
from rasen.errors import InvalidInput
from stand.histories import History, run_of

Rasen = Callable[..., Result]


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    made = History(tmp_path, on_disk=True)
    monkeypatch.setenv("RASEN_HOME", str(made.settings.home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return made


def rasen(*arguments: str, answer: str | None = None) -> str:
    """Type a command and return what it says; it must end well."""
    done = CliRunner().invoke(build_app(), arguments, input=answer, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def answer_of(*arguments: str) -> Any:  # Any: JSON
    return json.loads(rasen(*arguments, "--json"))


def test_a_plan_is_only_a_plan(history: History) -> None:
    history.run(0)
    history.go_on(days=8)
    said = rasen("gc")
    assert said == rasen("gc", "--plan")
    assert f"{run_of(0)}  demand    goes" in said
    assert "nothing that is kept refers to it" in said
    assert answer_of("gc")["runs"][0]["fate"] == "goes"
    assert answer_of("gc")["pipelines"][0]["goes"] == 1
    with pytest.raises(InvalidInput, match="exclude one another"):
        rasen("gc", "--plan", "--delete")


def test_deleting_asks_and_can_be_taken_back(history: History) -> None:
    history.run(0)
    history.go_on(days=8)
    refused = CliRunner().invoke(build_app(), ["gc", "--delete"], input="n\n")
    assert refused.exit_code == 1
    assert answer_of("gc")["runs"][0]["fate"] == "goes"
    assert "1 marked for removal" in rasen("gc", "--delete", answer="y\n")
    with pytest.raises(InvalidInput, match="rasen gc --undo"):
        rasen("restore", run_of(0))
    assert "to be removed since" in rasen("show", run_of(0))
    assert "taken back" in rasen("gc", "--undo", run_of(0)[-12:])
    restored = answer_of("restore", run_of(0))
    assert Path(restored["folder"]).name == run_of(0)
    history.go_on(days=8)
    rasen("gc", "--delete", "--yes")
    history.go_on(days=2)
    assert answer_of("gc", "--delete", "--yes")["removed"] == [run_of(0)]
    assert "was removed on" in rasen("show", run_of(0))
    assert "_qualify" not in rasen("show", run_of(0))


def test_pins_and_legal_holds_are_kept_shown_and_lifted(history: History) -> None:
    for number in range(3):
        history.run(number)
    history.go_on(days=8)
    rasen("gc", "--delete", "--yes")
    (pinned,) = answer_of("pin", run_of(0), "--reason", "the paper")
    assert pinned["kept"][0].endswith(": the paper")
    assert "kept: pinned by" in rasen("show", run_of(0))
    assert "to be removed" not in rasen("show", run_of(0)), "its tombstone was taken back"
    rasen("pin", "--legal-hold", "AZ 17/26", run_of(0), run_of(1))
    assert {row["run"] for row in answer_of("pins")} == {run_of(0), run_of(1)}
    rasen("unpin", run_of(0))
    assert "legal hold 'AZ 17/26'" in rasen("pins")
    for arguments, message in (
        (("unpin", run_of(0), "--legal-hold", "AZ 17/26"), "needs a reason"),
        (("unpin", run_of(0), "--legal-hold", "other", "--reason", "x"), "has no legal hold 'other'"),
    ):
        with pytest.raises(InvalidInput, match=message):
            rasen(*arguments)
    rasen("unpin", run_of(0), "--legal-hold", "AZ 17/26", "--reason", "settled")
    assert [row["run"] for row in answer_of("pins")] == [run_of(1)]
    assert "(as before)" in rasen("unpin", run_of(0))
    history.go_on(days=9)
    assert answer_of("gc", "--delete", "--yes")["removed"] == [run_of(2)]
    assert "nothing is pinned" not in rasen("pins")
