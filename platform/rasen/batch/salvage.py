"""The notebook of an execution that was killed, made from its journal."""

from __future__ import annotations

from pathlib import Path

from rasen.batch.journal import recover, write_text


def salvage_notebook(journal: Path, output: Path) -> None:
    """Write the notebook that a journal tells of."""
    notebook = recover(journal)
    if notebook is not None:
        output.write_text(write_text(notebook), encoding="utf-8")
