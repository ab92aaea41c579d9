"""What the linter says of a notebook's new version, and what of it the old one had already."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from rasen.errors import RasenError
from rasen.linter import Linter, LintFinding, LintReport
from rasen.review.comparing import NotebookChange
from rasen.review.report import Findings

_NUMBER = re.compile(r"\d+")


def compare_findings(
    linter: Linter, old: bytes | None, new: bytes, *, path: Path, change: NotebookChange
) -> Findings:
    """Check both versions and tell the new findings from those that were there.

    A finding was there when its rule said the same of the cell that became this one, numbers in the sentence aside:
    they count lines and cells, which an insertion shifts.

    Args:
        linter: Who checks.
        old: The version before, `None` if there was none.
        new: The version now.
        path: Where the notebook lies, or would.
        change: How the two compare.
    """
    try:
        now = linter.check(new, path=path, stage="review")
        before = linter.check(old, path=path, stage="review") if old is not None else LintReport()
    except RasenError as error:
        return Findings(note=f"not checked: {error}")
    if now.problem:
        return Findings(note=f"not checked: {now.problem}")
    became = {
        cell.new.cell.index: cell.old.cell.index
        for cell in change.cells
        if cell.old is not None and cell.new is not None
    }
    known = Counter(_key(finding, finding.cell) for finding in before.findings)
    fresh: list[LintFinding] = []
    old_ones: list[LintFinding] = []
    for finding in now.findings:
        key = _key(finding, None if finding.cell is None else became.get(finding.cell, -1))
        if known[key] > 0:
            known[key] -= 1
            old_ones.append(finding)
        else:
            fresh.append(finding)
    faults = sorted({*before.faults, *now.faults})
    return Findings(
        new=tuple(fresh),
        old=tuple(old_ones),
        solved=known.total(),
        note=f"rules that failed, which is our fault: {', '.join(faults)}" if faults else "",
    )


def _key(finding: LintFinding, cell: int | None) -> tuple[str, int | None, str]:
    return finding.code, cell, _NUMBER.sub("#", finding.message)
