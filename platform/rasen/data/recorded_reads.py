"""The reads of an earlier run, standing in for the warehouse when that run is executed again.

A read is found by its query and its parameters; the second time a step asks the same, it gets what the second time was
answered then. What was never asked has no answer: the warehouse of today would give one, but not the one that counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd

INDEX_FILE = "reads.json"
_SHOWN_CHARACTERS = 200


def write_index(folder: Path, reads: Iterable[tuple[str, Mapping[str, Any], str]]) -> None:  # Any: JSON
    """Write which file of `folder` answers which query, as `(sql, parameters, file name)` in the order of asking."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [{"sql": sql, "parameters": dict(parameters), "file": file} for sql, parameters, file in reads]
    (folder / INDEX_FILE).write_text(json.dumps(listed), encoding="utf-8")


def read_recorded(
    folder: Path, sql: str, parameters: Mapping[str, object], *, asked_before: int
) -> pd.DataFrame:
    """Return what the earlier run was answered.

    Args:
        folder: Where the recorded tables lie, with their index.
        sql: The query.
        parameters: As the record keeps them.
        asked_before: How often this step asked the same before.

    Raises:
        QueryError: The earlier run did not ask this, or not so often; the message names what it asked.
    """
    from rasen.data.snapshots import read_snapshot

    recorded: list[dict[str, Any]] = json.loads((folder / INDEX_FILE).read_bytes())  # Any: JSON
    plain = json.loads(json.dumps(parameters))
    answers = [one["file"] for one in recorded if one["sql"] == sql and one["parameters"] == plain]
    if asked_before < len(answers):
        return read_snapshot(folder / answers[asked_before])
    asked = f"{_short(sql)} with {json.dumps(plain, ensure_ascii=False)}"
    if answers:
        raise QueryError(
            f"the query {asked} was asked {len(answers)} times by the run that is repeated, and now once more"
        )
    same = [one["parameters"] for one in recorded if one["sql"] == sql]
    if same:
        raise QueryError(
            f"the query {asked} was not asked by the run that is repeated; it asked it with "
            + " and ".join(json.dumps(one, ensure_ascii=False) for one in same)
        )
    there = "; ".join(_short(one["sql"]) for one in recorded) or "nothing"
    raise QueryError(f"the query {asked} was not asked by the run that is repeated; it asked: {there}")


def _short(sql: str) -> str:
    text = " ".join(sql.split())
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + " …")
