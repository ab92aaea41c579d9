"""Whether anything came into a folder of a store since it was last listed, for stores that can tell without listing.

Ids do not come in their order: a resumed run is named after the run it resumes, and a scheduler catches up. So whoever
follows a folder must compare all its names, and that is only cheap where an unchanged folder needs no look.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol, runtime_checkable

from rasen.store.protocol import Store

_SETTLED_NS = 2_000_000_000  # far above the steps of a file system's clock


@runtime_checkable
class Stamping(Protocol):
    """A store whose folders carry a mark of their last change."""

    def folder_stamp(self, prefix: str) -> str | None:
        """Return a text that is another one after an object has come into the folder `prefix`, or gone.

        `None` says that nobody knows: the folder changed so recently that its mark may stand for two changes.
        """


def folder_stamp(store: Store, prefix: str) -> str | None:
    """Return the stamp of a folder, `None` where the store has none: then only a list can tell what is new."""
    return store.folder_stamp(prefix) if isinstance(store, Stamping) else None


def stamp_of_directory(path: Path) -> str | None:
    """Return the stamp of a directory on this machine."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    # Two changes within one tick of the file system's clock leave one time, as git knows of its index.
    if found.st_mtime_ns > time.time_ns() - _SETTLED_NS:
        return None
    return f"{found.st_ino}-{found.st_mtime_ns}"
