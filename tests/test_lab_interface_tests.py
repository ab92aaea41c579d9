"""The interface tests that JupyterLab's server side starts: followed, replaced by newer ones, ended with children."""

import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rasen_labextension.interface_tests import FolderTest, InterfaceTests

# A program that speaks as `python -m rasen.interface_test --json-lines` does; the folder's file says how it behaves.
PROGRAM = """
import json, pathlib, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
def say(**event): print(json.dumps(event), flush=True)
print("a library says something")
say(event="check_started", check="parameters", step=None)
say(event="check_ended", check="parameters", step=None, outcome="pass", message="3 typed", seconds=0.1)
say(event="check_started", check="runs", step="train")
kind = (folder / "kind").read_text()
if kind == "hang":
    child = subprocess.Popen(["sleep", "60"])
    (folder.parent / "child").write_text(str(child.pid))
    time.sleep(60)
if kind == "crash":
    sys.exit("no room on the disk")
outcome = "pass" if kind == "good" else "fail"
say(event="check_ended", check="runs", step="train", outcome=outcome, message="", seconds=1.0)
sys.exit(0 if kind == "good" else 42)
"""


@pytest.fixture
def tests(tmp_path: Path) -> Iterator[InterfaceTests]:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    tests = InterfaceTests(command=(sys.executable, str(program)))
    yield tests
    tests.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demand"
    folder.mkdir()
    (folder / "kind").write_text("good")
    return folder


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(test: FolderTest) -> FolderTest:
    wait_for(lambda: test.state != "running")
    return test


@pytest.mark.parametrize(("kind", "state"), [("good", "passed"), ("bad", "failed"), ("crash", "broken")])
def test_the_events_become_checks_and_a_state(
    tests: InterfaceTests, folder: Path, kind: str, state: str
) -> None:
    (folder / "kind").write_text(kind)
    test = ended(tests.begin(folder, even_unchanged=False))
    assert test.state == state
    assert [(check["name"], check["step"]) for check in test.checks] == [
        ("parameters", None),
        ("runs", "train"),
    ]
    assert test.checks[0]["outcome"] == "pass"
    assert (test.message == "no room on the disk") == (kind == "crash")


def test_unchanged_sources_are_tested_again_only_on_demand(tests: InterfaceTests, folder: Path) -> None:
    first = ended(tests.begin(folder, even_unchanged=False))
    assert tests.begin(folder, even_unchanged=False) is first
    assert ended(tests.begin(folder, even_unchanged=True)) is not first
    (folder / "kind").write_text("bad")
    assert ended(tests.begin(folder, even_unchanged=False)).state == "failed"


def test_a_newer_test_ends_the_older_one_and_its_children(tests: InterfaceTests, folder: Path) -> None:
    (folder / "kind").write_text("hang")
    first = tests.begin(folder, even_unchanged=False)
    child = folder.parent / "child"
    wait_for(lambda: child.exists() and child.read_text() != "")
    (folder / "kind").write_text("good")
    second = ended(tests.begin(folder, even_unchanged=False))
    assert (first.state, second.state) == ("cancelled", "passed")
    wait_for(lambda: not is_alive(int(child.read_text())))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
    return state != "Z"
