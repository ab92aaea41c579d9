"""The datatypes of the Open Inference Protocol, and which of them a column of ours may come and go as."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from rasen.data.columns import ColumnType
from rasen.model.schema import Output

SCALAR_NAME = "predict"
"""The output tensor's name where the model answers one value a row."""

Values = list[Any]  # Any: JSON values, checked against the datatype


@dataclass(frozen=True, kw_only=True, slots=True)
class Datatype:
    """One of the protocol's datatypes.

    Args:
        code: NumPy's name of its bytes; `""` for texts, which have a length each.
        kinds: The Python types that its values have in JSON.
        low: Its least whole number, where it is one.
        high: Its greatest.
    """

    code: str
    kinds: frozenset[type]
    low: int = 0
    high: int = 0


def _whole(code: str, bits: int, *, signed: bool) -> Datatype:
    half = 1 << (bits - 1)
    low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
    return Datatype(code=code, kinds=frozenset({int}), low=low, high=high)


DATATYPES = {
    "BOOL": Datatype(code="u1", kinds=frozenset({bool})),
    "INT8": _whole("i1", 8, signed=True),
    "INT16": _whole("<i2", 16, signed=True),
    "INT32": _whole("<i4", 32, signed=True),
    "INT64": _whole("<i8", 64, signed=True),
    "UINT8": _whole("u1", 8, signed=False),
    "UINT16": _whole("<u2", 16, signed=False),
    "UINT32": _whole("<u4", 32, signed=False),
    "UINT64": _whole("<u8", 64, signed=False),
    "FP16": Datatype(code="<f2", kinds=frozenset({int, float})),
    "FP32": Datatype(code="<f4", kinds=frozenset({int, float})),
    "FP64": Datatype(code="<f8", kinds=frozenset({int, float})),
    "BYTES": Datatype(code="", kinds=frozenset({str})),
}

_WHOLE_NUMBERS = ("INT64", "INT32", "INT16", "INT8", "UINT8", "UINT16", "UINT32", "UINT64")
_TEXTS = ("BYTES",)
ACCEPTED: dict[ColumnType, tuple[str, ...]] = {
    ColumnType.BOOL: ("BOOL",),
    ColumnType.INT64: _WHOLE_NUMBERS,
    ColumnType.FLOAT64: ("FP64", "FP32", "FP16", *_WHOLE_NUMBERS),
    ColumnType.STRING: _TEXTS,
    ColumnType.DATE: _TEXTS,
    ColumnType.TIMESTAMP: _TEXTS,
}
"""By column type; the first is the one that the metadata names."""


def datatype_of(kind: ColumnType) -> str:
    """Return the datatype under which the metadata and the answers have a column."""
    return ACCEPTED[kind][0]


def outputs_of(output: Output) -> dict[str, ColumnType]:
    """Return the output tensors' names and types."""
    if output.type is not None:
        return {SCALAR_NAME: output.type}
    return {column.name: column.type for column in output.columns}


def write_bytes(values: Values, kind: ColumnType) -> bytes:
    """Return an output's values as the bytes of its datatype."""
    import numpy as np

    datatype = DATATYPES[datatype_of(kind)]
    if datatype.code:
        return np.array(values, dtype=datatype.code).tobytes()
    parts: list[bytes] = []
    for value in values:
        encoded = value.encode()
        parts += (struct.pack("<I", len(encoded)), encoded)
    return b"".join(parts)
