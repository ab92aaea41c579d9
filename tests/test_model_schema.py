"""The contract of an endpoint: JSON and back, and what breaks a client."""

import json

import pytest

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput
from rasen.model.schema import Column, ModelSchema, Output, breaking_changes, compatible

HOUR = Column(name="hour", type=ColumnType.INT64, dtype="int32")
ORIGIN = Column(
    name="origin", type=ColumnType.STRING, nullable=True, categories=("EWR", "JFK"), dtype="category[ordered]"
)
NUMBER = Output(kind="scalar", type=ColumnType.FLOAT64)


def schema(*inputs: Column, output: Output = NUMBER) -> ModelSchema:
    return ModelSchema(inputs=inputs, output=output)


def test_schema_survives_json() -> None:
    interval = Output(
        kind="columns",
        columns=(Column(name="low", type=ColumnType.FLOAT64), Column(name="class", type=ColumnType.STRING)),
    )
    for original in (schema(HOUR, ORIGIN), schema(HOUR, output=interval)):
        assert ModelSchema.from_dict(json.loads(json.dumps(original.to_dict()))) == original


def test_unknown_fields_are_ignored_and_an_unknown_format_is_refused() -> None:
    document = schema(HOUR).to_dict()
    assert ModelSchema.from_dict({**document, "colour": "red"}) == schema(HOUR)
    with pytest.raises(InvalidInput, match="format 2"):
        ModelSchema.from_dict({**document, "format": 2})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"inputs": None}, "inputs"),
        ({"inputs": [{"name": "a", "type": "int32"}]}, "'int32'.*known types: bool"),
        ({"inputs": [{"name": 3, "type": "int64"}]}, "needs a name"),
        ({"inputs": [{"name": "a", "type": "int64", "categories": "x"}]}, "categories"),
        ({"output": {"kind": "matrix"}}, "'matrix'"),
    ],
)
def test_a_damaged_schema_is_refused(damage: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        ModelSchema.from_dict({**schema(HOUR).to_dict(), **damage})


def test_what_breaks_no_client() -> None:
    old = schema(HOUR, ORIGIN)
    wider = Column(name="hour", type=ColumnType.FLOAT64, nullable=True)
    wind = Column(name="wind", type=ColumnType.FLOAT64, nullable=True)
    other_advice = Column(name="origin", type=ColumnType.STRING, nullable=True, categories=None, dtype="str")
    assert compatible(old, old)
    assert compatible(old, schema(ORIGIN, HOUR))
    assert compatible(old, schema(wider, other_advice, wind))


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (schema(HOUR), "input 'origin' was removed"),
        (
            schema(HOUR, Column(name="origin", type=ColumnType.STRING)),
            "input 'origin' no longer accepts null",
        ),
        (
            schema(HOUR, ORIGIN, Column(name="day", type=ColumnType.DATE)),
            "input 'day' is new and not nullable",
        ),
        (
            schema(Column(name="hour", type=ColumnType.STRING), ORIGIN),
            "input 'hour' was int64, is string",
        ),
        (
            schema(HOUR, ORIGIN, output=Output(kind="scalar", type=ColumnType.INT64)),
            "the output was float64, is int64",
        ),
        (
            schema(
                HOUR,
                ORIGIN,
                output=Output(kind="columns", columns=(Column(name="low", type=ColumnType.FLOAT64),)),
            ),
            "the output was float64, is {low: float64}",
        ),
    ],
)
def test_what_raises_the_major(new: ModelSchema, change: str) -> None:
    assert breaking_changes(schema(HOUR, ORIGIN), new) == [change]
    assert not compatible(schema(HOUR, ORIGIN), new)


def test_a_narrower_range_breaks_clients() -> None:
    wide = schema(Column(name="hour", type=ColumnType.FLOAT64))
    assert breaking_changes(wide, schema(HOUR)) == ["input 'hour' was float64, is int64"]
