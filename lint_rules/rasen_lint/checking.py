"""Runs the rules over a notebook: which files there are, and what is told apart in the answer.

Three things can come of a notebook and they are kept apart: findings (the analyst's to mend), a file that is no
notebook (somebody's bad input), and a rule that raised (our fault; the other rules still run).
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import InvalidInput, NotebookError, PlatformFailed
from rasen_lint.context import Context
from rasen_lint.document import NOBODY_KNOWS, Document, read_document
from rasen_lint.finding import Finding, Severity
from rasen_lint.rule import Rule


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A rule that raised: a fault of Rasen's, with the place for whoever mends it."""

    code: str
    error: str
    place: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What came of one notebook: findings and faults, and a `problem` when it or its `pipeline.yaml` could not be read.

    `document` is `None` when the notebook itself could not be read.
    """

    path: str
    document: Document | None
    findings: tuple[Finding, ...] = ()
    faults: tuple[Fault, ...] = ()
    problem: str | None = None


def find_notebooks(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the notebooks that the paths name: files as they are, folders searched, hidden folders left out.

    Raises:
        InvalidInput: A path does not exist, is no `.ipynb` file, or is a folder without any.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            notebooks = sorted(_walk(path))
            if not notebooks:
                raise InvalidInput(f"there is no notebook (*.ipynb) in the folder {str(path)!r}")
            found.update(dict.fromkeys(notebooks))
        elif path.suffix == ".ipynb" and path.exists():
            found[path] = None
        elif path.exists():
            raise InvalidInput(f"{str(path)!r} is no notebook; name *.ipynb files or folders that hold them")
        else:
            raise InvalidInput(f"there is no file or folder {str(path)!r}")
    return tuple(found)


def check_file(path: Path, rules: Iterable[Rule]) -> Checked:
    """Read one notebook and run the rules on it. What is wrong with the file becomes its `problem`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Checked(
            path=str(path), document=None, problem=f"{path}: cannot be read: {error.strerror or error}"
        )
    return check_notebook(data, name=str(path), rules=rules)


def check_notebook(
    data: bytes, *, name: str, rules: Iterable[Rule], context: Context = NOBODY_KNOWS
) -> Checked:
    """Run the rules on the bytes of a notebook; `name` stands for it in messages."""
    try:
        document = read_document(data, name=name, context=context)
    except NotebookError as error:
        return Checked(path=name, document=None, problem=str(error))
    findings, faults = run_rules(document, rules)
    return Checked(path=name, document=document, findings=in_order(findings), faults=faults)


def run_rules(document: Document, rules: Iterable[Rule]) -> tuple[list[Finding], tuple[Fault, ...]]:
    """Return what the rules find, and the rules that failed."""
    findings: list[Finding] = []
    faults: list[Fault] = []
    for rule in rules:
        try:
            findings.extend(rule.check(document))
        except Exception as error:  # noqa: BLE001 - a rule that fails must not take the others with it
            faults.append(_fault(rule, error))
    return findings, tuple(faults)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings as a reader meets them: the notebook's first, then cell by cell, line by line."""
    return tuple(sorted(findings, key=_place))


def exit_code(results: Iterable[Checked]) -> int:
    """Return 0, 1 for errors, 2 for a file that could not be read, 70 for a fault of ours; the largest wins."""
    code = 0
    for checked in results:
        if any(finding.severity is Severity.ERROR for finding in checked.findings):
            code = max(code, 1)
        if checked.problem is not None:
            code = max(code, InvalidInput.exit_code)
        if checked.faults:
            code = max(code, PlatformFailed.exit_code)
    return code


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if name.endswith(".ipynb"))


def _fault(rule: Rule, error: Exception) -> Fault:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return Fault(code=rule.code, error=f"{type(error).__name__}: {error}", place=place)


def _place(finding: Finding) -> tuple[int, int, str]:
    return (-1 if finding.cell is None else finding.cell, finding.line or 0, finding.code)
