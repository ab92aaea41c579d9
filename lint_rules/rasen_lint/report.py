"""The two forms of the answer: text with the lines that are meant, and JSON for editors and CI."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rasen_lint.checking import Checked, Fault
from rasen_lint.finding import Finding, Severity

FORMAT = 1
_LONGEST_LINE = 120


def to_text(results: Sequence[Checked]) -> str:
    """Return what a person reads: each finding with an excerpt of its cell, then one line that sums up."""
    return (
        "\n".join([*(line for checked in results for line in _notebook_lines(checked)), _summary(results)])
        + "\n"
    )


def to_json(results: Sequence[Checked]) -> str:
    """Return what a program reads; a field may be added to it, none is taken away while `format` is 1."""
    document = {
        "format": FORMAT,
        "notebooks": [
            {
                "path": checked.path,
                "problem": checked.problem,
                "findings": [_finding(finding) for finding in checked.findings],
                "faults": [asdict(fault) for fault in checked.faults],
            }
            for checked in results
        ],
    }
    return _printable(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _finding(finding: Finding) -> dict[str, Any]:  # Any: JSON
    fields = asdict(finding)
    fields["fix"] = None if finding.fix is None else finding.fix.title
    return fields


def _notebook_lines(checked: Checked) -> Iterator[str]:
    if checked.problem is not None:
        yield from (f"error: {checked.problem}", "")
    for finding in checked.findings:
        yield f"{checked.path}{_place(finding)}: {finding.code} {finding.severity}: {finding.message}"
        for number, line in checked.document.excerpt(finding) if checked.document is not None else ():
            mark = ">" if number == (finding.line or 1) else " "
            yield f"  {mark} {number:>3} | {_shorten(line)}".rstrip()
        yield ""
    for fault in checked.faults:
        yield from (_fault_line(checked.path, fault), "")


def _place(finding: Finding) -> str:
    parts = [("cell", finding.cell), ("line", finding.line), ("column", finding.column)]
    return "".join(f", {name} {number}" for name, number in parts if number is not None)


def _fault_line(path: str, fault: Fault) -> str:
    return (
        f"{path}: our fault, not the notebook's: rule {fault.code} failed with {fault.error} ({fault.place}); the "
        f"other rules ran. Please report it; `--ignore {fault.code}` leaves the rule out"
    )


def _summary(results: Sequence[Checked]) -> str:
    findings = [finding for checked in results for finding in checked.findings]
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    unreadable = sum(checked.problem is not None for checked in results)
    parts = [_count(errors, "error"), _count(len(findings) - errors, "warning")]
    if unreadable:
        parts.append(_count(unreadable, "unreadable file"))
    explain = f" (`rasen lint --explain {findings[0].code}` says why and what to do)" if findings else ""
    return f"{', '.join(parts)} in {_count(len(results), 'notebook')}{explain}"


def _printable(text: str) -> str:
    """Escape what has no UTF-8, as in a file name of another encoding; in JSON the escape means the same."""
    return text.encode(errors="backslashreplace").decode()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shorten(line: str) -> str:
    """Cut a long line, and take out what a terminal would obey."""
    line = "".join(character if character.isprintable() or character == "\t" else "?" for character in line)
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
