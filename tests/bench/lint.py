"""`rasen lint` beside nbqa: a hundred notebooks with our rules and ruff's, against ruff's alone through nbqa.

`PYTHONPATH=tests python -m bench.lint`. The notebooks are scikit-learn's, where Debian's `python-sklearn-doc` is
installed, joined so that a hundred have two thousand code cells; else generated ones. Both sides are command lines
and pay their start. The answer for one notebook is that of a warm process, as JupyterLab's server side has it.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from rasen_lint.plugin import RasenLinter
from rasen_lint.ruff import DEFAULT_SELECT
from rasen_lint.rules import RULES
from stand.lint_notebooks import notebook_bytes, text_cell
from wild.sources import find_notebooks, sources

NOTEBOOKS = 100
CODE_CELLS_EACH = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=2, help="nbqa takes ten seconds a round")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rasen-bench-lint-") as folder:
        kind, cells = write_notebooks(Path(folder))
        print(f"{NOTEBOOKS} notebooks, {cells} code cells, {kind}")
        print(f"{os.cpu_count()} processors; {len(RULES)} rules of ours")
        print("| figure | rasen lint | nbqa 'ruff check' | ratio |")
        print("|---|---|---|---|")
        rasen = [sys.executable, "-c", "from rasen.cli import main; main()", "lint"]
        nbqa = [sys.executable, "-m", "nbqa", "ruff check"]
        flags = [
            "--isolated",
            f"--select={','.join(DEFAULT_SELECT)}",
            "--output-format=concise",
            "--no-cache",
        ]
        one = str(next(Path(folder).glob("*.ipynb")))
        for name, target in (("100 notebooks", folder), ("one notebook", one)):
            ours = timed([*rasen, target], rounds=options.rounds)
            peer = timed([*nbqa, target, *flags], rounds=options.peer_rounds)
            print(f"| {name}, command line | {ours:.2f} s | {peer:.2f} s | **{peer / ours:.1f} ×** |")
        alone = timed([*rasen, folder, "--no-ruff"], rounds=options.rounds)
        print(f"| 100 notebooks, our rules only | {alone:.2f} s | – | – |")
        warm, cold = measure_warm(Path(folder))
        shown = f"{warm * 1000:.0f} ms, the first {cold * 1000:.0f} ms"
        print(f"| one notebook, warm process, ruff included | {shown} | – | – |")


def write_notebooks(folder: Path) -> tuple[str, int]:
    """Write the notebooks; return what they are, and how many code cells they have together."""
    (sklearn,) = (source for source in sources() if source.name == "sklearn")
    found = [json.loads(notebook.read()) for notebook in find_notebooks(sklearn)]
    kind = "of Debian's python-sklearn-doc" if found else "generated"
    chosen = list(joined(found, CODE_CELLS_EACH)) if found else list(generated(CODE_CELLS_EACH))
    cells = 0
    for number, content in enumerate(chosen):
        cells += sum(cell["cell_type"] == "code" for cell in content["cells"])
        folder.joinpath(f"{number:03}.ipynb").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return kind, cells


def joined(found: list[dict[str, Any]], least: int) -> Iterator[dict[str, Any]]:
    """Yield a hundred notebooks of at least so many code cells, each made of several."""
    position = 0
    for _ in range(NOTEBOOKS):
        content = copy.deepcopy(found[position % len(found)])
        while sum(cell["cell_type"] == "code" for cell in content["cells"]) < least:
            position += 1
            content["cells"] += copy.deepcopy(found[position % len(found)])["cells"]
        position += 1
        for index, cell in enumerate(content["cells"]):
            cell.pop("id", None)
            cell["metadata"] = {} if index else {"tags": []}
        content["nbformat_minor"] = 4
        yield content


def generated(cells: int) -> Iterator[dict[str, Any]]:
    """Yield a hundred notebooks that read, plot and fit, in cells of ten lines."""
    for number in range(NOTEBOOKS):
        sources = [
            "\n".join(
                f"frame_{index}_{line} = pd.DataFrame({{'x': np.arange({line + 1}), 'y': [{number}]}}).assign(z=1)"
                for line in range(10)
            )
            for index in range(cells - 2)
        ]
        yield json.loads(
            notebook_bytes(
                text_cell(f"# Notebook {number}"), "import numpy as np\nimport pandas as pd", *sources
            )
        )


def timed(command: list[str], *, rounds: int) -> float:
    """Return the median time of a command that may find something, and may not fail otherwise."""
    return median(time_once(lambda: run(command)) for _ in range(rounds))


def run(command: list[str]) -> None:
    """Run a command to its end."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr[-2000:]


def measure_warm(folder: Path) -> tuple[float, float]:
    """Return the median time of one notebook in a warm process, and the first one's."""
    linter = RasenLinter()
    times = []
    for path in sorted(folder.glob("*.ipynb"))[:50]:
        data = path.read_bytes()

        def check(data: bytes = data, path: Path = path) -> None:
            assert linter.check(data, path=path).problem is None

        times.append(time_once(check))
    return median(times[1:]), times[0]


def time_once(action: Callable[[], None]) -> float:
    """Return how long an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
