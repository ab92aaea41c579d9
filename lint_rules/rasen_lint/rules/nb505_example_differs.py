"""NB505: the example has the columns that the contract declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rasen_lint.context import Role
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.frames import Frame, Frames
from rasen_lint.training import publish_calls

# What a value of each type may stand for; whole numbers are read as float64 where that is declared.
_FITS = {
    bool: frozenset({"bool"}),
    int: frozenset({"int64", "float64"}),
    float: frozenset({"float64"}),
    str: frozenset({"string"}),
}


class ExampleDiffers:
    """Check that the example given to `rasen.publish` has the columns and types that the pipeline declares.

    What it does:
        Compares the inputs that `pipeline.yaml` declares with the example, where its columns are written out: a
        `pd.DataFrame({…})`, a choice of columns such as `rows[["origin", "hour"]].head(3)`, a list of names. An example
        that is computed is left to the interface test.

    Why it is bad:
        The schema of the endpoint is read from the example. If it is not the declared one, the model is refused at the
        end of the training; or callers send what they were promised, and get errors.

    Example:
        `example=flights[["origin", "hour"]].head(3)`, where the contract also declares `weekday`.

    Use instead:
        `example=flights[["origin", "hour", "weekday"]].head(3)`, or another contract, which the callers must agree to.
    """

    code = "NB505"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each example that certainly differs."""
        contract = document.context.contract
        calls = publish_calls(document)
        if contract is None or document.context.role is Role.EXPLORATION or not calls:
            return
        frames = Frames(document)
        for call in calls:
            example = next((each.value for each in call.node.keywords if each.arg == "example"), None)
            frame = None if example is None else frames.read(example, cell=call.code_cell.cell.index)
            differences = [] if frame is None else list(_differences(frame, contract))
            if differences and example is not None:
                message = f"the example differs from the declared contract: {', '.join(differences)}"
                yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=example)


def _differences(frame: Frame, contract: Mapping[str, str]) -> Iterator[str]:
    yield from (f"{name!r} is missing" for name in contract if name not in frame.columns)
    yield from (f"{name!r} is not declared" for name in dict.fromkeys(frame.columns) if name not in contract)
    for name, kind in frame.kinds.items():
        declared = contract.get(name, "").rstrip("?")
        if declared and kind in _FITS and declared not in _FITS[kind]:
            yield f"{name!r} holds {kind.__name__}, declared is {declared}"
