"""An object store in memory: the reference implementation, for tests and dry runs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rasen.errors import DigestMismatch, ObjectNotFound, PreconditionFailed
from rasen.store.protocol import Stat, check_key


class MemoryStore:
    """A `Store` that lives as long as the process. Safe to share among threads."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(tz=UTC)) -> None:
        self._clock = clock
        self._objects: dict[str, tuple[bytes, Stat]] = {}
        self._lock = threading.Lock()
        self._generation = 0

    def read(self, key: str) -> bytes:
        """Return the object's bytes."""
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        """Return the object's bytes and generation."""
        try:
            data, stat = self._objects[check_key(key)]
        except KeyError:
            raise ObjectNotFound(f"no object {key!r} in the store") from None
        return data, stat.generation

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        """Write the object and return its generation."""
        check_key(key)
        with self._lock:
            present = self._objects.get(key)
            found = present[1].generation if present else 0
            if if_generation is not None and if_generation != found:
                raise PreconditionFailed(f"object {key!r} has generation {found}, expected {if_generation}")
            self._generation += 1
            stat = Stat(key=key, size_bytes=len(data), generation=self._generation, updated_at=self._clock())
            self._objects[key] = (bytes(data), stat)
            return stat.generation

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names that follow `prefix` up to the next `/`."""
        return sorted(
            {key[len(prefix) :].split("/", 1)[0] for key in self._objects if key.startswith(prefix)}
        )

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the objects under `prefix` after `after`, in key order."""
        for key in sorted(self._objects):
            if key.startswith(prefix) and key > after and key in self._objects:
                yield self._objects[key][1]

    def stat(self, key: str) -> Stat | None:
        """Return what is known of the object, or `None`."""
        present = self._objects.get(check_key(key))
        return present[1] if present else None

    def delete(self, key: str) -> None:
        """Delete the object if it is there."""
        with self._lock:
            self._objects.pop(check_key(key), None)

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        """Copy a local file to a new object."""
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DigestMismatch(
                f"{str(path)!r} does not have the SHA-256 {sha256} that was announced for {key!r}"
            )
        return self.write(key, data, if_generation=0)

    def download(self, key: str, path: Path, *, sha256: str) -> None:
        """Copy an object to a local file."""
        data = self.read(key)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DigestMismatch(f"object {key!r} does not have the expected SHA-256 {sha256}")
        path.write_bytes(data)
