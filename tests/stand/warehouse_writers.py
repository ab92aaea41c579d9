"""Processes that write to an embedded warehouse at once, or are killed while they do."""

import multiprocessing
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rasen.data.warehouse import EmbeddedWarehouse


def fork_server() -> ForkServerContext:
    """Return a context whose processes start in milliseconds, with the warehouse imported."""
    context = multiprocessing.get_context("forkserver")
    # Not this module: the server of Python 3.11 does not know the tests' path and would say nothing.
    context.set_forkserver_preload(["pandas", "pyarrow.compute", "pyarrow.parquet", "rasen.data.warehouse"])
    return context


def write_numbers(path: Path, *, rows: int, value: int) -> Path:
    """Write a Parquet file whose every row says `value`."""
    pq.write_table(pa.table({"value": [value] * rows}), path)
    return path


def put_own_tables(root: Path, scratch: Path, writer: int, count: int) -> None:
    """Put `count` tables named after the writer, one after the other."""
    warehouse = EmbeddedWarehouse(root)
    for number in range(count):
        path = write_numbers(scratch / f"{writer}.parquet", rows=3, value=number)
        warehouse.put_table(f"table_{writer}_{number}", path, source=f"writer {writer}")


def put_for_ever(root: Path, scratch: Path) -> None:
    """Replace one table again and again, each time with another file."""
    warehouse = EmbeddedWarehouse(root)
    value = 0
    while True:
        value += 1
        path = write_numbers(scratch / "numbers.parquet", rows=2_000, value=value % 50)
        warehouse.put_table("numbers", path, source="for ever")
