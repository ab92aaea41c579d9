"""NB211: the day that a notebook is about comes in as a parameter."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.document import Call, Document, finding_at
from rasen_lint.finding import Finding, Severity

_NOW = (
    "arrow.now",
    "arrow.utcnow",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "pandas.Timestamp.now",
    "pandas.Timestamp.today",
    "pandas.Timestamp.utcnow",
    "pendulum.now",
    "pendulum.today",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
    "time.strftime",
)
# Functions of a number of seconds or a form: with it they say nothing of now.
_NOW_WITH_ARGUMENTS_BELOW = {"time.ctime": 1, "time.gmtime": 1, "time.localtime": 1, "time.strftime": 2}
_FROM_TEXT = ("numpy.datetime64", "pandas.Timestamp", "pandas.to_datetime", "polars.lit")
_FROM_SECONDS = (
    "datetime.date.fromtimestamp",
    "datetime.datetime.fromtimestamp",
    "datetime.datetime.utcfromtimestamp",
    "pandas.to_datetime",
    "pandas.Timestamp",
    "pandas.Timestamp.fromtimestamp",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
)


class CurrentTime:
    """Check that no cell asks what day it is.

    What it does:
        Finds calls that answer the present date or time: of `datetime`, `date`, `pd.Timestamp`, `np.datetime64("now")`,
        `time.strftime`, `time.localtime()`, arrow and pendulum, and dates made of `time.time()`. `time.time()` and
        `time.perf_counter()` themselves measure durations and are left alone. A default of a parameter is NB112's.

    Why it is bad:
        A run that is repeated, resumed or made up for after an outage gets another window than the day it is for.
        Nobody can tell afterwards which rows a model has seen, and two runs of one commit differ.

    Example:
        `train_until = date.today()`

    Use instead:
        A parameter, `train_until: str = "2013-07-01"`, and `parameters: {train_until: "@scheduled"}` in
        `pipeline.yaml`: the instant that the run is for, whenever it really runs.
    """

    code = "NB211"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each call."""
        for call in _calls(document):
            if call.code_cell.is_parameters:
                continue
            message = (
                f"`{call.name}` is another instant in every run; make it a parameter and give it "
                '"@scheduled" in pipeline.yaml'
            )
            yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node)


def _calls(document: Document) -> Iterator[Call]:
    for call in document.calls_of(*_NOW):
        arguments = len(call.node.args) + len(call.node.keywords)
        if arguments < _NOW_WITH_ARGUMENTS_BELOW.get(call.name, 99):
            yield call
    for call in document.calls_of(*_FROM_TEXT):
        match call.node.args:
            case [ast.Constant(value=str(text)), *_] if text.strip().lower() in {"now", "today"}:
                yield call
    for call in document.calls_of(*_FROM_SECONDS):
        match call.node.args:
            case [ast.Call() as inner, *_] if _name(document, call, inner) == "time.time":
                yield call


def _name(document: Document, call: Call, inner: ast.Call) -> str | None:
    return document.names.full_name(inner.func, cell=call.code_cell.cell.index)
