"""Notebooks in parallel, again and again: `PYTHONPATH=tests python -m bench.parallel --times 20 --at-once 32`.

Not a test, because 640 notebooks take minutes; a scaled one is in `tests/test_batch_engine.py`. Each notebook is
executed by a process of its own, as steps are. What is printed says how many ended how: all `succeeded` is right.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from rasen.batch.execution import Options, execute_notebook
from rasen.batch.outcome import Outcome
from stand.engine import make_notebook


def main() -> None:
    """Run them and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=32)
    options = parser.parse_args()
    ends: collections.Counter[str] = collections.Counter()
    begun = time.monotonic()
    for turn in range(options.times):
        with (
            tempfile.TemporaryDirectory() as folder,
            multiprocessing.get_context("fork").Pool(options.at_once, maxtasksperchild=1) as pool,
        ):
            ends.update(pool.map(partial(run_one, Path(folder)), range(options.at_once), chunksize=1))
        sys.stderr.write(f"{turn + 1} of {options.times}: {dict(ends)}\n")
    print(json.dumps({"ends": ends, "seconds": round(time.monotonic() - begun, 1)}))


def run_one(folder: Path, number: int) -> str:
    """Execute one notebook in this process; return how that ended, or what is wrong with it."""
    notebook = make_notebook(f"x = {number}", "print(x)")
    output = folder / f"{number}.ipynb"
    outcome = execute_notebook(
        notebook, "rasen", Options(output=output, journal=folder / f"{number}.journal")
    )
    printed = "".join(shown.get("text", "") for shown in notebook.cells[1].outputs)
    good = printed == f"{number}\n" and Outcome.read(output) == outcome
    return outcome.verdict.value if good else f"{outcome}, printed {printed!r}"


if __name__ == "__main__":
    main()
