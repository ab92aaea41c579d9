"""What lies in the repository around a notebook: its root, the files of a folder, and the Python modules among them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 20_000
"""A folder with more is not listed: somebody linted a home directory, and no answer is better than a minute's wait."""

_ROOT_SIGNS = (".git", "pyproject.toml")
_NOT_OURS = frozenset({"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"})
# Everybody may import the platform, wherever its source lies.
_PLATFORM = frozenset({"rasen", "rasen_labextension", "rasen_lint", "rasen_serving"})


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files below a folder, relative, with `/`; `None` when they are too many."""

    folder: Path
    files: tuple[str, ...] | None


def find_root(folder: Path) -> Path:
    """Return the nearest folder at or above that holds `.git`, else `pyproject.toml`, else `folder`."""
    for sign in _ROOT_SIGNS:
        for candidate in (folder, *folder.parents):
            if os.path.lexists(candidate / sign):
                return candidate
    return folder


def list_files(folder: Path) -> Listing:
    """List what lies below a folder, without hidden folders, environments and what builds leave behind."""
    files: list[str] = []
    for file in _walk(folder):
        if len(files) >= MOST_FILES:
            return Listing(folder=folder, files=None)
        files.append(file)
    return Listing(folder=folder, files=tuple(files))


def list_modules(listing: Listing, *, except_below: Path) -> frozenset[str]:
    """Return the names under which files of the listing could be imported, those below one folder left out.

    A file in a package counts as its outermost package. Names of the standard library and of the platform are left out:
    whoever writes them means those.
    """
    if listing.files is None:
        return frozenset()
    python = [file for file in listing.files if file.endswith(".py")]
    packages = {file.rpartition("/")[0] for file in python if file.rpartition("/")[2] == "__init__.py"}
    inside = os.path.relpath(except_below, listing.folder).replace(os.sep, "/")
    names = set()
    for file in python:
        if inside == "." or file.startswith(f"{inside}/"):
            continue
        parts = file.removesuffix(".py").split("/")
        outermost = next(
            (depth for depth in range(1, len(parts)) if "/".join(parts[:depth]) in packages), len(parts)
        )
        names.add(parts[outermost - 1])
    return (
        frozenset(names) - sys.stdlib_module_names - _PLATFORM - {"conftest", "setup", "__init__", "__main__"}
    )


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NOT_OURS
            and not os.path.exists(os.path.join(parent, name, "pyvenv.cfg"))  # noqa: PTH110, PTH118 - thousands of them
        )
        relative = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        yield from (f"{prefix}{name}" for name in sorted(files))
