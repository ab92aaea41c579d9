"""The embedded warehouse: tables appear whole or not at all, and queries see one state of them."""

import hashlib
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rasen.data.columns import ColumnType
from rasen.data.engine import open_engine
from rasen.data.warehouse import EmbeddedWarehouse
from rasen.errors import InvalidInput, NotFound, PlatformFailed, QueryError
from stand.warehouse_writers import fork_server, put_for_ever, put_own_tables, write_numbers


@pytest.fixture
def warehouse(tmp_path: Path) -> EmbeddedWarehouse:
    return EmbeddedWarehouse(tmp_path / "warehouse")


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses nothing by it, and no fsync is waited for."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def write(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_an_empty_warehouse_has_no_tables_and_leaves_no_trace(
    warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    assert warehouse.tables() == {}
    assert warehouse.query("SELECT 1 AS one")["one"].tolist() == [1]
    with pytest.raises(QueryError, match=r"unknown table 'flights'; there are none"):
        warehouse.query("SELECT * FROM flights")
    assert list(tmp_path.iterdir()) == []


def test_a_query_returns_the_dtypes_that_are_promised(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    instant = pa.timestamp("us", tz="UTC")
    at = datetime(2024, 1, 2, 3, 4, 5, 678901, UTC)
    full: dict[str, object] = {
        "b": [True, False],
        "i": [1, 2],
        "f": [0.5, 1.5],
        "s": ["a", ""],
        "d": [date(1, 1, 1), date(9999, 12, 31)],
        "t": pa.array([at, at], instant),
    }
    holes: dict[str, object] = {
        f"{name}n": pa.array([None, *pa.array(values)[1:].to_pylist()], pa.array(values).type)
        for name, values in full.items()
        if isinstance(values, list)
    }
    holes["tn"] = pa.array([None, at], instant)
    warehouse.put_table("kinds", write(tmp_path / "kinds.parquet", **full, **holes), source="test")
    frame = warehouse.query("SELECT * FROM kinds ORDER BY i")
    promised = {
        "b": "bool", "i": "int64", "f": "float64", "s": "str", "d": "datetime64[s]", "t": "datetime64[us, UTC]",
        "bn": "boolean", "in": "Int64", "fn": "float64", "sn": "str", "dn": "datetime64[s]",
        "tn": "datetime64[us, UTC]",
    }  # fmt: skip
    assert frame.dtypes.astype(str).to_dict() == promised
    assert frame["d"].dt.year.tolist() == [1, 9999]
    assert frame["t"][0] == pd.Timestamp(at)
    assert frame[["bn", "in", "fn", "sn", "dn", "tn"]].isna().to_numpy().tolist() == [[True] * 6, [False] * 6]
    nothing = warehouse.query("SELECT * FROM kinds WHERE FALSE")
    assert nothing.dtypes.astype(str).to_dict() == {
        **promised,
        "bn": "bool",
        "in": "int64",
    }


def test_a_table_is_known_by_its_columns_rows_and_origin(
    warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.parquet", x=[1, 2, 3], y=["a", None, "b"])
    info = warehouse.put_table("daily.counts", path, source="the test")
    assert warehouse.tables() == {"daily.counts": info}
    assert info.columns == {"x": ColumnType.INT64, "y": ColumnType.STRING}
    assert (info.rows, info.source) == (3, "the test")
    assert info.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    stored = next((tmp_path / "warehouse" / "files").iterdir())
    assert (
        stored.name
        == f"{hashlib.sha256(stored.read_bytes()).hexdigest()}.parquet"
        == f"{info.sha256}.parquet"
    )
    assert info.size_bytes == stored.stat().st_size


def test_the_same_file_again_changes_nothing(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", x=[1])
    first = warehouse.put_table("t", path, source="one")
    before = sorted((tmp_path / "warehouse").rglob("*"))
    assert warehouse.put_table("t", path, source="two") == first
    assert sorted((tmp_path / "warehouse").rglob("*")) == before
    csv = tmp_path / "b.csv"
    csv.write_text("x\n1\n")
    loaded = warehouse.load_table("t", csv, source="three")
    assert warehouse.load_table("t", csv, source="four") == loaded
    assert warehouse.load_table("t", csv, source="four", missing_texts=("1",)) != loaded


def test_a_new_file_replaces_the_table_and_keeps_the_others(
    warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    warehouse.put_table("a", write(tmp_path / "a.parquet", x=[1]), source="one")
    warehouse.put_table("b", write(tmp_path / "b.parquet", x=[2]), source="one")
    warehouse.put_table("a", write(tmp_path / "c.parquet", y=["new"]), source="two")
    assert warehouse.query("SELECT a.y, b.x FROM a CROSS JOIN b").to_dict("list") == {"y": ["new"], "x": [2]}
    lists = sorted((tmp_path / "warehouse" / "tables").iterdir())
    assert [path.name for path in lists] == ["00000001.json", "00000002.json", "00000003.json"]
    assert set(json.loads(lists[0].read_text())["tables"]) == {"a"}


def test_several_files_make_one_table(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,a\n")
    (tmp_path / "b.csv").write_text("x,y\n2,b\n")
    warehouse.load_table("t", [tmp_path / "a.csv", tmp_path / "b.csv"], source="test")
    assert warehouse.query("SELECT * FROM t ORDER BY x").to_dict("list") == {"x": [1, 2], "y": ["a", "b"]}
    (tmp_path / "c.csv").write_text("x,y\n2.5,b\n")
    with pytest.raises(
        InvalidInput,
        match=r"the columns of 'c.csv' \(x float64, y string\) differ from those of 'a.csv' \(x int64, y",
    ):
        warehouse.load_table("t", [tmp_path / "a.csv", tmp_path / "c.csv"], source="test")
    with pytest.raises(InvalidInput, match="no file was given"):
        warehouse.load_table("t", [], source="test")


@pytest.mark.parametrize("name", ["", "1st", "a b", "a-b", "../a", "a..b", "a.b.c.d", 'a"b', "é"])
def test_names_that_sql_could_not_say_are_refused(
    name: str, warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="is no table name"):
        warehouse.put_table(name, write(tmp_path / "a.parquet", x=[1]), source="test")
    assert not (tmp_path / "warehouse").exists()


def test_names_that_differ_in_case_only_are_refused(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", x=[1])
    warehouse.put_table("Sales", path, source="test")
    with pytest.raises(
        InvalidInput, match="'sales' differs from the table 'Sales' in upper and lower case only"
    ):
        warehouse.put_table("sales", path, source="test")


def test_what_is_no_table_is_refused_and_changes_nothing(
    warehouse: EmbeddedWarehouse, tmp_path: Path
) -> None:
    (tmp_path / "text.parquet").write_text("no Parquet")
    with pytest.raises(InvalidInput, match="table 't' cannot be read as Parquet"):
        warehouse.put_table("t", tmp_path / "text.parquet", source="test")
    with pytest.raises(NotFound, match="table 't': there is no file"):
        warehouse.put_table("t", tmp_path / "absent.parquet", source="test")
    with pytest.raises(InvalidInput, match=r"table 't', column 'x': the type 'list<"):
        warehouse.put_table("t", write(tmp_path / "list.parquet", x=[[1]]), source="test")
    assert warehouse.tables() == {}


def test_a_query_can_go_to_a_file(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    warehouse.put_table("t", write(tmp_path / "a.parquet", x=[3, 1, 2]), source="test")
    assert warehouse.query_to_parquet("SELECT x FROM t WHERE x > @p", {"p": 1}, tmp_path / "out.parquet") == 2
    assert sorted(pq.read_table(tmp_path / "out.parquet").column("x").to_pylist()) == [2, 3]
    with pytest.raises(PlatformFailed, match="the query's result could not be written"):
        warehouse.query_to_parquet("SELECT x FROM t", None, tmp_path / "absent" / "out.parquet")


def test_an_error_in_a_row_says_what_was_wrong(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    warehouse.put_table("t", write(tmp_path / "a.parquet", x=[1, 0], s=["1", "one"]), source="test")
    with pytest.raises(
        QueryError, match="the query failed: a calculation has no finite result: a division by zero"
    ):
        warehouse.query("SELECT 1 / x AS y FROM t")
    with pytest.raises(QueryError, match="the query failed: CAST to int64 is not possible for one"):
        warehouse.query("SELECT CAST(s AS INT64) AS y FROM t")
    with pytest.raises(QueryError, match=r'the query failed: column "s" must appear in the GROUP BY clause'):
        warehouse.query("SELECT s, COUNT(*) AS n FROM t GROUP BY x")


def test_the_engine_reaches_nothing_but_the_tables_of_the_query(tmp_path: Path) -> None:
    allowed, other = write(tmp_path / "a.parquet", x=[1]), write(tmp_path / "b.parquet", x=[2])
    import duckdb

    with open_engine([allowed]) as engine:
        assert engine.sql(f"FROM read_parquet('{allowed}')").fetchall() == [(1,)]
        for refused in (
            f"FROM read_parquet('{other}')",
            f"FROM read_parquet('{tmp_path}/*.parquet')",
            "FROM read_csv('/etc/passwd')",
            f"COPY (SELECT 1) TO '{tmp_path}/c.csv'",
            f"ATTACH '{tmp_path}/d.db'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            "SET threads = 64",
        ):
            with pytest.raises(duckdb.Error):
                engine.execute(refused)
        frame = pd.DataFrame({"x": [3]})
        with pytest.raises(duckdb.Error):
            engine.execute("FROM frame")
        assert frame["x"].tolist() == [3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_threads_are_a_setting(tmp_path: Path) -> None:
    with open_engine([], threads=1) as engine:
        assert engine.sql("SELECT current_setting('threads'), current_setting('TimeZone')").fetchall() == [
            (1, "UTC")
        ]
    assert EmbeddedWarehouse(tmp_path, threads=1).query("SELECT 1 AS x")["x"].tolist() == [1]


def test_a_damaged_file_is_reported(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    warehouse.put_table("t", write(tmp_path / "a.parquet", x=[1]), source="test")
    (tmp_path / "warehouse" / "files" / f"{warehouse.tables()['t'].sha256}.parquet").write_bytes(b"damaged")
    with pytest.raises((PlatformFailed, QueryError), match=r"magic bytes|too small"):
        warehouse.query("SELECT x FROM t")


def test_a_damaged_list_or_a_lost_file_is_reported(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    warehouse.put_table("t", write(tmp_path / "a.parquet", x=[1]), source="test")
    (tmp_path / "warehouse" / "files" / f"{warehouse.tables()['t'].sha256}.parquet").unlink()
    with pytest.raises(PlatformFailed, match=r"the file of table 't' is lost: .*; load the table again"):
        warehouse.query("SELECT x FROM t")
    (tmp_path / "warehouse" / "tables" / "00000002.json").write_text('{"format": 2, "tables": {}}')
    with pytest.raises(PlatformFailed, match=r"00000002.json' cannot be read"):
        warehouse.tables()


def test_a_full_disk_leaves_the_tables_as_they_were(warehouse: EmbeddedWarehouse, tmp_path: Path) -> None:
    warehouse.put_table("t", write(tmp_path / "a.parquet", x=[1]), source="test")
    big = write(tmp_path / "b.parquet", x=[random.random() for _ in range(20_000)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(PlatformFailed, match="table 't' could not be written"):
            warehouse.put_table("t", big, source="test")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert warehouse.query("SELECT x FROM t")["x"].tolist() == [1]
    assert [path.suffix for path in (tmp_path / "warehouse" / "files").iterdir()] == [".parquet"]


def test_writers_in_several_processes_lose_nothing(memory_path: Path) -> None:
    warehouse = EmbeddedWarehouse(memory_path / "warehouse")
    context = fork_server()
    root = memory_path / "warehouse"
    writers = [
        context.Process(target=put_own_tables, args=(root, memory_path, writer, 5)) for writer in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    tables = warehouse.tables()
    assert set(tables) == {f"table_{writer}_{number}" for writer in range(4) for number in range(5)}
    assert warehouse.query("SELECT value FROM table_3_4")["value"].tolist() == [4, 4, 4]
    numbers = sorted(int(path.stem) for path in (root / "tables").iterdir())
    assert numbers == list(range(1, 21))


def test_a_writer_killed_at_any_instant_leaves_whole_tables(
    warehouse: EmbeddedWarehouse, memory_path: Path
) -> None:
    warehouse = EmbeddedWarehouse(memory_path / "warehouse")
    warehouse.put_table(
        "numbers", write_numbers(memory_path / "first.parquet", rows=2_000, value=0), source="first"
    )
    context = fork_server()
    chance = random.Random(7)
    lists = memory_path / "warehouse" / "tables"
    for _ in range(8):
        before = len(list(lists.iterdir()))
        writer = context.Process(target=put_for_ever, args=(memory_path / "warehouse", memory_path))
        writer.start()
        while len(list(lists.iterdir())) < before + 2:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        writer.kill()
        writer.join()
        summary = warehouse.query("SELECT COUNT(*) AS n, COUNT(DISTINCT value) AS kinds FROM numbers")
        assert summary.to_dict("records") == [{"n": 2_000, "kinds": 1}]
    for path in (memory_path / "warehouse" / "files").glob("*.parquet"):
        assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_query_reads_one_state_while_tables_change(memory_path: Path) -> None:
    warehouse = EmbeddedWarehouse(memory_path / "warehouse")
    warehouse.put_table(
        "numbers", write_numbers(memory_path / "first.parquet", rows=2_000, value=0), source="first"
    )
    writer = fork_server().Process(target=put_for_ever, args=(memory_path / "warehouse", memory_path))
    writer.start()
    try:
        for _ in range(20):
            frame = warehouse.query(
                "SELECT a.value FROM numbers AS a JOIN numbers AS b USING (value) LIMIT 5"
            )
            assert frame["value"].nunique() == 1
            assert set(warehouse.query("SELECT COUNT(*) AS n FROM numbers")["n"]) == {2_000}
    finally:
        writer.kill()
        writer.join()
