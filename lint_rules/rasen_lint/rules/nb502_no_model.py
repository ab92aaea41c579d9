"""NB502: a pipeline of one step publishes a model."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.context import Role
from rasen_lint.document import Document
from rasen_lint.finding import Finding, Severity
from rasen_lint.training import uses_publish


class NoModel:
    """Check that the only step of a pipeline publishes a model.

    What it does:
        Looks for a call of `rasen.publish` in the notebook of a pipeline that has a single step and declares no
        `tables`. Pipelines with several steps, or that make tables, are left alone.

    Why it is bad:
        Such a pipeline is there to make a model for its endpoint. Without the call the run succeeds, costs what it
        costs, and changes nothing.

    Example:
        A notebook that ends with `model.fit(X, y)`.

    Use instead:
        `rasen.publish(model, example=X.head(3), profile=profile)` in the last cells; or, if the notebook makes a table,
        `tables` in its `pipeline.yaml`.
    """

    code = "NB502"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding, for the whole notebook."""
        context = document.context
        if context.role is Role.STEP and context.only_step and not uses_publish(document):
            message = "this notebook is its pipeline's only step and publishes no model; call `rasen.publish(model, …)`"
            yield Finding(code=self.code, severity=self.severity, message=message)
