"""Turns closed segments of the prediction log into Parquet objects of the store; a short-lived process.

A process of its own, because DuckDB brings 65 MB that serving would carry all day. The object's name is the
segment's, and objects are create-only: a shipping that was killed between upload and deletion repeats without
doubling a row. What a SIGKILL or a full disk left of a line is counted as torn and left out.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rasen.errors import PreconditionFailed, StoreError
from rasen.settings import load_settings
from rasen.store import Store, open_store
from rasen.tracking.keys import prediction_key
from rasen_serving.log import CLOSED_SUFFIX, Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

COLUMNS = {
    "request_id": "VARCHAR",
    "row": "INTEGER",
    "at": "TIMESTAMPTZ",
    "key_id": "VARCHAR",
    "endpoint": "VARCHAR",
    "revision": "INTEGER",
    "model": "VARCHAR",
    "engine": "VARCHAR",
    "batch_rows": "INTEGER",
    "variant": "VARCHAR",
    "reason": "VARCHAR",
    "source": "VARCHAR",
    "status": "INTEGER",
    "latency_us": "BIGINT",
    "inputs": "VARCHAR",
    "outputs": "VARCHAR",
}
"""Columns of the log; `inputs` and `outputs` are the row's JSON, because endpoints differ in their schemas."""


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """What one shipping did.

    Args:
        rows: Rows that are in the store now.
        torn: Lines that were not whole.
        failure: Why it stopped before the last segment, `None` when it did not.
    """

    rows: int
    torn: int
    failure: StoreError | None = None


def ship(folder: Path, store: Store, *, replica: str) -> Shipped:
    """Upload and delete all closed segments, oldest first; what cannot be uploaded stays."""
    rows, torn = 0, 0
    for path in sorted(folder.glob(f"*{CLOSED_SUFFIX}"), key=lambda path: path.name.split(".")[2]):
        endpoint, day, segment, _ = path.name.split(".")
        entries, broken = read_segment(path)
        if entries:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".shipping-") as scratch:
                parquet = Path(scratch) / "segment.parquet"
                count = write_parquet(entries, parquet)
                key = prediction_key(endpoint, date.fromisoformat(day), replica, segment)
                try:
                    store.upload(parquet, key, sha256=hashlib.sha256(parquet.read_bytes()).hexdigest())
                except PreconditionFailed:
                    logger.info("segment %s had been uploaded before", segment)
                except StoreError as failure:
                    return Shipped(rows=rows, torn=torn, failure=failure)
            rows += count
        torn += broken
        path.unlink()
    return Shipped(rows=rows, torn=torn)


def read_segment(path: Path) -> tuple[list[Entry], int]:
    """Return the whole lines of a segment, and how many were not whole."""
    decoder = msgspec.json.Decoder(Entry)
    entries, torn = [], 0
    for line in path.read_bytes().split(b"\n"):
        if not line:
            continue
        try:
            entries.append(decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            torn += 1
    return entries, torn


def write_parquet(entries: list[Entry], target: Path) -> int:
    """Write one row for each predicted row and return how many."""
    import duckdb

    lines = target.with_suffix(".jsonl")
    rows = 0
    with lines.open("wb") as file:
        for record in _records(entries):
            file.write(msgspec.json.encode(record) + b"\n")
            rows += 1
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.read_json(str(lines), columns=COLUMNS, format="newline_delimited").write_parquet(
            str(target), compression="zstd"
        )
    return rows


def _records(entries: list[Entry]) -> Iterator[dict[str, object]]:
    for entry in entries:
        at = datetime.fromtimestamp(entry.at, tz=UTC).isoformat()
        for row in range(entry.rows):
            yield {
                "request_id": entry.request_id,
                "row": row,
                "at": at,
                "key_id": None,
                "endpoint": entry.endpoint,
                "revision": entry.revision,
                "model": entry.model,
                "engine": entry.engine,
                "batch_rows": entry.rows,
                "variant": entry.variant,
                "reason": entry.reason,
                "source": entry.source,
                "status": entry.status,
                "latency_us": entry.latency_us,
                "inputs": _json({name: values[row] for name, values in entry.inputs.items()}),
                "outputs": _json(entry.outputs[row]) if entry.outputs else None,
            }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def main() -> int:
    """Ship the folder named on the command line and print the counts as JSON for the supervisor."""
    logging.basicConfig(format="rasen serve: shipping: %(message)s")
    folder, replica = Path(sys.argv[1]), sys.argv[2]
    shipped = ship(folder, open_store(load_settings(), patient=False), replica=replica)
    sys.stdout.write(json.dumps({"rows": shipped.rows, "torn": shipped.torn}) + "\n")
    if shipped.failure is not None:
        logger.warning("the prediction log stays in the spool: %s", shipped.failure)
        return shipped.failure.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
