"""A store that is down at times: it fails before it acts, after it has acted, or in the middle of a transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

from rasen.errors import StoreUnavailable
from rasen.store import Patience, Stat, Store

Phase = Literal["before", "after", "during"]
_Result = TypeVar("_Result")


class FakeClock:
    """A clock that goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, seconds: float = 60.0) -> Patience:
        """Return patience by this clock."""
        return Patience(seconds=seconds, clock=self, sleep=self.sleep, jitter=lambda: 0.5)


class FaultyStore:
    """Passes everything on to a store, and fails while `is_down` says so.

    Args:
        store: Where the objects are.
        phase: `before` it acted: nothing happened; `after`: it was committed and the answer lost; `during`: of a list
            half was said, of an object half was transferred and thrown away.
        is_down: Asked once for every call.
    """

    def __init__(self, store: Store, phase: Phase, is_down: Callable[[], bool]) -> None:
        self.store = store
        self.phase = phase
        self.is_down = is_down
        self.calls = 0

    @classmethod
    def failing(cls, store: Store, phase: Phase, times: int) -> FaultyStore:
        """Return a store whose first calls fail."""
        left = iter(range(times))
        return cls(store, phase, lambda: next(left, None) is not None)

    def read(self, key: str) -> bytes:
        return self._do(lambda: self.store.read(key))

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        return self._do(lambda: self.store.read_versioned(key))

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        return self._do(lambda: self.store.write(key, data, if_generation=if_generation))

    def children(self, prefix: str) -> list[str]:
        return self._do(lambda: self.store.children(prefix))

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        found = [*self.store.list(prefix, after=after)]
        down = self._is_down()
        if down and self.phase == "before":
            raise StoreUnavailable("the store is down")
        yield from found[: len(found) // 2] if down else found
        if down:
            raise StoreUnavailable("the list broke off")

    def stat(self, key: str) -> Stat | None:
        return self._do(lambda: self.store.stat(key))

    def delete(self, key: str) -> None:
        self._do(lambda: self.store.delete(key))

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        return self._do(lambda: self.store.upload(path, key, sha256=sha256))

    def download(self, key: str, path: Path, *, sha256: str) -> None:
        if self.phase == "during" and self._is_down():
            part = path.with_name(".part")
            part.write_bytes(self.store.read(key)[::2])
            part.unlink()
            raise StoreUnavailable("the transfer broke off")
        self._do(lambda: self.store.download(key, path, sha256=sha256))

    def _is_down(self) -> bool:
        self.calls += 1
        return self.is_down()

    def _do(self, call: Callable[[], _Result]) -> _Result:
        if not self._is_down():
            return call()
        if self.phase == "after":
            call()
        raise StoreUnavailable("the store is down")
