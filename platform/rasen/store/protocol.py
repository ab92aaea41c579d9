"""What Rasen asks of an object store: few methods, each with one meaning in every implementation.

Consistency is part of the contract and held by one suite (`tests/test_store_contract.py`): a write is seen whole or
not at all, `if_generation` has exactly one winner among racing writers, and a transfer is checked by SHA-256.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from rasen.errors import InvalidInput

# Letters, digits and . _ - = @ + in each element; no element starts with a dot, so neither `..` nor a hidden name.
_KEY = re.compile(r"(?!\.)[\w.=@+-]+(?:/(?!\.)[\w.=@+-]+)*", re.ASCII)
_KEY_MAX_LENGTH = 900  # GCS allows 1,024 bytes; the rest is for a prefix


@dataclass(frozen=True, kw_only=True)
class Stat:
    """What is known of an object without reading it."""

    key: str
    size_bytes: int
    generation: int
    updated_at: datetime


class Store(Protocol):
    """An object store. Keys are `/`-separated; objects are bytes with a generation that changes with each write."""

    def read(self, key: str) -> bytes:
        """Return the object's bytes.

        Raises:
            ObjectNotFound: There is none under `key`.
        """

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        """Return the object's bytes and the generation they belong to, for a later compare-and-swap.

        Raises:
            ObjectNotFound: There is none under `key`.
        """

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        """Write the object and return its generation.

        Args:
            key: Where to.
            data: The whole object.
            if_generation: `None` overwrites whatever is there; 0 writes only if nothing is; another number only if
                that generation is there.

        Raises:
            PreconditionFailed: `if_generation` did not hold; nothing was written.
            StoreUnavailable: It could not be written; nothing changed.
        """

    def children(self, prefix: str) -> list[str]:
        """Return the sorted names that follow `prefix`, a "folder" ending in `/`, up to the next `/`."""

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        """Yield the objects whose key starts with `prefix` and is greater than `after`, in key order."""

    def stat(self, key: str) -> Stat | None:
        """Return what is known of the object, or `None` when there is none."""

    def delete(self, key: str) -> None:
        """Delete the object; nothing happens when there is none."""

    def upload(self, path: Path, key: str, *, sha256: str) -> int:
        """Copy a local file to a new object, streaming, and return its generation. Create-only.

        Raises:
            DigestMismatch: The file's SHA-256 is not `sha256`; nothing was written.
            PreconditionFailed: There is an object under `key`.
        """

    def download(self, key: str, path: Path, *, sha256: str) -> None:
        """Copy an object to a local file, streaming; the file appears only when its SHA-256 is `sha256`.

        Raises:
            ObjectNotFound: There is none under `key`.
            DigestMismatch: The bytes are not the expected ones; no file was left.
        """


def check_key(key: str) -> str:
    """Return `key` when it is a legal object key.

    Raises:
        InvalidInput: It is empty, too long, has an element that starts with a dot, or a character that some store
            would treat specially.
    """
    if len(key) > _KEY_MAX_LENGTH or not _KEY.fullmatch(key):
        raise InvalidInput(
            f"object key {key[:200]!r} is not usable: elements of letters, digits and ._-=@+ separated by '/', none "
            f"starting with a dot, at most {_KEY_MAX_LENGTH} characters"
        )
    return key
