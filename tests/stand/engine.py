"""Notebooks executed by the engine for tests, and a look at what they have left behind."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest

from rasen.batch.cell_notes import as_node
from rasen.batch.execution import Options, execute_notebook
from rasen.batch.outcome import Outcome
from rasen.settings import child_environment
from stand.zygotes import is_running, until

# Enough for these tests; the default list takes seconds.
PRELOAD = (
    "ipykernel.kernelapp",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "rasen.batch.kernel_main",
    "rasen.model.stable_pickle",
)


def few_imports(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have kernels forked from a warm process that imports no more than a kernel needs."""
    monkeypatch.setenv("RASEN_HOME", str(home))
    monkeypatch.setenv("RASEN_ZYGOTE_PRELOAD", ",".join(PRELOAD))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))


def make_notebook(*cells: str | tuple[str, Sequence[str]]) -> nbformat.NotebookNode:
    """Return a notebook of code cells: texts, or pairs of a text and tags."""
    found = [cell if isinstance(cell, tuple) else (cell, ()) for cell in cells]
    notebook: nbformat.NotebookNode = as_node(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell{number}",
                    "metadata": {"tags": list(tags)} if tags else {},
                    "source": source,
                    "outputs": [],
                    "execution_count": None,
                }
                for number, (source, tags) in enumerate(found)
            ],
        }
    )
    return notebook


class Executed:
    """A notebook that has come to its end."""

    def __init__(self, notebook: nbformat.NotebookNode, outcome: Outcome) -> None:
        self.notebook = notebook
        self.outcome = outcome
        self.verdict = outcome.verdict

    @property
    def statuses(self) -> list[str]:
        """What the cells say of themselves."""
        return [cell.metadata.papermill.status for cell in self.notebook.cells]

    def printed(self, cell: int) -> str:
        """Return what a cell printed, its notes included."""
        return "".join(output.get("text", "") for output in self.notebook.cells[cell].outputs)

    def shown(self, cell: int, kind: str = "text/plain") -> list[str]:
        """Return what a cell displayed."""
        outputs = self.notebook.cells[cell].outputs
        return [output.data[kind] for output in outputs if kind in output.get("data", {})]

    def errors(self, cell: int) -> list[str]:
        """Return the names of the errors that a cell shows."""
        return [output.ename for output in self.notebook.cells[cell].outputs if output.output_type == "error"]


def execute(*cells: str | tuple[str, Sequence[str]], kernel: str = "rasen", **options: Any) -> Executed:
    """Execute cells, see that the notebook tells what was returned, and that no process is left.

    The processes are those that inherit the environment, and those that the cells have named: `pid=12`.
    """
    notebook = make_notebook(*cells)
    mark = f"TESTMARK={uuid.uuid4().hex}"
    environment = child_environment(**dict([mark.split("=")]))
    # With it in the environment, ipykernel leaves what is written to descriptor 1 to pytest.
    environment.pop("PYTEST_CURRENT_TEST", None)
    outcome = execute_notebook(notebook, kernel, Options(environment=environment, **options))
    assert Outcome.find(notebook) == outcome
    assert notebook.metadata.papermill.exception is (outcome.verdict.value != "succeeded")
    nbformat.validate(notebook)
    executed = Executed(notebook, outcome)
    printed = "".join(executed.printed(number)[:10_000] for number in range(len(cells)))
    named = [int(pid) for pid in re.findall(r"pid=(\d+)", printed)]
    until(lambda: not any(map(is_running, named)) and not marked(mark))
    return executed


def marked(mark: str) -> list[int]:
    """Return the processes that were started with `mark` in their environment."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with suppress(OSError):
                if mark.encode() in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
    return found
