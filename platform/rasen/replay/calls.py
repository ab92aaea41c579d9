"""How rows are put together for a model: which of them share a call, and what executes it.

Answers may differ in their last bits with the number of rows in a call, so compiled engines, whose calls cost next to
nothing, are called with as many rows as when the row was answered. The model itself is called with many at once: a
pipeline takes as long for one row as for a thousand. Whoever wants its last bits asks for `exact`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

NATIVE, PROFILE, CHOSEN = "native", "profile", "chosen"
MANY_ROWS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedRow:
    """A row to be asked, and how.

    Args:
        text: The row's inputs as JSON: an object.
        request: Rows of one request have the same; they follow one another.
        engine: What executed it, or `CHOSEN` for whatever is the quickest.
        batch_rows: Rows of the call that it was part of; 0 when nobody knows.
    """

    text: str
    request: int
    engine: str = CHOSEN
    batch_rows: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call of a model.

    Args:
        rows: Positions of the rows.
        engine: What executes it.
        size: How many rows the call shall have; it is filled up with rows again from the first.
    """

    rows: tuple[int, ...]
    engine: str
    size: int


def plan_calls(rows: Sequence[AskedRow], *, row_wise: bool, exact: bool = False) -> list[Call]:
    """Return the calls that ask for each row once.

    Args:
        rows: What to ask.
        row_wise: Whether a row's answer does not depend on the rows beside it; if it does, a request is a call.
        exact: Whether the model itself is called with as many rows as when it answered, too.
    """
    if not row_wise:
        return [_call(request, rows) for request in _requests(range(len(rows)), rows)]
    groups: dict[tuple[str, int], list[int]] = {}
    for position, row in enumerate(rows):
        as_logged = row.batch_rows > 0 and row.engine not in (PROFILE, CHOSEN)
        most = row.batch_rows if as_logged and (exact or row.engine != NATIVE) else 0
        groups.setdefault((row.engine, most), []).append(position)
    return [
        Call(rows=tuple(positions[begin : begin + (most or MANY_ROWS)]), engine=engine, size=most)
        for (engine, most), positions in groups.items()
        for begin in range(0, len(positions), most or MANY_ROWS)
    ]


def _requests(positions: Iterable[int], rows: Sequence[AskedRow]) -> list[tuple[int, ...]]:
    return [tuple(group) for _, group in groupby(positions, key=lambda position: rows[position].request)]


def _call(request: tuple[int, ...], rows: Sequence[AskedRow]) -> Call:
    engine = rows[request[0]].engine
    # An engine was never asked for such a model: each request is a call of the model itself.
    return Call(rows=request, engine=PROFILE if engine == PROFILE else NATIVE, size=len(request))
