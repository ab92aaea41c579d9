"""Who is let in, without processes: what the supervisor knows of keys, and one worker's access, over one store."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import MemoryStore, Store
from rasen.tracking.access_keys import (
    KEY_PREFIX,
    create_key,
    revoke_key,
)
from rasen.tracking.signature import Role, open_signer
from rasen_serving.access import Access
from rasen_serving.access_watch import AccessWatch
from rasen_serving.asked import authorization_of, note_headers
from rasen_serving.callers import Callers

ROW = {"origin": "JFK", "hour": 7}
NOW = datetime.now(tz=UTC)
ISSUER, AUDIENCE = "https://issuer.example", "rasen"
JWT = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


def new_settings(home: Path, **changes: Any) -> Settings:
    return load_settings(home=home, environment="dev", serving_workers=1, **changes)


class Door:
    """A watch and one worker's access over one store."""

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self.settings = settings
        self.store = store if store is not None else MemoryStore()
        self.signer = open_signer(settings, Role.CONTROL)
        self.watch = AccessWatch(self.store, settings)
        self.now = time.time()
        self.access = Access(settings, clock=lambda: self.now)

    def create(self, **options: Any) -> str:
        given: dict[str, Any] = {"name": "shop", "environment": "dev", "by": "me", "now": NOW}
        _, text = create_key(self.store, self.signer, **(given | options))
        return text

    def revoke(self, text: str) -> None:
        revoke_key(self.store, self.signer, id_of(text), by="me", now=NOW)

    def look(self, *, thorough: bool = False) -> Callers:
        callers = self.watch.look(thorough=thorough)
        self.access.accept(callers)
        return callers


def of_headers(headers: list[tuple[bytes, bytes]]) -> str:
    return authorization_of(note_headers(headers))


def id_of(text: str) -> str:
    return text.removeprefix(KEY_PREFIX).partition(".")[0]
