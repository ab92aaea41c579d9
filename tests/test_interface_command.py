"""`rasen test`, `python -m rasen.interface_test` and `pytest --rasen`: the same checks, said in three ways."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.cli.test import _print_contracts
from rasen.errors import InvalidInput, NotFound
from rasen.interface_test.checks import Check, InterfaceReport, Outcome, Stage
from rasen.interface_test.junit import junit_text, write_junit
from rasen.interface_test.pytest_plugin import pytest_collect_file, pytest_xdist_make_scheduler
from rasen.pipeline import parse_pipeline
from stand.pipelines import write_pipeline

TABLE = "tables: {scores: {step: train, table: scored}}"
_RUN = "import rasen, pathlib\nwith open(pathlib.Path({marker!r}), 'a') as file:\n    file.write('x')"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A pipeline that fails before anything is run."""
    return write_pipeline(tmp_path / "notebooks" / "broken", {"train": ["import rasen"]}, more=TABLE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(build_app(), ["test", *arguments])


@pytest.mark.usefixtures("home")
def test_a_failing_check_is_told_in_words(broken: Path) -> None:
    done = run(str(broken), "--no-lint")
    assert done.exit_code == 42
    assert "  fail  table scores" in done.output
    assert "step 'train' never saves 'scored'" in done.output
    assert "broken does not keep its interface: 2 passed, 1 failed, 1 skipped" in done.output


@pytest.mark.usefixtures("home")
def test_json_and_junit_say_the_same(broken: Path, tmp_path: Path) -> None:
    done = run(str(broken.parent), "--no-lint", "--json", "--junit", str(tmp_path / "report.xml"))
    assert done.exit_code == 42
    (report,) = json.loads(done.stdout)
    assert (report["pipeline"], report["passed"], report["exit_code"]) == ("broken", False, 42)
    told = {check["name"]: check["outcome"] for check in report["checks"]}
    assert told == {
        "parameters train": "pass",
        "pipeline.yaml": "pass",
        "step train": "skip",
        "table scores": "fail",
    }
    suite = ET.parse(tmp_path / "report.xml").getroot()[0]
    assert suite.attrib["failures"] == suite.attrib["skipped"] == "1"
    assert [case.attrib["name"] for case in suite] == list(told)
    assert "never saves" in suite[3][0].attrib["message"]


@pytest.mark.usefixtures("home")
def test_what_does_not_exist_is_bad_input(tmp_path: Path) -> None:
    done = run(str(tmp_path / "nothing.ipynb"))
    assert isinstance(done.exception, NotFound)
    assert done.exception.exit_code == 2
    assert isinstance(run("x", "--json", "--print-contract").exception, InvalidInput)


def report_of(*checks: Check, contract: dict[str, Any] | None = None) -> InterfaceReport:
    return InterfaceReport(path="x", pipeline="demand", checks=checks, seconds=1.0, contract=contract)


def test_a_contract_is_printed_so_that_it_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    contract = {"inputs": {"hour": "int64", "no": "string", "wind": "float64?"}, "output": {"low": "float64"}}
    failed = Check(name="step train", stage=Stage.RUN, outcome=Outcome.FAILED, message="it broke")
    _print_contracts([report_of(contract=contract), report_of(failed)])
    printed = capsys.readouterr()
    head = "name: demand\nowner: us\nsteps: {train: {notebook: train.ipynb}}\n"
    declared = parse_pipeline(head + printed.out).deploy.contract
    assert declared is not None
    assert declared.differences(contract["inputs"], contract["output"]) == []
    assert yaml.safe_load(printed.out)["deploy"]["contract"] == contract
    assert printed.err == "demand: no contract, step train: it broke\n"


def test_junit_takes_whatever_a_cell_has_printed(tmp_path: Path) -> None:
    dirty = Check(
        name="step \x1b[31mtrain",
        stage=Stage.RUN,
        outcome=Outcome.FAILED,
        message="a\x00b\ud800",
        details=("<&>",),
    )
    case = ET.fromstring(junit_text([report_of(dirty)]).encode())[0][0]
    assert case.attrib["name"] == "step �[31mtrain"
    assert case[0].text == "a�b�\n<&>"
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_junit([], tmp_path / "nowhere" / "report.xml")


def processes_of(home: Path) -> list[str]:
    """Return the command lines of processes that work below a folder."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                environment = (place / "environ").read_bytes()
                command = (place / "cmdline").read_bytes()
            except OSError:
                continue
            if f"TMPDIR={home}\0".encode() in environment + b"\0" and b"zygote" not in command:
                found.append(f"{place.name} {command!r}")
    return found


def test_a_signal_ends_the_test_with_all_that_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "running"
    child = "import pathlib, subprocess, time\nsubprocess.Popen(['sleep', '600'])"
    sleep = f"pathlib.Path({str(marker)!r}).touch()\ntime.sleep(600)"
    folder = write_pipeline(tmp_path / "slow", {"train": [child, sleep]})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "RASEN_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(
        [sys.executable, "-m", "rasen.interface_test", str(folder), "--json-lines", "--no-lint"],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    while not marker.exists():
        assert process.poll() is None
        time.sleep(0.02)
    assert processes_of(temporary)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    events = [json.loads(line) for line in output.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("test_started", "report")
    assert {"event": "check_started", "check": "step train", "step": "train"} in events
    assert events[-1]["stopped"] is True
    assert {check["name"]: check["message"] for check in events[-1]["checks"]}[
        "step train"
    ] == "the test was stopped"
    assert process.returncode == 130
    assert [path.name for path in temporary.iterdir() if path.name.startswith("rasen-test")] == []
    assert processes_of(temporary) == []


# As a plugin of pytest


def run_pytest(
    tmp_path: Path, *arguments: str, plugins: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, where nothing but our plugin is loaded."""
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "RASEN_HOME": str(tmp_path / "home"),
    }
    named = [word for name in ("rasen.interface_test.pytest_plugin", *plugins) for word in ("-p", name)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *named, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("broken")
def test_pytest_collects_each_check(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "--rasen", "--rasen-no-lint", "--collect-only", "-q", "notebooks")
    items = [line.partition("::")[2] for line in done.stdout.splitlines() if "::" in line]
    assert items == ["parameters train", "pipeline.yaml", "step train", "table scores"]


def test_pytest_tells_what_failed_and_makes_each_test_once(broken: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    cell = _RUN.format(marker=str(marker))
    write_pipeline(broken.parent / "works", {"train": [cell, "rasen.log_metrics(n=1)"]})
    done = run_pytest(
        tmp_path, "--rasen", "--rasen-no-lint", "-n", "2", "-rs", "--junitxml=report.xml", "notebooks",
        plugins=("xdist",),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert marker.read_text(encoding="utf-8") == "x", "one worker makes the whole test of a pipeline"
    assert "1 failed, 5 passed, 1 skipped" in done.stdout
    assert "step 'train' never saves 'scored'" in done.stdout
    assert "nothing was run: 'table scores' failed before" in done.stdout
    cases = ET.parse(tmp_path / "report.xml").getroot().iter("testcase")
    assert {"step train", "table scores"} <= {case.attrib["name"] for case in cases}


def test_the_plugin_does_nothing_unless_it_is_asked(broken: Path, request: pytest.FixtureRequest) -> None:
    assert pytest_collect_file(broken / "pipeline.yaml", request.session) is None
    assert pytest_xdist_make_scheduler(request.config, None) is None


def test_the_plugin_costs_a_run_of_pytest_next_to_nothing(tmp_path: Path) -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import rasen.interface_test.pytest_plugin; "
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('rasen')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert set(done.stdout.split()) - set(sys.stdlib_module_names) == set()
