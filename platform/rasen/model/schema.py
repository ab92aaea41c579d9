"""What a published model takes and gives: the contract of its endpoint, as data.

Each input carries two types. `type` is the contract, one of six that JSON, Parquet and both warehouses share.
`dtype` is the pandas dtype that the model was trained on; batch and serving rebuild exactly that one (`frames.py`),
because an estimator may answer differently for `float32` and `float64`, or for `object` and `str`. Only the
contract counts for compatibility: a client never sees a dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput

FORMAT = 1

CategoryValue = bool | int | str


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of the input, or one column of an output that has several.

    Args:
        name: The field's name in requests.
        type: The contract.
        nullable: Whether `null` is accepted; a nullable column may also be left out of a request.
        categories: The values seen in the example and the evaluation rows, or `None` when they were too many to
            list. Advice for whoever writes a client, never a filter.
        dtype: The pandas dtype that the model gets: `"category"` and `"category[ordered]"` use `categories`.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    categories: tuple[CategoryValue, ...] | None = None
    dtype: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the column as JSON."""
        return {
            "name": self.name,
            "type": self.type.value,
            "nullable": self.nullable,
            "categories": None if self.categories is None else list(self.categories),
            "dtype": self.dtype,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:  # Any: JSON, each field checked below
        """Build the column from JSON.

        Raises:
            InvalidInput: A field is missing or not of its type.
        """
        name, nullable, categories = data.get("name"), data.get("nullable", False), data.get("categories")
        if not isinstance(name, str) or not isinstance(nullable, bool):
            raise InvalidInput(
                f"{data!r} is not a column: it needs a name (text) and nullable (true or false)"
            )
        if categories is not None and not isinstance(categories, list):
            raise InvalidInput(f"column {name!r}: categories {categories!r} must be a list or null")
        return cls(
            name=name,
            type=_type_of(data.get("type"), where=f"column {name!r}"),
            nullable=nullable,
            categories=None if categories is None else tuple(categories),
            dtype=str(data.get("dtype", "")),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What one row's prediction looks like.

    Args:
        kind: `"scalar"`, one value a row, or `"columns"`, a value for each of `columns` a row.
        type: The type of a scalar, `None` for columns.
        columns: The columns, empty for a scalar.
    """

    kind: Literal["scalar", "columns"]
    type: ColumnType | None = None
    columns: tuple[Column, ...] = ()

    def describe(self) -> str:
        """Return the output in a word, `"float64"`, or for columns `"{low: float64, high: float64}"`."""
        if self.type is not None:
            return self.type.value
        return "{" + ", ".join(f"{column.name}: {column.type.value}" for column in self.columns) + "}"

    def to_dict(self) -> dict[str, object]:
        """Return the output as JSON."""
        if self.type is not None:
            return {"kind": self.kind, "type": self.type.value}
        return {"kind": self.kind, "columns": [{"name": c.name, "type": c.type.value} for c in self.columns]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:  # Any: JSON, each field checked below
        """Build the output from JSON.

        Raises:
            InvalidInput: It is neither a scalar with a type nor columns.
        """
        match data.get("kind"):
            case "scalar":
                return cls(kind="scalar", type=_type_of(data.get("type"), where="the output"))
            case "columns":
                return cls(
                    kind="columns", columns=tuple(Column.from_dict(c) for c in data.get("columns", []))
                )
            case kind:
                raise InvalidInput(f"the output's kind {kind!r} must be 'scalar' or 'columns'")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSchema:
    """The inputs, in the order in which the model wants them, and the output."""

    inputs: tuple[Column, ...]
    output: Output

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns' names, in order."""
        return tuple(column.name for column in self.inputs)

    def to_dict(self) -> dict[str, object]:
        """Return the schema as JSON, as it stands in a manifest."""
        return {
            "format": FORMAT,
            "inputs": [column.to_dict() for column in self.inputs],
            "output": self.output.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:  # Any: JSON, each field checked below
        """Build the schema from JSON; unknown fields are ignored.

        Raises:
            InvalidInput: The format is unknown or a field is missing or of the wrong type.
        """
        if data.get("format") != FORMAT:
            raise InvalidInput(
                f"the model schema has format {data.get('format')!r}; this version reads {FORMAT}"
            )
        inputs, output = data.get("inputs"), data.get("output")
        if not isinstance(inputs, list) or not isinstance(output, dict):
            raise InvalidInput("a model schema needs inputs (a list) and an output (an object)")
        return cls(inputs=tuple(Column.from_dict(c) for c in inputs), output=Output.from_dict(output))


def breaking_changes(old: ModelSchema, new: ModelSchema) -> list[str]:
    """Return, in words, what in `new` would break a client written for `old`; empty when nothing would.

    A new nullable input breaks nobody, nor does an input that accepts more (null, or fractions where whole numbers
    were asked for). Everything else does: clients parse answers as strictly as we parse requests.
    """
    changes = []
    after = {column.name: column for column in new.inputs}
    before = {column.name: column for column in old.inputs}
    for name, column in before.items():
        if name not in after:
            changes.append(f"input {name!r} was removed")
            continue
        changed = after[name]
        wider = column.type is ColumnType.INT64 and changed.type is ColumnType.FLOAT64
        if changed.type is not column.type and not wider:
            changes.append(f"input {name!r} was {column.type.value}, is {changed.type.value}")
        if column.nullable and not changed.nullable:
            changes.append(f"input {name!r} no longer accepts null")
    changes += [
        f"input {name!r} is new and not nullable"
        for name, column in after.items()
        if name not in before and not column.nullable
    ]
    if old.output.describe() != new.output.describe():
        changes.append(f"the output was {old.output.describe()}, is {new.output.describe()}")
    return changes


def compatible(old: ModelSchema, new: ModelSchema) -> bool:
    """Return whether every client written for `old` goes on working with `new`; if not, `major` is raised."""
    return not breaking_changes(old, new)


def _type_of(value: object, *, where: str) -> ColumnType:
    try:
        return ColumnType(str(value))
    except ValueError:
        known = ", ".join(member.value for member in ColumnType)
        raise InvalidInput(f"{where} has type {value!r}; known types: {known}") from None
