"""A notebook as a Python script: what is compared, reviewed and exported, and what no rerun changes.

The form is jupytext's `py:percent`, which editors know: cells behind `# %%`, texts and magics as comments. jupytext is
handed the cells' kinds, sources and tags and nothing else, so outputs, ids, counts and metadata cannot come in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rasen.errors import PlatformFailed

if TYPE_CHECKING:
    from rasen.notebook import Cell, Notebook

# What `str.splitlines`, and so jupytext, takes for an end of line although Python and JSON do not: each takes the
# place of a character of the last private plane on its way through.
_LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_HIDE = {ord(end): 0x10FF00 + number for number, end in enumerate(_LINE_ENDS)}
_SHOW = {stand_in: end for end, stand_in in _HIDE.items()}
_METADATA = {
    "jupytext": {
        "notebook_metadata_filter": "-all",
        "cell_metadata_filter": "tags,-all",
        "custom_cell_magics": "bigquery,sql",
    },
    # Whatever the kernel is called: another name of it is no other code.
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
}


def to_script(notebook: Notebook) -> str:
    """Return the cells' sources without outputs, texts and magics as comments, tags beside the marks.

    Raises:
        PlatformFailed: jupytext is not installed.
    """
    try:
        import jupytext
        from nbformat.notebooknode import from_dict
    except ImportError as error:
        raise PlatformFailed(
            f"a notebook cannot be written as a script here: {error}; install the extra `rasen[review]`"
        ) from None
    document = {
        "cells": [_cell(cell) for cell in notebook.cells],
        "metadata": _METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    script: str = jupytext.writes(
        from_dict(document),  # type: ignore[no-untyped-call]  # nbformat does not annotate it
        fmt="py:percent",
    )
    return script.translate(_SHOW)


def _cell(cell: Cell) -> dict[str, Any]:  # Any: JSON of nbformat
    written: dict[str, Any] = {  # Any: as above
        "cell_type": cell.type,
        "id": str(cell.index),
        "metadata": {"tags": list(cell.tags)} if cell.tags else {},
        "source": cell.source.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").translate(_HIDE),
    }
    if cell.type == "code":
        written |= {"execution_count": None, "outputs": []}
    return written
