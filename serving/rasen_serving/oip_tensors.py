"""Tensors of the Open Inference Protocol and the columns of a model: from one to the other, for HTTP and gRPC alike.

A table is sent as one tensor a column, `[n]` or `[n, 1]`, named like the column; or, when one datatype will do for all
inputs, as one matrix `[n, k]` under any other name, its columns in the schema's order. A tensor's values stand in JSON,
flat or nested, or as little-endian bytes behind it; the two are held to the same columns.

What a value may be beyond its datatype (finite, a date, null or not) is decided where it is for every other request, by
`rasen.model.conversion`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from rasen.model.judge import check_count, find_faults, refuse_any
from rasen.model.request_errors import FieldProblem, PathElement
from rasen.model.schema import Column, ModelSchema
from rasen.suggestion import suggest
from rasen_serving.decode import Columns
from rasen_serving.oip_datatypes import ACCEPTED, DATATYPES, Datatype, Values

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """An input as it came.

    Args:
        name: Its name.
        datatype: As it stands there.
        shape: Likewise.
        data: Its values, flat or nested; `None` when they are bytes.
        raw: Its values as bytes; `None` when they are JSON.
    """

    name: str
    datatype: str
    shape: object
    data: object = None
    raw: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a column's values stand: in which tensor, how many columns that has, and which of them it is."""

    tensor: int
    width: int
    position: int


class _Bad(Exception):  # never leaves this module
    """A tensor that cannot be read."""

    def __init__(self, path: tuple[PathElement, ...], problem: str) -> None:
        super().__init__(path, problem)
        self.problem = FieldProblem(path=path, problem=problem)


def read_columns(
    schema: ModelSchema, tensors: Sequence[Tensor], *, max_rows: int, check_values: bool
) -> Columns:
    """Return the columns that some tensors hold, in the schema's order, nullable ones filled with null.

    Args:
        schema: What the model takes.
        tensors: The request's inputs.
        max_rows: The most rows.
        check_values: Whether each value is held against its column, too, so that what is wrong is named by its place.

    Raises:
        InvalidRows: Names, datatypes, shapes, sizes or values are not what the model takes.
        TooManyRows: There are more than `max_rows`.
    """
    places: dict[str, _Place] = {}
    columns: Columns = {}
    problems = _read(schema, tensors, columns, places, max_rows=max_rows)
    # What is read is judged when it has been read, whatever else there is to tell.
    refuse_any(schema, chain(problems, _judge(schema, columns, places)) if check_values else problems)
    return columns


def _read(
    schema: ModelSchema,
    tensors: Sequence[Tensor],
    columns: Columns,
    places: dict[str, _Place],
    *,
    max_rows: int,
) -> Iterator[FieldProblem]:
    """Fill `columns` and `places`, and yield what is wrong."""
    if not tensors:
        yield FieldProblem(path=("inputs",), problem="must hold one tensor a column")
        return
    by_name = {column.name: column for column in schema.inputs}
    is_matrix = len(tensors) == 1 and tensors[0].name not in by_name
    found: dict[str, Any] = {}  # Any: a list of values, or an array
    counts: dict[str, int] = {}
    for index, tensor in enumerate(tensors):
        try:
            if is_matrix:
                wanted = schema.inputs
            else:
                wanted = (_column(by_name, tensor, index, schema),)
                if tensor.name in found:
                    raise _Bad(
                        ("inputs", index, "name"), f"{tensor.name!r} is given twice; one tensor a column"
                    )
            rows = _rows(tensor, index, wanted)
            check_count(rows, max_rows)
            _check_datatype(tensor, index, wanted)
            values = _values(tensor, index, rows * len(wanted), wanted)
        except _Bad as bad:
            found.setdefault(tensor.name, [])  # it is there, if bad
            yield bad.problem
            continue
        for position, column in enumerate(wanted):
            counts[column.name] = rows
            found[column.name] = values if len(wanted) == 1 else values[position :: len(wanted)]
            places[column.name] = _Place(tensor=index, width=len(wanted), position=position)
    count = max(counts.values(), default=0)
    for name, rows in counts.items():
        if rows != count:
            path = ("inputs", places[name].tensor, "shape")
            yield FieldProblem(path=path, problem=f"has {rows} rows, the longest tensor has {count}")
    if is_matrix and len(counts) < len(schema.inputs):
        return  # it was said what is wrong with it
    for column in schema.inputs:
        if column.name not in found and not column.nullable:
            yield FieldProblem(path=("inputs",), problem=f"tensor {column.name!r} is missing")
        columns[column.name] = found.get(column.name, [None] * count)


