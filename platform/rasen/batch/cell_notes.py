"""What is written into the cells and the metadata of an executing notebook, where papermill's readers look for it.

A cell says under `papermill` whether it is pending, running, completed, skipped, failed, interrupted or was not
reached. A notebook that is executed again says nothing any more of how it went the last time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nbformat

from rasen.batch.outcome import Outcome
from rasen.tracking.records import Verdict

RAISES_TAG = "raises-exception"
SKIP_TAGS = frozenset({"skip", "skip-execution"})
_INJECTED_TAG = "injected-parameters"
_PENDING = {"exception": None, "start_time": None, "end_time": None, "duration": None, "status": "pending"}


def as_node(value: object) -> Any:  # Any: nbformat's dictionaries with attributes, or lists of them
    """Return JSON as nbformat keeps it."""
    return nbformat.from_dict(value)  # type: ignore[no-untyped-call] # nbformat annotates little


def tags_of(cell: nbformat.NotebookNode) -> set[str]:
    """Return a cell's tags."""
    return set(cell.metadata.get("tags", ()))


def forget(notebook: nbformat.NotebookNode) -> None:
    """Take out of a notebook what an earlier execution has left in it."""
    notebook.metadata.pop("rasen", None)
    for cell in notebook.cells:
        cell.metadata["papermill"] = as_node(_PENDING)
        cell.metadata.pop("rasen", None)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None


def note(cell: nbformat.NotebookNode, **values: object) -> None:
    """Write into a cell where papermill's readers look."""
    if values.get("status") == "completed":
        values["exception"] = False
    cell.metadata.setdefault("papermill", as_node(_PENDING)).update(values)


def mark(
    notebook: nbformat.NotebookNode,
    outcome: Outcome,
    *,
    reached: int,
    times: Mapping[str, str],
    names: Mapping[str, str],
) -> None:
    """Write an outcome into a notebook: its metadata, the cell at fault, the cells never reached.

    Args:
        notebook: The notebook.
        outcome: How it ended.
        reached: Index of the last cell whose turn it was, -1 for none.
        times: `start_time` and `end_time`, as texts.
        names: What else papermill's readers look for in the notebook's metadata.
    """
    notebook.metadata["rasen"] = as_node(outcome.to_json())
    papermill = notebook.metadata.setdefault("papermill", as_node({}))
    failed = outcome.verdict is not Verdict.SUCCEEDED
    papermill.update({**names, **times, "duration": outcome.seconds, "exception": failed})
    for index, cell in enumerate(notebook.cells):
        if index == outcome.executed:
            interrupted = outcome.verdict is Verdict.INTERRUPTED
            note(cell, exception=True, status="interrupted" if interrupted else "failed")
            _show_error(cell, outcome)
        elif index > reached or (outcome.executed is not None and index > outcome.executed):
            note(cell, status="not reached")


def _show_error(cell: nbformat.NotebookNode, outcome: Outcome) -> None:
    # papermill looks for an error output; a kernel that died or was interrupted has left none.
    if cell.cell_type == "code" and not any(output.output_type == "error" for output in cell.outputs):
        name, message = outcome.error_name, outcome.error_message
        shown = [f"{name}: {message}", *outcome.traceback.splitlines()]
        error = {"output_type": "error", "ename": name, "evalue": message, "traceback": shown}
        cell.outputs.append(as_node(error))


def cell_of_author(cells: Sequence[nbformat.NotebookNode], index: int | None) -> int | None:
    """Return a cell's index in the notebook as it was written, without the cell that papermill injected."""
    if index is None:
        return None
    return index - sum(_INJECTED_TAG in tags_of(cell) for cell in cells[:index])


def cpu_seconds(cells: Sequence[nbformat.NotebookNode]) -> float:
    """Return the processor time of all cells together."""
    noted: list[dict[str, Any]] = [cell.metadata.get("rasen", {}) for cell in cells]  # Any: JSON
    return round(sum(float(found.get("cpu_seconds", 0)) for found in noted), 3)
