"""Finding runs: words, metrics, where they come from; whatever is typed is data."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import InvalidInput, NotFound
from rasen.store import MemoryStore
from rasen.tracking import index_queries
from rasen.tracking.ids import run_id
from rasen.tracking.index import Index
from rasen.tracking.index_queries import RunFilter, parse_metric
from rasen.tracking.index_search import parse_query, searchable
from rasen.tracking.keys import end_key, start_key
from rasen.tracking.records import End, Start, Verdict
from rasen.tracking.signature import TrustStore
from stand.manifests import Publisher, run_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def write_run(store: MemoryStore, number: int, *, error: str | None = None, **fields: object) -> str:
    """Start run `number`, and end it as failed when there is an error; return its id."""
    trigger = str(fields.pop("trigger", f"request:{number}"))
    run = run_id(BEGIN + timedelta(hours=number), trigger)
    given: dict[str, object] = {"pipeline": "toy", "release": "1-abc", "origin": "release"} | fields
    start = Start(
        run=run,
        trigger=trigger,
        environment="dev",
        nonce="n",
        image="sha256:0",
        **given,
    )
    store.write(start_key(start.pipeline, run), start.to_bytes())
    if error is not None:
        end = End(
            run=run,
            pipeline=start.pipeline,
            verdict=Verdict.FAILED,
            step="train",
            error=error,
            ended_at=BEGIN,
        )
        store.write(end_key(start.pipeline, run), end.to_bytes())
    return run


def caught_up(folder: Path, store: MemoryStore, trust: TrustStore | None = None) -> Index:
    index = Index(folder / "index.sqlite")
    assert index.catch_up(store, trust or TrustStore(), environment="dev")
    return index


def found(index: Index, search: str, **more: object) -> list[str]:
    return [row.run for row in index.runs(RunFilter(search=search, **more))]  # type: ignore[arg-type]  # fields of it


def test_runs_are_found_by_what_people_remember(tmp_path: Path) -> None:
    store = MemoryStore()
    first = write_run(store, 1, pipeline="flight_delay", parameters={"train_until": "2013-02-17", "C": 0.5})
    second = write_run(
        store, 2, release="412-ab12cd34ef56", error="ZeroDivisionError: division by zero in Größe"
    )
    third = write_run(store, 3, parameters={"query": "入力データが空です", "names": ["Kyōto"]})
    index = caught_up(tmp_path, store)
    for text, runs in {
        "delay": [first],
        "flight_delay": [first],
        "FLIGHT": [first],
        "2013-02": [first],
        "train_until 0.5": [first],
        "division": [second],
        "zerodiv": [second],
        "ab12cd34": [second],
        "412-ab12": [second],
        "größe": [second],
        "GRÖSS": [second],
        "grosse": [second],
        "grosze": [],
        "データ": [third],
        "空": [third],
        "空で": [third],
        "タデ": [],
        "kyoto": [third],
        "toy": [third, second],
        "toy kyoto": [third],
        "toy delay": [],
        first: [first],
        first[:14]: [first],
        second[-12:-6]: [second],
        "request:2": [second],
    }.items():
        assert found(index, text) == runs, text


def test_an_end_adds_to_what_a_run_is_found_by(tmp_path: Path) -> None:
    store = MemoryStore()
    run = write_run(store, 1)
    index = caught_up(tmp_path, store)
    assert (found(index, "toy"), found(index, "boom")) == ([run], [])
    end = End(run=run, pipeline="toy", verdict=Verdict.FAILED, step="train", error="Boom!", ended_at=BEGIN)
    store.write(end_key("toy", run), end.to_bytes())
    caught_up(tmp_path, store)
    assert (found(index, "toy"), found(index, "boom"), found(index, "toy boom train")) == (
        [run],
        [run],
        [run],
    )


@pytest.mark.parametrize(
    "text",
    [
        'toy" OR "1',
        "toy*",
        "body:toy",
        "NEAR(toy, x)",
        "'; DROP TABLE runs; --",
        "toy AND NOT nothing",
        '"""',
        "a\x00b",
        "\ud800x",
        "^toy",
        "%",
        "x" * 100_000,
        "word " * 2000,
    ],
)
def test_whatever_is_typed_is_data(tmp_path: Path, text: str) -> None:
    store = MemoryStore()
    run = write_run(store, 1)
    index = caught_up(tmp_path, store)
    with suppress(InvalidInput):  # it has neither letter nor digit
        assert found(index, text) in ([], [run])
    assert found(index, "toy") == [run]


