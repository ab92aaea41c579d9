"""What a step has printed: the texts of its output notebook, cell by cell, and then its process's log.

One reading serves a step that has ended and one that still runs: `Follower` takes the notebook again and again and says
what is new. The last line of a running cell is held back until it is whole, so a progress bar is one line in the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rasen.batch.plain_text import clean_line, clean_text
from rasen.errors import ObjectNotFound
from rasen.store import Store
from rasen.tracking.keys import live_notebook_key, step_prefix
from rasen.tracking.records import LiveStep

Kind = Literal["cell", "stdout", "stderr", "result", "error", "log", "note"]

Shown = tuple[Kind, str | None]
"""A line of a cell; its text is `None` while it is not whole, so that those behind it keep their places."""

_INJECTED_TAG = "injected-parameters"
_ERROR_NOTE_TAG = "papermill-error-cell-tag"  # papermill's own cells about the error, put in at the end
_RUNNING = ("running", None)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line; `kind` "cell" opens a cell and holds the first line of its source.

    `cell` counts from 0 in the notebook as its author wrote it, and is `None` for the cell of injected parameters, for
    the log and for notes of ours.
    """

    kind: Kind
    text: str
    cell: int | None = None


@dataclass(frozen=True, kw_only=True)
class PrintedCell:
    """A cell that has run or runs, with the lines that it has printed."""

    place: int
    cell: int | None
    title: str
    lines: tuple[Shown, ...]


def read_cells(notebook: Mapping[str, Any]) -> Iterator[PrintedCell]:  # Any: the notebook format
    """Yield the code cells of an executed notebook that have printed something, in order."""
    of_author = 0
    place = 0
    for cell in notebook.get("cells", ()):
        tags = set(cell.get("metadata", {}).get("tags", ()))
        if _ERROR_NOTE_TAG in tags:
            continue
        own = _INJECTED_TAG not in tags
        number, of_author = (of_author if own else None), of_author + own
        place += 1
        if cell.get("cell_type") != "code":
            continue
        status = cell.get("metadata", {}).get("papermill", {}).get("status")
        done = status not in _RUNNING
        lines = tuple(_lines(cell.get("outputs", ()), done=done))
        if lines:
            title = clean_line(next(iter(_joined(cell.get("source", "")).strip().splitlines()), ""), most=100)
            yield PrintedCell(place=place - 1, cell=number, title=title, lines=lines)


def read_step_notebook(
    store: Store, pipeline: str, run: str, step: str, attempt: int, *, live: LiveStep | None
) -> dict[str, Any] | None:  # Any: the notebook format
    """Return the output notebook of an attempt: the final one, else the one so far, else `None`."""
    keys = [step_prefix(pipeline, run, step, attempt) + "output.ipynb"]
    if live is not None and live.attempt == attempt:
        keys.append(live_notebook_key(pipeline, run, step))
    for key in keys:
        try:
            notebook = json.loads(store.read(key))
        except (ObjectNotFound, ValueError):
            continue
        if isinstance(notebook, dict):
            return notebook
    return None


def read_log(store: Store, pipeline: str, run: str, step: str, attempt: int) -> list[Line]:
    """Return what the process of an attempt that has ended has printed itself."""
    try:
        data = store.read(step_prefix(pipeline, run, step, attempt) + "log.txt")
    except ObjectNotFound:
        return []
    return [Line(kind="log", text=text) for text in clean_text(data.decode(errors="replace")).splitlines()]


@dataclass(kw_only=True)
class Follower:
    """Says what is new in a notebook that grows: nothing twice, unless a cell has changed what it had shown."""

    shown: dict[int, tuple[Shown, ...]] = field(default_factory=dict)
    last_place: int | None = None

    def has_shown(self, kind: Kind) -> bool:
        """Return whether a line of this kind was there."""
        return any(one == kind for lines in self.shown.values() for one, _ in lines)

    def take(self, notebook: Mapping[str, Any]) -> Iterator[Line]:  # Any: the notebook format
        """Yield the lines that were not there the last time."""
        for cell in read_cells(notebook):
            before = self.shown.get(cell.place, ())
            self.shown[cell.place] = cell.lines
            new = [
                (kind, text)
                for number, (kind, text) in enumerate(cell.lines)
                if text is not None and before[number : number + 1] != ((kind, text),)
            ]
            if new and self.last_place != cell.place:
                self.last_place = cell.place
                yield Line(kind="cell", text=cell.title, cell=cell.cell)
            for kind, text in new:
                yield Line(kind=kind, text=text, cell=cell.cell)


def _lines(outputs: list[dict[str, Any]], *, done: bool) -> Iterator[Shown]:  # Any: the notebook format
    for output in outputs:
        kind, text = _text(output)
        lines = clean_text(text).split("\n")
        last = lines.pop()
        yield from ((kind, line) for line in lines)
        if last:
            yield kind, last if done or output.get("output_type") != "stream" else None


def _text(output: Mapping[str, Any]) -> tuple[Kind, str]:  # Any: the notebook format
    match output.get("output_type"):
        case "stream":
            return ("stderr" if output.get("name") == "stderr" else "stdout"), _joined(output.get("text", ""))
        case "error":
            traceback = "\n".join(map(str, output.get("traceback", ())))
            return "error", traceback or f"{output.get('ename', '')}: {output.get('evalue', '')}"
        case _:
            data = output.get("data", {})
            if "text/plain" in data:
                return "result", _joined(data["text/plain"])
            return "result", f"[{', '.join(map(str, data))}]" if data else ""


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)
