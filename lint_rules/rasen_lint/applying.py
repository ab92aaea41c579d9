"""Puts fixes into the text of a notebook, and proves that nothing else changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from rasen_lint.finding import Fix
from rasen_lint.notebook_text import NotebookText, Span


class FixFailed(Exception):
    """A fix cannot be made, or would have changed something else: a fault of ours."""


def apply_fixes(data: bytes, fixes: Sequence[Fix]) -> bytes:
    """Return the notebook with the fixes made; no two of them may touch the same cell.

    Raises:
        FixFailed: What came out is not the notebook with just these changes.
    """
    notebook = NotebookText(data)
    try:
        edits = sorted(_merged(notebook, fixes), key=lambda edit: edit[0].start)
        pieces, position = [], 0
        for span, replacement in edits:
            pieces += [notebook.text[position : span.start], replacement]
            position = span.end
        text = "".join([*pieces, notebook.text[position:]])
        changed = _parse(text)
        expected = _expected(_parse(notebook.text), fixes)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FixFailed(f"{type(error).__name__}: {error}") from error
    if changed != expected:
        raise FixFailed("the text that came out is not the notebook with this change")
    return text.encode()


def _parse(text: str) -> Any:  # Any: JSON
    """Parse for a comparison: NaN, which Python writes into outputs, has to be equal to itself."""
    return json.loads(text.removeprefix("\ufeff"), parse_constant=str)


def touched_cells(fix: Fix) -> frozenset[int | None]:
    """Return the cells that a fix changes; `None` stands for the notebook's metadata."""
    cells: set[int | None] = {*fix.sources, *fix.removed, *fix.cleared, *fix.cell_metadata}
    return frozenset(cells | {None} if fix.metadata is not None else cells)


def _merged(notebook: NotebookText, fixes: Sequence[Fix]) -> Iterator[tuple[Span, str]]:
    removed = sorted({cell for fix in fixes for cell in fix.removed})
    for fix in fixes:
        if fix.metadata is not None:
            span = notebook.values["metadata"]
            yield span, notebook.dump(dict(fix.metadata), at=span.start)
        for cell, source in fix.sources.items():
            span = notebook.cells[cell].values["source"]
            as_list = notebook.text[span.start] == "["
            yield span, notebook.dump(source.splitlines(keepends=True) if as_list else source, at=span.start)
        for cell, metadata in fix.cell_metadata.items():
            span = notebook.cells[cell].values["metadata"]
            yield span, notebook.dump(dict(metadata), at=span.start)
        for cell in fix.cleared:
            values = notebook.cells[cell].values
            if "outputs" in values:
                yield values["outputs"], "[]"
            if "execution_count" in values:
                yield values["execution_count"], "null"
    yield from _removals(notebook, removed)


def _removals(notebook: NotebookText, removed: Sequence[int]) -> Iterator[tuple[Span, str]]:
    """Cut cells out with the comma and the space before them, or after them where no cell stays before."""
    gone = set(removed)
    kept = [index for index in range(len(notebook.cells)) if index not in gone]
    if removed and not kept:
        yield notebook.values["cells"], "[]"
        return
    for cell in removed:
        span = notebook.cells[cell].span
        if cell > kept[0]:
            yield Span(notebook.cells[cell - 1].span.end, span.end), ""
        else:
            yield Span(span.start, notebook.cells[cell + 1].span.start), ""


def _expected(content: Any, fixes: Sequence[Fix]) -> Any:  # Any: JSON
    """Make the same changes in the parsed notebook."""
    content = copy.copy(content)
    cells = [copy.copy(cell) for cell in content["cells"]]
    for fix in fixes:
        if fix.metadata is not None:
            content["metadata"] = dict(fix.metadata)
        for cell, source in fix.sources.items():
            as_list = isinstance(cells[cell]["source"], list)
            cells[cell]["source"] = source.splitlines(keepends=True) if as_list else source
        for cell, metadata in fix.cell_metadata.items():
            cells[cell]["metadata"] = dict(metadata)
        for cell in fix.cleared:
            for key, value in (("outputs", []), ("execution_count", None)):
                if key in cells[cell]:
                    cells[cell][key] = value
    removed = {cell for fix in fixes for cell in fix.removed}
    content["cells"] = [cell for index, cell in enumerate(cells) if index not in removed]
    return content
