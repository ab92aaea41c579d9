"""The `data` gate: training tables against those of the live version, named column by column."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.deploy.evidence import Evidence, RunFiles
from rasen.pipeline_gates_contract import DataGate
from rasen.tracking.ledger_records import GateVerdict
from stand.evidence import CHAMPION, evidence, parquet, run_files, verdict, version

ROWS = 2000
QUERY = "ab" * 32


def gate(**keys: Any) -> DataGate:
    return DataGate(kind="data", **keys)


def flights(seed: int = 1, **changes: Any) -> dict[str, Any]:
    """Return a table: numbers, texts, a flag, a day and an identifier; `None` takes a column out."""
    drawn = np.random.default_rng(seed)
    first = date(2013, seed, 1)
    columns: dict[str, Any] = {
        "distance": drawn.normal(1000, 200, ROWS),
        "origin": drawn.choice(["EWR", "JFK", "LGA"], ROWS),
        "late": drawn.random(ROWS) < 0.2,
        "day": [first + timedelta(days=int(day)) for day in drawn.integers(0, 28, ROWS)],
        "flight": np.arange(ROWS) + seed * 10 * ROWS,
        "note": [f"note {number}" for number in drawn.integers(0, 10**9, ROWS)],
    }
    return {name: values for name, values in (columns | changes).items() if values is not None}


def known(
    new: RunFiles | Mapping[str, Any], old: RunFiles | Mapping[str, Any] | None = None, *, problem: str = ""
) -> Evidence:
    """Return the evidence of two runs; a mapping is one read named `flights`."""
    sides = [
        side if isinstance(side, RunFiles) or side is None else run_files({"flights": parquet(side)})
        for side in (new, old)
    ]
    return evidence(
        candidate=version(files=sides[0]),
        champion=None if old is None else version(CHAMPION, files=sides[1]),
        problem=problem,
    )


def compare(declared: DataGate, **changes: Any) -> GateVerdict:
    return verdict(declared, known(flights(2, **changes), flights(1)))


def nulls(values: Any, share: float) -> list[Any]:
    return [
        None if row < share * ROWS else value.item() if hasattr(value, "item") else value
        for row, value in enumerate(values)
    ]


def test_another_sample_of_the_same_process_passes() -> None:
    found = compare(gate())
    assert (found.gate, found.answer, found.outcome) == ("data", "pass", "steady")
    assert found.reason.startswith("0 of 6 columns in 1 table differ; told: flight is an identifier")
    assert "note has more than 50 distinct texts" in found.reason
    assert 0 < found.numbers["distance psi"] < 0.05


@pytest.mark.parametrize(
    ("column", "values", "told"),
    [
        ("distance", np.random.default_rng(5).normal(1150, 200, ROWS), "distance: PSI 0."),
        ("distance", nulls(flights(2)["distance"], 0.12), "distance: NULLs rose from 0 % to 12 % of the rows"),
        ("distance", np.where(np.arange(ROWS) < 240, np.nan, flights(2)["distance"]), "NULLs rose from 0 % to 12 %"),
        ("distance", [str(value) for value in range(ROWS)], "distance: was float64, is string"),
        ("origin", np.random.default_rng(5).choice(["EWR", "JFK"], ROWS), "origin: PSI "),
        (
            "origin",
            ["SFO"] * 60 + flights(2)["origin"].tolist()[60:],
            "origin: 3 % of the rows hold new values ('SFO'), more than 1 %",
        ),
        ("late", np.random.default_rng(5).random(ROWS) < 0.6, "late: PSI "),
        ("day", nulls(flights(2)["day"], 0.2), "day: NULLs rose from 0 % to 20 % of the rows"),
        ("day", list(range(ROWS)), "day: was date, is int64"),
        ("flight", nulls(flights(2)["flight"], 0.2), "flight: NULLs rose"),
        ("note", nulls(flights(2)["note"], 0.2), "note: NULLs rose"),
    ],
)  # fmt: skip
def test_what_has_changed_is_named_with_its_numbers(column: str, values: Any, told: str) -> None:
    found = compare(gate(), **{column: values})
    assert (found.answer, found.outcome) == ("hold", "drift")
    assert found.reason.startswith("1 of 6 columns in 1 table differ: ")
    assert told in found.reason
    assert compare(gate(answer="fail"), **{column: values}).answer == "fail"
    assert compare(gate(ignore=[column]), **{column: values}).answer == "pass"
    other = "late" if column == "distance" else "distance"
    assert compare(gate(columns=[other]), **{column: values}).answer == "pass"


def test_dates_identifiers_and_free_text_may_move_unless_they_are_named() -> None:
    later = flights(12)
    assert verdict(gate(), known(later, flights(1))).outcome == "steady"
    for column in ("flight", "note"):
        found = verdict(gate(columns=[column]), known(later, flights(1)))
        assert (found.outcome, found.answer) == ("drift", "hold"), column
    assert verdict(gate(columns=["day"]), known(later, flights(1))).outcome == "steady"


def test_limits_can_be_moved_and_taken_away() -> None:
    shifted = np.random.default_rng(5).normal(1150, 200, ROWS)
    assert compare(gate(psi=None), distance=shifted).answer == "pass"
    assert compare(gate(psi=5), distance=shifted).answer == "pass"
    by_distance = compare(gate(psi=None, ks=0.1), distance=shifted)
    assert "distance: Kolmogorov-Smirnov distance 0." in by_distance.reason
    assert by_distance.numbers["distance ks"] > 0.1
    empty = nulls(flights(2)["distance"], 0.3)
    assert compare(gate(nulls=None), distance=empty).answer == "pass"
    new = ["SFO"] * 60 + flights(2)["origin"].tolist()[60:]
    assert compare(gate(new_categories=None), origin=new).answer == "pass"


def test_few_rows_are_not_blamed_for_chance() -> None:
    def few(seed: int) -> dict[str, Any]:
        return {"distance": np.random.default_rng(seed).normal(1000, 200, 60)}

    found = [verdict(gate(), known(few(seed), few(seed + 1))) for seed in range(0, 60, 2)]
    assert {each.answer for each in found} == {"pass"}
    assert any("but so few rows reach" in each.reason for each in found)
    assert any(each.numbers["distance psi"] > 0.2 for each in found)


def test_values_that_are_gone_and_few_new_ones_are_told() -> None:
    rare = ["SFO"] * 10 + ["EWR"] * 5 + flights(2)["origin"].tolist()[15:]
    found = compare(gate(psi=None), origin=rare)
    assert (found.answer, found.numbers["origin new_categories"]) == ("pass", 0.005)
    assert "origin 0.5 % of the rows hold new values ('SFO')" in found.reason
    gone = compare(gate(psi=None), origin=["EWR", "JFK"] * (ROWS // 2))
    assert "origin values that are gone: 'LGA'" in gone.reason


@pytest.mark.parametrize(("rows", "answer"), [(ROWS, "pass"), (1000, "pass"), (999, "hold"), (0, "hold")])
def test_the_number_of_rows(rows: int, answer: str) -> None:
    shorter = {name: values[:rows] for name, values in flights(2).items()}
    found = verdict(gate(rows="50%"), known(shorter, flights(1)))
    assert found.answer == answer
    if rows == 999:
        assert "999 rows instead of 2000, -50 %, more than 50 %" in found.reason
    if not rows:
        assert found.reason.startswith("0 of 0 columns in 1 table differ: there are no rows; there were 2000")


def test_columns_that_only_one_has_are_told_and_missed_when_named() -> None:
    new = flights(2, late=None, wind=np.ones(ROWS))
    found = verdict(gate(), known(new, flights(1)))
    assert found.answer == "pass"
    assert "new columns: 'wind'" in found.reason
    assert "columns that are gone: 'late'" in found.reason
    named = verdict(gate(columns=["late", "win"]), known(new, flights(1)))
    assert (named.answer, named.outcome) == ("hold", "drift")
    assert "there is no column 'late' in the candidate's table" in named.reason
    assert "there is no column 'win' in the candidate's table: did you mean 'wind'?" in named.reason


def test_whole_numbers_that_became_fractions_are_told() -> None:
    whole, fraction = {"seats": np.arange(ROWS) % 200}, {"seats": (np.arange(ROWS) % 200) * 1.0}
    found = verdict(gate(), known(fraction, whole))
    assert found.answer == "pass"
    assert found.numbers["seats psi"] == pytest.approx(0)
    assert "seats was int64, is float64" in found.reason


def test_a_dictionary_is_what_it_holds_and_odd_types_are_no_obstacle() -> None:
    origin = flights(2)["origin"]
    encoded = pa.table({"origin": pa.array(origin).dictionary_encode(), "route": [[1, 2]] * ROWS})
    plain = pa.table({"origin": pa.array(origin, pa.large_string()), "route": [[3]] * ROWS})
    new, old = (run_files({"flights": parquet(table)}) for table in (encoded, plain))
    found = verdict(gate(), known(new, old))
    assert (found.answer, found.numbers["origin psi"]) == ("pass", 0)


def test_the_same_snapshot_is_not_read_again() -> None:
    found = verdict(gate(), known(flights(1), flights(1)))
    assert (found.answer, found.outcome) == ("pass", "steady")
    assert found.reason == "0 of 0 columns in 1 table differ; told: table 'flights' is the same, byte by byte"


def test_reads_are_compared_by_name_and_what_only_one_has_is_told() -> None:
    new = run_files({"flights": parquet(flights(2)), "weather": parquet({"wind": [1.0]})})
    old = run_files(
        {"flights": parquet(flights(1)), QUERY: parquet({"x": [1]})}, sql="SELECT x FROM airports"
    )
    found = verdict(gate(), known(new, old))
    assert found.answer == "pass"
    assert "the live version did not read table 'weather'" in found.reason
    assert "only the live version read table abababab ('SELECT x FROM airports')" in found.reason
    assert "give it a name" in found.reason


def test_saved_tables_are_compared_when_named() -> None:
    new = run_files({"flights": parquet(flights(2))}, saved={"features": parquet({"x": np.ones(ROWS)})})
    old = run_files({"flights": parquet(flights(1))}, saved={"features": parquet({"x": np.zeros(ROWS)})})
    assert verdict(gate(), known(new, old)).answer == "pass"
    found = verdict(gate(table="features"), known(new, old))
    assert (found.gate, found.answer) == ("data features", "hold")
    assert "x: PSI" in found.reason


def test_a_table_that_the_candidate_does_not_have_fails() -> None:
    new = run_files({"flights": parquet(flights(2)), QUERY: parquet({"x": [1]})})
    found = verdict(gate(table="flight"), known(new, flights(1)))
    assert (found.answer, found.outcome) == ("fail", "missing")
    assert "no table 'flight': did you mean 'flights'?" in found.reason
    assert "1 more read has no name: give `name=` to rasen.read_sql" in found.reason
    assert verdict(gate(), known(run_files(), flights(1))).outcome == "missing"
    assert verdict(gate(), evidence(champion=version(CHAMPION))).outcome == "missing"


@pytest.mark.parametrize("data", [None, b"", b"PAR1 but no more"], ids=["gone", "empty", "damaged"])
def test_tables_that_cannot_be_read(data: bytes | None) -> None:
    broken = run_files({"flights": data})
    own = verdict(gate(), known(broken, flights(1)))
    assert (own.answer, own.outcome) == ("fail", "unreadable")
    theirs = verdict(gate(), known(flights(1), broken))
    assert (theirs.answer, theirs.outcome) == ("hold", "unavailable")
    assert "table 'flights' of the live version cannot be read" in theirs.reason
    assert verdict(gate(answer="fail"), known(flights(1), broken)).answer == "fail"


def test_drift_in_one_table_is_not_hidden_by_another_that_is_gone() -> None:
    new = run_files({"flights": parquet(flights(2)), "weather": parquet({"wind": np.ones(ROWS)})})
    old = run_files({"flights": None, "weather": parquet({"wind": np.zeros(ROWS)})})
    found = verdict(gate(), known(new, old))
    assert found.outcome == "drift"
    assert "table 'weather': wind: PSI" in found.reason
    calm = verdict(gate(ignore=["wind"]), known(new, old))
    assert (calm.answer, calm.outcome) == ("hold", "unavailable")


def test_nothing_to_compare_with() -> None:
    first = verdict(gate(), known(flights(1)))
    assert (first.answer, first.outcome) == ("pass", "first")
    assert first.reason == "table 'flights': there is no live version to compare with"
    gone = verdict(gate(), known(flights(1), problem="its manifest is gone"))
    assert (gone.answer, gone.outcome) == ("hold", "unavailable")
    without = evidence(
        candidate=version(files=run_files({"flights": parquet(flights(1))})), champion=version(CHAMPION)
    )
    assert verdict(gate(), without).outcome == "unavailable"
    never = verdict(gate(table="flights"), known(flights(1), run_files({"other": parquet({"x": [1]})})))
    assert (never.answer, never.outcome) == ("hold", "unavailable")
    empty = verdict(gate(), known({"x": [1.0]}, pa.table({"x": pa.array([], pa.float64())}).to_pydict()))
    assert (empty.answer, empty.outcome) == ("hold", "unavailable")


def test_a_wide_table_leaves_a_short_record() -> None:
    wide = {f"column_{number:02}": np.full(ROWS, number) for number in range(60)}
    found = verdict(gate(), known({name: values + 1 for name, values in wide.items()}, wide))
    assert "60 of 60 columns in 1 table differ" in found.reason
    assert found.reason.endswith("and 55 more")
    assert len(found.numbers) == 3 + 20


values = st.one_of(
    st.lists(st.none() | st.floats(), max_size=6),
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=6),
    st.lists(st.none() | st.text(max_size=3), max_size=6),
    st.lists(st.none() | st.booleans(), max_size=6),
    st.lists(st.none() | st.datetimes(timezones=st.just(UTC)), max_size=6),
    st.lists(st.none() | st.dates(), max_size=6),
    st.lists(st.none() | st.binary(max_size=3), max_size=6),
)


@given(new=values, old=values, named=st.booleans())
def test_whatever_the_columns_hold_a_verdict_comes(new: list[Any], old: list[Any], *, named: bool) -> None:
    declared = gate(ks=0.1, rows=0.5, columns=["x"] if named else None)
    found = verdict(declared, known({"x": new}, {"x": old}))
    assert found.reason
    if new and new == old and not any(isinstance(each, float) for each in new):
        assert found.answer == "pass"


def test_instants_are_compared_by_nulls_alone() -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    old = {"at": [start + timedelta(hours=hour) for hour in range(ROWS)]}
    new = {"at": [start + timedelta(days=400, hours=hour) for hour in range(ROWS)]}
    assert verdict(gate(), known(new, old)).answer == "pass"
