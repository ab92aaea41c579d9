"""NB504: a published model has an example."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.context import Role
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.training import publish_calls


class NoExample:
    """Check that `rasen.publish` is given an example.

    What it does:
        Looks at the arguments of `rasen.publish` in notebooks of pipelines; `**arguments` may hold anything and is left
        alone.

    Why it is bad:
        The schema of the endpoint is read from the example: names, types, what may be missing. Without it the call is
        refused, at the end of the training.

    Example:
        `rasen.publish(model, profile=profile)`

    Use instead:
        `rasen.publish(model, example=X.head(3), profile=profile)`
    """

    code = "NB504"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each such call."""
        if document.context.role is Role.EXPLORATION:
            return
        for call in publish_calls(document):
            given = {keyword.arg: keyword.value for keyword in call.node.keywords}
            example = given.get("example")
            is_none = isinstance(example, ast.Constant) and example.value is None
            if None in given or (example is not None and not is_none):
                continue
            message = (
                "`rasen.publish` needs an example, from which the schema is read; add `example=X.head(3)`"
            )
            yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node)
