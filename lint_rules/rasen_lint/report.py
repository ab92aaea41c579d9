"""The two forms of the answer: text with the lines that are meant, and JSON for editors and CI."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from dataclasses import fields as dataclass_fields
from typing import Any

from rasen_lint.checking import Checked, Fault
from rasen_lint.finding import Finding, Severity
from rasen_lint.query_costs import Price, show_dollars, show_size

FORMAT = 1
_LONGEST_LINE = 120
_FIELDS = tuple(field.name for field in dataclass_fields(Finding))


def to_text(results: Sequence[Checked], *, most: int | None = None) -> str:
    """Return what a person reads: each finding with an excerpt of its cell, then one line that sums up.

    Args:
        results: What came of the notebooks.
        most: How many findings are shown; all if absent. The sum counts all of them.
    """
    shown = results if most is None else list(_first(results, most))
    lines = [line for checked in shown for line in _notebook_lines(checked)]
    hidden = sum(len(checked.findings) for checked in results) - sum(len(each.findings) for each in shown)
    if hidden:
        lines.append(f"{count(hidden, 'finding')} not shown (--max-findings {most})")
    return _printable("\n".join([*lines, _summary(results)]) + "\n")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 error`, `2 errors`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def to_statistics(results: Sequence[Checked]) -> str:
    """Return one line a rule with the number of its findings, the most frequent first, and the sum."""
    findings = [finding for checked in results for finding in checked.findings]
    counted = Counter((finding.code, finding.severity) for finding in findings)
    fixable = Counter(finding.code for finding in findings if finding.fix is not None)
    lines = [
        f"{number:>6}  {code:<8} {severity:<8}"
        + (f" {fixable[code]} of them fixable" if fixable[code] else "")
        for (code, severity), number in sorted(counted.items(), key=lambda each: (-each[1], each[0]))
    ]
    return "\n".join([*(line.rstrip() for line in lines), _summary(results)]) + "\n"


def to_prices(prices: Sequence[Price]) -> str:
    """Return one line a query with what it would read, the dearest first; nothing without queries."""
    lines = [
        f"{price.path}, cell {price.cell}, line {price.line}: {_price(price)}\n"
        for price in sorted(prices, key=lambda price: -(price.size_bytes or 0))
    ]
    if not lines:
        return ""
    known = sum(price.size_bytes or 0 for price in prices)
    dollars = sum(price.dollars or 0 for price in prices)
    total = f"{count(len(prices), 'query', 'queries')}: {show_size(known)}, {show_dollars(dollars)} each time"
    return "".join([*lines, f"{total}\n\n"])


def to_rule_list(*, as_json: bool) -> str:
    """Return our rules: code, severity, and what each checks."""
    from rasen_lint.linting import ALL_RULES

    rules = [
        {
            "code": code,
            "severity": str(rule.severity),
            "title": (rule.__doc__ or "").partition("\n")[0].rstrip("."),
        }
        for code, rule in ALL_RULES.items()
    ]
    if as_json:
        return json.dumps({"format": FORMAT, "rules": rules}, indent=2, ensure_ascii=False) + "\n"
    return "".join(f"{rule['code']}  {rule['severity']:<7}  {rule['title']}\n" for rule in rules)


def to_json(results: Sequence[Checked], *, notices: Sequence[str] = (), prices: Sequence[Price] = ()) -> str:
    """Return what a program reads; a field may be added to it, none is taken away while `format` is 1."""
    document = {
        "format": FORMAT,
        "notices": list(notices),
        "queries": [asdict(price) for price in prices],
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


def _first(results: Sequence[Checked], most: int) -> Iterator[Checked]:
    for checked in results:
        yield replace(checked, findings=checked.findings[:most])
        most -= min(most, len(checked.findings))


def _finding(finding: Finding) -> dict[str, Any]:  # Any: JSON
    fields = {name: getattr(finding, name) for name in _FIELDS}
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
    parts = [count(errors, "error"), count(len(findings) - errors, "warning")]
    if unreadable:
        parts.append(count(unreadable, "unreadable file"))
    fixable = sum(finding.fix is not None for finding in findings)
    mend = f"; {fixable} of them can be mended with --fix" if fixable else ""
    explain = f" (`rasen lint --explain {findings[0].code}` says why and what to do)" if findings else ""
    return f"{', '.join(parts)} in {count(len(results), 'notebook')}{mend}{explain}"


def _printable(text: str) -> str:
    """Escape what has no UTF-8, as in a file name of another encoding; in JSON the escape means the same."""
    return text.encode(errors="backslashreplace").decode()


def _price(price: Price) -> str:
    if price.size_bytes is None or price.dollars is None:
        return f"unknown: {price.problem}"
    return f"{show_size(price.size_bytes)}, {show_dollars(price.dollars)}"


def _shorten(line: str) -> str:
    """Cut a long line, and take out what a terminal would obey."""
    line = "".join(character if character.isprintable() or character == "\t" else "?" for character in line)
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"
