"""NB501: a training notebook logs its metrics."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.training import is_training, publish_calls, uses_metrics


class NoMetric:
    """Check that a notebook that trains a model logs how good it is.

    What it does:
        Looks for a call of `rasen.log_metrics` in notebooks of steps that publish a model, or have to. Explorations are
        left alone.

    Why it is bad:
        A model without a metric cannot be compared with the one that is live: no gate can pass it on its quality, no
        history shows that it becomes worse, and nobody can say in a month why it was deployed.

    Example:
        `print(f"rmse {rmse:.2f}")` as the only place where the error is told.

    Use instead:
        `rasen.log_metrics(rmse=rmse, profile_rmse=profile_rmse)`, on rows that the model has not seen.
    """

    code = "NB501"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding, where the model is published if it is."""
        if not is_training(document) or uses_metrics(document):
            return
        message = "this notebook trains a model and logs no metric; call `rasen.log_metrics(rmse=…)` before publishing"
        for call in publish_calls(document)[:1]:
            yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node.func)
            return
        yield Finding(code=self.code, severity=self.severity, message=message)
