"""Snapshots: immutable Parquet copies of what a run read, named by the digest of their bytes.

The types are those of `rasen.data.columns` and so are the dtypes that come back, which makes any table of the warehouse
a snapshot too. A table that a step saves may have other dtypes and is the business of `rasen.saved_tables`. Equal rows
in equal order give equal bytes as long as the Parquet library is the same: a digest names bytes, not a query.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.data.columns import frame_from_table, table_from_frame
from rasen.data.files import read_parquet
from rasen.errors import NotFound, PlatformFailed

if TYPE_CHECKING:
    import pandas as pd


def write_snapshot(frame: pd.DataFrame, folder: Path) -> Path:
    """Write the rows to `<folder>/<sha256>.parquet`, which appears whole, and return that path.

    Args:
        frame: Columns of the six types; the index is left away.
        folder: Where snapshots lie; it is made if need be.

    Raises:
        InvalidInput: A column has none of the six types, or its name is no text or occurs twice.
        PlatformFailed: The disk is full or cannot be written.
    """
    import pyarrow.parquet as pq

    # One chunk a column: how a query happened to hand over its rows must not show in the bytes.
    table = table_from_frame(frame, origin="snapshot").combine_chunks()
    scratch = folder / f".{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            pq.write_table(table, file, compression="zstd", row_group_size=65_536)
        with scratch.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return scratch.rename(folder / f"{digest}.parquet")
    except OSError as error:
        raise PlatformFailed(f"a snapshot could not be written to {str(folder)!r}: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # where it could not be written, there is nothing to remove
            scratch.unlink()


def read_snapshot(path: Path) -> pd.DataFrame:
    """Read a snapshot, or any other Parquet file of the six column types, as a DataFrame of their dtypes.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is not a Parquet file, or a column has an unsupported type.
    """
    if not path.is_file():
        raise NotFound(f"there is no snapshot {str(path)!r}")
    return frame_from_table(read_parquet(path, origin=f"snapshot {path.name!r}"))
