"""The bridge: every manifest's event is delivered at least once, whoever is down, and whatever is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from rasen.deploy import ledger
from rasen.errors import PlatformFailed
from rasen.events import OBJECT_FINALIZED, SCHEDULER_EXECUTED
from rasen.local.bridge import Bridge, ManifestWatch
from rasen.local.outbox import Outbox
from rasen.local.processes import free_port
from rasen.settings import Settings, load_settings, platform_environment
from rasen.store import DirectoryStore, Stat
from rasen.tracking.keys import manifest_key
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.function import Receiver, running_function, wait_for
from stand.manifests import Publisher, run_of


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "store")


def key(number: int, pipeline: str = "demand") -> str:
    return manifest_key(pipeline, run_of(number))


def delivered(receiver: Receiver) -> list[str]:
    """Return the object names of the finalized events that came, in order."""
    return [
        json.loads(body)["name"]
        for _, headers, body in receiver.requests
        if headers["ce-type"] == OBJECT_FINALIZED
    ]


class Bridged:
    """A bridge in this process whose function is `receiver`."""

    def __init__(self, store: DirectoryStore, path: Path, port: int, *, outbox: Outbox | None = None) -> None:
        self.outbox = outbox or Outbox(path / "outbox.sqlite")
        self.bridge = Bridge(
            store, self.outbox, host="127.0.0.1", port=port, bucket="rasen-dev", reconcile_seconds=3600
        )

    def step_until(self, receiver: Receiver, *keys: str) -> None:
        def all_came() -> bool:
            return set(keys) <= set(delivered(receiver)) and not self.outbox.pending()

        step_until(self.bridge, f"the events of {keys}", all_came)


def step_until(bridge: Bridge, what: str, condition: Callable[[], bool]) -> None:
    """Let the bridge work until `condition()` is true."""

    def stepped() -> bool:
        bridge.step()
        return condition()

    wait_for(what, stepped)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_each_manifest_makes_one_event(store: DirectoryStore, tmp_path: Path, receiver: Receiver) -> None:
    bridged = Bridged(store, tmp_path, receiver.port)
    bridged.bridge.step()
    store.write(key(1), b"one")
    bridged.step_until(receiver, key(1))
    store.write(key(1, "other"), b"two")
    store.write(key(2), b"three")
    store.write("runs/demand/ignored.json", b"not a manifest")
    bridged.step_until(receiver, key(2), key(1, "other"))
    for _ in range(5):
        bridged.bridge.step()
    assert sorted(delivered(receiver)) == sorted([key(1), key(1, "other"), key(2)])
    bridged.outbox.close()


def test_an_overwritten_object_makes_another_event(
    store: DirectoryStore, tmp_path: Path, receiver: Receiver
) -> None:
    bridged = Bridged(store, tmp_path, receiver.port)
    store.write(key(1), b"forged")
    bridged.step_until(receiver, key(1))
    store.write(key(1), b"restored")
    step_until(bridged.bridge, "the second event", lambda: len(delivered(receiver)) == 2)
    generations = {
        json.loads(body)["generation"] for _, _, body in receiver.requests if b"generation" in body
    }
    assert len(generations) == 2
    bridged.outbox.close()


def test_what_was_delivered_is_not_sent_again_after_a_restart(
    store: DirectoryStore, tmp_path: Path, receiver: Receiver
) -> None:
    store.write(key(1), b"one")
    first = Bridged(store, tmp_path, receiver.port)
    first.step_until(receiver, key(1))
    first.outbox.close()
    store.write(key(2), b"two")
    second = Bridged(store, tmp_path, receiver.port)
    second.step_until(receiver, key(2))
    assert delivered(receiver) == [key(1), key(2)]
    second.outbox.close()


def test_an_event_that_is_answered_500_comes_again(
    store: DirectoryStore, tmp_path: Path, receiver: Receiver
) -> None:
    store.write(key(1), b"one")
    store.write(key(2), b"two")
    receiver.statuses[:] = [500, 429, 503, 404]
    bridged = Bridged(store, tmp_path, receiver.port)
    bridged.step_until(receiver, key(1), key(2))
    assert len(receiver.requests) >= 6
    bridged.outbox.close()


def test_events_wait_for_a_function_that_is_down(store: DirectoryStore, tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    bridged = Bridged(store, tmp_path, port)
    for number in range(20):
        store.write(key(number), b"one")
        bridged.bridge.step()
    assert len(bridged.outbox.pending()) == 20
    with Receiver(port) as receiver:
        bridged.step_until(receiver, *[key(number) for number in range(20)])
        assert len(delivered(receiver)) == 20
    bridged.outbox.close()


def test_the_reconciler_is_rung_in_its_period(
    store: DirectoryStore, tmp_path: Path, receiver: Receiver
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    bridge = Bridge(
        store, outbox, host="127.0.0.1", port=receiver.port, bucket="rasen-dev", reconcile_seconds=0.05
    )
    step_until(bridge, "three ticks", lambda: len(receiver.requests) >= 3)
    assert {headers["ce-type"] for _, headers, _ in receiver.requests} == {SCHEDULER_EXECUTED}
    assert len({headers["ce-id"] for _, headers, _ in receiver.requests}) == len(receiver.requests)
    outbox.close()


def test_a_full_disk_delays_events_and_loses_none(
    store: DirectoryStore, tmp_path: Path, receiver: Receiver
) -> None:
    class Full(Outbox):
        full = True

        def add(self, stats: Iterable[Stat]) -> None:
            if self.full:
                raise PlatformFailed("the disk is full")
            super().add(stats)

    outbox = Full(tmp_path / "outbox.sqlite")
    bridged = Bridged(store, tmp_path, receiver.port, outbox=outbox)
    store.write(key(1), b"one")
    bridged.bridge.step()
    bridged.bridge.step()
    assert delivered(receiver) == []
    outbox.full = False
    bridged.step_until(receiver, key(1))
    outbox.close()


@pytest.mark.parametrize("damage", [b"", b"not a database, but long enough to be taken for one" * 100])
def test_a_damaged_outbox_is_made_anew(
    store: DirectoryStore, tmp_path: Path, receiver: Receiver, damage: bytes
) -> None:
    store.write(key(1), b"one")
    (tmp_path / "outbox.sqlite").write_bytes(damage)
    bridged = Bridged(store, tmp_path, receiver.port)
    bridged.step_until(receiver, key(1))
    bridged.outbox.close()


def test_an_outbox_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite").mkdir()
    with pytest.raises(PlatformFailed, match="cannot be opened"):
        Outbox(tmp_path / "outbox.sqlite")


def test_a_watch_lists_a_folder_only_when_it_may_have_changed(tmp_path: Path) -> None:
    class Counted(DirectoryStore):
        listed: list[str]

        def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
            self.listed.append(prefix)
            return super().list(prefix, after=after)

    store = Counted(tmp_path)
    store.listed = []
    for pipeline in ("one", "two"):
        store.write(key(1, pipeline), b"x")
        for folder in (tmp_path / "manifests" / pipeline, tmp_path / "manifests"):
            os.utime(folder, ns=(0, 1_000_000_000_000_000_000))  # long ago
    watch = ManifestWatch(store)
    assert {stat.key for stat in watch.changed()} == {key(1, "one"), key(1, "two")}
    store.listed.clear()
    assert watch.changed() == []
    assert store.listed == []
    store.write(key(2, "two"), b"x")
    folder = tmp_path / "manifests" / "two"
    os.utime(folder, ns=(0, 1_000_000_000_000_000_001))
    assert {stat.key for stat in watch.changed()} == {key(1, "two"), key(2, "two")}
    assert watch.changed() == []
    # What changes now may change again without a new time, so it is listed until that has passed.
    os.utime(folder, ns=(0, 4_000_000_000_000_000_000))
    assert len(watch.changed()) == len(watch.changed()) == 2
    assert set(store.listed) == {"manifests/two/"}


def test_a_watch_sees_the_first_manifest_of_a_store(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    watch = ManifestWatch(store)
    assert watch.changed() == []
    store.write(key(1), b"x")
    assert [stat.key for stat in watch.changed()] == [key(1)]
    store.delete(key(1))
    assert watch.changed() == []


def start_bridge(settings: Settings) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rasen.local.bridge"],
        env=platform_environment(settings),
        stderr=subprocess.DEVNULL,
    )


def test_the_outbox_survives_a_kill_of_the_bridge(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, function_port=free_port("127.0.0.1"))
    store = DirectoryStore(settings.store_dir)
    for number in range(5):
        store.write(key(number), b"one")

    def pending() -> int:
        if not settings.outbox_file.exists():
            return 0
        outbox = Outbox(settings.outbox_file)
        try:
            return len(outbox.pending())
        finally:
            outbox.close()

    bridge = start_bridge(settings)
    wait_for("the outbox", lambda: pending() == 5)
    bridge.send_signal(signal.SIGKILL)
    bridge.wait()
    for number in range(5):  # nothing can be found again: what is delivered comes from the outbox
        store.delete(key(number))
    with Receiver(settings.function_port) as receiver:
        bridge = start_bridge(settings)
        try:
            wait_for("five events", lambda: len(set(delivered(receiver))) == 5)
        finally:
            bridge.kill()
            bridge.wait()
    assert sorted(delivered(receiver)) == [key(number) for number in range(5)]


def test_the_real_function_is_killed_and_every_run_is_decided(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path,
        function_port=free_port("127.0.0.1"),
        admin_port=free_port("127.0.0.1"),
        reconcile_seconds=3600,
    )
    publisher = Publisher(
        DirectoryStore(settings.store_dir),
        tmp_path / "unpickled",
        registrar=open_signer(settings, Role.REGISTRAR),
        control=open_signer(settings, Role.CONTROL),
        decider=open_signer(settings, Role.DECIDER),
    )
    publisher.register()

    def runs() -> list[str | None]:
        trust = load_trust(settings)
        found = ledger.list_records(publisher.store, trust, "demand", environment="dev")
        return [record.run for record in found]

    bridge = start_bridge(settings)
    try:
        with running_function(settings, log=tmp_path / "function.log") as function:
            publisher.publish(1)
            wait_for("the first record", lambda: runs() == [run_of(1)])
            os.killpg(function.pid, signal.SIGKILL)
            function.wait()
        publisher.publish(2)
        publisher.publish(3)
        with running_function(settings, log=tmp_path / "function.log"):
            wait_for("all records", lambda: runs() == [run_of(1), run_of(2), run_of(3)])
    finally:
        bridge.kill()
        bridge.wait()
    assert not (tmp_path / "unpickled").exists()
