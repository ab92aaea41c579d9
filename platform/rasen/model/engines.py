"""What executes a model: its own `predict`, or something that was made from it and answers the same, only faster.

An engine takes columns of JSON values, because that is what a request is; which of them become a DataFrame, a matrix or
nothing of the kind is its affair.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, ModelFailed
from rasen.model.conversion import Values, as_list
from rasen.model.engine_plan import EnginePlan
from rasen.model.frames import FrameBuilder
from rasen.model.predictions import Predictions, difference, predict
from rasen.model.schema import ModelSchema

logger = logging.getLogger(__name__)

Columns = Mapping[str, Values]

_MEASURED_ROWS = (1, 10, 100, 1000)
_SIZE_SECONDS = 0.02  # for so long one size is measured again
_REPEATS = 5
_NOT_COMPILED = 1.2  # what a call outside the event loop costs more
_SLOW_SECONDS = 0.05
_QUICK_SECONDS = 0.002
_QUICK_REPEATS = 20
_SHARE = 10.0  # how many times its fixed cost a batch may cost
_BATCH_ROWS = (64, 5000)  # at least, at most


class Engine(Protocol):
    """Executes one model. `quick` says that it is compiled: it never waits, and takes what its rows ask for."""

    name: str
    quick: bool

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns`: one list of JSON values for each input, in any order.

        Raises:
            InvalidInput: A value is not of its column's type.
            ModelFailed: The model raised, or its answer does not fit its schema.
        """


