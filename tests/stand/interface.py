"""Pipelines for the interface test, and what a test asks of its report."""

from __future__ import annotations

from pathlib import Path

from rasen.interface_test.checks import Check, InterfaceReport, Outcome
from rasen.interface_test.run import run_interface_test
from rasen.linter import LintFinding, LintReport, Stage
from rasen.settings import Settings

TRAIN = """
import pandas as pd, rasen
rows = pd.DataFrame({"hour": range(48), "origin": ["JFK", "EWR"] * 24, "wind": [1.0, None] * 24})
rows["day"] = pd.date_range("2013-01-01", periods=48, freq="h", tz="UTC")
rows["departures"] = rows["hour"] * slope
"""
PUBLISH = """
def predict(frame):
    return frame["hour"] * slope

rasen.publish(predict, example=rows[["hour", "origin", "wind"]].head(2))
"""
CONTRACT = """
  contract:
    inputs: {hour: int64, origin: string, wind: "float64?"}
    output: float64
"""


def interface_test(
    settings: Settings, path: Path | str, *, keep_going: bool = False, keep: bool = False
) -> InterfaceReport:
    """Test a pipeline or a notebook, without the linter."""
    return run_interface_test(settings, str(path), lint=False, keep_going=keep_going, keep=keep)


def by_name(report: InterfaceReport) -> dict[str, Check]:
    """Return the checks by name."""
    return {check.name: check for check in report.checks}


def outcomes(report: InterfaceReport) -> dict[str, str]:
    """Return how each check ended."""
    return {check.name: check.outcome.value for check in report.checks}


def failures(report: InterfaceReport) -> dict[str, str]:
    """Return the messages of the checks that failed."""
    return {check.name: check.message for check in report.checks if check.outcome is Outcome.FAILED}


class WordLinter:
    """A linter that finds an error wherever a notebook says `bad`, and a warning wherever it says `odd`."""

    def check(self, data: bytes, *, path: Path, stage: Stage = "editor") -> LintReport:
        """Look for the words."""
        assert stage == "editor", "outputs are no fault of a notebook that is being written"
        if b"conflict" in data:
            return LintReport(problem=f"{path.name}: not JSON")
        words = (("bad", "error"), ("odd", "warning"))
        return LintReport(
            findings=tuple(
                LintFinding(code=f"NB{number}", severity=severity, message=f"it says {word}", cell=2, line=1)
                for number, (word, severity) in enumerate(words)
                if word.encode() in data
            )
        )

    def fix(self, data: bytes, *, path: Path, codes: object = None, cell: int | None = None) -> bytes:
        """Mend nothing."""
        return data

    def explain(self, code: str) -> str:
        """Return nothing to read."""
        return code
