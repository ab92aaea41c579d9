"""The public keys of the token issuer: a JWKS document from a file or an address, and from nowhere else.

The address is the operator's setting; no redirect is followed and nothing that a caller sends leads anywhere. What was
read last is kept beside the cache under the source's own name, so that a start while the issuer is down goes on with
it, and never with the keys of another issuer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from urllib.request import HTTPRedirectHandler, Request, build_opener

from rasen.settings_model import Settings

logger = logging.getLogger(__name__)

AGE_SECONDS = 300.0
"""Keys of an address are read again after so long; issuers publish a new key hours before they use it."""

_RETRY_SECONDS = 5.0
_FETCH_SECONDS = 5.0
_MAX_BYTES = 1 << 20


class JwksSource:
    """Reads the document when it is due. Called from threads, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._source = settings.jwt_keys
        name = hashlib.sha256(self._source.encode()).hexdigest()[:16]
        self._kept = settings.cache_dir / f"jwks-{name}.json"
        self._opener = build_opener(_NoRedirects())
        self._text = ""
        self._due_at = 0.0
        self._changed_at: float | None = None
        self._warned = ""

    def look(self) -> str:
        """Return the newest document that could be read, `""` when none ever could."""
        try:
            text = self._read()
            if text is not None:
                _check(text)
                self._warned = ""
                if text != self._text:
                    self._text = text
                    self._kept.parent.mkdir(parents=True, exist_ok=True)
                    self._kept.write_text(text)
        except (OSError, ValueError) as error:  # URLError and what JSON and UTF-8 raise are among them
            message = f"the token issuer's keys could not be read from {self._source!r}: {error}"
            if message != self._warned:
                logger.warning("%s", message)
            self._warned = message
        if not self._text and self._kept.exists():
            self._text = self._kept.read_text()
        return self._text

    def _read(self) -> str | None:
        """Return the document, `None` when it need not be read again yet."""
        if "://" not in self._source:
            path = Path(self._source)
            changed_at = path.stat().st_mtime
            if changed_at == self._changed_at:
                return None
            self._changed_at = changed_at
            return path.read_text()
        if time.monotonic() < self._due_at:
            return None
        self._due_at = time.monotonic() + _RETRY_SECONDS
        request = Request(self._source, headers={"Accept": "application/json"})  # noqa: S310  # https, by `check_access`
        with self._opener.open(request, timeout=_FETCH_SECONDS) as answer:
            data: bytes = answer.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        self._due_at = time.monotonic() + AGE_SECONDS
        return data.decode()


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect, so that one becomes an error."""

    def redirect_request(self, *_: object) -> None:
        """Refuse."""


def _check(text: str) -> None:
    """Check that this is a JWKS document, and not the page of some proxy, before it replaces a good one."""
    document = json.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list) or not document["keys"]:
        raise ValueError("it is no JWKS document: it has no list 'keys' with at least one key")
