"""Whatever a model returns becomes checked arrays, or the model's failure."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rasen.data.columns import ColumnType
from rasen.errors import ModelFailed
from rasen.model.predictions import (
    concatenate,
    difference,
    from_json,
    normalise,
    output_of,
    predict,
    predictor,
    take,
    to_json,
)
from rasen.model.schema import Column, Output

FLOAT = Output(kind="scalar", type=ColumnType.FLOAT64)
INSTANTS = pd.Series(pd.to_datetime(["2013-01-01T05:00:00Z"] * 2))


@pytest.mark.parametrize(
    ("answer", "kind", "sent"),
    [
        (np.array([1.5, 2.0]), "float64", [1.5, 2.0]),
        (np.array([1.5, 2.0], dtype="float32"), "float64", [1.5, 2.0]),
        (np.array([[1.5], [2.0]]), "float64", [1.5, 2.0]),
        ([1.5, 2], "float64", [1.5, 2.0]),
        (np.array([1, 2], dtype="uint8"), "int64", [1, 2]),
        (np.array([1, 2], dtype=object), "int64", [1, 2]),
        (np.array([True, False]), "bool", [True, False]),
        (np.array(["yes", "no"]), "string", ["yes", "no"]),
        (np.array(["yes", "no"], dtype=object), "string", ["yes", "no"]),
        (pd.Series([1.5, 2.0], index=[7, 7]), "float64", [1.5, 2.0]),
        (pd.Series([1, 2], dtype="Int64"), "int64", [1, 2]),
        (pd.Categorical(["b", "a"]), "string", ["b", "a"]),
        (INSTANTS, "timestamp", ["2013-01-01T05:00:00Z"] * 2),
        (INSTANTS.dt.tz_localize(None).dt.normalize(), "date", ["2013-01-01"] * 2),
    ],
)
def test_scalars_of_every_kind(answer: object, kind: str, sent: list[object]) -> None:
    predictions = normalise(answer, rows=2)
    output = output_of(predictions)
    assert output == Output(kind="scalar", type=ColumnType(kind))
    assert json.loads(json.dumps(to_json(predictions))) == sent
    assert difference(from_json(sent, output), predictions) is None


def test_a_frame_becomes_records() -> None:
    answer = pd.DataFrame({"low": np.array([1, 2], dtype="float32"), "class": ["a", "b"]}, index=[5, 6])
    predictions = normalise(answer, rows=2)
    output = output_of(predictions)
    assert [(column.name, column.type.value) for column in output.columns] == [
        ("low", "float64"),
        ("class", "string"),
    ]
    records = [{"low": 1.0, "class": "a"}, {"low": 2.0, "class": "b"}]
    assert to_json(predictions) == records
    assert difference(from_json(records, output), predictions) is None
    reordered = normalise(answer[["class", "low"]], rows=2, output=output)
    assert to_json(reordered) == records


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "NoneType"),
        (3.5, "float, expected an array of 2"),
        ("ab", "str"),
        (np.array([1.0]), "1 rows, expected 2"),
        (np.array([1.0, np.nan]), "row 1: nan is not a finite"),
        (np.array([np.inf, 1.0]), "row 0: inf is not a finite"),
        (pd.Series([1.0, None], dtype="Float64"), "row 1: nan"),
        (pd.Series([1, None], dtype="Int64"), "row 1: the value is missing"),
        (pd.Series(["a", None]), "row 1: the value is missing"),
        (np.zeros((2, 2)), r"shape \(2, 2\).*DataFrame"),
        (np.array([1j, 2j]), "complex"),
        (np.array([1, "a"], dtype=object), "int, str"),
        (pd.DataFrame({"a": [1.0]}), "'a' has 1 rows, expected 2"),
        (pd.DataFrame({0: [1.0, 2.0]}), "distinct names"),
        (pd.DataFrame({"a": [1.0, np.nan]}), "'a', row 1"),
        (pd.DataFrame(index=[0, 1]), "distinct names"),
    ],
)
def test_what_is_no_prediction(answer: object, message: str) -> None:
    with pytest.raises(ModelFailed, match=message):
        normalise(answer, rows=2)


def test_an_answer_must_fit_the_schema() -> None:
    whole = Output(kind="scalar", type=ColumnType.INT64)
    low = Output(kind="columns", columns=(Column(name="low", type=ColumnType.FLOAT64),))
    assert to_json(normalise(np.array([1, 2]), rows=2, output=FLOAT)) == [1.0, 2.0]
    with pytest.raises(ModelFailed, match="is float64; the schema says int64"):
        normalise(np.array([1.0, 2.0]), rows=2, output=whole)
    with pytest.raises(ModelFailed, match="its schema says one value a row"):
        normalise(pd.DataFrame({"low": [1.0, 2.0]}), rows=2, output=FLOAT)
    with pytest.raises(ModelFailed, match="its schema says a DataFrame"):
        normalise(np.array([1.0, 2.0]), rows=2, output=low)
    with pytest.raises(ModelFailed, match=r"columns \['high'\]; its schema says \['low'\]"):
        normalise(pd.DataFrame({"high": [1.0, 2.0]}), rows=2, output=low)


def test_floats_may_differ_in_the_last_bits_and_nothing_else_may() -> None:
    numbers = np.array([1.0, 1e9, 0.0])
    assert difference(numbers, numbers * (1 + 1e-7)) is None
    assert difference(numbers, numbers + np.array([0, 0, 1e-3])) == "row 2: 0.0 against 0.001"
    assert difference(np.array([1, 2]), np.array([1, 3])) == "row 1: 2 against 3"
    assert difference(numbers, numbers[:2]) == "3 rows against 2"
    assert difference({"a": numbers}, {"a": -numbers}) == "column 'a', row 0: 1.0 against -1.0"
    assert difference({"a": numbers}, {"b": numbers}) == "the columns differ"


def test_parts_and_their_whole() -> None:
    for whole in (np.arange(4), {"a": np.arange(4), "b": np.arange(4.0)}):
        parts = [take(whole, slice(0, 1)), take(whole, slice(1, 4))]
        assert difference(concatenate(parts), whole) is None


class _Doubles:
    def predict(self, frame: pd.DataFrame) -> object:
        return frame["x"] * 2


@pytest.mark.parametrize("model", [_Doubles(), _Doubles().predict, lambda frame: frame["x"] * 2])
def test_models_are_called_by_predict_or_as_functions(model: object) -> None:
    assert to_json(predict(model, pd.DataFrame({"x": [1.5]}))) == [3.0]


@pytest.mark.parametrize("value", [_Doubles, 3, "model", None, {"predict": 1}])
def test_what_is_no_model(value: object) -> None:
    assert predictor(value) is None


def _leave(_frame: Any) -> None:
    raise SystemExit(3)


def _divide(_frame: Any) -> float:
    return 1 / 0


@pytest.mark.parametrize(("model", "name"), [(_leave, "SystemExit: 3"), (_divide, "ZeroDivisionError")])
def test_whatever_a_model_raises_is_its_failure(model: Callable[[Any], object], name: str) -> None:
    with pytest.raises(ModelFailed, match=name) as caught:
        predict(model, pd.DataFrame({"x": [1]}))
    assert caught.value.__cause__ is not None
