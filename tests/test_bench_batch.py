"""The benchmark of batch execution: equal libraries on both sides, notebooks that can be executed."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from bench.batch import FIGURES, Measured, measure_bytes, show
from bench.batch_contenders import make_contenders
from bench.batch_peer import REQUIREMENTS, peer_environment
from bench.batch_workloads import WORKLOADS, write_workload
from stand.repository import ROOT

LOCK = (ROOT / "requirements.lock").read_text()


def test_papermill_gets_the_versions_of_our_lock() -> None:
    pins = re.findall(r"^([\w-]+==[\w.]+)", REQUIREMENTS.read_text(), re.MULTILINE)
    assert "papermill==2.7.0" in pins
    assert [pin for pin in pins if not re.search(rf"^{re.escape(pin)}[ ;\\]", LOCK, re.MULTILINE)] == []


def test_papermill_s_environment_holds_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASEN_HOME", "x")
    monkeypatch.setenv("PYTHONPATH", "x")
    assert not {"RASEN_HOME", "PYTHONPATH"} & peer_environment().keys()


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_are_notebooks(name: str, tmp_path: Path) -> None:
    read = nbformat.read(write_workload(name, tmp_path), as_version=4)  # type: ignore[no-untyped-call] # nbformat annotates little
    nbformat.validate(read)
    for cell in read.cells:
        if cell.cell_type == "code":
            compile(cell.source, name, "exec")


def test_every_figure_has_a_table_whose_ratios_are_right(tmp_path: Path) -> None:
    contenders = make_contenders(tmp_path / "python", tmp_path)
    command, in_process = contenders.papermill_command.name, contenders.papermill.name
    measured = Measured(
        figure="trivial", unit="s", samples={command: [4, 2, 9], in_process: [2], "ours": [1]}
    )
    rows = [line.strip("| ").split(" | ") for line in show(measured, contenders).splitlines()]
    assert rows[2] == [command, "4.000", "2.000", "1.00", "2.00"]
    assert rows[4] == ["ours", "1.000", "1.000", "0.25", "0.50"]
    written = Measured(figure="outputs", unit="MB", samples={"ours": [60]})
    written.more["ours"] = {"final_mb": 30, "disk_mb": 61, "seconds": 2}
    assert "| ours | 30.0 | 60.0 | 61.0 | 2.00 | 2.00 |" in show(written, contenders)
    assert FIGURES["outputs"] is measure_bytes
