"""The notebook linter behind `rasen lint`: one rule a file, findings that name the cell."""

from __future__ import annotations

from rasen_lint.checking import Checked, Fault, check_file, check_notebook
from rasen_lint.finding import Finding, Severity
from rasen_lint.rules import RULES

__all__ = ["RULES", "Checked", "Fault", "Finding", "Severity", "check_file", "check_notebook"]
