"""What a model answered, in one form whatever it returned: checked arrays, ready for JSON.

Models return arrays, lists, Series, frames, of eight kinds of numbers and three of text. Everything behind this
module (serving, qualification, gates) sees one array a column in the canonical dtype of its contract type, of the
right length, without NaN. What a contract cannot carry is the model's failure, said here once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from rasen.data.columns import ColumnType
from rasen.errors import AnswerNotFinite, InvalidInput, ModelFailed
from rasen.model.dtypes import classify
from rasen.model.schema import Column, Output

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# A scalar's array, or one array a column; a text, so that importing this module imports no NumPy.
Predictions: TypeAlias = "np.ndarray | dict[str, np.ndarray]"

RELATIVE_TOLERANCE = 1e-6
_ABSOLUTE_TOLERANCE = 1e-12  # for sums that cancel to almost nothing
_CANONICAL = {
    ColumnType.BOOL: "bool",
    ColumnType.INT64: "int64",
    ColumnType.FLOAT64: "float64",
    ColumnType.STRING: "object",
    ColumnType.DATE: "datetime64[s]",
    ColumnType.TIMESTAMP: "datetime64[us]",
}
# NumPy's letters for the kinds that hold no missing value but NaN, and fit their contract type.
_PLAIN = {"f": ColumnType.FLOAT64, "i": ColumnType.INT64, "b": ColumnType.BOOL}


def predictor(model: object) -> Callable[[pd.DataFrame], object] | None:
    """Return what to call with a DataFrame: the model's `predict`, or the model itself if it is a function."""
    # Any: whatever an analyst published; nothing is assumed before the answer is checked.
    candidate: Any = getattr(model, "predict", None)
    if callable(candidate):
        return None if isinstance(model, type) else candidate
    return model if callable(model) and not isinstance(model, type) else None


def predict(model: object, frame: pd.DataFrame, output: Output | None = None) -> Predictions:
    """Ask the model and check what it answers.

    Args:
        model: Anything with `predict`, or a function.
        frame: A conforming DataFrame of one row or more.
        output: What the answers must look like; `None` when that is about to be derived.

    Raises:
        ModelFailed: The model raised, or its answer is not one finite value (or record) a row of the output's type.
    """
    call = predictor(model)
    if call is None:
        raise ModelFailed(f"{type(model).__name__} has no predict and is no function")
    try:
        answer = call(frame)
    except (Exception, SystemExit) as error:  # the boundary to analysts' code
        raise ModelFailed(f"the model raised {type(error).__name__}: {error}") from error
    return normalise(answer, rows=len(frame), output=output)


def normalise(answer: object, *, rows: int, output: Output | None = None) -> Predictions:
    """Return the answer as one canonical array (scalar output) or one a column.

    Raises:
        ModelFailed: The answer has the wrong length, shape or type, or a value is missing or not finite.
    """
    if output is not None and output.type is not None:
        plain = _plain(answer, rows, output.type)
        if plain is not None:
            return plain
    import pandas as pd

    if isinstance(answer, pd.DataFrame):
        return _columns(answer, rows, output)
    if output is not None and output.kind == "columns":
        raise ModelFailed(f"the model answered {type(answer).__name__}; its schema says a DataFrame")
    expected = None if output is None else output.type
    return _array(answer, rows, expected, where="the prediction")


def output_of(predictions: Predictions) -> Output:
    """Derive the output's schema from checked predictions."""
    if isinstance(predictions, dict):
        columns = tuple(Column(name=name, type=_type_of(array)) for name, array in predictions.items())
        return Output(kind="columns", columns=columns)
    return Output(kind="scalar", type=_type_of(predictions))


def to_json(predictions: Predictions) -> list[Any]:  # Any: JSON values
    """Return one JSON value a row: a number, text or bool, or for several columns an object."""
    if isinstance(predictions, dict):
        names = list(predictions)
        columns = [_values(array) for array in predictions.values()]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return _values(predictions)


def from_json(values: list[Any], output: Output) -> Predictions:  # Any: JSON values
    """Rebuild predictions from `to_json`.

    Raises:
        ModelFailed: The values do not fit the output.
    """
    import numpy as np

    try:
        if output.type is not None:
            return np.array(_naive(values, output.type), dtype=_CANONICAL[output.type])
        return {
            column.name: np.array(
                _naive([row[column.name] for row in values], column.type), dtype=_CANONICAL[column.type]
            )
            for column in output.columns
        }
    except (TypeError, ValueError, KeyError) as error:
        raise ModelFailed(f"the recorded predictions do not fit the output: {error}") from None


def difference(first: Predictions, second: Predictions) -> str | None:
    """Say where two predictions of the same rows differ, or return `None` when they are the same.

    Floats may differ by 1e-6 relative, because batch size changes the last bits; everything else must be equal.
    """
    import numpy as np

    if isinstance(first, dict) or isinstance(second, dict):
        if not isinstance(first, dict) or not isinstance(second, dict) or first.keys() != second.keys():
            return "the columns differ"
        for name, array in first.items():
            found = difference(array, second[name])
            if found is not None:
                return f"column {name!r}, {found}"
        return None
    if len(first) != len(second):
        return f"{len(first)} rows against {len(second)}"
    if first.dtype.kind == "f" and second.dtype.kind == "f":
        same = np.isclose(first, second, rtol=RELATIVE_TOLERANCE, atol=_ABSOLUTE_TOLERANCE)
    else:
        same = first == second
    if same.all():
        return None
    row = int(np.flatnonzero(~same)[0])
    return f"row {row}: {_values(first)[row]!r} against {_values(second)[row]!r}"


