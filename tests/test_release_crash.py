"""A registration that is killed anywhere, or races with others, converges when it is run again."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rasen.errors import NotFound
from rasen.release import current_release, read_release, register, unpack_bundle
from rasen.settings import load_settings
from rasen.store import DirectoryStore, MemoryStore
from rasen.tracking.keys import bundle_key
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.pipeline_folder import commit_all, make_repository, notebook

IMAGE = "sha256:image"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class DyingStore(MemoryStore):
    """A store whose client dies at its `fatal`-th write, before or after the write arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.arrives = False

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        if self.writes_left is None:
            return super().write(key, data, if_generation=if_generation)
        self.writes_left -= 1
        if self.writes_left >= 0:
            return super().write(key, data, if_generation=if_generation)
        if self.arrives:
            super().write(key, data, if_generation=if_generation)
        raise Killed


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("survived_writes", [0, 1, 2])
@pytest.mark.parametrize("registered_before", [False, True])
def test_a_killed_registration_leaves_nothing_half_done_and_is_finished_by_the_next(
    tmp_path: Path, survived_writes: int, arrives: bool, registered_before: bool
) -> None:
    settings = load_settings(home=tmp_path / "rasen")
    signer = open_signer(settings, Role.REGISTRAR)
    trust = load_trust(settings)
    top = make_repository(tmp_path / "repository", "demand")
    folder = top / "notebooks" / "demand"
    store = DyingStore()
    if registered_before:
        register(folder, store=store, signer=signer, image=IMAGE)
        (folder / "train.ipynb").write_bytes(notebook("max_depth: int = 7\n"))
        commit_all(top)

    store.writes_left, store.arrives = survived_writes, arrives
    with pytest.raises(Killed):
        register(folder, store=store, signer=signer, image=IMAGE)
    store.writes_left = None

    # What current.json names is always a whole release.
    try:
        named = current_release(store, "demand")
    except NotFound:
        assert not registered_before
    else:
        release = read_release(store, trust, "demand", named, environment="dev")
        unpack_bundle(store, release, tmp_path / "between")

    registered = register(folder, store=store, signer=signer, image=IMAGE)
    assert registered.current == registered.release.release
    assert registered.release.sequence == (2 if registered_before else 1)
    again = read_release(store, trust, "demand", registered.current, environment="dev")
    assert again == registered.release
    unpack_bundle(store, again, tmp_path / "after")


def test_a_bundle_that_another_zlib_packed_is_taken_over(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "rasen")
    signer = open_signer(settings, Role.REGISTRAR)
    folder = make_repository(tmp_path / "repository", "demand") / "notebooks" / "demand"
    first, second = MemoryStore(), MemoryStore()
    release = register(folder, store=first, signer=signer, image=IMAGE).release
    key = bundle_key("demand", release.release)
    otherwise = gzip.compress(gzip.decompress(first.read(key)), compresslevel=1)
    second.write(key, otherwise)
    taken = register(folder, store=second, signer=signer, image=IMAGE).release
    assert taken.bundle.sha256 != release.bundle.sha256
    unpack_bundle(second, taken, tmp_path / "out")


def test_racing_registrations_of_many_commits_end_with_the_newest(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "rasen")
    signer = open_signer(settings, Role.REGISTRAR)
    trust = load_trust(settings)
    store = DirectoryStore(settings.store_dir)
    folders = []
    for count in range(1, 5):
        top = make_repository(tmp_path / f"clone{count}", "demand")
        for depth in range(count):
            (top / "notebooks" / "demand" / "train.ipynb").write_bytes(
                notebook(f"max_depth: int = {depth}\n")
            )
            commit_all(top)
        folders.append(top / "notebooks" / "demand")
    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(
            pool.map(lambda folder: register(folder, store=store, signer=signer, image=IMAGE), folders * 2)
        )
    newest = max((result.release for result in results), key=lambda release: release.sequence)
    assert newest.sequence == 5
    assert current_release(store, "demand") == newest.release
    for result in results:
        assert (
            read_release(store, trust, "demand", result.release.release, environment="dev") == result.release
        )
