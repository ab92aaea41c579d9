"""More output than anybody wants: the runner's memory stays bounded, the cell says what was left out, no end is lost.

papermill 2.7.0 keeps everything in memory and writes it twice a cell: a gigabyte of prints ends it, not the notebook.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rasen.batch.outputs import Limits
from rasen.tracking.records import Verdict
from stand.engine import execute, few_imports
from stand.repository import ROOT
from stand.zygotes import runtime_folder

KERNELS = ["rasen", "python3"]


@pytest.fixture(scope="module", autouse=True)
def folder() -> Iterator[Path]:
    with runtime_folder() as path:
        yield path


@pytest.fixture(autouse=True)
def warm(folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    few_imports(tmp_path_factory.getbasetemp(), monkeypatch)


# A process of its own, so that its highest memory is that of one notebook; `ru_maxrss` would begin with its parent's.
RUNNER = """
import json, sys
from pathlib import Path
from stand.engine import execute
done = execute(*json.loads(sys.argv[1]), kernel=sys.argv[2], output=Path("out.ipynb"), journal=Path("journal"),
               spill=Path("spill"))
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
outcome = done.outcome
print(json.dumps({"verdict": done.verdict, "peak": peak, "error": outcome.error_message, "name": outcome.error_name}))
"""


def run(folder: Path, kernel: str, *cells: str) -> dict[str, Any]:
    """Execute cells in a process of its own; return what it says of itself."""
    command = [sys.executable, "-c", RUNNER, json.dumps(cells), kernel]
    path = f"{ROOT / 'platform'}:{ROOT / 'tests'}"
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def text_of(folder: Path, cell: int) -> str:
    cells = json.loads((folder / "out.ipynb").read_bytes())["cells"]
    return "".join("".join(output.get("text", "")) for output in cells[cell]["outputs"])


MEGABYTES = 1_000_000


@pytest.mark.endurance
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_gigabyte_of_prints(kernel: str, tmp_path: Path) -> None:
    code = "line = 'x' * 9_999\nfor n in range(100_000): print(line)"
    found = run(tmp_path, kernel, code, "print('after')")
    assert found["verdict"] == "succeeded"
    assert found["peak"] < 400 * MEGABYTES
    shown = text_of(tmp_path, 0)
    assert 4 * MEGABYTES < len(shown) < 6 * MEGABYTES
    assert "limit of 5,000,000 bytes a cell" in shown[-400:]
    assert text_of(tmp_path, 1) == "after\n", "nothing that came behind was lost"
    assert (tmp_path / "spill").stat().st_size < 201 * MEGABYTES
    assert (tmp_path / "out.ipynb").stat().st_size < 12 * MEGABYTES


@pytest.mark.endurance
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "code", ["print(text)", "text", "raise ValueError(text)"], ids=["stream", "result", "error"]
)
def test_one_output_of_200_megabytes(kernel: str, code: str, tmp_path: Path) -> None:
    found = run(tmp_path, kernel, "text = '0123456789' * 20_000_000", code)
    assert found["verdict"] == ("failed" if "raise" in code else "succeeded")
    # The raw bytes of one message, or of an error's two, are in memory; nothing is made of them.
    assert found["peak"] < (400 if "raise" not in code else 1_500) * MEGABYTES
    assert (tmp_path / "out.ipynb").stat().st_size < 12 * MEGABYTES
    if "raise" in code:
        assert found["name"] == "ValueError"
        assert found["error"].startswith("0123456789")
    else:
        assert "bytes more were shown here" in text_of(tmp_path, 1)
        assert (tmp_path / "spill").stat().st_size > 150 * MEGABYTES
        assert b"0123456789" in (tmp_path / "spill").read_bytes()[:1000]


def test_many_displays_and_updates_are_counted_to_the_last() -> None:
    code = """
from IPython.display import display
handle = display(0, display_id=True)
for n in range(5_000): handle.update(n)
"""
    done = execute(code, "for n in range(5_000): display(n)", "print('after')")
    assert done.verdict is Verdict.SUCCEEDED
    assert done.shown(0) == ["4999"]
    assert done.shown(1) == [str(number) for number in range(5_000)]
    assert done.printed(2) == "after\n"


def test_a_loop_that_prints_for_ever_is_timed_out(tmp_path: Path) -> None:
    code = "while True: print('x' * 1000)"
    limits = Limits(cell_bytes=100_000, notebook_bytes=1_000_000, spill_bytes=1_000_000)
    done = execute(code, "1", cell_timeout_seconds=1.0, limits=limits, spill=tmp_path / "spill")
    assert done.verdict is Verdict.TIMED_OUT
    assert done.statuses == ["failed", "not reached"]
    assert "the first " in done.printed(0)
    assert (tmp_path / "spill").stat().st_size <= 1_001_000


def test_a_program_that_floods_its_standard_output_is_bounded(capfd: pytest.CaptureFixture[str]) -> None:
    code = "import subprocess, sys\nsubprocess.run(['sh', '-c', 'head -c 30000000 /dev/zero | tr \"\\\\0\" x'])\nNone"
    done = execute(code)
    assert done.verdict is Verdict.SUCCEEDED
    assert "bytes more were shown here" in done.printed(0)
    assert len(capfd.readouterr().err) < 11 * MEGABYTES
