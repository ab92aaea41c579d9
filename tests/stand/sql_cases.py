"""The cases of `tests/sql/` and the small tables they are about."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

FOLDER = Path(__file__).resolve().parent.parent / "sql"


@dataclass(frozen=True, kw_only=True)
class ExpressionCase:
    """One line of `expressions.txt`: an expression with its type and value, or with what its error says."""

    line: int
    expression: str
    type: str | None
    value: object = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class QueryCase:
    """One entry of `queries.yaml`."""

    sql: str
    parameters: dict[str, object] = field(default_factory=dict)
    columns: dict[str, str] | None = None
    rows: list[list[object]] = field(default_factory=list)
    ordered: bool = False
    error: str | None = None


def expression_cases() -> Iterator[ExpressionCase]:
    """Yield the cases of `expressions.txt`."""
    lines = (FOLDER / "expressions.txt").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        expression, _, answer = line.rpartition(" => ")
        kind, _, text = answer.partition(" ")
        if kind == "error":
            yield ExpressionCase(line=number, expression=expression, type=None, error=text)
        else:
            yield ExpressionCase(line=number, expression=expression, type=kind, value=json.loads(text))


def query_cases() -> Iterator[QueryCase]:
    """Yield the cases of `queries.yaml`."""
    for each in yaml.safe_load((FOLDER / "queries.yaml").read_text(encoding="utf-8")):
        yield QueryCase(**each)


def case_tables() -> dict[str, pa.Table]:
    """Return the tables that the cases read."""
    instant = pa.timestamp("us", tz="UTC")
    one: dict[str, tuple[object, pa.DataType]] = {
        "i": (7, pa.int64()),
        "n": (None, pa.int64()),
        "big": (2**63 - 1, pa.int64()),
        "f": (2.5, pa.float64()),
        "zero": (0.0, pa.float64()),
        "s": ("héllo", pa.string()),
        "empty": ("", pa.string()),
        "ns": (None, pa.string()),
        "yes": (True, pa.bool_()),
        "nb": (None, pa.bool_()),
        "d": (date(2024, 2, 29), pa.date32()),
        "nd": (None, pa.date32()),
        "t": (datetime(2024, 7, 4, 12, 34, 56, 789123, UTC), instant),
        "nt": (None, instant),
        "early": (datetime(1969, 12, 31, 23, 59, 58, 500000, UTC), instant),
        "last": (date(9999, 12, 31), pa.date32()),
    }
    days = [date(2024, 1, day) for day in (1, 2, 2, 8, 9)]
    times = [(1, 9, 0), (2, 10, 0), (2, 23, 30), (8, 0, 0)]
    sales = pa.table(
        {
            "id": [1, 2, 3, 4, 5],
            "shop": ["a", "a", "b", "b", None],
            "day": days,
            "amount": [10, None, 30, 40, 50],
            "price": [1.5, 2.5, None, 4.0, 5.0],
            "ok": [True, False, True, None, False],
            "at": pa.array([*(datetime(2024, 1, *each, tzinfo=UTC) for each in times), None], instant),
        }
    )
    shops = pa.table(
        {
            "shop": ["a", "b", "c", None],
            "city": ["Tokyo", "Osaka", "Kyoto", "Nara"],
            "size": [3, 5, None, 1],
        }
    )
    return {
        "one": pa.table({name: pa.array([value], kind) for name, (value, kind) in one.items()}),
        "sales": sales,
        "shops": shops,
        "daily.counts": pa.table({"n": [3]}),
    }


def as_json(value: Any) -> object:  # Any: whatever Arrow gives
    """Return a value as the cases write it: dates and times as ISO text."""
    return value.isoformat() if isinstance(value, date) else value
