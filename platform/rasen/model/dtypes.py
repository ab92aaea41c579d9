"""From a pandas column to its contract type: the one place that decides what a dtype means.

Naive instants are refused rather than guessed: a `datetime64` column counts as `date` only while every value is
midnight, and as `timestamp` only with a time zone. An `object` column must hold text and nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

CATEGORY = "category"
ORDERED_CATEGORY = "category[ordered]"

_BOOL = {"bool", "boolean"}
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
_INTEGERS |= {"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32"}
_FLOATS = {"float16", "float32", "float64", "Float32", "Float64"}
_TEXT = {"str", "string"}
_NAIVE = re.compile(r"datetime64\[(s|ms|us|ns)\]")
_INSTANT = re.compile(r"datetime64\[(s|ms|us|ns), .+\]")


def classify(series: pd.Series, *, where: str) -> tuple[ColumnType, str]:
    """Return the contract type of a column, and the dtype that rebuilds it.

    Args:
        series: The column, of any length.
        where: What to call the column in an error, for example `"column 'hour' of the example"`.

    Raises:
        InvalidInput: The column has no contract type; the message says what to convert it to.
    """
    dtype = str(series.dtype)
    if dtype in _BOOL:
        return ColumnType.BOOL, dtype
    if dtype in _INTEGERS:
        return ColumnType.INT64, dtype
    if dtype in _FLOATS:
        return ColumnType.FLOAT64, dtype
    if dtype in _TEXT:
        return ColumnType.STRING, dtype
    if dtype == "object":
        return ColumnType.STRING, _text_dtype(series, where=where)
    if dtype == CATEGORY:
        return _category(series, where=where)
    if _INSTANT.fullmatch(dtype):
        return ColumnType.TIMESTAMP, dtype
    if _NAIVE.fullmatch(dtype):
        known = series.dropna()
        if bool((known == known.dt.normalize()).all()):
            return ColumnType.DATE, dtype
        raise InvalidInput(
            f"{where} holds times of day without a time zone ({dtype}); say which instants they are with "
            ".dt.tz_localize('UTC'), or make them dates with .dt.normalize()"
        )
    advice = "; values above 2**63 have no JSON type, use .astype('int64')" if dtype == "uint64" else ""
    raise InvalidInput(
        f"{where} has dtype {dtype!r}, which no request can carry{advice}. Usable are bool, integers, floats, "
        "text (str), category, dates (datetime64[s]) and instants (datetime64[us, UTC])"
    )


def _text_dtype(series: pd.Series, *, where: str) -> str:
    """Return `"object"` when missing values are `None`, `"str"` when they are NaN or there are none."""
    missing = series.isna()
    kinds = sorted({type(value).__name__ for value in series[~missing]})
    if kinds not in ([], ["str"]):
        raise InvalidInput(
            f"{where} is an object column holding {', '.join(kinds)}; give it one type, "
            "for example .astype('str') or .astype('float64')"
        )
    return "object" if any(value is None for value in series[missing]) else "str"


def _category(series: pd.Series, *, where: str) -> tuple[ColumnType, str]:
    values = series.cat.categories.to_series()
    kind, _ = classify(values, where=f"the categories of {where}")
    if kind not in (ColumnType.BOOL, ColumnType.INT64, ColumnType.STRING):
        raise InvalidInput(
            f"the categories of {where} are {kind.value}; they must be text, whole numbers or bool"
        )
    return kind, ORDERED_CATEGORY if series.cat.ordered else CATEGORY
