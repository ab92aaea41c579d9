"""A store that is asked again: for an outage of seconds nobody has to fail, start over, or be woken at night.

Only what is safe to repeat is repeated. A write that failed may have been committed all the same, its answer lost; so
when the next attempt finds the object there, what lies there decides: our own bytes mean that we had written them. A
writer for whom it matters that nobody else writes the very same bytes (a claim) must put something of his own in.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rasen.errors import DigestMismatch, ObjectNotFound, PreconditionFailed, StoreUnavailable
from rasen.store.folder_stamps import folder_stamp
from rasen.store.protocol import Stat, Store

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a store that is down is asked again.

    Args:
        seconds: From the first failure of a call until it is given up.
        clock: Returns monotonic seconds.
        sleep: Waits for seconds.
        jitter: Returns a number from 0 to 1, so that those who failed together do not come back together.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class PatientStore:
    """A `Store` that passes everything on to another one, again and again while that is unavailable."""

    def __init__(self, store: Store, patience: Patience) -> None:
        self._store = store
        self._patience = patience

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        return self._again(lambda: self._store.read(key))

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        """Return the object's bytes and generation."""
        return self._again(lambda: self._store.read_versioned(key))

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        """Write the object and return its generation, which is that of a write before whose answer was lost, too."""
        unsure = False

        def write() -> int:
            nonlocal unsure
            try:
                return self._store.write(key, data, if_generation=if_generation)
            except StoreUnavailable:
                unsure = True
                raise
            except PreconditionFailed:
                if unsure:
                    with suppress(ObjectNotFound):
                        found, generation = self._store.read_versioned(key)
                        if found == data:
                            return generation
                raise

        return self._again(write)

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names that follow `prefix` up to the next `/`."""
        return self._again(lambda: self._store.children(prefix))

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the objects under `prefix` after `after`, in key order; an interrupted list goes on where it was."""
        last = after
        listed: Iterator[Stat] | None = None

        def take() -> Stat | None:
            nonlocal listed
            if listed is None:
                listed = iter(self._store.list(prefix, after=last))
            try:
                return next(listed, None)
            except StoreUnavailable:
                listed = None  # what has raised once would only say that it is at its end
                raise

        while (stat := self._again(take)) is not None:
            last = stat.key
            yield stat

    def stat(self, key: str) -> Stat | None:
        """Return what is known of the object, or `None`."""
        return self._again(lambda: self._store.stat(key))

    def delete(self, key: str) -> None:
        """Delete the object if it is there. When an answer was lost, one that was created meanwhile is deleted too."""
        self._again(lambda: self._store.delete(key))

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        """Copy a local file to a new object and return its generation, as with `write`."""
        unsure = False

        def upload() -> int:
            nonlocal unsure
            try:
                return self._store.upload(path, key, sha256=sha256)
            except StoreUnavailable:
                unsure = True
                raise
            except PreconditionFailed:
                stat = self._store.stat(key) if unsure and self._holds(key, sha256) else None
                if stat is None:
                    raise
                return stat.generation

        return self._again(upload)

    def download(self, key: str, path: Path, *, sha256: str) -> None:
        """Copy an object to a local file, which appears only when the digest is right."""
        self._again(lambda: self._store.download(key, path, sha256=sha256))

    def folder_stamp(self, prefix: str) -> str | None:
        """Return the stamp of a folder, `None` where the store behind this one has none."""
        return folder_stamp(self._store, prefix)

    def _holds(self, key: str, sha256: str) -> bool:
        with tempfile.TemporaryDirectory(prefix="rasen-") as folder:
            try:
                self._store.download(key, Path(folder, "copy"), sha256=sha256)
            except (DigestMismatch, ObjectNotFound):
                return False
        return True

    def _again(self, call: Callable[[], _Result]) -> _Result:
        patience = self._patience
        deadline: float | None = None
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                now = patience.clock()
                deadline = now + patience.seconds if deadline is None else deadline
                if now >= deadline:
                    if not patience.seconds:
                        raise
                    raise StoreUnavailable(f"{error} (asked again for {patience.seconds:g} s)") from error
                patience.sleep(min(pause_seconds * (0.5 + patience.jitter() / 2), deadline - now))
                pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
