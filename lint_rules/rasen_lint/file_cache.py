"""What was made of a file, kept until the file changes: a warm server reads nothing twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class FileCache(Generic[T]):
    """Remembers by time and size. Several threads may ask; at worst two of them read the same file."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[tuple[int, int, int] | None, T | None]] = {}

    def get(self, path: Path, build: Callable[[Path, bytes], T]) -> T | None:
        """Return what `build` makes of a file's path and bytes, `None` where no file can be read."""
        stamp = _stamp(path)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        made: T | None = None
        if stamp is not None:
            try:
                data = path.read_bytes()
            except OSError:
                return None
            made = build(path, data)
        self._kept[path] = (stamp, made)
        return made


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - asked for every folder above every notebook: the fast way
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
