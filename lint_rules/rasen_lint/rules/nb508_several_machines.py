"""NB508: training needs one machine and a table, not several and a stream."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.context import Role
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.imports import imported_modules
from rasen_lint.not_here import what_is_not_here


class SeveralMachines:
    """Check that a pipeline trains on one machine, from data that is there.

    What it does:
        Looks for libraries that train one model on several machines (Spark, Dask's cluster, Ray, Horovod,
        `torch.distributed`, `tf.distribute`, those of XGBoost and LightGBM) or on a stream (Beam, Kafka, Pub/Sub,
        River). Explorations are left alone, and so are optional imports.

    Why it is bad:
        The platform runs a step on one machine, on a snapshot of tables, so that every run can be repeated. There is no
        cluster for the library to find, and a stream cannot be read twice.

    Example:
        `from pyspark.sql import SparkSession`

    Use instead:
        Let the warehouse do the large part in SQL, train on what is left (XGBoost learns 100 million rows on one
        machine), and schedule the pipeline as often as it is to learn.
    """

    code = "NB508"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each such library, at its first use."""
        if document.context.role is Role.EXPLORATION:
            return
        said: set[str] = set()
        for imported in imported_modules(document):
            found = what_is_not_here(imported.path)
            if found is None or imported.optional or imported.level or found[0] in said:
                continue
            said.add(found[0])
            yield finding_at(
                self.code, self.severity, _message(*found), imported.code_cell.cell, node=imported.node
            )
        for name, calls in document.calls.items():
            found = what_is_not_here(name)
            if found is not None and "." in found[0] and found[0] not in said:
                said.add(found[0])
                call = calls[0]
                yield finding_at(
                    self.code, self.severity, _message(*found), call.code_cell.cell, node=call.node.func
                )


def _message(library: str, what: str) -> str:
    return f"{library!r} is for {what}, which the platform does not do; train on one machine, from a table"