class NativeEngine:
    """The model as it was published, on the very DataFrame that it was trained on."""

    name = "native"
    quick = False  # nobody knows what a model does

    def __init__(self, model: object, schema: ModelSchema) -> None:
        self._model = model
        self._output = schema.output
        self._builder = FrameBuilder(schema)

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns`."""
        return predict(self._model, self._builder.build(columns), self._output)


def make_engines(model: object, schema: ModelSchema, *, onnx: bytes | None = None) -> list[Engine]:
    """Return what could execute a model besides the model itself; whether it answers the same is to be found out.

    Args:
        model: What was published.
        schema: Its contract.
        onnx: The graph that it was converted to, if it was.

    Raises:
        ModelFailed: The graph cannot be executed.
    """
    from rasen.model.folded_engine import make_folded_engine
    from rasen.model.onnx_engine import make_onnx_engine
    from rasen.model.xgboost_engine import make_xgboost_engine

    made: list[Engine | None] = [make_folded_engine(model, schema), make_xgboost_engine(model, schema)]
    if onnx is not None:
        made.append(make_onnx_engine(onnx, schema))
    return [engine for engine in made if engine is not None]


class Engines:
    """The engines of one loaded model, and which of them is the quickest for how many rows."""

    def __init__(self, plan: EnginePlan, engines: Mapping[str, Engine]) -> None:
        """Execute by a plan; `engines` has all that it names."""
        self.plan = plan
        self._begins = plan.begins
        self._chosen = [engines[name] for name in plan.engines]

    @property
    def names(self) -> tuple[str, ...]:
        """The engines that are in use."""
        return tuple(dict.fromkeys(self.plan.engines))

    @property
    def batch_rows(self) -> int:
        """How many rows a batch should have at most."""
        return self.plan.batch_rows

    @property
    def quick_rows(self) -> int:
        """For how many rows an event loop may wait; 0 when for none."""
        return self.plan.quick_rows

    def for_rows(self, rows: int) -> Engine:
        """Return the engine for a batch of so many rows."""
        return self._chosen[bisect_right(self._begins, rows) - 1]

    def predict(self, columns: Columns) -> Predictions:
        """Predict the rows of `columns` with the engine that is the quickest for their number.

        Raises:
            InvalidInput: A value is not of its column's type.
            ModelFailed: The model raised, or its answer does not fit its schema.
        """
        return self.for_rows(len(next(iter(columns.values())))).predict(columns)


def only_native(model: object, schema: ModelSchema) -> Engines:
    """Return the model itself as its only engine, unmeasured, for one that is not to be executed to find out."""
    native = NativeEngine(model, schema)
    plan = EnginePlan(engines=(native.name,), begins=(0,), batch_rows=0, quick_rows=0)
    return Engines(plan, {native.name: native})


def choose_engines(
    names: Collection[str],
    model: object,
    schema: ModelSchema,
    *,
    onnx: bytes | None = None,
    example: Columns,
    answers: Predictions | None = None,
    plan: EnginePlan | None = None,
) -> Engines:
    """Measure the engines that may execute a model, each for some tens of milliseconds.

    What cannot be made here, or answers the example otherwise, is left out with a warning: the libraries may be of
    other versions than where the engines were compared with the model.

    Args:
        names: Those that the qualification found equal.
        model: The model itself, which may always execute.
        schema: Its contract.
        onnx: The graph that it was converted to, its digest checked.
        example: Rows that the model answers: one list of JSON values a column.
        answers: What it answers to them, if that is to be checked.
        plan: What was measured in another process of this machine; followed if all that it names can be made here.
    """
    allowed = [*_allowed(names, model, schema, onnx, example, answers), NativeEngine(model, schema)]
    by_name = {engine.name: engine for engine in allowed}
    if plan is not None and by_name.keys() >= set(plan.engines):
        return Engines(plan, by_name)
    sample = _vary(example, schema)
    # Nobody knows what a model itself makes of other values than it was published with.
    costs = [_measure(engine, sample if engine.quick else example) for engine in allowed]
    begins, chosen = _quickest(allowed, costs)
    most = _fit_batch_rows(costs[allowed.index(chosen[-1])])
    # Up to where the first engine begins that is not compiled, the event loop may wait.
    compiled = [begin - 1 for begin, engine in zip(begins, chosen, strict=True) if not engine.quick]
    quick_rows = _fit_quick_rows(begins, chosen, sample, most=min([most, *compiled]))
    found = EnginePlan(
        engines=tuple(engine.name for engine in chosen),
        begins=tuple(begins),
        # What the loop may wait for is not made smaller. More than that goes to the thread, where a compiled engine
        # computes beside the interpreter, so that the next requests are decoded meanwhile.
        batch_rows=max(most, quick_rows),
        quick_rows=quick_rows,
    )
    return Engines(found, by_name)


def _allowed(
    names: Collection[str],
    model: object,
    schema: ModelSchema,
    onnx: bytes | None,
    example: Columns,
    answers: Predictions | None,
) -> list[Engine]:
    if not names:
        return []
    try:
        made = make_engines(model, schema, onnx=onnx if "onnx" in names else None)
    except ModelFailed as error:  # another version of ONNX Runtime than the one that it was compared with
        logger.warning("the converted model is not used: %s", error)
        made = make_engines(model, schema)
    return [
        engine
        for engine in made
        if engine.name in names and (answers is None or _agrees(engine, example, answers))
    ]


def _agrees(engine: Engine, example: Columns, answers: Predictions) -> bool:
    try:
        differs = difference(engine.predict(example), answers)
    except (ModelFailed, InvalidInput) as error:
        differs = str(error)
    if differs is not None:
        logger.warning(
            "the engine %r is not used: it answers the published example otherwise: %s", engine.name, differs
        )
    return differs is None


def _quickest(engines: Sequence[Engine], costs: Sequence[Sequence[float]]) -> tuple[list[int], list[Engine]]:
    """Return from how many rows on which engine costs least, between the measured sizes by interpolation."""
    import numpy as np

    sizes = np.unique(np.geomspace(_MEASURED_ROWS[0], _MEASURED_ROWS[-1], 40).round()).astype(int)
    measured = np.log(_MEASURED_ROWS)
    each = [
        np.interp(np.log(sizes), measured, np.log(cost)) + (0.0 if engine.quick else np.log(_NOT_COMPILED))
        for engine, cost in zip(engines, costs, strict=True)
    ]
    begins: list[int] = []
    chosen: list[Engine] = []
    for size, best in zip(sizes.tolist(), np.argmin(each, axis=0).tolist(), strict=True):
        if not chosen or chosen[-1] is not engines[best]:
            begins.append(size if chosen else 0)
            chosen.append(engines[best])
    return begins, chosen


def _measure(engine: Engine, sample: Columns) -> list[float]:
    """Return how many seconds a call takes for each of the measured numbers of rows, at best.

    After a size that is slow, or that fails, more rows are taken to cost as much each.
    """
    costs: list[float] = []
    for size, rows in enumerate(_MEASURED_ROWS):
        if costs and costs[-1] > _SLOW_SECONDS:
            costs.append(costs[-1] * rows / _MEASURED_ROWS[size - 1])
            continue
        try:
            costs.append(_seconds(engine, take_rows(sample, rows)))
        except ModelFailed:  # it answered its example, so this is a matter of its mood
            costs.append(2 * _SLOW_SECONDS)
    return costs


def _seconds(engine: Engine, columns: Columns) -> float:
    found = [_timed(engine, columns)]  # the first call may build something, and counts only if it has to
    spent = found[0]
    while spent < _SIZE_SECONDS and len(found) <= _REPEATS:
        found.append(_timed(engine, columns))
        spent += found[-1]
    return min(found)


def _timed(engine: Engine, columns: Columns) -> float:
    """Return how long a call takes: of a compiled engine, which never waits, what it uses of the processor.

    So the choice does not depend on who else is busy here while a model is loaded, such as the one that it replaces.
    """
    clock = time.thread_time if engine.quick else time.perf_counter
    begun = clock()
    engine.predict(columns)
    return clock() - begun


def _fit_batch_rows(costs: Sequence[float]) -> int:
    """Return how many rows a batch should have at most, from the measured cost a + b·n of a call of n rows.

    Up to there the rows of others cost a request less than they save; beyond, everybody only waits longer.
    """
    least, most = _BATCH_ROWS
    few, many = costs[0], costs[-1]
    growing = (many - few) / (_MEASURED_ROWS[-1] - _MEASURED_ROWS[0])
    if few > _SLOW_SECONDS:
        return least
    if growing <= 0:
        return most
    return int(min(most, max(least, _SHARE * few / growing)))


def _fit_quick_rows(begins: Sequence[int], chosen: Sequence[Engine], sample: Columns, *, most: int) -> int:
    """Return for how many rows, at most `most`, an event loop may wait: for so many as take less than 2 ms at worst."""
    rows = most
    while rows >= 1:
        if _is_quick(chosen[bisect_right(begins, rows) - 1], take_rows(sample, rows)):
            return rows
        rows //= 2
    return 0


def _is_quick(engine: Engine, columns: Columns) -> bool:
    try:
        engine.predict(columns)  # the first call may build something
        return all(_timed(engine, columns) < _QUICK_SECONDS for _ in range(_QUICK_REPEATS))
    except ModelFailed:
        return False


def take_rows(columns: Columns, rows: int) -> Columns:
    """Return so many rows, from the beginning again when there are fewer."""
    return {name: _repeat(as_list(values), rows) for name, values in columns.items()}


def _repeat(values: Sequence[object], rows: int) -> list[object]:
    return (list(values) * (rows // len(values) + 1))[:rows]


def _vary(example: Columns, schema: ModelSchema) -> Columns:
    """Return a thousand rows like those of the example, with other fractions in them.

    A processor learns the way of one row through a forest, so that the same rows again and again would make the
    engines look quicker than they are, and not all alike.
    """
    import numpy as np

    random = np.random.default_rng(0)
    varied = dict(take_rows(example, _MEASURED_ROWS[-1]))
    for column in schema.inputs:
        numbers = [value for value in example[column.name] if isinstance(value, float)]
        if column.type is not ColumnType.FLOAT64 or not numbers:
            continue
        spread = float(np.std(numbers)) or abs(numbers[0]) / 2 or 1.0
        varied[column.name] = random.normal(float(np.mean(numbers)), spread, _MEASURED_ROWS[-1]).tolist()
    return varied
