"""The journal of an executing notebook: each event is one appended line, the notebook file is made from it.

papermill rewrites the whole notebook twice a cell, which is quadratic in cells and bytes. Here an event costs its own
size; the file is saved whole and atomically, at the end always, in between at most once a second and so that saving
takes at most a twentieth of the time. A killed runner leaves the journal, and `recover` makes the notebook from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import nbformat

_SAVE_SECONDS = 1.0
_SAVE_SHARE = 20  # saving may take a twentieth of the time


class Journal:
    """Writes what happens to a notebook: its cells' outputs and metadata, as they change."""

    def __init__(self, path: Path, notebook: dict[str, Any]) -> None:  # Any: the notebook format
        self._file: IO[bytes] = path.open("wb")
        self._append({"event": "notebook", "notebook": notebook})

    def cell(self, index: int, cell: dict[str, Any]) -> None:  # Any: the notebook format
        """Write down what a cell has become."""
        changed = {"metadata": cell["metadata"]}
        if cell["cell_type"] == "code":
            changed |= {"outputs": cell["outputs"], "execution_count": cell["execution_count"]}
        self._append({"event": "cell", "index": index, "cell": changed})

    def end(self, metadata: dict[str, Any]) -> None:  # Any: the notebook format
        """Write down how the notebook ended."""
        self._append({"event": "end", "metadata": metadata})

    def close(self) -> None:
        """Stop writing."""
        self._file.close()

    def _append(self, event: dict[str, Any]) -> None:  # Any: JSON
        # One write of a whole line to the kernel's page cache: it survives our own death at any instant.
        self._file.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        self._file.flush()


def recover(path: Path) -> dict[str, Any] | None:  # Any: the notebook format
    """Return the notebook that a journal tells of, or `None` when there is none; a torn last line is ignored."""
    notebook: dict[str, Any] | None = None
    for event in _events(path):
        match event["event"]:
            case "notebook":
                notebook = event["notebook"]
            case "cell" if notebook is not None:
                notebook["cells"][event["index"]].update(event["cell"])
            case "end" if notebook is not None:
                notebook["metadata"] = event["metadata"]
            case _:
                pass
    return notebook


def _events(path: Path) -> Iterator[dict[str, Any]]:  # Any: JSON
    with suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


class Saver:
    """Saves a notebook file, rarely enough."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due = time.monotonic() + _SAVE_SECONDS

    def save_if_due(self, notebook: dict[str, Any]) -> bool:  # Any: the notebook format
        """Save when the last time is long enough ago; return whether it was."""
        if time.monotonic() < self._due:
            return False
        self.save(notebook)
        return True

    def save(self, notebook: dict[str, Any]) -> None:  # Any: the notebook format
        """Save now: a reader sees the old file or the whole new one."""
        begun = time.monotonic()
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(write_text(notebook))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        ended = time.monotonic()
        self._due = ended + max(_SAVE_SECONDS, _SAVE_SHARE * (ended - begun))


def write_text(notebook: dict[str, Any]) -> str:  # Any: the notebook format
    """Return a notebook as Jupyter writes it: texts as lists of lines, one space of indent."""
    text: str = nbformat.writes(  # type: ignore[no-untyped-call] # nbformat annotates little
        nbformat.from_dict(notebook)  # type: ignore[no-untyped-call] # as above
    )
    return text if text.endswith("\n") else text + "\n"