def take(predictions: Predictions, rows: slice) -> Predictions:
    """Return some of the rows."""
    if isinstance(predictions, dict):
        return {name: array[rows] for name, array in predictions.items()}
    return predictions[rows]


def concatenate(parts: list[Predictions]) -> Predictions:
    """Return predictions of the same output one after the other."""
    import numpy as np

    first = parts[0]
    if isinstance(first, dict):
        columns = [part for part in parts if isinstance(part, dict)]
        return {name: np.concatenate([part[name] for part in columns]) for name in first}
    return np.concatenate([part for part in parts if not isinstance(part, dict)])


def _plain(answer: object, rows: int, expected: ColumnType) -> np.ndarray | None:
    """Return an array that is as it should be; pandas would cost a compiled model more than its prediction."""
    import numpy as np

    if type(answer) is not np.ndarray or answer.shape != (rows,):
        return None
    match answer.dtype.kind:
        case "f":
            usable = expected is ColumnType.FLOAT64 and bool(np.isfinite(answer).all())
        case "U":
            usable = expected is ColumnType.STRING
        case "O":
            usable = expected is ColumnType.STRING and set(map(type, answer.tolist())) == {str}
        case kind:
            usable = _PLAIN.get(kind) is expected
    return answer.astype(_CANONICAL[expected], copy=False) if usable else None


def _columns(answer: pd.DataFrame, rows: int, output: Output | None) -> dict[str, np.ndarray]:
    if output is not None and output.kind == "scalar":
        raise ModelFailed("the model answered a DataFrame; its schema says one value a row")
    names: list[Any] = list(answer.columns)  # Any: pandas takes whatever hashes as a name
    if (
        not names
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) != len(names)
    ):
        raise ModelFailed(f"the answer's columns {names!r} must be distinct names")
    expected: dict[str, ColumnType | None] = dict.fromkeys(names)
    if output is not None:
        expected = {column.name: column.type for column in output.columns}
        if set(expected) != set(names):
            raise ModelFailed(f"the answer has columns {names!r}; its schema says {list(expected)!r}")
    return {
        name: _array(answer[name], rows, kind, where=f"column {name!r}") for name, kind in expected.items()
    }


def _array(answer: object, rows: int, expected: ColumnType | None, *, where: str) -> np.ndarray:
    import numpy as np
    import pandas as pd

    if isinstance(answer, np.ndarray) and answer.ndim == 2 and answer.shape[1] == 1:
        answer = answer[:, 0]
    if isinstance(answer, np.ndarray) and answer.ndim != 1:
        raise ModelFailed(
            f"{where} has shape {answer.shape}, expected ({rows},); several values a row need names: return a DataFrame"
        )
    if not isinstance(
        answer, (np.ndarray, pd.Series, list, tuple, pd.api.extensions.ExtensionArray, pd.Index)
    ):
        raise ModelFailed(
            f"{where} is {type(answer).__name__}, expected an array of {rows} values or a DataFrame"
        )
    if len(answer) != rows:
        raise ModelFailed(f"{where} has {len(answer)} rows, expected {rows}")
    if isinstance(answer, np.ndarray) and answer.dtype.kind in _PLAIN:  # almost always: spare it pandas
        kind = _PLAIN[answer.dtype.kind]
        array = answer.astype(_CANONICAL[kind], copy=False)
    else:
        kind, array = _from_series(pd.Series(answer), where)
    if expected is not None and kind is not expected:
        if kind is not ColumnType.INT64 or expected is not ColumnType.FLOAT64:
            raise ModelFailed(f"{where} is {kind.value}; the schema says {expected.value}")
        kind, array = expected, array.astype("float64")
    if kind is ColumnType.FLOAT64 and not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        raise AnswerNotFinite(f"{where}, row {row}: {float(array[row])!r} is not a finite number")
    return array


def _from_series(series: pd.Series, where: str) -> tuple[ColumnType, np.ndarray]:
    if series.dtype == object:
        series = series.infer_objects()
    try:
        kind, _ = classify(series, where=where)
    except InvalidInput as error:
        raise ModelFailed(str(error)) from None
    missing = series.isna()
    if missing.any() and kind is not ColumnType.FLOAT64:
        raise AnswerNotFinite(f"{where}, row {int(missing.to_numpy().argmax())}: the value is missing")
    if kind is ColumnType.TIMESTAMP:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if kind is ColumnType.FLOAT64:
        return kind, series.to_numpy(dtype="float64", na_value=float("nan"))
    return kind, series.to_numpy(dtype=_CANONICAL[kind])


def _type_of(array: np.ndarray) -> ColumnType:
    name = str(array.dtype)
    return next(kind for kind, canonical in _CANONICAL.items() if canonical == name)


def _values(array: np.ndarray) -> list[Any]:  # Any: JSON values
    values: list[Any] = array.tolist()
    match str(array.dtype):
        case "datetime64[s]":
            return [value.date().isoformat() for value in values]
        case "datetime64[us]":
            return [value.isoformat() + "Z" for value in values]
        case _:
            return values


def _naive(values: list[Any], kind: ColumnType) -> list[Any]:  # Any: JSON values
    """NumPy warns of a time zone in a text; canonical instants are UTC, so it can go."""
    return [value.removesuffix("Z") for value in values] if kind is ColumnType.TIMESTAMP else values
