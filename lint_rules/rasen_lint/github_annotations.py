"""Findings as workflow commands of GitHub Actions, which become annotations of the changed lines.

Annotations know files and lines only, so the line is that of the `.ipynb` in which the cell's line stands, and the
message begins with the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rasen_lint.checking import Checked
from rasen_lint.file_places import file_lines, relative_to_repository
from rasen_lint.finding import Finding


def to_github(results: Sequence[Checked]) -> str:
    """Return one line a finding, an unreadable file and a failed rule; nothing where all is well."""
    return "".join(f"{line}\n" for checked in results for line in _lines(checked))


def _lines(checked: Checked) -> Iterator[str]:
    file = relative_to_repository(checked.path)
    if checked.problem is not None:
        yield _command("error", file, 1, 1, "rasen lint", checked.problem)
    for finding, first, last in file_lines(checked):
        message = f"{_place(finding)}{finding.message}"
        yield _command(finding.severity, file, first, last, finding.code, message)
    for fault in checked.faults:
        message = (
            f"our fault, not the notebook's: rule {fault.code} failed with {fault.error} ({fault.place})"
        )
        yield _command("error", file, 1, 1, fault.code, message)


def _place(finding: Finding) -> str:
    if finding.cell is None:
        return ""
    line = f", line {finding.line}" if finding.line is not None else ""
    return f"cell {finding.cell}{line}: "


def _command(level: str, file: str, first: int, last: int, title: str, message: str) -> str:
    fields = {"file": file, "line": first, "endLine": last, "title": title}
    told = ",".join(f"{name}={_property(str(value))}" for name, value in fields.items())
    return f"::{level} {told}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
