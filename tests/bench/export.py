"""Twins and reviews of many notebooks: 100 exports in one process, against nbconvert, and the page of a large change.

PYTHONPATH=tests python -m bench.export
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rasen.review import render_comparison
from rasen.review.twins import export_notebooks
from stand.hostile_notebooks import document, png, shown
from stand.reviewed import executed, text_cell

NOTEBOOKS = 100
CELLS = 21  # as the hundred notebooks of the facts have on average
ROUNDS = 3


def notebook(number: int, *, changed: bool = False, cells: int = CELLS) -> bytes:
    """Return a notebook of code, text, a table and a picture."""
    written = [text_cell(f"# Notebook {number}", "title")]
    for place in range(cells):
        source = f"value_{place} = compute({place}, {int(changed and place % 5 == 0)})\nif value_{place}:\n    show()"
        output = (
            shown("image/png", png(place % 200, width=200)) if place % 7 == 0 else shown("text/plain", "1")
        )
        written.append(executed(f"%time x = {place}\n{source}", f"cell-{place}", output))
    return document(written)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure in turns and print a table."""
    with tempfile.TemporaryDirectory(prefix="rasen-bench-") as scratch:
        folder = Path(scratch)
        for number in range(NOTEBOOKS):
            (folder / f"notebook_{number}.ipynb").write_bytes(notebook(number))
        fresh = (
            "import sys; from pathlib import Path; from rasen.review.twins import export_notebooks; "
            "assert len(export_notebooks([Path(sys.argv[1])], out=Path(sys.argv[2]))) == 100"
        )
        # One file, because a hundred processes would take minutes; with all of them it still is one process.
        peer = [sys.executable, "-m", "nbconvert", "--to", "script", "--log-level", "ERROR", "--output-dir"]
        names = [str(folder / f"notebook_{number}.ipynb") for number in range(NOTEBOOKS)]
        rows: dict[str, list[float]] = {"export, a fresh process": [], "export, again": [], "nbconvert": []}
        for number in range(ROUNDS):
            out = folder / f"out{number}"
            command = [sys.executable, "-c", fresh, str(folder), str(out)]
            rows["export, a fresh process"].append(
                seconds(lambda one=command: subprocess.run(one, check=True))
            )
            rows["export, again"].append(seconds(lambda one=out: export_notebooks([folder], out=one)))
            convert = [*peer, str(folder / f"peer{number}"), *names]
            rows["nbconvert"].append(seconds(lambda one=convert: subprocess.run(one, check=True)))
        for name, measured in rows.items():
            sys.stdout.write(f"{name:32} {NOTEBOOKS} notebooks  {statistics.median(measured):7.2f} s\n")
    large = [notebook(1, cells=10_000), notebook(1, cells=10_000, changed=True)]
    heavy = document([executed("x", "x", shown("text/html", "<tr><td>1</td>" * 3_700_000))])
    for name, sides in (
        ("page, 10,000 cells, 2,000 changed", large),
        ("page, 50 MB of output", [None, heavy]),
    ):
        page = ""

        def render(sides: list[bytes | None] = sides) -> None:  # type: ignore[assignment]  # lists of bytes
            nonlocal page
            page = render_comparison(*sides, title_old="old", title_new="new")

        took = seconds(render)
        sys.stdout.write(f"{name:32} {took:7.2f} s  {len(page) / 1e6:.1f} MB\n")
    sys.stdout.write(json.dumps({"python": sys.version.split()[0]}) + "\n")


if __name__ == "__main__":
    main()
