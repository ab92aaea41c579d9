"""Notebooks for tests of the linter, and two rules that are simple enough to see through."""

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rasen_lint import Finding, Severity
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Fix


def code_cell(source: str, *, tags: tuple[str, ...] = (), **keys: Any) -> dict[str, Any]:
    """Return a code cell as it stands in a file."""
    metadata = {"tags": list(tags)} if tags else {}
    lines = source.splitlines(keepends=True)
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
        "source": lines,
    } | keys


def text_cell(source: str) -> dict[str, Any]:
    """Return a Markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(keepends=True)}


def notebook_bytes(
    *cells: Mapping[str, Any] | str, indent: int | None = 1, language: str = "python"
) -> bytes:
    """Return a notebook with a `parameters` cell as cell 0 and these cells, texts being code, as Jupyter writes it."""
    built = [code_cell("", tags=("parameters",))]
    built += [code_cell(cell) if isinstance(cell, str) else dict(cell) for cell in cells]
    for index, cell in enumerate(built):
        cell.setdefault("id", f"c{index}")
    metadata = {"kernelspec": {"display_name": "Rasen", "language": language, "name": "rasen"}}
    content = {"cells": built, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(content, indent=indent, ensure_ascii=False) + "\n").encode()


class NoCallOfBad:
    """A rule: a call of `bad` becomes one of `good`."""

    code = "NB901"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding a call, with its fix."""
        for code in document.code_cells:
            for node in ast.walk(code.tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "bad":
                    source = code.cell.source.replace("bad(", "good(", 1)
                    yield finding_at(
                        self.code,
                        self.severity,
                        "calls bad",
                        code.cell,
                        line=node.lineno,
                        column=node.col_offset + 1,
                        fix=Fix(title="Call good", sources={code.cell.index: source}),
                    )


class NoEmptyCell:
    """A rule: an empty cell goes."""

    code = "NB902"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each empty cell but the tagged one."""
        for cell in document.notebook.cells:
            if not cell.source.strip() and not cell.tags:
                fix = Fix(title="Remove the empty cell", removed=frozenset({cell.index}))
                yield finding_at(self.code, self.severity, "empty", cell, fix=fix)


class NoTitle:
    """A rule about the whole notebook."""

    code = "NB903"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding without a cell for a notebook without a heading."""
        if not document.notebook.title:
            yield Finding(code=self.code, severity=self.severity, message="no heading")
