"""Notebooks of a few cells for the tests of single rules."""

from __future__ import annotations

import json
from typing import Any

from rasen_lint import RULES, Finding, check_notebook
from rasen_lint.context import Context

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def code_cell(source: str, *, parameters: bool = False) -> dict[str, Any]:  # Any: JSON
    """Return a code cell."""
    tags = {"tags": ["parameters"]} if parameters else {}
    return {"cell_type": "code", "metadata": tags, "source": source, "outputs": [], "execution_count": None}


def markdown_cell(source: str) -> dict[str, Any]:  # Any: JSON
    """Return a markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def findings(
    code: str,
    *cells: dict[str, Any] | str,  # Any: JSON
    name: str = "case.ipynb",
    context: Context | None = None,
    metadata: dict[str, Any] | None = None,  # Any: JSON
) -> tuple[Finding, ...]:
    """Return what one rule finds in cells; a text is a code cell."""
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": KERNEL} if metadata is None else metadata,
        "cells": [code_cell(cell) if isinstance(cell, str) else cell for cell in cells],
    }
    data = json.dumps(notebook).encode()
    checked = check_notebook(data, name=name, rules=[RULES[code]], context=context or Context())
    assert checked.problem is None
    assert checked.faults == ()
    return checked.findings
