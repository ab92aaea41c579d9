"""NB503: every metric that a gate judges is logged."""

from __future__ import annotations

from collections.abc import Iterator

from rasen.suggestion import nearest
from rasen_lint.context import Role
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.training import logged_metrics, metric_calls


class GateMetric:
    """Check that a pipeline's only notebook logs every metric that its gates judge.

    What it does:
        Compares the metrics that the gates of `pipeline.yaml` name with those that the calls of `rasen.log_metrics`
        name. It says nothing if a call hides its names (`**metrics`), if there is no call at all (NB501 speaks of
        that), or if the pipeline has several steps, for another one may log the metric.

    Why it is bad:
        The gate cannot judge what it is not given, and refuses: the model is trained for hours and cannot be deployed.

    Example:
        `{kind: baseline, metric: rmse, better_than: profile_rmse}` in `pipeline.yaml`, and
        `rasen.log_metrics(rmse=error)` in the notebook.

    Use instead:
        `rasen.log_metrics(rmse=error, profile_rmse=profile_error)`
    """

    code = "NB503"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each metric that is missing, at the last call that logs some."""
        context = document.context
        if context.role is not Role.STEP or not context.only_step or not context.gate_metrics:
            return
        logged = logged_metrics(document)
        if not logged:
            return
        call = metric_calls(document)[-1]
        for name in sorted(context.gate_metrics - logged):
            close = nearest(name, logged)
            hint = f"is {close!r} the same under another name?" if close else f"log it: `{name}=…`"
            message = f"a gate judges the metric {name!r}, and this notebook never logs it; {hint}"
            yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node.func)
