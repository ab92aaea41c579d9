"""Findings as SARIF 2.1.0, which code-scanning services read.

A region is in the `.ipynb`, where such services show it; the logical location names the cell, for those who know
cells. https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from rasen_lint.checking import Checked
from rasen_lint.file_places import file_lines, relative_to_repository
from rasen_lint.finding import Finding
from rasen_lint.linting import ALL_RULES

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_sarif(results: Sequence[Checked]) -> str:
    """Return one SARIF log with one run: rules that found something, findings, and what went wrong."""
    codes = sorted({finding.code for checked in results for finding in checked.findings})
    urls = {
        finding.code: finding.url
        for checked in results
        for finding in checked.findings
        if finding.url is not None
    }
    run = {
        "tool": {
            "driver": {
                "name": "rasen lint",
                "version": _version(),
                "rules": [_rule(code, urls.get(code)) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(checked, finding, first, last, codes)
            for checked in results
            for finding, first, last in file_lines(checked)
        ],
        "invocations": [
            {
                "executionSuccessful": not any(checked.faults or checked.problem for checked in results),
                "toolExecutionNotifications": [note for checked in results for note in _notes(checked)],
            }
        ],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=True) + "\n"


def _version() -> str:
    try:
        return version("rasen")
    except PackageNotFoundError:
        return "0"


def _rule(code: str, url: str | None) -> dict[str, Any]:  # Any: JSON
    rule = ALL_RULES.get(code)
    if rule is None:
        return {"id": code, "shortDescription": {"text": f"ruff {code}"}} | ({"helpUri": url} if url else {})
    text = inspect.getdoc(rule) or code
    return {
        "id": code,
        "name": type(rule).__name__,
        "shortDescription": {"text": text.partition("\n")[0]},
        "fullDescription": {"text": text},
        "help": {"text": text},
        "defaultConfiguration": {"level": str(rule.severity)},
    }


def _result(
    checked: Checked, finding: Finding, first: int, last: int, codes: Sequence[str]
) -> dict[str, Any]:  # Any: JSON
    file = relative_to_repository(checked.path)
    location: dict[str, Any] = {  # Any: JSON
        "physicalLocation": {
            "artifactLocation": {"uri": quote(file)},
            "region": {"startLine": first, "endLine": last},
        }
    }
    place = ""
    if finding.cell is not None:
        place = f"cell {finding.cell}" + (f", line {finding.line}" if finding.line is not None else "")
        name = finding.cell_id or str(finding.cell)
        location["logicalLocations"] = [
            {"name": place, "fullyQualifiedName": f"{file}#{name}", "kind": "member"}
        ]
    said = f"{finding.code}\0{file}\0{finding.cell_id or finding.cell}\0{finding.message}"
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": str(finding.severity),
        "message": {"text": f"{place}: {finding.message}" if place else finding.message},
        "locations": [location],
        # The same finding after cells above it were added or taken away.
        "partialFingerprints": {
            "cellAndMessage/v1": hashlib.sha256(said.encode(errors="replace")).hexdigest()[:32]
        },
    }


def _notes(checked: Checked) -> list[dict[str, Any]]:  # Any: JSON
    notes = [{"level": "error", "message": {"text": checked.problem}}] if checked.problem is not None else []
    return notes + [
        {
            "level": "error",
            "message": {
                "text": f"{checked.path}: rule {fault.code} failed with {fault.error} ({fault.place})"
            },
        }
        for fault in checked.faults
    ]
