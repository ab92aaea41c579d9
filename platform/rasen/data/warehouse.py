"""The warehouse of one machine: Parquet files behind an immutable list, queried with BigQuery SQL.

    <root>/files/<sha256>.parquet     a table's rows, never changed
    <root>/tables/<number>.json       all tables of the warehouse; the highest number is the truth

A change writes its file, then creates the list with the next number; whoever is second starts over with the newer
list. So a table appears whole or not at all, a reader sees one state of all tables, and a process killed at any
instant leaves the previous state. Lists and files are not removed here: the next number is free only as long as
the taken ones are still there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict

from rasen.data.columns import ColumnType, arrow_type, frame_from_table, schema_of
from rasen.data.drawing import draw_sql
from rasen.data.engine import open_engine, quote_name, quote_text
from rasen.data.files import read_parquet, read_table
from rasen.data.sql import translate
from rasen.errors import InvalidInput, NotFound, PlatformFailed, QueryError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}(\.[A-Za-z_][A-Za-z0-9_]{0,127}){0,2}")


class TableInfo(BaseModel):
    """What is known of one table.

    `source` says where the rows came from, in words; `source_sha256` is the digest of the file that was handed in,
    by which a repeated `put_table` is recognised.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    columns: dict[str, ColumnType]
    rows: int
    sha256: str
    size_bytes: int
    source: str
    source_sha256: str
    loaded_at: AwareDatetime


