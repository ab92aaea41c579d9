"""`python -m rasen.interface_test.serving_process INPUTS STAGING`: a model in a process that has what serving has.

A fresh interpreter, not a fork of the warm process: that one has imported most of a notebook's libraries already. The
report is rewritten before each stage, so that a model that ends or hangs the process is told by the stage it was in.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import AnswerNotFinite, InvalidInput, ModelFailed, RasenError
from rasen.interface_test.plan import EXAMPLE, PACKAGES, ROWS
from rasen.interface_test.serving_image import ServingImage
from rasen.model.qualification_report import StagedFile

if TYPE_CHECKING:
    from rasen.model.loading import LoadedModel
    from rasen.model.schema import Column

REPORT_FILE = "interface.json"
MANY_ROWS = 10_000
UNSEEN = "(unseen)"
_LARGE = {ColumnType.INT64: 2**31, ColumnType.FLOAT64: 1e9}


@dataclass
class InterfaceFile(StagedFile):
    """What is known of each check so far."""

    checks: dict[str, dict[str, Any]] = field(default_factory=dict)  # Any: JSON
    doing: str = ""

    def contents(self) -> Mapping[str, Any]:  # Any: JSON
        """Return what is known so far."""
        return {"checks": self.checks, "doing": self.doing}

    def make(self, name: str, check: Callable[[], tuple[str, str]]) -> None:
        """Make a check and write down what it came to: outcome and message."""
        self.doing = name
        self.write(passed=False, reason=f"the process did not come back from {name!r}")
        begun = time.perf_counter()
        try:
            outcome, message = check()
        except RasenError as error:
            outcome, message = "fail", str(error)
        self.checks[name] = {
            "outcome": outcome,
            "message": message,
            "seconds": round(time.perf_counter() - begun, 3),
        }


def main(arguments: list[str] | None = None) -> int:
    """Try the model described in the folder INPUTS, write to the folder STAGING; return 0 when all was tried."""
    inputs, staging = map(Path, arguments if arguments is not None else sys.argv[1:])
    described = json.loads((inputs / "model.json").read_bytes())
    ServingImage(described["left_out"]).enter()
    report = InterfaceFile(staging / REPORT_FILE)
    loaded: list[LoadedModel] = []
    report.make(PACKAGES, lambda: _load(inputs, described, loaded))
    if loaded:
        report.make(EXAMPLE, lambda: _predict_example(loaded[0]))
        for name, check in _row_checks(loaded[0]):
            report.make(name, check)
    report.doing = ""
    report.write(passed=True, reason="every check was made")
    return 0


def _load(
    inputs: Path, described: Mapping[str, Any], loaded: list[LoadedModel]
) -> tuple[str, str]:  # Any: JSON
    from rasen.model.loading import assemble
    from rasen.model.qualification import files_of

    files = files_of(described)
    loaded.append(assemble(files, described["schema"], lambda file: (inputs / file.key).read_bytes()))
    size = (inputs / files["model"].key).stat().st_size
    return "pass", f"{size:,} bytes load with nothing but what the serving image has"


def _predict_example(loaded: LoadedModel) -> tuple[str, str]:
    from rasen.model.predictions import difference, predict

    answers = predict(loaded.model, loaded.example, loaded.schema.output)
    differs = difference(loaded.predictions, answers)
    if differs is not None:
        return "fail", f"it gets another answer here than in the notebook: {differs}"
    rows = len(loaded.example)
    return "pass", f"{rows} {'row gets' if rows == 1 else 'rows get'} the notebook's own answers"


Changes = dict[str, object]
Check = Callable[[], tuple[str, str]]


def _row_checks(loaded: LoadedModel) -> Iterator[tuple[str, Check]]:
    """Yield the checks of rows that a client may well send, under the names of `plan.ROWS`."""
    inputs = loaded.schema.inputs
    nullable = [column for column in inputs if column.nullable]
    texts = [column for column in inputs if column.type is ColumnType.STRING]
    numbers = [column for column in inputs if column.type in _LARGE]
    one, many, missing, unseen, empty, extreme = ROWS
    yield one, lambda: _count(loaded, 1)
    yield many, lambda: _count(loaded, MANY_ROWS)
    yield missing, lambda: _each_and_all(loaded, nullable, None, "null", "no input may be null")
    yield unseen, lambda: _each_and_all(loaded, texts, UNSEEN, "an unseen text", "no input is a text")
    yield empty, lambda: _each_and_all(loaded, texts, "", "an empty text", "no input is a text")
    yield extreme, lambda: _extremes(loaded, numbers)


def _ask(loaded: LoadedModel, changes: Changes, *, rows: int = 1) -> None:
    from rasen.model.frames import FrameBuilder, to_values
    from rasen.model.predictions import predict
    from rasen.model.qualify_latency import repeat

    values = to_values(loaded.schema, loaded.example)
    asked = {
        name: [changes[name]] * rows if name in changes else repeat(column, rows)
        for name, column in values.items()
    }
    predict(loaded.model, FrameBuilder(loaded.schema).build(asked), loaded.schema.output)


def _count(loaded: LoadedModel, rows: int) -> tuple[str, str]:
    _ask(loaded, {}, rows=rows)
    return "pass", f"{rows:,} {'row is' if rows == 1 else 'rows are'} answered"


def _each_and_all(
    loaded: LoadedModel, columns: list[Column], value: object, what: str, none: str
) -> tuple[str, str]:
    """Ask with a value in each of the columns alone, then in all of them."""
    if not columns:
        return "skip", none
    for changed in [*([column] for column in columns), columns]:
        try:
            _ask(loaded, {column.name: value for column in changed})
        except (ModelFailed, InvalidInput) as error:
            return "fail", f"a row with {what} in {_names(changed)} cannot be predicted: {error}"
    return "pass", f"{what} in {_names(columns)}, in each alone and in all, is answered"


def _extremes(loaded: LoadedModel, columns: list[Column]) -> tuple[str, str]:
    """Ask with numbers far beyond what was ever seen; that there is no finite answer is told, and no fault."""
    if not columns:
        return "skip", "no input is a number"
    refused = ""
    for factor, what in ((1, "large"), (-1, "negative"), (0, "zero")):
        changes: Changes = {column.name: factor * _LARGE[column.type] for column in columns}
        try:
            _ask(loaded, changes)
        except AnswerNotFinite as error:
            refused = f"; {what} ones get no finite answer, there the profile would answer: {error}"
        except (ModelFailed, InvalidInput) as error:
            return "fail", f"a row with {what} numbers in {_names(columns)} cannot be predicted: {error}"
    return "pass", f"large, negative and zero numbers raise nothing{refused}"


def _names(columns: list[Column]) -> str:
    return ", ".join(repr(column.name) for column in columns)


if __name__ == "__main__":
    sys.exit(main())
