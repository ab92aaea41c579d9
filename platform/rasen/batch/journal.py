"""The journal of an executing notebook: each event is one appended line, from which the notebook can be made again.

papermill rewrites the whole notebook twice a cell, which is quadratic in cells and bytes. Here an event costs its own
size, and the file is saved whole at the end, in between rarely (`saver.py`). A killed runner leaves the journal, and
`recover` makes the notebook from it (`salvage.py` says how it ended). A journal that cannot be written, because the
disk is full, ends; the notebook goes on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_log = logging.getLogger("rasen.batch")


class Journal:
    """Writes what happens to a notebook: its cells' outputs and metadata, as they change."""

    def __init__(self, path: Path, notebook: dict[str, Any]) -> None:  # Any: the notebook format
        self._path = path
        self._file: IO[bytes] | None = None
        self._torn = False
        with self._survive():
            self._file = path.open("wb", buffering=0)
        self._append({"event": "notebook", "notebook": notebook})

    def begin(self, index: int, *, seconds: float) -> None:
        """Write down that a cell begins, `seconds` after the notebook has."""
        self._append({"event": "begin", "index": index, "seconds": round(seconds, 3)})

    def cell(self, index: int, cell: dict[str, Any], *, seconds: float) -> int:  # Any: the notebook format
        """Write down what a cell has become, `seconds` after the notebook began; return how many bytes that took."""
        changed = {"metadata": cell["metadata"]}
        if cell["cell_type"] == "code":
            changed |= {"outputs": cell["outputs"], "execution_count": cell["execution_count"]}
        return self._append({"event": "cell", "index": index, "seconds": round(seconds, 3), "cell": changed})

    def end(self, metadata: dict[str, Any]) -> None:  # Any: the notebook format
        """Write down how the notebook ended."""
        self._append({"event": "end", "metadata": metadata})

    def close(self) -> None:
        """Stop writing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, event: dict[str, Any]) -> int:  # Any: JSON
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        if self._file is None:
            return len(line)
        # A whole line in the system's page cache survives our own death at any instant. One that was torn, by a signal
        # or a full disk, is ended first: what comes behind it can be read.
        with self._survive():
            whole, self._torn = (b"\n" + line if self._torn else line), True
            left = memoryview(whole)
            while left:
                left = left[self._file.write(left) :]
            self._torn = False
        return len(line)

    @contextmanager
    def _survive(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _log.warning("no journal is kept any more, %s cannot be written: %s", self._path, error)
            self.close()


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What a journal tells.

    Args:
        notebook: The notebook, as far as it came.
        began: The last cell that began, `None` if none did.
        completed: Whether that one also ended.
        ended: Whether the notebook ended; then its metadata say how.
        seconds: How long the notebook had run at the last event.
    """

    notebook: dict[str, Any]  # Any: the notebook format
    began: int | None
    completed: bool
    ended: bool
    seconds: float


def recover(path: Path) -> Recovered | None:
    """Return what a journal tells, or `None` when it tells of no notebook; torn lines are passed over."""
    notebook: dict[str, Any] | None = None
    began: int | None = None
    completed = ended = False
    seconds = 0.0
    for event in _events(path):
        with suppress(KeyError, IndexError, TypeError, AttributeError):  # a line of another version
            if event["event"] == "notebook":
                notebook = event["notebook"]
            elif notebook is None:
                return None
            elif event["event"] == "begin":
                began, completed = event["index"], False
            elif event["event"] == "cell":
                notebook["cells"][event["index"]].update(event["cell"])
                completed = completed or event["index"] == began
            elif event["event"] == "end":
                notebook["metadata"], ended = event["metadata"], True
            seconds = float(event.get("seconds", seconds))
    if notebook is None:
        return None
    return Recovered(notebook=notebook, began=began, completed=completed, ended=ended, seconds=seconds)


def _events(path: Path) -> Iterator[dict[str, Any]]:  # Any: JSON
    with suppress(OSError), path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event
