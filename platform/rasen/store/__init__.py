"""The object store: one protocol, one contract, several places to keep the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.store.directory import DirectoryStore
from rasen.store.memory import MemoryStore
from rasen.store.patient import Patience, PatientStore
from rasen.store.protocol import Stat, Store, check_key

if TYPE_CHECKING:
    from rasen.settings_model import Settings

__all__ = [
    "DirectoryStore",
    "MemoryStore",
    "Patience",
    "PatientStore",
    "Stat",
    "Store",
    "check_key",
    "open_store",
]


def open_store(settings: Settings, *, patient: bool = True) -> Store:
    """Return the store that the settings name.

    Args:
        settings: Where it is, and for how long it is asked again when it is down.
        patient: Wait for a store that is down. Whoever comes back by himself, or must answer at once, does not.
    """
    store = DirectoryStore(settings.store_dir)
    store.sweep_staged()
    if not patient:
        return store
    return PatientStore(store, Patience(seconds=settings.store_patience_seconds))
