"""The reports of a test as JUnit's XML, which CI systems show beside the commit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from rasen.errors import InvalidInput
from rasen.interface_test.checks import Check, InterfaceReport, Outcome

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_text(reports: Sequence[InterfaceReport]) -> str:
    """Return the reports as one document: a suite for each pipeline, a case for each check."""
    top = ET.Element("testsuites", name="rasen test")
    for report in reports:
        skipped = sum(check.outcome is Outcome.SKIPPED for check in report.checks)
        suite = ET.SubElement(
            top,
            "testsuite",
            name=_clean(report.pipeline),
            tests=str(len(report.checks)),
            failures=str(len(report.failed)),
            errors="0",
            skipped=str(skipped),
            time=f"{report.seconds:.3f}",
        )
        for check in report.checks:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=_clean(f"rasen.{report.pipeline}"),
                name=_clean(check.name),
                time=f"{check.seconds:.3f}",
            )
            _add_outcome(case, check)
    ET.indent(top)
    return ET.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def write_junit(reports: Sequence[InterfaceReport], path: Path) -> None:
    """Write the reports to a file.

    Raises:
        InvalidInput: It cannot be written.
    """
    try:
        path.write_text(junit_text(reports), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be written: {error.strerror}") from None


def _add_outcome(case: ET.Element, check: Check) -> None:
    match check.outcome:
        case Outcome.FAILED:
            failure = ET.SubElement(case, "failure", message=_clean(check.message))
            failure.text = _clean("\n".join([check.message, *check.details, *_kept(check)]))
        case Outcome.SKIPPED:
            ET.SubElement(case, "skipped", message=_clean(check.message))
        case Outcome.PASSED:
            ET.SubElement(case, "system-out").text = _clean("\n".join([check.message, *check.details]))


def _kept(check: Check) -> list[str]:
    return [] if check.output is None else [f"the executed notebook: {check.output}"]


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
