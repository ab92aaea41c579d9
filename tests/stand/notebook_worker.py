"""A process that executes notebooks one after another: papermill or ours, in whatever environment it is started.

`python notebook_worker.py RUNNER` reads one JSON request a line and answers each with one line. It is started by path
and imports nothing of this repository unless the runner is ours, so it runs in papermill's own environment too. What a
notebook costs is measured here, where it is executed: start-up and imports of the worker are not in it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Request = dict[str, Any]  # Any: JSON
Verdict = dict[str, str]


def run_papermill(request: Request, *, engine: str | None = None) -> Verdict:
    """Execute with papermill as it is, or with one of its engines."""
    import papermill

    def execute() -> None:
        papermill.execute_notebook(
            request["source"],
            request["target"],
            kernel_name=request.get("kernel"),
            engine_name=engine,
            cwd=request.get("folder"),
            execution_timeout=request.get("cell_timeout_seconds"),
            progress_bar=False,
        )

    return _verdict_of(execute)


def run_papermill_with_our_engine(request: Request) -> Verdict:
    """Execute with papermill's own function and our engine."""
    return run_papermill(request, engine="rasen")


def run_rasen(request: Request) -> Verdict:
    """Execute as `rasen notebook run` does."""
    from rasen.batch.given_parameters import GivenParameters
    from rasen.batch.single import Manner, run_notebook
    from rasen.errors import RasenError

    folder = request.get("folder")
    manner = Manner(
        kernel=request.get("kernel"),
        folder=Path(folder) if folder else None,
        cell_timeout_seconds=request.get("cell_timeout_seconds"),
    )
    try:
        outcome = run_notebook(request["source"], request["target"], GivenParameters(), manner)
    except RasenError as error:
        return {"verdict": "refused", "error": type(error).__name__, "message": str(error)}
    assert outcome is not None
    return {"verdict": outcome.verdict.value, "error": outcome.error_name, "message": outcome.error_message}


def run_as_step(request: Request) -> Verdict:
    """Execute with what a step of a pipeline asks of the engine: a journal and a file for what is over the limit."""
    import papermill

    from rasen.batch.execution import Options

    folder = Path(request["target"]).parent
    options = Options(
        output=Path(request["target"]), journal=folder / "journal.jsonl", spill=folder / "spilled.txt"
    )

    def execute() -> None:
        papermill.execute_notebook(
            request["source"],
            None,
            kernel_name=request.get("kernel"),
            engine_name="rasen",
            progress_bar=False,
            rasen=options,
        )

    return _verdict_of(execute)


def _verdict_of(execute: Callable[[], None]) -> Verdict:
    from papermill.exceptions import PapermillExecutionError

    try:
        execute()
    except PapermillExecutionError as error:
        return {"verdict": "failed", "error": str(error.ename), "message": str(error.evalue)}
    except Exception as error:  # noqa: BLE001  # papermill says in every way there is that it could not
        return {"verdict": "broken", "error": type(error).__name__, "message": str(error)}
    return {"verdict": "succeeded", "error": "", "message": ""}


def written_bytes() -> dict[str, int]:
    """Return what this process, with all children that it waited for, has written since its start.

    `wchar` is what was handed to `write`: what a network disk or a bucket gets. `write_bytes` is what the kernel sent,
    or is about to send, to a disk: the kernel forgets what is overwritten before it gets there. Sockets are in neither.
    """
    pairs = (line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    counted = {name: int(value) for name, value in pairs}
    return {name: counted[name] for name in ("wchar", "write_bytes")}


RUNNERS: dict[str, Callable[[Request], Verdict]] = {
    "papermill": run_papermill,
    "papermill-with-our-engine": run_papermill_with_our_engine,
    "rasen": run_rasen,
    "rasen-step": run_as_step,
}


def main(runner: str) -> None:
    """Answer requests until there are no more; standard output belongs to the answers alone."""
    execute = RUNNERS[runner]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        logging.getLogger("papermill").setLevel(logging.ERROR)
        for line in sys.stdin:
            before, began = written_bytes(), time.perf_counter()
            verdict = execute(json.loads(line))
            seconds, after = time.perf_counter() - began, written_bytes()
            written = {name: after[name] - before[name] for name in after}
            answers.write(json.dumps({**verdict, "seconds": seconds, **written}) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
