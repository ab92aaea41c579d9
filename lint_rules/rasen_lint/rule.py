"""What a rule is: a code, a severity and a check. Its docstring is its page in the documentation."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Protocol

from rasen_lint.document import Document
from rasen_lint.finding import Finding, Severity


class Rule(Protocol):
    """One rule. It looks at a document, changes nothing, and may be called from several threads."""

    @property
    def code(self) -> str:
        """`NB` and three digits; never used again for something else."""

    @property
    def severity(self) -> Severity:
        """Whether a finding blocks a merge."""

    def check(self, document: Document) -> Iterable[Finding]:
        """Return what is wrong, in the order of the cells."""


def documentation(rule: Rule) -> str:
    """Return the rule's documentation: its docstring, under its code and severity."""
    return f"{rule.code} ({rule.severity})\n\n{inspect.getdoc(rule)}\n"
