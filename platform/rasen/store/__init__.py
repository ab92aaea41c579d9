"""The object store: one protocol, one contract, several places to keep the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.store.directory import DirectoryStore
from rasen.store.memory import MemoryStore
from rasen.store.protocol import Stat, Store, check_key

if TYPE_CHECKING:
    from rasen.settings_model import Settings

__all__ = ["DirectoryStore", "MemoryStore", "Stat", "Store", "check_key", "open_store"]


def open_store(settings: Settings) -> Store:
    """Return the store that the settings name."""
    return DirectoryStore(settings.store_dir)
