"""What counts as the same when a run is executed again: cells, tables, numbers, one pair at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rasen.batch.notebook_difference import compare_notebooks
from rasen.batch.rerun import number_when, prepare_rerun
from rasen.data.recorded_reads import read_recorded, write_index
from rasen.data.snapshots import write_snapshot
from rasen.data.table_difference import compare_numbers, compare_tables
from rasen.errors import InvalidInput, QueryError
from rasen.tracking.key_rotation import rotate_key
from rasen.tracking.keys import start_key
from rasen.tracking.records import Start, Verdict
from rasen.tracking.resigning import find_signed, resign
from rasen.tracking.signature import Role
from rasen.tracking.trust import load_trust
from stand.histories import History


def parquet(frame: pd.DataFrame, **options: Any) -> bytes:  # Any: of pandas
    into = io.BytesIO()
    frame.to_parquet(into, index=False, **options)
    return into.getvalue()


FRAME = pd.DataFrame(
    {
        "x": [1.0, float("nan"), 3.0, 1e9],
        "n": pd.array([1, None, 3, 4], dtype="Int64"),
        "t": ["a", None, "c", "d"],
        "at": pd.date_range("2026-01-01", periods=4, tz="UTC"),
    }
)


def changed(column: str, row: int, value: Any) -> pd.DataFrame:
    frame = FRAME.copy()
    frame.loc[row, column] = value
    return frame


def test_the_same_rows_are_identical_in_whatever_bytes() -> None:
    assert compare_tables(parquet(FRAME), parquet(FRAME)).outcome == "identical"
    assert compare_tables(parquet(FRAME), parquet(FRAME, compression="gzip")).outcome == "identical"
    assert compare_tables(parquet(FRAME[:0]), parquet(FRAME[:0], compression="gzip")).outcome == "identical"


@pytest.mark.parametrize(
    ("other", "outcome", "detail"),
    [
        (
            changed("x", 2, 3.0 * (1 + 1e-9)),
            "equal",
            "column 'x': 1 rows differ by at most 1.0e-09 of their value",
        ),
        (changed("x", 2, 3.1), "different", "column 'x', row 2: 3.0 → 3.1"),
        (changed("x", 1, 5.0), "different", "column 'x', row 1: nan → 5.0"),
        (changed("x", 0, np.nan), "different", "column 'x', row 0: 1.0 → nan"),
        (changed("n", 1, 2), "different", "column 'n', row 1: None → 2"),
        (changed("t", 3, "D"), "different", "column 't', row 3: 'd' → 'D'"),
        (changed("at", 0, pd.Timestamp("2025-01-01", tz="UTC")), "different", "column 'at', row 0"),
        (FRAME[:3], "different", "rows: 4 → 3"),
        (FRAME.rename(columns={"t": "s"}), "different", "columns: "),
        (FRAME.assign(n=[1.0, 2, 3, 4]), "different", "column 'n': type int64 → double"),
        (FRAME.assign(t="z"), "different", "column 't', row 0: 'a' → 'z', and 3 rows more"),
    ],
)
def test_the_first_cell_that_differs_is_named(other: pd.DataFrame, outcome: str, detail: str) -> None:
    found = compare_tables(parquet(FRAME), parquet(other))
    assert found.outcome == outcome
    assert detail.split("nan", maxsplit=1)[0] in found.detail.replace("None", "None")


def test_columns_may_be_left_out() -> None:
    left, right = FRAME.assign(champion=1.0, champion_lower=2.0), FRAME
    assert compare_tables(parquet(left), parquet(right)).outcome == "different"
    assert compare_tables(parquet(left), parquet(right), without="champion").outcome == "identical"


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (1.0, 1.0, "identical"),
        (float("nan"), float("nan"), "identical"),
        (float("inf"), float("inf"), "identical"),
        (0.1, 0.1 + 1e-12, "equal"),
        (0.0, 1e-9, "different"),
        (1.0, float("nan"), "different"),
        (float("inf"), 1.0, "different"),
    ],
)
def test_numbers(left: float, right: float, outcome: str) -> None:
    assert compare_numbers(left, right) == outcome
    assert compare_numbers(right, left) == outcome


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: str) -> dict[str, Any]:
    mimes = {"text": "text/plain", "html": "text/html", "png": "image/png"}
    return {
        "output_type": "execute_result",
        "metadata": {},
        "data": {mimes[kind]: value for kind, value in data.items()},
    }


def notebook(*outputs: dict[str, Any], source: str = "x", status: str = "completed", **extra: Any) -> bytes:
    cell = {"cell_type": "code", "source": source, "outputs": list(outputs), **extra}
    cell["metadata"] = {"papermill": {"status": status, "start_time": str(extra)}}
    note = {
        "cell_type": "markdown",
        "source": "papermill says",
        "metadata": {"tags": ["papermill-error-cell-tag"]},
    }
    return json.dumps({"cells": [cell, note] if status == "failed" else [cell]}).encode()


RUN = "toy-20260101T000000000Z-0123456789ab"
FIRST, SECOND = (
    f"/h/scratch/{RUN}-train-1/work/x.csv",
    f"/h/scratch/rerun-{RUN}-5/scratch/{RUN}-train-2/work/x.csv",
)
ADDRESSES = shown(text="<X at 0x7f00aa>"), shown(text="<X at 0x7fbb01>")
WARNINGS = stream("/tmp/ipykernel_1/2.py:1: Warning"), stream("/tmp/ipykernel_77/2.py:1: Warning")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (notebook(stream("a\nb\n")), notebook(stream("a\n"), stream("b\n"))),
        (notebook(ADDRESSES[0], execution_count=3), notebook(ADDRESSES[1], execution_count=9)),
        (notebook(WARNINGS[0]), notebook(WARNINGS[1])),
        (notebook(stream(f"in {FIRST}")), notebook(stream(f"in {SECOND}"))),
    ],
)
def test_what_no_two_executions_share_does_not_count(left: bytes, right: bytes) -> None:
    assert compare_notebooks(left, right).outcome == "identical", compare_notebooks(left, right).detail


@pytest.mark.parametrize(
    ("left", "right", "detail"),
    [
        (notebook(stream("a\nb")), notebook(stream("a\nc")), "cell 0, output 0 (stdout): line 2: 'b' → 'c'"),
        (notebook(stream("a")), notebook(stream("a", "stderr")), "cell 0, output 0: stdout → stderr"),
        (notebook(stream("a")), notebook(), "cell 0, output 0 is gone: stdout: 'a'"),
        (notebook(), notebook(shown(text="7")), "cell 0, output 0 is new: text/plain: '7'"),
        (
            notebook(shown(png="abc")),
            notebook(shown(png="abd")),
            "cell 0, output 0: another picture (image/png)",
        ),
        (notebook(source="a"), notebook(source="b"), "cell 0, source: line 1: 'a' → 'b'"),
        (notebook(), notebook(status="failed"), "cell 0: completed → failed"),
    ],
)
def test_the_first_output_that_differs_is_named(left: bytes, right: bytes, detail: str) -> None:
    assert compare_notebooks(left, right).detail == detail


def recorded(folder: Path, *reads: tuple[str, dict[str, Any], Sequence[int]]) -> Path:
    rows = [
        (sql, parameters, write_snapshot(pd.DataFrame({"n": list(values)}), folder).name)
        for sql, parameters, values in reads
    ]
    write_index(folder, rows)
    return folder


def test_reads_are_answered_as_they_were(tmp_path: Path) -> None:
    folder = recorded(tmp_path, ("A", {"d": 1}, [1]), ("A", {"d": 2}, [2]), ("A", {"d": 1}, [3]))
    assert read_recorded(folder, "A", {"d": 1}, asked_before=0).n.tolist() == [1]
    assert read_recorded(folder, "A", {"d": 1}, asked_before=1).n.tolist() == [3]
    assert read_recorded(folder, "A", {"d": 2}, asked_before=0).n.tolist() == [2]
    with pytest.raises(QueryError, match="was asked 2 times by the run that is repeated, and now once more"):
        read_recorded(folder, "A", {"d": 1}, asked_before=2)
    with pytest.raises(QueryError, match=r"it asked it with .*\"d\": 1.* and .*\"d\": 2"):
        read_recorded(folder, "A", {"d": 4}, asked_before=0)
    with pytest.raises(
        QueryError, match=r"'B' with .* was not asked by the run that is repeated; it asked: 'A'"
    ):
        read_recorded(folder, "B", {}, asked_before=0)


def test_what_was_live_is_told_by_the_stores_clock(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.run(0)
    before = history.at
    history.go_on(days=1)
    history.deploy(0)
    first = history.at
    history.go_on(days=1)
    history.deploy(0)

    def number(at: datetime) -> int | None:
        return number_when(history.store, history.trust, "demand", at, environment="dev")

    assert (number(before), number(first), number(history.at)) == (None, 1, 2)

    # A key is replaced, and what it had signed is signed again: the store's times are those of that day.
    settings = history.settings
    history.go_on(days=30)
    old = history.decider.key_id
    rotate_key(settings, Role.DECIDER, by="ann", now=history.at)
    signed = find_signed(settings, history.store, old)
    resign(settings, history.store, signed, by="ann", now=history.at, reason="rotation")
    history.trust = load_trust(settings)
    assert (number(before), number(first), number(history.at)) == (None, 1, 2)


def test_libraries_of_other_versions_are_named_before_anything_else(tmp_path: Path) -> None:
    history = History(tmp_path, on_disk=True)
    run = history.run(0)
    with prepare_rerun(history.settings, run) as repetition:
        assert repetition.notes[0].startswith("libraries: python was 2.7, is 3.")
        assert repetition.start.repeats == run
        assert not repetition.settings.keys_dir.exists(), "there is nothing to sign with"
    assert not history.trap.exists()


def test_a_run_that_only_qualified_another_ones_model_is_refused(tmp_path: Path) -> None:
    history = History(tmp_path, on_disk=True)
    first, second = history.run(0), history.run(1, verdict=Verdict.FAILED)
    key = start_key("demand", second)
    start = Start.from_bytes(history.store.read(key))
    history.store.write(key, start.model_copy(update={"qualifies": first}).to_bytes())
    with (
        pytest.raises(InvalidInput, match=f"only qualified the model of run '{first}' again"),
        prepare_rerun(history.settings, second),
    ):
        raise AssertionError