@given(st.text(max_size=60), st.text(max_size=30))
def test_a_text_is_found_by_each_of_its_words(text: str, other: str) -> None:
    body = searchable([text, other])
    for word in text.split():
        try:
            query = parse_query(word)
        except InvalidInput:
            continue
        if not query.runs:
            assert query.fits(body), (word, query)


@pytest.mark.parametrize("text", ["", " ", "!?", "…", "🙂"])
def test_a_search_for_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="there is nothing to search for in"):
        parse_query(text)


@pytest.fixture
def measured(tmp_path: Path) -> Index:
    """An index of runs 0 to 29 whose rmse is their number; every third has an `r2`, run 29 one that is NaN."""
    publisher = Publisher(MemoryStore(), tmp_path / "trap")
    for number in range(30):
        metrics: dict[str, float] = {"rmse": float(number)}
        if number % 3 == 0:
            metrics["r2"] = number / 30
        if number == 29:
            metrics["r2"] = float("nan")
        publisher.publish(number, metrics=metrics, origin="workspace" if number % 2 else "release")
    assert isinstance(publisher.store, MemoryStore)
    return caught_up(tmp_path, publisher.store, publisher.trust())


@pytest.mark.parametrize("few", [5000, 5])
def test_metrics_are_compared(measured: Index, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Both ways to find them, by value and by walking from the newest, give the same.
    monkeypatch.setattr(index_queries, "_FEW", few)

    def runs(*conditions: str, limit: int = 50, **more: object) -> list[int]:
        metrics = tuple(parse_metric(one) for one in conditions)
        rows = measured.runs(RunFilter(metrics=metrics, **more), limit=limit)  # type: ignore[arg-type]  # fields of it
        return [int(row.metrics["rmse"]) for row in rows]

    assert runs("rmse<3") == [2, 1, 0]
    assert runs("rmse <= 3", "rmse>=2") == [3, 2]
    assert runs("rmse>20", limit=3) == [29, 28, 27]
    assert runs("rmse=7") == runs("rmse == 7.0") == [7]
    assert runs("rmse!=7", "rmse<9") == [8, 6, 5, 4, 3, 2, 1, 0]
    assert runs("r2>0.5") == [27, 24, 21, 18]
    assert runs("r2!=5") == [27, 24, 21, 18, 15, 12, 9, 6, 3, 0], "what has none, or NaN, meets no condition"
    assert runs("rmse<12", "r2>=0.1", origin="workspace") == [9, 3]
    assert runs("rmse<6", search="demand") == [5, 4, 3, 2, 1, 0]
    assert runs("rmse<6", search="demand", origin="release") == [4, 2, 0]
    assert runs(search="demand", origin="workspace", limit=2) == [29, 27]
    assert runs(search=run_of(4)[-12:]) == [4]
    assert runs("rmse>100") == runs("nothing<1") == []


@pytest.mark.parametrize("text", ["rmse", "rmse<", "<3", "rmse<x", "rmse<nan", "rmse=<3", "", "rmse<3<4"])
def test_a_condition_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no condition on a metric; write a name, one of"):
        parse_metric(text)


def test_runs_are_told_apart_by_where_they_come_from(tmp_path: Path) -> None:
    store = MemoryStore()
    first = write_run(store, 1, trigger="cron:2026-01-01T00:00:00Z")
    second = write_run(store, 2, origin="workspace", release="dev-1")
    third = write_run(store, 3, trigger=f"resume:{first}", resumes=first, qualifies=second)
    index = caught_up(tmp_path, store)

    def runs(**wanted: object) -> list[str]:
        return [row.run for row in index.runs(RunFilter(**wanted))]  # type: ignore[arg-type]  # fields of it

    assert runs(trigger="cron") == [first]
    assert runs(trigger=f"resume:{first}") == [third]
    assert runs(trigger=f"resume:{second}") == []
    assert runs(origin="workspace") == runs(release="dev-1") == [second]
    (row,) = index.runs(RunFilter(trigger="resume"))
    assert (row.resumes, row.qualifies, row.trigger, row.deploy) == (first, second, f"resume:{first}", True)


def test_two_pipelines_may_have_one_run_id(tmp_path: Path) -> None:
    store = MemoryStore()
    runs = {write_run(store, 1, pipeline=name, trigger="cron:noon") for name in ("toy", "other")}
    assert len(runs) == 1
    index = caught_up(tmp_path, store)
    assert sorted(row.pipeline for row in index.runs()) == ["other", "toy"]
    (run,) = runs
    with pytest.raises(NotFound, match=f"fits more than one run; write .*/{run}"):
        index.find_run(run)
    assert index.find_run(f"other/{run[-12:]}").pipeline == "other"
