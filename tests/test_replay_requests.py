"""`rasen replay`: logged requests again, on the versions that answered them or on others; nothing is dropped unsaid."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.deploy.ledger import append, find_head, read_record, write_heads
from rasen.errors import InvalidInput, ModelFailed, NotFound, PlatformFailed, RasenError
from rasen.replay.bisecting import read_request
from rasen.replay.replaying import Replayed, replay_requests
from rasen.replay.request_log import StoreLog, Wanted
from rasen.tracking.keys import tombstone_key
from rasen.tracking.ledger_records import LogPolicy
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen_serving.log import Entry
from stand.replayable import PROFILE, Replayable, deadly, relative, shifted, with_wind
from stand.request_log import NOON, entry, log_entries
from stand.versions import PublishedVersion

DAY = Wanted(first=NOON - timedelta(hours=12), last=NOON + timedelta(hours=12))


def rows(*hours: int) -> list[dict[str, Any]]:
    return [{"origin": "JFK", "hour": hour} for hour in hours]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Replayable:
    return Replayable(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def demand(home: Replayable) -> tuple[PublishedVersion, PublishedVersion]:
    """Return two versions that answered 40 requests of one to three rows, 20 each, and some odd ones."""
    one = home.publish("demand", 1, shifted(0.0), profile=PROFILE)
    two = home.publish("demand", 2, shifted(0.5), profile=PROFILE)
    entries: list[Entry] = []
    for number in range(40):
        version, offset = (one, 0.0) if number < 20 else (two, 0.5)
        asked = rows(*range(number % 10, number % 10 + 1 + number % 3))
        said = [row["hour"] + offset for row in asked]
        entries.append(
            entry(number, asked, said, model=version.run, revision=1 if number < 20 else 2, batch_rows=5)
        )
    entries += [
        entry(50, rows(7), [31.0], model=two.run, revision=2, source="profile", engine="profile"),
        entry(51, rows(7, 8), None, model=two.run, revision=2),
        entry(52, rows(7), [7.0], model=one.run, revision=2, variant="shadow"),
        entry(53, rows(7), [7.0], model="20200101T000000000Z-0123456789ab", revision=2),
        entry(54, rows(7), [7.0], model=one.run, revision=99),
        entry(55, rows(9), [9.5], model=two.run, revision=2, engine="folded", batch_rows=3),
    ]
    log_entries(home.store, entries[:30])
    log_entries(home.store, entries[30:])
    return one, two


def replay(home: Replayable, *versions: str, endpoint: str = "demand", **changes: Any) -> Replayed:
    wanted = Wanted(**({"first": DAY.first, "last": DAY.last} | changes))
    return replay_requests(home.settings, endpoint, wanted, versions=versions)


def test_each_request_is_answered_again_by_the_version_that_answered_it(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion]
) -> None:
    found = replay(home)
    comparison = found.comparison
    assert {one.version.number for one in found.answered} == {1, 2}
    assert comparison.compared == comparison.identical == len(found.rows)
    assert comparison.differences == []
    assert comparison.problems == {}
    # 40 requests, the profile's, and the one whose engine cannot be had; a shadow's version is not in the record.
    assert found.requests == 42
    profile = [
        answer.value for row, answer in zip(found.rows, found.right, strict=True) if row.source == "profile"
    ]
    assert profile == [31.0]


def test_what_is_not_asked_is_counted_by_its_reason(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion]
) -> None:
    found = replay(home)
    assert found.left_out == {
        "it got no answer then: the model failed": 2,
        f"ledger record 2 knows no version {demand[0].run!r}": 1,
        "ledger record 2 knows no version '20200101T000000000Z-0123456789ab'": 1,
        "the ledger of 'demand' has no record 99; its records are 1 to 2": 1,
    }
    assert any("1 rows were answered by the profile" in note for note in found.notes)
    second = next(one for one in found.answered if one.version.number == 2)
    assert "the engine 'folded' cannot be had here; 'native' answered" in second.notes


def test_one_version_is_compared_with_what_was_answered(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion]
) -> None:
    found = replay(home, "1")
    assert (found.left_label, found.right_label) == ("as logged", "version 1")
    old = [one.row for one in found.comparison.differences if found.rows[one.row].model == demand[0].run]
    assert old == []
    assert found.comparison.spreads[""].largest == 24.0  # the profile's
    assert "it was a copy for a shadow; the request itself is asked" in found.left_out


def test_two_versions_are_compared_with_one_another(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion]
) -> None:
    found = replay(home, demand[0].run, "2")
    spread = found.comparison.spreads[""]
    assert (spread.mean, spread.median, spread.largest) == (0.5, 0.5, 0.5)
    assert found.comparison.equal == 0
    with pytest.raises(InvalidInput, match="3 versions are named"):
        replay(home, "1", "2", "1")


def test_an_answer_that_is_not_reproduced_is_named_by_its_request(home: Replayable) -> None:
    version = home.publish("tampered", 1, shifted(0.0))
    log_entries(
        home.store,
        [
            entry(
                n,
                rows(n),
                [n + (0.25 if n == 3 else 0.0)],
                model=version.run,
                revision=1,
                endpoint="tampered",
            )
            for n in range(6)
        ],
    )
    found = replay(home, endpoint="tampered")
    assert [found.rows[one.row].request_id for one in found.comparison.differences] == ["request-3"]
    assert found.comparison.identical == 5


def test_a_model_that_looks_at_whole_requests_is_asked_for_whole_requests(home: Replayable) -> None:
    version = home.publish("relative", 1, relative(), row_wise=False)
    entries = [
        entry(n, rows(n, n + 2), [-1.0, 1.0], model=version.run, revision=1, endpoint="relative")
        for n in range(5)
    ]
    log_entries(home.store, entries)
    found = replay(home, endpoint="relative")
    assert found.comparison.identical == 10


def test_columns_that_were_kept_out_of_the_log_are_named(home: Replayable) -> None:
    version = home.publish("withheld", 1, shifted(0.0))
    settings, store = home.settings, home.store
    record = read_record(store, load_trust(settings), "withheld", 1, environment=settings.environment)
    state = record.state.model_copy(update={"log": LogPolicy(exclude=["hour"])})
    assert append(
        store, open_signer(settings, Role.DECIDER), record.model_copy(update={"number": 2, "state": state})
    )
    write_heads(store, {"withheld": 2})
    assert find_head(store, "withheld") == 2
    whole = entry(1, rows(7), [7.0], model=version.run, revision=1, endpoint="withheld")
    cut = entry(2, [{"origin": "JFK"}], [7.0], model=version.run, revision=2, endpoint="withheld")
    log_entries(store, [whole, cut])
    found = replay(home, endpoint="withheld")
    reason = "'hour' was kept out of the log (deploy.log.exclude), and the version needs it"
    assert found.left_out == {reason: 1}
    assert found.comparison.identical == 1
    with pytest.raises(InvalidInput, match=r"is not whole: 'hour' was kept out"):
        read_request(settings, "withheld", Wanted(first=DAY.first, last=DAY.last, request_id="request-2"))
    assert json.loads(
        read_request(
            settings, "withheld", Wanted(first=DAY.first, last=DAY.last, request_id="request-1")
        ).data
    ) == {"rows": rows(7)}


def test_a_version_with_another_schema_says_why_it_refuses(home: Replayable) -> None:
    old = home.publish("wider", 1, shifted(0.0))
    home.publish("wider", 2, shifted(0.0), example=with_wind())
    log_entries(home.store, [entry(1, rows(7, 8), [7.0, 8.0], model=old.run, revision=1, endpoint="wider")])
    found = replay(home, "1", "2", endpoint="wider")
    assert found.comparison.problems == {"refused: rows[0].wind: missing": 2}


def test_rows_at_fault_do_not_take_others_with_them(home: Replayable) -> None:
    version = home.publish("picky", 1, deadly(99, hangs=False))
    asked = [*rows(*range(20)), {"origin": "JFK", "hour": "seven"}]
    said: Sequence[Any] = [*map(float, range(20)), 7.0]
    log_entries(home.store, [entry(1, asked, said, model=version.run, revision=1, endpoint="picky")])
    found = replay(home, endpoint="picky")
    assert found.comparison.identical == 20
    assert found.comparison.problems == {
        "refused: rows[0].hour: 'seven' is not a whole number": 1,
    }


def test_a_version_that_is_gone_is_that_version_s_problem(home: Replayable) -> None:
    gone = home.publish("gone", 1, shifted(0.0))
    there = home.publish("gone", 2, shifted(1.0))
    home.store.write(tombstone_key("gone", gone.run), b"{}")
    log_entries(
        home.store,
        [
            entry(1, rows(7), [7.0], model=gone.run, revision=1, endpoint="gone"),
            entry(2, rows(7), [8.0], model=there.run, revision=2, endpoint="gone"),
        ],
    )
    found = replay(home, endpoint="gone")
    assert found.comparison.identical == 1
    assert [problem for problem in found.comparison.problems if "has a tombstone" in problem] != []
    with pytest.raises(NotFound, match="has a tombstone"):
        replay(home, "1", endpoint="gone")


def test_a_window_without_requests_says_what_there_is(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion]
) -> None:
    with pytest.raises(
        NotFound, match=r"no request of endpoint 'demand' is in the .*there is a log of 2026-03-01"
    ):
        replay(home, first=NOON + timedelta(days=3), last=NOON + timedelta(days=4))
    with pytest.raises(
        NotFound, match="request 'request-x' of endpoint 'demand' is not in the prediction log"
    ):
        replay(home, request_id="request-x")
    home.publish("silent", 1, shifted(0.0))
    with pytest.raises(NotFound, match="holds nothing of endpoint 'silent'"):
        replay(home, endpoint="silent")
    with pytest.raises(NotFound, match="did you mean 'demand'"):
        replay(home, endpoint="deman")


def test_only_the_segments_of_the_window_are_read_and_only_so_many_requests(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion]
) -> None:
    log = StoreLog(home.store, segment_seconds=10.0)
    whole = log.read("demand", DAY)
    assert whole.requests == 46
    newest = log.read("demand", Wanted(first=DAY.first, last=DAY.last, limit=3))
    assert (newest.requests, [row.request_id for row in newest.rows]) == (
        46,
        ["request-53", "request-54", "request-55"],
    )
    some = log.read("demand", Wanted(first=DAY.first, last=DAY.last, sample=0.3))
    again = log.read("demand", Wanted(first=DAY.first, last=DAY.last, sample=0.3))
    assert 0 < some.requests < 46
    assert some == again
    some_seconds = Wanted(first=NOON + timedelta(seconds=3), last=NOON + timedelta(seconds=5))
    assert {row.request_id for row in log.read("demand", some_seconds).rows} == {"request-3", "request-4"}
    # Nothing of another time is looked at, whatever it holds.
    month = timedelta(days=30).total_seconds()
    segment = f"{round((NOON.timestamp() - month) * 1e6):x}01234567"
    far = f"predictions/demand/date=2026-03-01/here-1-{segment}.parquet"
    home.store.write(far, b"damaged")
    try:
        assert log.read("demand", DAY).requests == 46
        damaged = far.replace(segment, "unknown")
        home.store.write(damaged, b"damaged")
        with pytest.raises(PlatformFailed, match=r"cannot be read: .*here-1-unknown.parquet. too small"):
            log.read("demand", DAY)
        home.store.delete(damaged)
    finally:
        home.store.delete(far)


def run(home: Replayable, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("RASEN_ZYGOTE", "false")
    monkeypatch.setenv("COLUMNS", "140")
    done = CliRunner().invoke(build_app(), list(arguments))
    if isinstance(done.exception, RasenError):
        return done.exception.exit_code, str(done.exception)
    assert not isinstance(done.exception, Exception), done.exception
    return done.exit_code, done.output


WINDOW = ("--from", "2026-03-01T00:00+00:00", "--to", "2026-03-02T00:00+00:00")


def test_the_command_tells_what_was_reproduced(
    home: Replayable,
    demand: tuple[PublishedVersion, PublishedVersion],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    table, plot = tmp_path / "table.parquet", tmp_path / "plot.png"
    code, text = run(
        home, monkeypatch, "replay", "demand", *WINDOW, "--out", str(table), "--plot", str(plot), "--exact"
    )
    assert code == 0, text
    assert "demand: 42 requests" in text
    assert "100.00% equal within 1e-6" in text
    assert "2 rows were not asked: it got no answer then" in text
    assert table.exists()
    assert plot.exists()


def test_the_command_says_the_same_to_programs(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--version", "1", "--version", "2", "--request", "request-7", "--json")
    code, text = run(home, monkeypatch, "replay", "demand", *WINDOW, *options)
    assert code == 0, text
    said = json.loads(text)
    assert (said["requests"], said["rows"], said["comparison"]["differing"]) == (1, 2, 2)
    assert said["differences"][0] | {"model": ""} == {
        "request_id": "request-7",
        "row": 0,
        "model": "",
        "inputs": '{"origin": "JFK", "hour": 7}',
        "left": 7.0,
        "right": 7.5,
        "size": 0.5,
    }


def test_an_answer_that_does_not_come_out_again_ends_the_command_with_10(
    home: Replayable, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = home.publish("other", 1, shifted(0.0))
    asked = [
        entry(number, rows(7), [said], model=version.run, revision=1, endpoint="other")
        for number, said in ((1, 7.0), (2, 7.25))
    ]
    log_entries(home.store, asked)
    code, text = run(home, monkeypatch, "replay", "other", *WINDOW)
    assert (code, "1 to the last bit, 1 differ" in text, "request-2" in text) == (10, True, True)
    code, text = run(home, monkeypatch, "replay", "other", *WINDOW, "--version", "1")
    assert (code, "1 differ" in text) == (0, True)


def test_times_in_the_wrong_order_are_refused(home: Replayable, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run(home, monkeypatch, "replay", "demand", "--from", "2026-03-02", "--to", "2026-03-01")
    assert (code, "there is no time between them" in text) == (2, True)


def test_the_version_with_which_a_logged_answer_changed_is_found(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text = run(home, monkeypatch, "bisect", "demand", "--request", "request-7", *WINDOW)
    assert code == 0, text
    assert "changed with record 2" in text
    assert "record 1: 7, 8" in text
    assert "2 loads among 2 versions" in text
    code, text = run(home, monkeypatch, "bisect", "demand", home.file("in.json", rows(7)), "--all", "--json")
    assert code == 0, text
    assert [change["after"]["number"] for change in json.loads(text)["changes"]] == [2]


def test_what_to_bisect_on_must_be_clear(
    home: Replayable, demand: tuple[PublishedVersion, PublishedVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = home.file("in.json", rows(7))
    for options, reason in (
        ((), "give the rows in a file, or a logged request"),
        ((given, "--good", "2", "--bad", "1"), "good must be the earlier champion"),
        ((given, "--good", "7"), "no record 7"),
    ):
        code, text = run(home, monkeypatch, "bisect", "demand", *options)
        assert code == 2
        assert reason in text


def test_a_version_that_fails_every_request_is_an_error(home: Replayable) -> None:
    version = home.publish("fatal", 1, deadly(1, hangs=False))
    log_entries(home.store, [entry(1, rows(1), [1.0], model=version.run, revision=1, endpoint="fatal")])
    with pytest.raises(ModelFailed, match="ended with 3 while it was asked for row 0"):
        replay(home, "1", endpoint="fatal")
