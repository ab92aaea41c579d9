"""Twins of many notebooks against nbconvert, in turns, and pages of large changes.

The documents are made here: 21 cells each, as a hundred notebooks have on average, with magics, text and pictures.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rasen.review.page import render_comparison
from rasen.review.twins import export_notebooks
from stand.hostile_notebooks import document, png, shown
from stand.reviewed import executed, text_cell

NOTEBOOKS = 100
CELLS = 21
ROUNDS = 3


def notebook(number: int, *, changed: bool = False, cells: int = CELLS) -> bytes:
    """Return a notebook; `changed` changes each fifth cell."""
    written = [text_cell(f"# Notebook {number}", "title")]
    for place in range(cells):
        source = f"value_{place} = compute({place}, {int(changed and place % 5 == 0)})\nif value_{place}:\n    show()"
        output = (
            shown("image/png", png(place % 200, width=200)) if place % 7 == 0 else shown("text/plain", "1")
        )
        written.append(executed(f"%time x = {place}\n{source}", f"cell-{place}", output))
    return document(written)


def run(command: Sequence[str]) -> None:
    """Run a command that must succeed, without what it prints."""
    subprocess.run(command, check=True, capture_output=True)


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure in turns and print the medians."""
    with tempfile.TemporaryDirectory(prefix="rasen-bench-") as scratch:
        folder = Path(scratch)
        for number in range(NOTEBOOKS):
            (folder / f"notebook_{number}.ipynb").write_bytes(notebook(number))
        names = [str(folder / f"notebook_{number}.ipynb") for number in range(NOTEBOOKS)]
        command = [sys.executable, "-c", "from rasen.cli import main; main()", "export", str(folder), "--out"]
        peer = [sys.executable, "-m", "nbconvert", "--to", "script", *names, "--output-dir"]
        measured: dict[str, list[float]] = {}
        for number in range(ROUNDS):
            works: dict[str, Callable[[], object]] = {
                "rasen export, the command": partial(run, [*command, str(folder / f"command{number}")]),
                "export in a process that lives": partial(
                    export_notebooks, [folder], out=folder / f"library{number}"
                ),
                "nbconvert --to script": partial(run, [*peer, str(folder / f"peer{number}")]),
            }
            for name, work in works.items():
                measured.setdefault(name, []).append(seconds(work))
        for name, took in measured.items():
            sys.stdout.write(f"{name:36} {statistics.median(took):7.2f} s for {NOTEBOOKS} notebooks\n")
    rows = document([executed("x", "x", shown("text/html", "<tr><td>1</td>" * 3_700_000))])
    many = notebook(1, cells=10_000)
    pages: dict[str, tuple[bytes | None, bytes | None]] = {
        "page, 10,000 cells, 2,000 changed": (many, notebook(1, cells=10_000, changed=True)),
        "page, an output of 50 MB": (None, rows),
    }
    for name, (old, new) in pages.items():
        started = time.perf_counter()
        page = render_comparison(old, new, title_old="old", title_new="new")
        took_once = time.perf_counter() - started
        sys.stdout.write(f"{name:36} {took_once:7.2f} s for {len(page) / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main()
