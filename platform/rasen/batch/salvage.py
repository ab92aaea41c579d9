"""Making the notebook of a run that was killed from its journal: `python -m rasen.batch.salvage JOURNAL OUTPUT`.

All cells that had ended are there with their outputs. The one that was running says that it was interrupted and shows
what a last save had of it; those behind it say that they were not reached.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat

from rasen.batch.cell_notes import (
    SKIP_TAGS,
    as_node,
    cell_of_author,
    cpu_seconds,
    mark,
    note,
    peak_bytes,
    tags_of,
)
from rasen.batch.journal import Recovered, recover
from rasen.batch.outcome import Outcome
from rasen.batch.saver import Saver
from rasen.errors import PlatformFailed
from rasen.tracking.records import Verdict

_MESSAGE = (
    "the process that executed the notebook ended without a word: it was killed, or the machine stopped"
)


def salvage_notebook(journal: Path, output: Path) -> Outcome | None:
    """Write the notebook that a journal tells of to `output`, and return how it ended.

    What had come to its end before the process was killed keeps its verdict; all else is `interrupted`.

    Args:
        journal: What `Options.journal` named. It is left as it is.
        output: What `Options.output` named; a save that is there already may show more of the running cell.

    Returns:
        The outcome, which also stands in the notebook; `None` when the journal tells of no notebook, and nothing was
        written.

    Raises:
        PlatformFailed: The output cannot be written.
    """
    found = recover(journal)
    if found is None:
        return None
    notebook = as_node(found.notebook)
    outcome = Outcome.find(notebook) if found.ended else None
    if outcome is None:
        outcome = _mark_interrupted(notebook, found, output)
    Saver(output).save(notebook)
    return outcome


def _mark_interrupted(notebook: nbformat.NotebookNode, found: Recovered, output: Path) -> Outcome:
    running = None if found.completed else found.began
    cells = notebook.cells
    if running is not None:
        _take_saved_outputs(cells[running], running, output)
    outcome = Outcome(
        verdict=Verdict.INTERRUPTED,
        cell=cell_of_author(cells, running),
        executed=running,
        error_name="Interrupted",
        error_message=_MESSAGE,
        seconds=found.seconds,
        peak_bytes=peak_bytes(cells),
        cpu_seconds=cpu_seconds(cells),
    )
    papermill = notebook.metadata.get("papermill", {})
    begun = datetime.now(tz=UTC)
    with suppress(KeyError, TypeError, ValueError):
        begun = datetime.fromisoformat(papermill["start_time"])
    ended = begun + timedelta(seconds=found.seconds)
    times = {"start_time": begun.isoformat(), "end_time": ended.isoformat()}
    reached = found.began if found.began is not None else -1
    for cell in cells[
        : max(0, reached)
    ]:  # texts, and what is skipped, were passed by without a word in the journal
        if cell.metadata.papermill.status == "pending":
            note(cell, status="skipped" if tags_of(cell) & SKIP_TAGS else "completed")
    mark(notebook, outcome, reached=reached, times=times, names={})
    return outcome


def _take_saved_outputs(cell: nbformat.NotebookNode, index: int, output: Path) -> None:
    """Give the cell that was running the outputs that a save had of it."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        saved: dict[str, Any] = json.loads(output.read_bytes())["cells"][index]  # Any: the notebook format
        running = saved["metadata"]["papermill"]["status"] == "running"
        if running and saved.get("id") == cell.get("id") and "".join(saved["source"]) == cell.source:
            cell.outputs = as_node(_joined(saved["outputs"]))


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:  # Any: the notebook format
    """Return outputs with their texts in one piece, as they are in memory."""
    for output in outputs:
        if isinstance(output.get("text"), list):
            output["text"] = "".join(output["text"])
        for kind, value in output.get("data", {}).items():
            if isinstance(value, list) and not kind.endswith("json"):
                output["data"][kind] = "".join(value)
    return outputs


def main(arguments: list[str]) -> int:
    """Salvage one notebook and say how it ended; return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m rasen.batch.salvage JOURNAL OUTPUT\n")
        return 2
    try:
        outcome = salvage_notebook(Path(arguments[0]), Path(arguments[1]))
    except PlatformFailed as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if outcome is None:
        sys.stderr.write(f"{arguments[0]!r} is no journal of a notebook\n")
        return 2
    where = f", cell {outcome.cell} of the notebook (counted from 0)" if outcome.cell is not None else ""
    sys.stdout.write(f"{arguments[1]}: {outcome.verdict.value}{where}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
