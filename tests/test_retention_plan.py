"""What is kept, and why: each reason by itself, and the rule over random references."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.retention.choice import choose_kept
from rasen.retention.facts import RunFacts, RunKey
from rasen.retention.plan import make_plan
from rasen.tracking.keys import bundle_key, live_key, pin_key, prediction_key, step_prefix
from rasen.tracking.pins import change_pins
from rasen.tracking.records import UnreadableRecord, Verdict
from rasen.tracking.resigning import find_signed
from rasen.tracking.tombstones import write_tombstone
from stand.histories import PIPELINE, History, run_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
YOUNG = timedelta(days=7)


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path, keep_states=2)


def why(history: History, number: int) -> str:
    plan = make_plan(history.settings, history.store)
    one = next(one for one in plan.runs if one.run == run_of(number))
    return f"{one.fate}: {'; '.join(one.reasons)}"


def pin(history: History, number: int, action: str = "pin", **more: str) -> None:
    change_pins(
        history.store, history.trust, history.control, pipeline=PIPELINE, run=run_of(number), action=action,  # type: ignore[arg-type] # a text of the test
        by="ann", environment="dev", **more,
    )  # fmt: skip


def test_each_reason_keeps_a_run_and_without_one_it_goes(history: History) -> None:
    for number in range(8):
        history.run(number)
    history.run(8, verdict=None)
    history.run(9, verdict=Verdict.FAILED)
    for number in (0, 1, 2):
        history.deploy(number, held=3 if number == 2 else None)
    history.deploy(2, held=3)  # a record that changes nothing of what answers
    pin(history, 4, reason="the paper")
    pin(history, 5, "hold", case="AZ 17/26", reason="counsel")
    history.go_on(days=8)
    history.run(10, resumes=9, reuses=6, champion=7)

    assert why(history, 0) == "goes: nothing that is kept refers to it"
    assert why(history, 1) == "stays: endpoint demand: was live, record 2"
    assert why(history, 2) == "stays: endpoint demand: is live"
    assert why(history, 3) == "stays: endpoint demand holds it"
    assert why(history, 4) == "stays: pinned by ann: the paper"
    assert why(history, 5) == "stays: legal hold 'AZ 17/26' by ann: counsel"
    assert f"run {run_of(10)} took over its step train" in why(history, 6)
    assert why(history, 7) == f"stays: the champion that run {run_of(10)} was compared with"
    assert why(history, 8) == "stays: it has no end yet"
    assert why(history, 9) == f"stays: run {run_of(10)} resumes it"
    assert why(history, 10) == "stays: younger than 7 days"
    plan = make_plan(history.settings, history.store)
    (total,) = plan.pipelines
    assert (total.stays, total.goes, total.removed) == (10, 1, 0)
    sizes = {stat.key: stat.size_bytes for stat in history.store.list("runs/")}
    assert total.stays_bytes + total.goes_bytes == sum(sizes.values())
    assert total.goes_bytes == sum(size for key, size in sizes.items() if run_of(0) in key)


def test_champions_do_not_keep_one_another_for_ever(history: History) -> None:
    history.run(0)
    for number in range(1, 6):
        history.run(number, champion=number - 1)
    history.go_on(days=8)
    history.deploy(5)
    plan = make_plan(history.settings, history.store)
    assert [one.run for one in plan.of("stays")] == [run_of(4), run_of(5)]


def test_what_no_endpoint_has_decided_about_is_kept(history: History) -> None:
    for number in range(3):
        history.run(number, deploy=True)
    history.run(3, deploy=False)
    history.run(4, deploy=True, verdict=Verdict.FAILED)
    history.deploy(0, newest=1)
    history.go_on(days=8)
    assert why(history, 1) == "goes: nothing that is kept refers to it"
    assert "no endpoint has decided about it yet" in why(history, 2)
    assert why(history, 3).startswith("goes")
    assert why(history, 4).startswith("goes")


def test_a_pin_that_nobody_can_believe_keeps_and_a_forged_end_of_it_does_not_free(history: History) -> None:
    history.run(0)
    history.run(1)
    history.go_on(days=8)
    pin(history, 0)
    history.store.write(pin_key(PIPELINE, run_of(0), 2), b'{"action": "unpin"}')
    assert "pinned by ann" in why(history, 0)
    history.store.write(pin_key(PIPELINE, run_of(1), 1), b"{}")
    assert "cannot be trusted" in why(history, 1)
    pin(history, 1)
    assert "pinned by ann" in why(history, 1), "the next record takes the next number"


def test_pins_and_tombstones_are_found_when_a_key_is_replaced(history: History) -> None:
    for number in range(2):
        history.run(number)
    pin(history, 0)
    write_tombstone(history.store, history.control, pipeline=PIPELINE, run=run_of(1), reason="old", by="ann")
    found = find_signed(history.settings, history.store, history.control.key_id)
    assert {one.key.partition("/")[0] for one in found.objects} == {"manifests", "pins", "tombstones"}


def test_what_cannot_be_read_stops_everything(history: History) -> None:
    history.run(0)
    history.go_on(days=8)
    key = f"manifests/{PIPELINE}/{run_of(0)}.json"
    history.store.write(key, b'header\n{"format": 2}')
    with pytest.raises(UnreadableRecord, match=run_of(0)):
        make_plan(history.settings, history.store)


def test_orphans_are_what_no_attempt_that_counts_has_named(history: History) -> None:
    run = history.run(0)
    pin(history, 0)
    late = step_prefix(PIPELINE, run, "train", 2)
    for name in ("claim.json", "output.ipynb", "log.txt", "tables/x.parquet"):
        history.store.write(late + name, b"x")
    history.store.write(step_prefix(PIPELINE, run, "train", 1) + "model/half", b"x")
    history.store.write(bundle_key(PIPELINE, "2-abc"), b"x")
    history.store.write(live_key(PIPELINE, run, "train"), b"x")
    for day in (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC)):
        history.store.write(prediction_key("demand", day.date(), "r1", "1"), b"x")

    assert make_plan(history.settings, history.store).orphans == (), "all of it may still be in use"
    history.go_on(days=8)
    orphans = {orphan.name for orphan in make_plan(history.settings, history.store).orphans}
    assert orphans == {
        late + "tables/x.parquet",
        step_prefix(PIPELINE, run, "train", 1) + "model/half",
        bundle_key(PIPELINE, "2-abc"),
        live_key(PIPELINE, run, "train"),
    }
    settings = history.settings.model_copy(update={"keep_predictions_days": 30})
    found = [one for one in make_plan(settings, history.store).orphans if one.kind == "predictions"]
    assert [one.name for one in found] == ["predictions/demand/date=2025-12-01/r1-1.parquet"]


def test_scratch_folders_whose_process_is_gone_are_orphans(history: History) -> None:
    import os
    import time

    run = history.run(0)
    alive = f"rerun-demand-{run}-{os.getpid()}"
    for name in (f"demand-{run}-train-1", f"rerun-demand-{run}-4194999", alive, "somebody_elses"):
        folder = history.settings.scratch_dir / name
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(b"12345")
        os.utime(folder, (time.time() - 90_000,) * 2)
    (history.settings.scratch_dir / f"demand-{run}-train-2").mkdir()
    found = make_plan(history.settings, history.store).orphans
    assert sorted(Path(one.name).name for one in found) == [
        f"demand-{run}-train-1",
        f"rerun-demand-{run}-4194999",
    ]
    assert [one.size_bytes for one in found] == [5, 5]


@st.composite
def pasts(draw: st.DrawFn) -> tuple[list[RunFacts], dict[RunKey, list[str]]]:
    """Return runs that refer to earlier ones, and some that somebody wants."""
    count = draw(st.integers(1, 12))
    facts = []
    for number in range(count):
        earlier = st.sampled_from(range(number)) if number else st.nothing()
        names = draw(st.sets(earlier, max_size=2)) if number else set()
        champion = draw(st.none() | earlier) if number else None
        facts.append(
            RunFacts(
                pipeline="p",
                run=f"r{number}",
                ended=draw(st.booleans()) or draw(st.booleans()),
                settled_at=NOW - timedelta(days=draw(st.integers(0, 20))),
                names={("p", f"r{other}"): "named" for other in names},
                champion=f"r{champion}" if champion is not None else None,
            )
        )
    wanted = draw(st.sets(st.integers(0, count - 1), max_size=3))
    return facts, {("p", f"r{number}"): ["wanted"] for number in wanted}


@given(pasts())
def test_what_a_kept_run_needs_is_kept_and_nothing_is_kept_for_nothing(
    past: tuple[list[RunFacts], dict[RunKey, list[str]]],
) -> None:
    facts, wanted = past
    kept = choose_kept(facts, wanted, now=NOW, young=YOUNG)
    known = {one.key: one for one in facts}
    for key, one in known.items():
        if not one.ended or NOW - one.settled_at < YOUNG or key in wanted:
            assert key in kept
        if key in kept:
            assert set(one.names) <= set(kept)
            assert kept[key], "every run that stays says why"
        # Without the run's own reasons, somebody who is kept must name it, or have been compared with it.
        elif any(key in known[other].names for other in kept):
            raise AssertionError(f"{key} is needed by a kept run")
    for key in kept:
        one = known[key]
        own = not one.ended or NOW - one.settled_at < YOUNG or key in wanted
        named = any(key in known[other].names for other in kept if other != key)
        compared = any(known[other].champion == key[1] for other in kept if other != key)
        assert own or named or compared


def test_the_digest_of_a_tombstone_names_its_fate() -> None:
    from rasen.tracking.keys import tombstone_fate_key

    sha256 = hashlib.sha256(b"x").hexdigest()
    assert tombstone_fate_key("p", "r", sha256) == f"tombstones/p/r/{sha256[:12]}.json"