class _TableList(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    tables: dict[str, TableInfo]


class Warehouse(Protocol):
    """Where `read_sql` reads: tables by name, BigQuery SQL, typed parameters."""

    def tables(self) -> Mapping[str, TableInfo]:
        """Return the tables by name."""

    def query(
        self, sql: str, parameters: Mapping[str, object], *, most_rows: int | None = None
    ) -> pd.DataFrame:
        """Run a query and return its rows, at most so many, with the dtypes of `rasen.data.columns`."""

    def query_to_parquet(self, sql: str, parameters: Mapping[str, object], path: Path) -> int:
        """Run a query, write its rows to a Parquet file and return how many there were."""

    def put_table(self, name: str, parquet_path: Path, *, source: str) -> None:
        """Make `name` show the rows of a Parquet file, at once and whole; the same file again changes nothing."""


class EmbeddedWarehouse:
    """Tables as Parquet files in a directory, queried by an in-memory DuckDB.

    Args:
        root: The directory; it is made when the first table is put into it.
        threads: How many threads a query may use; `None` is one per core.
    """

    def __init__(self, root: Path, *, threads: int | None = None) -> None:
        self._root = root
        self._threads = threads

    def tables(self) -> Mapping[str, TableInfo]:
        """Return the tables by name, all of one instant."""
        return self._newest()[1].tables

    def load_table(
        self, name: str, files: Path | Sequence[Path], *, source: str, missing_texts: Sequence[str] = ()
    ) -> TableInfo:
        """Make `name` show the rows of CSV, JSON or Parquet files, at once and whole; the same again changes nothing.

        Args:
            name: Letters, digits and underscores, with up to two dots (`dataset.table`).
            files: One file or several with equal columns, of the formats of `rasen.data.files.FORMATS`.
            source: Where the rows come from, in words.
            missing_texts: Cells of a CSV file with one of these texts are missing, in columns of text too.

        Raises:
            InvalidInput: The name, a file or a column's type is wrong, or the files' columns differ.
            PlatformFailed: The disk is full or cannot be written.
        """
        import pyarrow as pa

        paths = [files] if isinstance(files, Path) else list(files)
        if not paths:
            raise InvalidInput(f"table {name!r}: no file was given")
        self._check_name(name)
        digest = hashlib.sha256(json.dumps(sorted(missing_texts)).encode())
        for path in paths:
            digest.update(_sha256_of(path).encode())
        present = self._newest()[1].tables.get(name)
        if present is not None and present.source_sha256 == digest.hexdigest():
            return present
        tables = [read_table(path, missing_texts=missing_texts) for path in paths]
        for path, table in zip(paths, tables, strict=True):
            if table.schema != tables[0].schema:
                raise InvalidInput(
                    f"table {name!r}: the columns of {path.name!r} {_describe(table)} differ from those of "
                    f"{paths[0].name!r} {_describe(tables[0])}"
                )
        return self._put(name, pa.concat_tables(tables), source=source, source_sha256=digest.hexdigest())

    def put_table(self, name: str, parquet_path: Path, *, source: str) -> TableInfo:
        """Make `name` show the rows of a Parquet file, at once and whole; the same file again changes nothing.

        Raises:
            InvalidInput: The name, the file or a column's type is wrong.
            PlatformFailed: The disk is full or cannot be written.
        """
        self._check_name(name)
        try:
            source_sha256 = _sha256_of(parquet_path)
        except FileNotFoundError as error:
            raise NotFound(f"table {name!r}: there is no file {str(parquet_path)!r}") from error
        present = self._newest()[1].tables.get(name)
        if present is not None and present.source_sha256 == source_sha256:
            return present
        table = read_parquet(parquet_path, origin=f"table {name!r}")
        return self._put(name, table, source=source, source_sha256=source_sha256)

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, most_rows: int | None = None
    ) -> pd.DataFrame:
        """Run a query in BigQuery's SQL and return its rows with the dtypes of `rasen.data.columns`.

        Args:
            sql: One SELECT; see `rasen.data.sql` for what is understood.
            parameters: A value for each `@name` of the query and no other.
            most_rows: The most rows to return; of more, the engine draws so many (`rasen.data.drawing`).

        Raises:
            QueryError: The query is outside the verified constructs, names an unknown table or column, or fails
                on a row (a division by zero, an overflow).
        """
        return frame_from_table(self._run(sql, parameters or {}, most_rows=most_rows))

    def query_to_parquet(self, sql: str, parameters: Mapping[str, object] | None, path: Path) -> int:
        """Run a query, write its rows to a Parquet file and return how many there were.

        Raises:
            QueryError: As `query` does.
            PlatformFailed: The disk is full or cannot be written.
        """
        table = self._run(sql, parameters or {})
        try:
            _write_parquet(table, path)
        except OSError as error:
            raise PlatformFailed(
                f"the query's result could not be written to {str(path)!r}: {error}"
            ) from error
        return int(table.num_rows)

    def _run(self, sql: str, parameters: Mapping[str, object], *, most_rows: int | None = None) -> pa.Table:
        import duckdb
        import pyarrow as pa

        tables = self._newest()[1].tables
        translated = translate(sql, parameters, tables={name: info.columns for name, info in tables.items()})
        files = {name: self._file(tables[name].sha256) for name in translated.tables}
        for name, file in files.items():
            if not file.is_file():
                raise PlatformFailed(
                    f"the file of table {name!r} is lost: {str(file)!r}; load the table again"
                )
        with open_engine(list(files.values()), threads=self._threads) as engine:
            try:
                for name, file in files.items():
                    engine.execute(
                        f"CREATE VIEW {quote_name(name)} AS FROM read_parquet({quote_text(str(file))})"
                    )
                text = translated.sql
                if most_rows is not None:
                    text = draw_sql(text, list(translated.columns), most_rows)
                result = engine.sql(text, params=dict(translated.parameters)).to_arrow_table()
            except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
                raise PlatformFailed(
                    f"the query could not be finished on this machine: {_first_line(error)}"
                ) from error
            except duckdb.Error as error:
                raise QueryError(f"the query failed: {_first_line(error)}") from error
        kinds = [arrow_type(column_type) for column_type in translated.columns.values()]
        columns = [column.cast(kind) for column, kind in zip(result.columns, kinds, strict=True)]
        return pa.table(columns, names=list(translated.columns))

    def _check_name(self, name: str) -> None:
        if not _TABLE_NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no table name: letters, digits and underscores, beginning with a letter, "
                "with up to two dots, as in 'flights' or 'sales.orders'"
            )
        for present in self._newest()[1].tables:
            if present != name and present.lower() == name.lower():
                raise InvalidInput(
                    f"table {name!r} differs from the table {present!r} in upper and lower case only; use one name"
                )

    def _put(self, name: str, table: pa.Table, *, source: str, source_sha256: str) -> TableInfo:
        scratch = self._root / "files" / f".{uuid.uuid4().hex}.tmp"
        try:
            scratch.parent.mkdir(parents=True, exist_ok=True)
            _write_parquet(table, scratch)
            sha256, size_bytes = _sha256_of(scratch), scratch.stat().st_size
            scratch.rename(self._file(sha256))
            _sync_directory(scratch.parent)
        except OSError as error:
            raise PlatformFailed(
                f"table {name!r} could not be written below {str(self._root)!r}: {error}"
            ) from error
        finally:
            scratch.unlink(missing_ok=True)
        info = TableInfo(
            columns=schema_of(table),
            rows=table.num_rows,
            sha256=sha256,
            size_bytes=size_bytes,
            source=source,
            source_sha256=source_sha256,
            loaded_at=datetime.now(UTC),
        )
        while True:
            number, tables = self._newest()
            present = tables.tables.get(name)
            if present is not None and (present.sha256, present.source_sha256) == (sha256, source_sha256):
                return present
            if self._create_list(number + 1, _TableList(tables={**tables.tables, name: info})):
                return info

    def _file(self, sha256: str) -> Path:
        return self._root.absolute() / "files" / f"{sha256}.parquet"

    def _newest(self) -> tuple[int, _TableList]:
        try:
            numbers = [
                int(entry.name[:-5])
                for entry in os.scandir(self._root / "tables")
                if entry.name.endswith(".json")
            ]
        except FileNotFoundError:
            numbers = []
        if not numbers:
            return 0, _TableList(tables={})
        path = self._list_path(max(numbers))
        try:
            return max(numbers), _TableList.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise PlatformFailed(f"the warehouse's list {str(path)!r} cannot be read: {error}") from error

    def _list_path(self, number: int) -> Path:
        return self._root / "tables" / f"{number:08d}.json"

    def _create_list(self, number: int, tables: _TableList) -> bool:
        path = self._list_path(number)
        scratch = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as file:
                file.write(tables.model_dump_json(indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            os.link(scratch, path)
            _sync_directory(path.parent)
        except FileExistsError:
            return False
        except OSError as error:
            raise PlatformFailed(
                f"the warehouse's list {str(path)!r} could not be written: {error}"
            ) from error
        finally:
            scratch.unlink(missing_ok=True)
        return True


def _describe(table: pa.Table) -> str:
    return "(" + ", ".join(f"{name} {column_type}" for name, column_type in schema_of(table).items()) + ")"


def _first_line(error: Exception) -> str:
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", str(error).splitlines()[0])


def _write_parquet(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    with path.open("wb") as file:
        # Row groups are what DuckDB reads in parallel and skips by their ranges.
        pq.write_table(table.combine_chunks(), file, compression="zstd", row_group_size=65_536)
        file.flush()
        os.fsync(file.fileno())


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
