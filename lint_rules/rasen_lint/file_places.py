"""Where findings stand for programs that know files and lines and no cells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rasen_lint.checking import Checked
from rasen_lint.finding import Finding
from rasen_lint.notebook_text import NotebookText
from rasen_lint.repository import find_root


def file_lines(checked: Checked) -> Iterator[tuple[Finding, int, int]]:
    """Yield the findings with the first and the last line of the `.ipynb` that they mean.

    Of a file that is gone or has changed meanwhile, the first line.
    """
    text = None
    if checked.findings:
        try:
            text = NotebookText(Path(checked.path).read_bytes())
            text.cells  # noqa: B018 - parsed here, where a file that has changed is caught
        except (OSError, ValueError, LookupError):
            text = None
    for finding in checked.findings:
        if text is None:
            yield finding, 1, 1
        else:
            first = text.line_of(finding.cell, finding.line)
            yield finding, first, max(first, text.line_of(finding.cell, finding.end_line or finding.line))


def relative_to_repository(path: str) -> str:
    """Return a path as GitHub names files: from the root of the repository, with `/`."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow links, which GitHub does not
    return os.path.relpath(absolute, find_root(absolute.parent)).replace(os.sep, "/")
