"""OVER: partitions, order, ROWS and RANGE frames, and the functions that only exist there.

BigQuery sorts NULL first when ascending and last when descending; DuckDB does not, so the order is always spelled
out. A frame is passed on only where both engines allow one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.data import sql_functions
from rasen.data.columns import ColumnType
from rasen.data.sql_values import Value, literal
from rasen.suggestion import suggest

if TYPE_CHECKING:
    from sqlglot import exp

    from rasen.data.sql_expressions import Expressions

_NUMBERING = {"RowNumber", "Rank", "DenseRank", "PercentRank", "CumeDist", "Ntile", "Lag", "Lead"}
_VALUES = {"FirstValue", "LastValue"}


def window(expressions: Expressions, node: exp.Expr) -> Value:
    """Return the value of a function with its OVER clause.

    Raises:
        QueryError: The function, its frame or its order is not on the allow-list.
    """
    translation = expressions.translation
    translation.use("OVER")
    if node.args.get("alias") is None:
        translation.only(node, "this", "partition_by", "order", "spec", "over")
        clause = node
    else:
        translation.only(node, "this", "alias", "over")
        clause = _named(expressions, node)
    call, ignore_nulls = node.this, False
    if type(call).__name__ == "IgnoreNulls":
        call, ignore_nulls = call.this, True
        translation.use("IGNORE NULLS")
    kind = type(call).__name__
    if ignore_nulls and kind not in _VALUES:
        raise translation.error(node, "IGNORE NULLS is possible with FIRST_VALUE and LAST_VALUE only")
    _check_place(expressions, call, clause)
    over = _over(expressions, clause)
    match kind:
        case "Lag" | "Lead":
            return _lag(expressions, call, over)
        case "FirstValue" | "LastValue":
            return _edge(expressions, call, over, ignore_nulls=ignore_nulls)
        case "Ntile":
            return _ntile(expressions, call, over)
        case "PercentileCont":
            return _percentile(expressions, call, over)
        case "Count":
            return sql_functions.count(expressions, call, over)
        case _:
            return expressions.function(call, over)


def _check_place(expressions: Expressions, call: exp.Expr, clause: exp.Expr) -> None:
    """Refuse an OVER clause that leaves the answer open, or that the function does not take."""
    kind = type(call).__name__
    order, frame = clause.args.get("order"), clause.args.get("spec")
    name = str(call.meta.get("bigquery_name", kind)).upper()
    if order is None and kind in _NUMBERING | _VALUES:
        raise expressions.translation.error(
            call, f"{name} needs ORDER BY in its OVER clause: its answer is not determined"
        )
    if frame is not None and kind in _NUMBERING:
        raise expressions.translation.error(call, f"{name} takes no frame")
    if kind == "PercentileCont" and (order is not None or frame is not None):
        raise expressions.translation.error(call, "PERCENTILE_CONT takes PARTITION BY only")


def _named(expressions: Expressions, node: exp.Expr) -> exp.Expr:
    """Return the definition that `OVER name` stands for."""
    name = node.args["alias"].name
    definition = expressions.names.windows.get(name.lower())
    if definition is None:
        known = expressions.names.windows
        raise expressions.translation.error(node, f"unknown window {name!r}; {suggest(name, known)}")
    expressions.translation.only(definition, "this", "partition_by", "order", "spec")
    expressions.translation.use("WINDOW")
    return definition


def _over(expressions: Expressions, node: exp.Expr) -> str:
    translation = expressions.translation
    order, frame = node.args.get("order"), node.args.get("spec")
    parts = []
    if node.args.get("partition_by"):
        translation.use("PARTITION BY")
        keys = ", ".join(expressions.value(each).sql for each in node.args["partition_by"])
        parts.append(f"PARTITION BY {keys}")
    key_types: list[ColumnType | None] = []
    if order is not None:
        translation.use("window ORDER BY")
        translation.only(order, "expressions")
        spelled = [ordered(expressions, each) for each in order.expressions]
        parts.append("ORDER BY " + ", ".join(sql for sql, _ in spelled))
        key_types = [type_ for _, type_ in spelled]
    if frame is not None:
        parts.append(_frame(expressions, frame, key_types))
    return f" OVER ({' '.join(parts)})"


def ordered(expressions: Expressions, node: exp.Expr) -> tuple[str, ColumnType | None]:
    """Return one key of an ORDER BY with its direction and the place of NULLs, and the key's type.

    Raises:
        QueryError: The key is a constant, or has something else to it.
    """
    expressions.translation.only(node, "this", "desc", "nulls_first")
    value = expressions.value(node.this)
    if value.constant is not None:
        raise expressions.translation.error(node, "ORDER BY a constant orders nothing")
    return f"{value.sql} {direction(node)}", value.type


def direction(node: exp.Expr) -> str:
    """Return `ASC NULLS FIRST` or what else a key of an ORDER BY says."""
    descending = bool(node.args.get("desc"))
    nulls_first = node.args.get("nulls_first")
    first = (not descending) if nulls_first is None else bool(nulls_first)
    return f"{'DESC' if descending else 'ASC'} NULLS {'FIRST' if first else 'LAST'}"


def _frame(expressions: Expressions, frame: exp.Expr, key_types: list[ColumnType | None]) -> str:
    translation = expressions.translation
    translation.only(frame, "kind", "start", "start_side", "end", "end_side")
    kind = str(frame.args["kind"]).upper()
    if kind not in {"ROWS", "RANGE"}:
        raise translation.error(frame, f"a frame of {kind} is not supported; possible are ROWS and RANGE")
    translation.use(f"{kind} frame")
    if not key_types and kind == "RANGE":
        raise translation.error(frame, "a RANGE frame needs ORDER BY")
    start = _bound(expressions, frame, "start", kind, key_types)
    end = (
        "CURRENT ROW" if frame.args.get("end") is None else _bound(expressions, frame, "end", kind, key_types)
    )
    return f"{kind} BETWEEN {start} AND {end}"


def _bound(
    expressions: Expressions, frame: exp.Expr, which: str, kind: str, key_types: list[ColumnType | None]
) -> str:
    bound, side = frame.args[which], str(frame.args.get(f"{which}_side") or "")
    if isinstance(bound, str):
        return f"{bound} {side}".strip()
    value = expressions.value(bound)
    number = value.constant
    if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
        raise expressions.translation.error(
            frame, "a frame's bound is a number from 0 up, or a parameter that is one"
        )
    if kind == "ROWS":
        if not isinstance(number, int):
            raise expressions.translation.error(
                frame, f"a frame of ROWS is bounded by a whole number, not {number!r}"
            )
    elif len(key_types) != 1 or key_types[0] not in {ColumnType.INT64, ColumnType.FLOAT64}:
        raise expressions.translation.error(
            frame,
            "a RANGE frame with a number needs exactly one numeric key: ORDER BY UNIX_DATE(day), UNIX_SECONDS(time)",
        )
    else:
        key = key_types[0]
        assert key is not None
        value = expressions.as_type(value, key, frame, "the bound of the RANGE frame")
    return f"{value.sql} {side}"


def _lag(expressions: Expressions, call: exp.Expr, over: str) -> Value:
    translation = expressions.translation
    translation.only(call, "this", "offset", "default")
    translation.use("LAG LEAD")
    name = type(call).__name__.upper()
    value = expressions.value(call.this)
    offset = (
        1
        if call.args.get("offset") is None
        else expressions.constant(call.args["offset"], int, f"{name}'s offset")
    )
    if int(offset) < 0:
        raise translation.error(call, f"{name}: the offset {offset} is negative")
    default = call.args.get("default")
    if value.type is None:
        raise translation.error(call, f"{name} of NULL is always NULL")
    otherwise = "NULL"
    if default is not None:
        given = expressions.typed(default, value.type, f"{name}'s default")
        if given.constant is None and type(default).__name__ != "Null":
            raise translation.error(call, f"{name}'s default must be written out, or a parameter")
        otherwise = given.sql
    sql = f"{name.lower()}({value.sql}, {literal(int(offset)).sql}, {otherwise}){over}"
    return Value(sql=sql, type=value.type, aggregate=True)


def _edge(expressions: Expressions, call: exp.Expr, over: str, *, ignore_nulls: bool) -> Value:
    expressions.translation.only(call, "this")
    expressions.translation.use("FIRST_VALUE LAST_VALUE")
    name = "first_value" if type(call).__name__ == "FirstValue" else "last_value"
    value = expressions.value(call.this)
    return Value(
        sql=f"{name}({value.sql}{' IGNORE NULLS' if ignore_nulls else ''}){over}",
        type=value.type,
        aggregate=True,
    )


def _ntile(expressions: Expressions, call: exp.Expr, over: str) -> Value:
    expressions.translation.only(call, "this")
    expressions.translation.use("NTILE")
    buckets = int(expressions.constant(call.this, int, "the number of NTILE"))
    if buckets < 1:
        raise expressions.translation.error(call, f"NTILE({buckets}): the number must be 1 or more")
    return Value(sql=f"ntile({literal(buckets).sql}){over}", type=ColumnType.INT64, aggregate=True)


def _percentile(expressions: Expressions, call: exp.Expr, over: str) -> Value:
    expressions.translation.only(call, "this", "expression")
    expressions.translation.use("PERCENTILE_CONT")
    value = expressions.typed(call.this, ColumnType.FLOAT64, "PERCENTILE_CONT")
    share = expressions.typed(call.expression, ColumnType.FLOAT64, "the share of PERCENTILE_CONT").constant
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise expressions.translation.error(
            call, "the share of PERCENTILE_CONT is a number from 0 to 1, written out"
        )
    sql = f"quantile_cont({value.sql}, {literal(float(share)).sql}){over}"
    return Value(sql=sql, type=ColumnType.FLOAT64, aggregate=True)
