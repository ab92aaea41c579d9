"""Tokens of the control API: who may ask it, as signed records; the secret itself is never written down.

They are made, kept and revoked as the prediction service's API keys are (`access_keys.py`), and are none of those: who
may ask a model must not be able to start a run, and the other way round. Beside them there is one token of the machine
itself, a file that only its owner reads, so that the commands of this machine need no ceremony.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from rasen.errors import (
    NotFound,
    ObjectNotFound,
    PlatformFailed,
    PreconditionFailed,
    RasenError,
    SignatureInvalid,
)
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.access_keys import KEY_PREFIX, Revocation, digest_of
from rasen.tracking.ids import check_name
from rasen.tracking.keys import API_TOKENS_PREFIX, api_token_end_key, api_token_key
from rasen.tracking.records import Record
from rasen.tracking.signature import Role, Signer, TrustStore, open_signed, write_signed

_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)
_FILE = re.compile(r"([0-9a-f]{12})(\.revoked)?\.json", re.ASCII)


class ApiToken(Record):
    """One token: everything but its secret. `name` becomes the `by` of what is done with it."""

    id: str
    name: str
    sha256: str
    environment: str
    read_only: bool = False
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TokenState:
    """A token, and its revocation if it has one."""

    token: ApiToken
    revocation: Revocation | None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Return what becomes of a request with this token at `now`."""
        if self.revocation is not None:
            return "revoked"
        if self.token.expires_at is not None and now >= self.token.expires_at:
            return "expired"
        return "active"


def create_token(
    store: Store,
    signer: Signer,
    *,
    name: str,
    environment: str,
    by: str,
    now: datetime,
    read_only: bool = False,
    lifetime: timedelta | None = None,
) -> tuple[ApiToken, str]:
    """Make a token; return its record and the text that is given to whoever shall use it, and to nobody else.

    Raises:
        InvalidInput: The name is not usable.
    """
    check_name("token", name)
    token_id = secrets.token_hex(6)
    text = f"{KEY_PREFIX}{token_id}.{secrets.token_urlsafe(32)}"
    token = ApiToken(
        id=token_id,
        name=name,
        sha256=digest_of(text),
        environment=environment,
        read_only=read_only,
        created_at=now,
        created_by=by,
        expires_at=None if lifetime is None else now + lifetime,
    )
    write_signed(store, api_token_key(token_id), token.to_bytes(), signer)
    return token, text


def revoke_token(store: Store, signer: Signer, token_id: str, *, by: str, now: datetime) -> bool:
    """Have a token refused from now on; return whether it was not already.

    Raises:
        NotFound: There is no such token.
    """
    if not _ID.fullmatch(token_id) or store.stat(api_token_key(token_id)) is None:
        known = ", ".join(sorted(_token_ids(store))) or "none"
        raise NotFound(f"there is no token with id {token_id[:40]!r}; there are: {known}")
    revocation = Revocation(id=token_id, revoked_at=now, revoked_by=by)
    try:
        write_signed(store, api_token_end_key(token_id), revocation.to_bytes(), signer)
    except PreconditionFailed:
        return False
    return True


def read_token(store: Store, trust: TrustStore, token_id: str, *, environment: str) -> TokenState:
    """Return a token and its revocation.

    Raises:
        NotFound: There is no such token.
        SignatureInvalid, KeyRefused: It cannot be trusted, or speaks of another token or environment.
    """
    if not _ID.fullmatch(token_id):
        raise NotFound(f"there is no token with id {token_id[:40]!r}")
    key = api_token_key(token_id)
    try:
        payload = open_signed(store.read(key), key, trust=trust, role=Role.CONTROL, environment=environment)
    except ObjectNotFound:
        raise NotFound(f"there is no token with id {token_id!r}") from None
    token = ApiToken.from_bytes(payload, source=key)
    if (token.id, token.environment) != (token_id, environment):
        raise SignatureInvalid(
            f"{key!r} speaks of token {token.id!r} in {token.environment!r}, not in {environment!r}"
        )
    end_key = api_token_end_key(token_id)
    with suppress(ObjectNotFound):
        ended = open_signed(
            store.read(end_key), end_key, trust=trust, role=Role.CONTROL, environment=environment
        )
        return TokenState(token=token, revocation=Revocation.from_bytes(ended, source=end_key))
    return TokenState(token=token, revocation=None)


def read_tokens(
    store: Store, trust: TrustStore, *, environment: str
) -> tuple[list[TokenState], dict[str, str]]:
    """Return all tokens, oldest first, and why others could not be believed, by id."""
    tokens: list[TokenState] = []
    refused: dict[str, str] = {}
    for token_id in sorted(_token_ids(store)):
        try:
            tokens.append(read_token(store, trust, token_id, environment=environment))
        except RasenError as error:
            refused[token_id] = str(error)
    return sorted(tokens, key=lambda one: (one.token.created_at, one.token.id)), refused


def is_token(state: TokenState, text: str) -> bool:
    """Return whether `text` is the token; the time that this takes tells nothing."""
    return hmac.compare_digest(digest_of(text), state.token.sha256)


def make_api_token(settings: Settings) -> None:
    """Make the machine's own token if there is none, in a file that only its owner reads.

    Raises:
        PlatformFailed: It cannot be written, or others could read it.
    """
    path = settings.api_token_file
    if path.exists():
        read_api_token(path)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        waiting = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(f"{KEY_PREFIX}{secrets.token_hex(6)}.{secrets.token_urlsafe(32)}\n")
        with suppress(FileExistsError):
            os.link(waiting, path)
        waiting.unlink()
    except OSError as error:
        raise PlatformFailed(f"cannot write the token {str(path)!r}: {error.strerror}") from error


def read_api_token(path: Path) -> str:
    """Return the machine's own token, the empty text where there is none.

    Raises:
        PlatformFailed: Others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise PlatformFailed(
                f"the token {str(path)!r} may be read by others (mode {mode:04o}); `chmod 600` it, or delete it and "
                "start the platform again for a new one"
            )
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise PlatformFailed(f"the token {str(path)!r} cannot be read: {error}") from None


def _token_ids(store: Store) -> set[str]:
    return {match[1] for name in store.children(API_TOKENS_PREFIX) if (match := _FILE.fullmatch(name))}
