"""`--fix`: makes the safe fixes round by round, checks every result, and never loses anything.

A round takes at most one fix a cell, because the second one was made for a text that the first has changed. A cell
that was Python before must be Python afterwards; a fix that breaks it is left out and told as our fault. Files are
written in one step, only if nobody has changed them in the meantime, and the version from before is kept beside them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasen_lint.applying import FixFailed, apply_fixes, touched_cells
from rasen_lint.checking import Checked, Fault
from rasen_lint.document import read_document
from rasen_lint.finding import Finding, Fix

ROUNDS = 10
Check = Callable[[bytes], Checked]


@dataclass(frozen=True, kw_only=True)
class Mended:
    """What `--fix` made of a notebook.

    Args:
        data: The notebook afterwards.
        checked: What is still found in it.
        made: Titles of the fixes made, with the code, in their order.
    """

    data: bytes
    checked: Checked
    made: tuple[str, ...]


def mend(
    data: bytes, check: Check, *, codes: Collection[str] | None = None, cell: int | None = None
) -> Mended:
    """Make the fixes of what `check` finds, until there are none.

    Args:
        data: The notebook.
        check: Finds what there is to mend.
        codes: Only fixes of these rules; of all if absent.
        cell: Only fixes of findings in this cell; of all if absent.
    """
    made: list[str] = []
    faults: dict[tuple[str, str], Fault] = {}
    checked = check(data)
    for _ in range(ROUNDS):
        wanted = [
            finding
            for finding in checked.findings
            if finding.fix is not None
            and (codes is None or finding.code in codes)
            and (cell is None or finding.cell == cell)
            and (finding.code, finding.fix.title) not in faults
        ]
        chosen = _one_a_cell(wanted)
        changed = _apply(data, chosen, faults)
        if changed is None:
            break
        after, done = changed
        # Whoever names a cell means the one that is there now.
        if after == data or (cell is not None and any(fix.removed for fix in _fixes(done))):
            made += [_told(finding) for finding in done] if after != data else []
            data, checked = after, check(after)
            break
        made += [_told(finding) for finding in done]
        data, checked = after, check(after)
    if faults:
        everything = (*checked.faults, *faults.values())
        checked = Checked(
            path=checked.path,
            document=checked.document,
            findings=checked.findings,
            faults=everything,
            problem=checked.problem,
        )
    return Mended(data=data, checked=checked, made=tuple(made))


def write_mended(path: Path, before: bytes, after: bytes) -> tuple[Path | None, str | None]:
    """Write a mended notebook in one step; return where the version from before is kept, or why nothing was written.

    It lies where Jupyter keeps its checkpoints, which no repository tracks. Links are followed, the mode stays.
    """
    target = path.resolve()
    if target.read_bytes() != before:
        return None, f"{path}: changed while it was being mended, so nothing was written; run it again"
    kept = target.parent / ".ipynb_checkpoints" / f"{target.stem}-before-fix.ipynb"
    temporary = None
    try:
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(before)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(after)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, temporary)
        os.replace(temporary, target)  # noqa: PTH105 - beside `mkstemp`, which gives a text
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        return None, f"{path}: cannot be written: {error.strerror or error}"
    return kept, None


def _one_a_cell(findings: Sequence[Finding]) -> list[Finding]:
    """Choose findings whose fixes touch different cells."""
    taken: set[int | None] = set()
    chosen = []
    for finding in findings:
        touched = touched_cells(finding.fix) if finding.fix is not None else frozenset()
        if touched and not touched & taken:
            taken |= touched
            chosen.append(finding)
    return chosen


def _fixes(findings: Sequence[Finding]) -> list[Fix]:
    return [finding.fix for finding in findings if finding.fix is not None]


def _apply(
    data: bytes, findings: Sequence[Finding], faults: dict[tuple[str, str], Fault]
) -> tuple[bytes, Sequence[Finding]] | None:
    """Make the fixes together; if that fails, find the ones that fail alone and make the rest."""
    if not findings:
        return None
    try:
        return _try(data, _fixes(findings)), findings
    except FixFailed as error:
        if len(findings) == 1:
            (finding,) = findings
            title = finding.fix.title if finding.fix is not None else ""
            faults[finding.code, title] = Fault(
                code=finding.code, error=f"its fix {title!r} was not made: {error}", place=_where(finding)
            )
            return None
    good = [finding for finding in findings if _apply(data, [finding], faults) is not None]
    # Where each works alone and all together do not, the others get their turn in the next round.
    return _apply(data, good if len(good) < len(findings) else good[:1], faults)


def _try(data: bytes, fixes: Sequence[Fix]) -> bytes:
    """Make the fixes and refuse the result if a cell that was Python is no Python any more."""
    after = apply_fixes(data, fixes)
    sources = {cell for fix in fixes for cell in fix.sources}
    if not sources:
        return after
    removed = {cell for fix in fixes for cell in fix.removed}
    before = read_document(data, name="before")
    broken = {code.cell.index for code in before.code_cells if code.problem}
    kept = [index for index in range(len(before.notebook.cells)) if index not in removed]
    for code in read_document(after, name="after").code_cells:
        index = kept[code.cell.index]
        if code.problem is not None and index in sources and index not in broken:
            raise FixFailed(f"cell {index} would not parse any more: {code.problem.message}")
    return after


def _told(finding: Finding) -> str:
    return f"{_where(finding)}: {finding.code}: {finding.fix.title if finding.fix is not None else ''}"


def _where(finding: Finding) -> str:
    return "notebook" if finding.cell is None else f"cell {finding.cell}"
