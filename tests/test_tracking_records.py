"""Ids, keys, records and errors: small things that everything else relies on."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rasen.errors
from rasen.errors import InvalidInput, RasenError, StepFailed
from rasen.settings import child_environment, find_home, load_settings, platform_environment
from rasen.store import check_key
from rasen.tracking import keys
from rasen.tracking.ids import check_name, check_run_id, instant_of, run_id
from rasen.tracking.ledger_records import EndpointState, FallbackPolicy, LogPolicy
from rasen.tracking.records import End, Metric, Start, StepResult, UnreadableRecord, Verdict

INSTANTS = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants the bounds without a zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(instant=INSTANTS, trigger=st.text(max_size=50))
def test_the_same_trigger_names_the_same_run(instant: datetime, trigger: str) -> None:
    run = run_id(instant, trigger)
    assert run == run_id(instant.astimezone(timezone(timedelta(hours=9))), trigger)
    assert check_run_id(run) == run
    assert instant - instant_of(run) < timedelta(milliseconds=1)
    assert check_key(keys.start_key("toy", run))


@given(first=INSTANTS, second=INSTANTS)
def test_runs_sort_like_their_instants(first: datetime, second: datetime) -> None:
    if abs(first - second) >= timedelta(milliseconds=1):
        assert (run_id(first, "a") < run_id(second, "b")) == (first < second)


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a" * 41, "a b", "é", "a\n", "../a"])
def test_names_that_are_not_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="pipeline name"):
        check_name("pipeline", name)


@pytest.mark.parametrize("text", ["", "20260101T000000000Z-xyz", "20260101-0123456789ab", "../x"])
def test_what_is_no_run_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a run id"):
        check_run_id(text)


def test_numbers_of_the_ledger_sort_like_their_keys() -> None:
    ordered = [keys.deployment_key("e", number) for number in (1, 9, 10, 99, 100, 10_000)]
    assert ordered == sorted(ordered)


@pytest.mark.parametrize("value", [1.5, math.inf, -math.inf, math.nan])
def test_metrics_survive_json_whatever_they_are(value: float) -> None:
    result = StepResult(
        attempt=1, verdict=Verdict.SUCCEEDED, seconds=1.0, metrics=[Metric(name="rmse", value=value)]
    )
    found = StepResult.from_bytes(result.to_bytes()).metrics[0].value
    assert found == value or (math.isnan(found) and math.isnan(value))


def test_a_ledger_state_of_before_rollouts_is_read() -> None:
    old = (
        '{"newest_run": "r", "pipeline": "p", "variants": [], "rollout": null, "fallback": {}, "claims": {}}'
    )
    state = EndpointState.model_validate_json(old)
    assert (state.rollout, state.fallback, state.log) == (None, FallbackPolicy(), LogPolicy())
    assert EndpointState.model_validate_json(state.model_dump_json()) == state


def test_readers_tolerate_new_fields_and_refuse_new_formats() -> None:
    end = End(run="r", pipeline="p", verdict=Verdict.FAILED, ended_at=datetime(2026, 1, 1, tzinfo=UTC))
    data = end.to_bytes()
    assert End.from_bytes(data.replace(b'{"format":1', b'{"format":1,"added":[1,2]')) == end
    with pytest.raises(UnreadableRecord, match="has format 2; this version of Rasen reads 1"):
        End.from_bytes(data.replace(b'"format":1', b'"format":2'), source="ends/p/r.json")
    with pytest.raises(UnreadableRecord, match="is not a Start record"):
        Start.from_bytes(data)
    with pytest.raises(UnreadableRecord, match=r"ends/p/r\.json"):
        End.from_bytes(b"{", source="ends/p/r.json")


def test_every_error_survives_a_pickle_and_has_an_exit_code() -> None:
    classes = [
        one for one in vars(rasen.errors).values() if isinstance(one, type) and issubclass(one, RasenError)
    ]
    assert len(classes) > 15
    for one in classes:
        again = pickle.loads(pickle.dumps(one("what failed")))
        assert type(again) is one
        assert str(again) == "what failed"
        assert 0 < one.exit_code < 128
        assert one.__name__ in (rasen.errors.__doc__ or "")
    failed = pickle.loads(pickle.dumps(StepFailed("message", "train", 3, "ValueError")))
    assert (failed.step, failed.cell, failed.error_name) == ("train", 3, "ValueError")


def test_home_is_found_like_git_finds_its_own(tmp_path: Path) -> None:
    deep = tmp_path / "repository" / "notebooks" / "flights"
    deep.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    assert find_home(deep) == tmp_path / "repository" / ".rasen"
    (tmp_path / ".rasen").mkdir()
    assert find_home(deep) == tmp_path / ".rasen", "a home that exists wins"


def test_settings_say_what_is_wrong_with_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASEN_SERVING_PORT", "high")
    with pytest.raises(InvalidInput, match="RASEN_SERVING_PORT='high'"):
        load_settings()


def test_a_notebook_inherits_nothing_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = child_environment(RASEN_CONTEXT="/context.json")
    assert environment["RASEN_CONTEXT"] == "/context.json"
    assert environment["LANG"] == "C.UTF-8"
    assert "RASEN_HOME" not in environment
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in environment
    assert platform_environment(load_settings(home=tmp_path, max_rows=7))["RASEN_MAX_ROWS"] == "7"
