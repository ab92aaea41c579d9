"""The contract of `Store`, held by every implementation."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from rasen.errors import (
    DigestMismatch,
    InvalidInput,
    ObjectNotFound,
    PreconditionFailed,
    RasenError,
)
from rasen.store import DirectoryStore, MemoryStore, Patience, PatientStore, Store

RACERS = 8


@pytest.fixture(params=["directory", "memory", "patient"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "directory":
            return DirectoryStore(tmp_path / "store")
        case "memory":
            return MemoryStore()
        case _:
            return PatientStore(MemoryStore(), Patience(seconds=60.0))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_read_returns_what_was_written(store: Store) -> None:
    store.write("a/b.json", b"one")
    assert store.read("a/b.json") == b"one"
    assert store.read_versioned("a/b.json")[0] == b"one"


def test_reading_what_is_not_there_says_so(store: Store) -> None:
    store.write("a/b", b"")
    for key in ("a/c", "a", "a/b/c"):
        with pytest.raises(ObjectNotFound, match=f"no object '{key}'"):
            store.read(key)
        assert store.stat(key) is None


def test_generation_changes_with_every_write_and_is_what_read_returns(store: Store) -> None:
    first = store.write("key", b"1")
    second = store.write("key", b"2")
    assert second > first
    assert store.read_versioned("key") == (b"2", second)
    found = store.stat("key")
    assert found is not None
    assert (found.generation, found.size_bytes) == (second, 1)
    assert found.updated_at.tzinfo is not None


def test_create_only_refuses_what_exists_and_keeps_it(store: Store) -> None:
    store.write("key", b"first", if_generation=0)
    with pytest.raises(PreconditionFailed, match="'key'"):
        store.write("key", b"second", if_generation=0)
    assert store.read("key") == b"first"


def test_compare_and_swap_takes_the_expected_generation_only(store: Store) -> None:
    generation = store.write("key", b"1")
    newer = store.write("key", b"2", if_generation=generation)
    with pytest.raises(PreconditionFailed):
        store.write("key", b"3", if_generation=generation)
    with pytest.raises(PreconditionFailed):
        store.write("absent", b"3", if_generation=generation)
    assert store.read_versioned("key") == (b"2", newer)


def test_delete_is_idempotent_and_the_key_can_be_created_again(store: Store) -> None:
    store.write("a/key", b"1")
    store.delete("a/key")
    store.delete("a/key")
    assert store.stat("a/key") is None
    store.write("a/key", b"2", if_generation=0)
    assert store.read("a/key") == b"2"


def test_list_is_in_key_order_and_starts_after(store: Store) -> None:
    keys = ["a-b", "a.c", "a/1", "a/10", "a/2", "b/1"]
    for key in random.Random(7).sample(keys, len(keys)):
        store.write(key, b"")
    assert [stat.key for stat in store.list("")] == sorted(keys)
    assert [stat.key for stat in store.list("a/")] == ["a/1", "a/10", "a/2"]
    assert [stat.key for stat in store.list("a/1")] == ["a/1", "a/10"]
    assert [stat.key for stat in store.list("a/", after="a/10")] == ["a/2"]
    assert list(store.list("nothing/")) == []


def test_children_are_the_next_names(store: Store) -> None:
    for key in ("runs/b/1", "runs/a/1/x", "runs/a/2", "runs/c.json"):
        store.write(key, b"")
    assert store.children("runs/") == ["a", "b", "c.json"]
    assert store.children("nothing/") == []


def test_what_was_deleted_is_nobodys_child(store: Store) -> None:
    for key in ("runs/b/1/x/y", "runs/b/2", "runs/c"):
        store.write(key, b"")
    store.delete("runs/b/1/x/y")
    assert store.children("runs/b/") == ["2"]
    store.delete("runs/b/2")
    assert store.children("runs/") == ["c"]
    store.write("runs/b/1/x", b"again", if_generation=0)
    assert store.read("runs/b/1/x") == b"again"


def test_writers_and_deleters_of_one_folder_do_not_disturb_one_another(store: Store) -> None:
    wrong: list[Exception] = []

    def come_and_go(name: int) -> None:
        try:
            for _ in range(200):
                store.write(f"live/run/deep/{name}", b"x", if_generation=0)
                assert store.read(f"live/run/deep/{name}") == b"x"
                store.delete(f"live/run/deep/{name}")
        except (AssertionError, RasenError, OSError) as error:  # what a thread raises is seen by nobody else
            wrong.append(error)

    threads = [threading.Thread(target=come_and_go, args=(name,)) for name in range(4)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(
        1e-5
    )  # so often that what one call leaves between two steps is found here, not in production
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert wrong == []
    assert store.children("live/") == []


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        "a/.hidden",
        ".staged/x",
        "a b",
        "a\0b",
        "a\\b",
        "ä",
        "x" * 901,
    ],
)
def test_keys_that_some_store_would_treat_specially_are_refused(store: Store, key: str) -> None:
    with pytest.raises(InvalidInput, match="object key"):
        store.write(key, b"")
    with pytest.raises(InvalidInput, match="object key"):
        store.read(key)


def test_upload_and_download_check_the_digest(store: Store, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_000_000)
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    source.write_bytes(data)
    with pytest.raises(DigestMismatch):
        store.upload(source, "file", sha256=sha256(b"other"))
    assert store.stat("file") is None
    store.upload(source, "file", sha256=sha256(data))
    with pytest.raises(PreconditionFailed):
        store.upload(source, "file", sha256=sha256(data))
    target.parent.mkdir()
    with pytest.raises(DigestMismatch):
        store.download("file", target, sha256=sha256(b"other"))
    assert list(target.parent.iterdir()) == []
    store.download("file", target, sha256=sha256(data))
    assert target.read_bytes() == data
    with pytest.raises(ObjectNotFound):
        store.download("absent", target, sha256=sha256(data))


def test_racing_threads_have_one_winner(store: Store) -> None:
    for race in range(20):
        # A folder of its own each time, because the first writers also race for making it.
        assert sum(_race(partial(_created, store, f"race/{race}/key"))) == 1
    generation = store.write("swap", b"")
    for race in range(20):
        outcomes = _race(partial(_swapped, store, generation))
        assert sum(outcomes) == 1, race
        generation = store.read_versioned("swap")[1]


def _race(attempt: Callable[[int], bool]) -> list[bool]:
    barrier = threading.Barrier(RACERS)
    outcomes: list[bool] = []

    def run(who: int) -> None:
        barrier.wait()
        outcomes.append(attempt(who))

    threads = [threading.Thread(target=run, args=(who,)) for who in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == RACERS
    return outcomes


def _created(store: Store, key: str, who: int) -> bool:
    try:
        store.write(key, str(who).encode(), if_generation=0)
    except PreconditionFailed:
        return False
    return True


def _swapped(store: Store, generation: int, who: int) -> bool:
    try:
        store.write("swap", str(who).encode(), if_generation=generation)
    except PreconditionFailed:
        return False
    return True


def _count_up(root: Path, rounds: int) -> None:
    store = DirectoryStore(root)
    done = 0
    try:
        while done < rounds:
            data, generation = store.read_versioned("counter")
            with suppress(PreconditionFailed):
                store.write("counter", str(int(data) + 1).encode(), if_generation=generation)
                done += 1
    finally:
        os._exit(0 if done == rounds else 1)


def test_racing_processes_lose_no_update(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("counter", b"0")
    racers = []
    for _ in range(RACERS):
        child = os.fork()
        if child == 0:
            _count_up(tmp_path, 25)
        racers.append(child)
    for racer in racers:
        assert os.waitpid(racer, 0)[1] == 0
    assert store.read("counter") == str(RACERS * 25).encode()


@pytest.mark.endurance
def test_a_writer_killed_at_any_instant_leaves_no_half_object(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    pauses = random.Random(3)
    turn = 0
    # On a machine that has much else to do most writers are killed before they have written: then there are more turns.
    while turn < 200 or len(list(store.list("created/"))) < 20:
        turn += 1
        child = os.fork()
        if child == 0:
            _write_for_ever(tmp_path, str(turn))
        time.sleep(pauses.uniform(0.002, 0.02))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        for stat in store.list(f"created/{turn}-"):
            _check_whole(store.read(stat.key), 20_000)
        if store.stat("overwritten") is not None:
            _check_whole(store.read("overwritten"), 50_000)


def _write_for_ever(root: Path, name: str) -> None:
    store = DirectoryStore(root)
    number = 0
    try:
        while True:
            number += 1
            text = f"{number % 1000:03d}".encode()
            store.write("overwritten", text * 50_000)
            store.write(f"created/{name}-{number}", text * 20_000, if_generation=0)
    finally:
        os._exit(1)


def _check_whole(data: bytes, repeats: int) -> None:
    assert data == data[:3] * repeats


def test_a_full_disk_changes_nothing_and_says_so(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from rasen.errors import StoreUnavailable
from rasen.store import DirectoryStore
store = DirectoryStore(Path(sys.argv[1]))
store.write("key", b"old")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    store.write("key", b"x" * 200_000)
except StoreUnavailable as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert store.read("key") == b"old"
store.write("key", b"x" * 200_000)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "no room to write 'key'" in finished.stdout
    assert len(DirectoryStore(tmp_path).read("key")) == 200_000
    assert list((tmp_path / ".staged").iterdir()) == []


def test_an_object_cannot_also_be_a_folder(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write("a", b"")
    with pytest.raises(InvalidInput, match="is an object, not a folder"):  # for ever: no reason to be patient
        store.write("a/b", b"")


def test_generations_grow_when_the_clock_goes_back(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    generation = store.write("key", b"1")
    ahead = generation + 3_600 * 10**9
    os.utime(tmp_path / "key", ns=(ahead, ahead))
    assert store.write("key", b"2", if_generation=ahead) > ahead


def test_a_link_in_the_tree_is_no_object(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"of somebody else")
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")  # the store itself may lie elsewhere
    store = DirectoryStore(tmp_path / "root")
    store.write("runs/own", b"own")
    (tmp_path / "disk" / "runs" / "file").symlink_to(outside / "secret")
    (tmp_path / "disk" / "runs" / "folder").symlink_to(outside)
    for key in ("runs/file", "runs/folder/secret"):
        with pytest.raises(ObjectNotFound, match="a link is there, and links are not followed"):
            store.read(key)
        with pytest.raises(ObjectNotFound, match="a link is there"):
            store.download(key, tmp_path / "copy", sha256=hashlib.sha256(b"of somebody else").hexdigest())
    assert [stat.key for stat in store.list("")] == ["runs/own"]
    assert not (tmp_path / "copy").exists()
    (tmp_path / "disk").rename(tmp_path / "moved")
    (tmp_path / "root").unlink()
    (tmp_path / "root").symlink_to(tmp_path / "moved")
    assert store.read("runs/own") == b"own"
