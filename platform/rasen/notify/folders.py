"""New names in folders of the store, and whether it is worth looking.

Objects of these folders are created and never changed, and they do not come in the order of their names: a run that
began early may end late. So what was seen is kept by name.
"""

from __future__ import annotations

import time
from pathlib import Path

from rasen.store import DirectoryStore, Store

# A folder that changed this recently may change again without a new modification time: the kernel's clock for
# files moves in steps of up to 10 ms.
_TIME_STEP_NANOSECONDS = 50_000_000


class Doorbell:
    """Says which folders may have something new. Only a directory can tell; in any other store each one may."""

    def __init__(self, store: Store) -> None:
        self._root: Path | None = store.root if isinstance(store, DirectoryStore) else None
        self._modified: dict[str, int] = {}

    def rang(self, folder: str) -> bool:
        """Return whether a folder must be looked at, and take it that it will be."""
        if self._root is None:
            return True
        now = time.time_ns()
        try:
            modified = (self._root / folder).stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            return False
        if self._modified.get(folder) == modified:
            return False
        self._modified[folder] = modified if modified < now - _TIME_STEP_NANOSECONDS else 0
        return True

    def forget(self) -> None:
        """Take it that every folder has something new: what was found could not be kept."""
        self._modified.clear()


class Folders:
    """The subfolders of a folder that are called like what they belong to, and what is new in each."""

    def __init__(self, store: Store, doorbell: Doorbell, folder: str) -> None:
        self._store = store
        self._doorbell = doorbell
        self._folder = folder
        self._names: list[str] = []

    def rang(self) -> list[str]:
        """Return the names of the subfolders that must be looked at."""
        if self._doorbell.rang(self._folder):
            self._names = self._store.children(f"{self._folder}/")
        return [name for name in self._names if self._doorbell.rang(f"{self._folder}/{name}")]

    def objects(self, name: str) -> list[str]:
        """Return the names of the records in a subfolder, sorted, without their ending."""
        names = self._store.children(f"{self._folder}/{name}/")
        return [found.removesuffix(".json") for found in names if found.endswith(".json")]