def _column(by_name: dict[str, Column], tensor: Tensor, index: int, schema: ModelSchema) -> Column:
    column = by_name.get(tensor.name)
    if column is None:
        raise _Bad(
            ("inputs", index, "name"), f"unknown tensor {tensor.name!r}; {suggest(tensor.name, schema.names)}"
        )
    return column


def _rows(tensor: Tensor, index: int, wanted: Sequence[Column]) -> int:
    """Return how many rows a tensor has, by its shape."""
    path = ("inputs", index, "shape")
    width = len(wanted)
    right = "[n] or [n, 1]" if width == 1 else f"[n, {width}], or one tensor a column"
    shape = tensor.shape
    if not isinstance(shape, list | tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise _Bad(path, f"{shape!r:.100} is no shape; a list of whole numbers like {right}")
    if not (len(shape) == 2 and shape[1] == width) and not (len(shape) == 1 and width == 1):
        name = "" if width == 1 else f" of {tensor.name!r}, which is no column's name,"
        raise _Bad(path, f"the shape {list(shape)!r:.100}{name} must be {right}")
    if shape[0] == 0:
        raise _Bad(path, "has no rows; there must be at least one")
    rows: int = shape[0]
    return rows


def _check_datatype(tensor: Tensor, index: int, wanted: Sequence[Column]) -> None:
    path = ("inputs", index, "datatype")
    if tensor.datatype not in DATATYPES:
        raise _Bad(
            path, f"{tensor.datatype!r:.100} is no datatype that is read here; known: {', '.join(DATATYPES)}"
        )
    for column in wanted:
        accepted = ACCEPTED[column.type]
        if tensor.datatype not in accepted:
            raise _Bad(
                path,
                f"{tensor.datatype} does not fit column {column.name!r}, which is {column.type.value} and takes "
                f"{', '.join(accepted)}{'' if len(wanted) == 1 else ' (send one tensor a column)'}",
            )


def _values(tensor: Tensor, index: int, count: int, wanted: Sequence[Column]) -> Values | np.ndarray:
    """Return a tensor's values in a flat list, numbers that came as bytes in an array, as they lie there.

    Where a nullable column has NaN, null stands in a list.
    """
    datatype = DATATYPES[tensor.datatype]
    nullable = any(column.nullable for column in wanted)
    if tensor.raw is None:
        values = _from_json(tensor, index, count, datatype, nullable=nullable)
    elif datatype.code:
        array = _from_bytes(tensor, index, count, datatype)
        if not nullable or array.dtype.kind != "f" or not _has_nan(array):
            return array
        values = array.tolist()
    else:
        values = _from_texts(tensor.raw, index, count)
    if nullable and float in datatype.kinds and any(value != value for value in values):  # noqa: PLR0124  # NaN differs from itself
        empty = [column.nullable for column in wanted]
        values = [
            None if value != value and empty[place % len(wanted)] else value  # noqa: PLR0124  # as above
            for place, value in enumerate(values)
        ]
    return values


def _from_json(tensor: Tensor, index: int, count: int, datatype: Datatype, *, nullable: bool) -> Values:
    path: tuple[PathElement, ...] = ("inputs", index, "data")
    if not isinstance(tensor.data, list):
        raise _Bad(path, f"must be a list of {count} values, flat or nested like the shape")
    assert isinstance(tensor.shape, list | tuple)  # `_rows` has looked
    values = _flat(tensor.data, tensor.shape, path)
    if len(values) != count:
        raise _Bad(path, f"has {len(values)} values; the shape {list(tensor.shape)!r} asks for {count}")
    allowed = datatype.kinds | {type(None)} if nullable else datatype.kinds
    if not set(map(type, values)) <= allowed:
        place = next(place for place, value in enumerate(values) if type(value) not in allowed)
        value = values[place]
        problem = "null is not accepted" if value is None else f"{value!r:.100} is not {tensor.datatype}"
        raise _Bad((*path, place), problem)
    if datatype.high:
        for place, value in enumerate(values):
            if value is not None and not datatype.low <= value <= datatype.high:
                raise _Bad((*path, place), f"{value!r:.100} does not fit into {tensor.datatype}")
    if datatype.code in ("<f2", "<f4"):
        return _rounded(values, datatype, tensor.datatype, path)
    return values


def _rounded(values: Values, datatype: Datatype, name: str, path: tuple[PathElement, ...]) -> Values:
    """Return the numbers as the narrow floats that they are said to be: 0.1 is another number in FP32 than in FP64."""
    import numpy as np

    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused with the other infinite values
            array = np.array(
                [float("nan") if value is None else value for value in values], dtype=datatype.code
            )
    except OverflowError:
        raise _Bad(path, f"holds a whole number that does not fit into {name}") from None
    rounded: Values = array.tolist()
    return rounded


def _flat(data: list[object], shape: Sequence[int], path: tuple[PathElement, ...]) -> Values:
    """Return values that are nested like the shape in one list; flat ones as they are."""
    if len(shape) < 2 or not data or not isinstance(data[0], list):
        return data
    rows: list[list[object]] = []
    for row, values in enumerate(data):
        if not isinstance(values, list) or len(values) != shape[1]:
            raise _Bad((*path, row), f"must be a list of {shape[1]} values, as the shape says")
        rows.append(values)
    return list(chain.from_iterable(rows))


def _from_bytes(tensor: Tensor, index: int, count: int, datatype: Datatype) -> np.ndarray:
    import numpy as np

    assert tensor.raw is not None  # asked before
    path = ("inputs", index, "raw")
    dtype = np.dtype(datatype.code)
    if len(tensor.raw) != count * dtype.itemsize:
        raise _Bad(
            path,
            f"has {len(tensor.raw)} bytes; {count} values of {tensor.datatype} have {count * dtype.itemsize}",
        )
    array = np.frombuffer(tensor.raw, dtype=dtype)
    if bool not in datatype.kinds:
        return array
    if array.max() > 1:
        raise _Bad(path, f"holds the byte {int(array.max())}; BOOL is 0 or 1")
    return array.astype(bool)


def _has_nan(array: np.ndarray) -> bool:
    import numpy as np

    return bool(np.isnan(array).any())


def _from_texts(raw: bytes, index: int, count: int) -> Values:
    """Return texts that each stand behind their length in four bytes."""
    path: tuple[PathElement, ...] = ("inputs", index, "raw")
    values: Values = []
    start = 0
    while start < len(raw):
        if len(values) == count:
            raise _Bad(path, f"has {len(raw) - start} bytes behind its {count} texts")
        if len(raw) - start < 4:
            raise _Bad(path, f"ends within the length of text {len(values)}")
        (length,) = struct.unpack_from("<I", raw, start)
        start += 4
        if length > len(raw) - start:
            raise _Bad(path, f"text {len(values)} has {length} bytes; {len(raw) - start} are left")
        try:
            values.append(raw[start : start + length].decode())
        except UnicodeDecodeError:
            raise _Bad((*path, len(values)), "is not UTF-8") from None
        start += length
    if len(values) != count:
        raise _Bad(path, f"has {len(values)} texts; the shape asks for {count}")
    return values


def _judge(schema: ModelSchema, columns: Columns, places: dict[str, _Place]) -> Iterator[FieldProblem]:
    """Yield each value that its column does not take, by its place in the tensor's flat data."""
    for column in schema.inputs:
        place = places.get(column.name)
        if place is None:
            continue  # left out, so all null
        for row, problem in find_faults(column, columns[column.name]):
            path = ("inputs", place.tensor, "data", row * place.width + place.position)
            yield FieldProblem(path=path, problem=problem)
