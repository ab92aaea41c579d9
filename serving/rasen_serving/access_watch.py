"""What the supervisor knows of who may ask: API keys from the store, the token issuer's public keys from the settings.

Every record is verified before it counts, and what was believed once is kept, signed as it is, in the disk cache: a
start without the store verifies those copies with the same code. Knowledge only grows. A key is never deleted and a
revocation never taken back, so a store that has lost one is stale, not believed. A revocation that cannot be believed
closes the door all the same: somebody meant to.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rasen.errors import InvalidInput, ObjectNotFound, RasenError, StoreError
from rasen.settings_model import Settings
from rasen.store import DirectoryStore, Store
from rasen.tracking.access_keys import AccessKey, key_ids, open_key, open_revocation, parse_rate
from rasen.tracking.keys import ACCESS_HINT_KEY, access_key, revocation_key
from rasen.tracking.signature import load_trust
from rasen_serving.callers import Caller, Callers

if TYPE_CHECKING:
    from rasen_serving.jwks import JwksSource

logger = logging.getLogger(__name__)


def check_access(settings: Settings) -> None:
    """Check that these settings let in nobody who was not meant.

    Raises:
        InvalidInput: Everybody could ask from other machines, or tokens could not be checked.
    """
    if "open" in settings.access and not _is_loopback(settings.host):
        raise InvalidInput(
            f"RASEN_HOST={settings.host!r} is reachable from other machines and RASEN_ACCESS is 'open': everybody "
            "could ask; set RASEN_ACCESS to keys, jwt or keys,jwt, or listen on 127.0.0.1"
        )
    if settings.jwt_rate:
        try:
            parse_rate(settings.jwt_rate)
        except InvalidInput as error:
            raise InvalidInput(f"RASEN_JWT_RATE={settings.jwt_rate!r}: {error}") from None
    if "jwt" not in settings.access:
        return
    for name in ("jwt_issuer", "jwt_audience", "jwt_keys"):
        if not getattr(settings, name):
            raise InvalidInput(
                f"RASEN_ACCESS has 'jwt' and RASEN_{name.upper()} is empty; tokens need all three"
            )
    if "://" in settings.jwt_keys:
        url = urlsplit(settings.jwt_keys)
        if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.hostname or "")):
            raise InvalidInput(
                f"RASEN_JWT_KEYS={settings.jwt_keys!r} is no https address: whoever sits between could let himself in"
            )


class AccessWatch:
    """Reads who may ask. Called from threads, one at a time."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._kept = DirectoryStore(settings.cache_dir / "records")
        self._keys: dict[str, AccessKey] = {}
        self._revoked: set[str] = set()
        self._read = False
        self._hint: int | None = None
        self._warned: dict[str, str] = {}
        self._jwks = _jwks_source(settings) if "jwt" in settings.access else None

    def look(self, *, thorough: bool) -> Callers:
        """Return who may ask.

        Args:
            thorough: Look at all keys; otherwise only when the hint says that something changed.
        """
        unread = jwks = ""
        if "keys" in self._settings.access:
            if not self._read:
                self._take_from(self._kept)
            unread = self._look_at_keys(thorough=thorough)
        if self._jwks is not None:
            jwks = self._jwks.look()
            if not jwks:
                unread = unread or "the public keys of the token issuer could not be read"
        return Callers(
            keys=[_caller(key, revoked=key.id in self._revoked) for _, key in sorted(self._keys.items())],
            jwks=jwks,
            unread=unread,
        )

    def _look_at_keys(self, *, thorough: bool) -> str:
        """Take in what is new; return why the store's keys are unknown, `""` when they are known."""
        try:
            stat = self._store.stat(ACCESS_HINT_KEY)
            hint = 0 if stat is None else stat.generation
            if thorough or hint != self._hint or not self._read:
                self._take_from(self._store)
                self._read = True
                self._hint = hint
            self._warned.pop("store", None)
        except (StoreError, OSError) as error:
            self._warn("store", f"the API keys could not be looked at: {error}")
        return "" if self._read or self._keys else "the API keys have not been read yet: the store is down"

    def _take_from(self, store: Store) -> None:
        trust = load_trust(self._settings)
        environment = self._settings.environment
        for key_id, revoked in key_ids(store).items():
            place = access_key(key_id)
            if key_id not in self._keys:
                try:
                    data = store.read(place)
                    self._keys[key_id] = open_key(data, key_id, trust=trust, environment=environment)
                    self._keep(store, place, data)
                    self._warned.pop(place, None)
                except (StoreError, OSError) as error:
                    if not isinstance(error, ObjectNotFound):
                        raise
                except RasenError as error:
                    self._warn(place, f"a key is not believed: {error}")
            place = revocation_key(key_id)
            if revoked and key_id not in self._revoked:
                self._revoked.add(key_id)
                try:
                    data = store.read(place)
                    revocation = open_revocation(data, key_id, trust=trust, environment=environment)
                    self._keep(store, place, data)
                    logger.info("API key %s was revoked by %s", key_id, revocation.revoked_by)
                except (StoreError, OSError) as error:
                    if not isinstance(error, ObjectNotFound):
                        self._revoked.discard(key_id)  # looked at again in a second
                        raise
                except RasenError as error:
                    self._warn(
                        place, f"a revocation is not believed, the key is refused all the same: {error}"
                    )

    def _keep(self, store: Store, place: str, data: bytes) -> None:
        """Copy a record for a start without the store; a full disk is no reason to refuse a key."""
        if store is self._kept:
            return
        try:
            self._kept.write(place, data)
        except (StoreError, OSError) as error:
            self._warn("kept", f"a key could not be kept for a start without the store: {error}")

    def _warn(self, what: str, message: str) -> None:
        """Say a thing once, until it is different."""
        if self._warned.get(what) != message:
            logger.warning("%s", message)
        self._warned[what] = message


def _jwks_source(settings: Settings) -> JwksSource:
    """Import what fetches over HTTP only where it is needed: the supervisor is small."""
    from rasen_serving.jwks import JwksSource

    return JwksSource(settings)


def _caller(key: AccessKey, *, revoked: bool) -> Caller:
    return Caller(
        id=key.id,
        sha256=key.sha256,
        endpoints=key.endpoints,
        rate=key.rate,
        expires_at=None if key.expires_at is None else key.expires_at.timestamp(),
        revoked=revoked,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
