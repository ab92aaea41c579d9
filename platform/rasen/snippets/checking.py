"""What a team's CI asks of its snippets: each can be read, becomes valid Python, and passes the linter.

Nothing of a snippet is executed. The linter sees the cell with its defaults in a notebook of its own, so what depends
on the cells around it (names that come from them, parameters, metrics) is left out.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import InvalidInput, PlatformFailed
from rasen.linter import Linter, installed_linter
from rasen.snippets.reading import SnippetFolder, read_folder
from rasen.snippets.rendering import render
from rasen.snippets.snippet import Snippet, SnippetProblem

OF_OTHER_CELLS = (
    *("NB101", "NB102", "NB103", "NB106", "NB108", "NB110", "NB208", "NB209", "NB212", "NB213", "NB5"),
    *("F821", "F841", "B018", "E402"),
)
"""Codes of findings that need the rest of a notebook: the beginnings stand for all that follows."""
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class SnippetCheck:
    """What came of a folder; `unlinted` says why the linter was not asked."""

    checked: int
    problems: tuple[SnippetProblem, ...]
    unlinted: str | None = None


def check_folder(folder: Path, *, linter: Linter | None = None) -> SnippetCheck:
    """Check every snippet of a folder.

    Args:
        folder: The snippets.
        linter: Who lints; by default the one that is installed.

    Raises:
        InvalidInput: There is no such folder, or no snippet in it.
    """
    snippets = read_folder(SnippetFolder(path=folder, source=str(folder)))
    if not snippets:
        raise InvalidInput(f"there is no snippet (<verb>_<thing>.py) in the folder {str(folder)!r}")
    unlinted = None
    if linter is None:
        try:
            linter = installed_linter()
        except PlatformFailed as error:
            unlinted = str(error)
    problems = [problem for snippet in snippets for problem in _check(snippet, linter)]
    return SnippetCheck(checked=len(snippets), problems=tuple(problems), unlinted=unlinted)


def _check(snippet: Snippet, linter: Linter | None) -> Iterator[SnippetProblem]:
    if snippet.problem is not None:
        yield snippet.problem
        return
    if snippet.cell_type == "markdown":
        return
    text = render(snippet)
    first_line = _first_line(snippet)
    if not snippet.body.lstrip().startswith("%%"):
        for what in (snippet.body, text):
            problem = _syntax_problem(what)
            if problem is not None:
                line, message = problem
                yield SnippetProblem(file=str(snippet.path), line=first_line + line - 1, message=message)
                return
    if linter is not None:
        yield from _lint(snippet, text, linter, first_line)


def _first_line(snippet: Snippet) -> int:
    """Return the line of the file on which the cell begins."""
    text = snippet.path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    return text[: text.rindex(snippet.body)].count("\n") + 1


def _syntax_problem(text: str) -> tuple[int, str] | None:
    code = _MAGIC.sub(r"\1pass", text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(
                code, "snippet", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        return line, f"is not Python: {getattr(error, 'msg', None) or error}"
    return None


def _lint(snippet: Snippet, text: str, linter: Linter, first_line: int) -> Iterator[SnippetProblem]:
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "snippet",
        "metadata": {"tags": list(snippet.cell_tags)},
        "source": text,
        "outputs": [],
        "execution_count": None,
    }
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    path = snippet.path.with_suffix(".ipynb")
    report = linter.check(json.dumps(notebook).encode(), path=path, stage="editor")
    for finding in report.findings:
        if finding.cell == 0 and not finding.code.startswith(OF_OTHER_CELLS):
            line = first_line + (finding.line or 1) - 1
            yield SnippetProblem(
                file=str(snippet.path), line=line, message=f"{finding.code} {finding.message}"
            )
