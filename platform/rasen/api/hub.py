"""JupyterHub's users at the control API: their tokens, and the login of a browser.

What is used of `HubOAuth` is there in Hub 5 and 6 alike: where the Hub is, who a token stands for, what its scopes
allow. The login keeps its state in the browser (state, PKCE verifier and where to go on, in one short-lived cookie
that no script reads), so any process of the API may finish what another began.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from rasen.api.access import Known
from rasen.api.refusals import Forbidden, Unauthenticated
from rasen.errors import PlatformFailed, ServiceUnavailable

REMEMBERED_SECONDS = 60
STATE_COOKIE = "rasen-login"
TOKEN_COOKIE = "rasen-hub"  # noqa: S105  # a name
_STATE_MOST = 2_000


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A login that has begun: where to send the browser, and what it keeps until it comes back."""

    address: str
    cookie: str


class HubAccess:
    """Tokens of JupyterHub's users.

    Args:
        auth: A `HubOAuth`, or what answers alike; by default one of the environment that the Hub gives its services.

    Raises:
        PlatformFailed: JupyterHub is not installed, or this process is none of its services.
    """

    def __init__(self, auth: Any = None) -> None:  # Any: traitlets classes, which are not typed
        self._auth = auth if auth is not None else _of_environment()

    @property
    def prefix(self) -> str:
        """The path under which the Hub's proxy shows the API, with a slash at both ends."""
        return str(self._auth.base_url)

    def identify(self, token: str) -> Known:
        """Return the user whose token it is; see `Access`. It waits for the Hub."""
        user = self._ask(lambda: self._auth.user_for_token(token))
        if user is None:
            raise Unauthenticated("JupyterHub does not know this token, or it has ended; log in again")
        name = str(user.get("name") or user.get("client_id") or "")
        if not self._auth.check_scopes(set(self._auth.access_scopes), user):
            raise Forbidden(
                f"{name!r} may not use this service; the Hub's administrator gives a role with the scope "
                f"{', '.join(sorted(self._auth.access_scopes))}"
            )
        return Known(name=name)

    def begin_login(self, next_path: str) -> Begun:
        """Return where a browser logs in, and what it keeps meanwhile; `next_path` is where it goes on afterwards."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        kept = {"state": state, "verifier": verifier, "next": local_path(next_path, self.prefix)}
        query = {"state": state}
        if self._knows_verifier():
            query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        joint = "&" if "?" in self._auth.login_url else "?"
        cookie = base64.urlsafe_b64encode(json.dumps(kept).encode()).decode()
        return Begun(address=f"{self._auth.login_url}{joint}{urlencode(query)}", cookie=cookie)

    def finish_login(self, *, code: str, state: str, cookie: str) -> tuple[str, str]:
        """Return the token of who has logged in, and where to go on.

        Raises:
            Unauthenticated: It is not the login that began in this browser.
        """
        kept = _kept(cookie)
        if not state or not hmac.compare_digest(kept["state"], state):
            raise Unauthenticated("this is not the login that began in this browser; try again")
        given = {"code_verifier": kept["verifier"]} if self._knows_verifier() else {}
        token = self._ask(lambda: self._auth.token_for_code(code, **given))
        if not isinstance(token, str) or not token:
            raise Unauthenticated("JupyterHub gave no token; try again")
        self.identify(token)
        return token, local_path(kept["next"], self.prefix)

    def _knows_verifier(self) -> bool:
        return "code_verifier" in inspect.signature(self._auth.token_for_code).parameters

    def _ask(self, question: Any) -> Any:  # Any: a call of the Hub's client, and what it answers
        """Ask the Hub; its client raises HTTP errors of its own."""
        from tornado.web import HTTPError

        try:
            return question()
        except HTTPError as error:
            if error.status_code in (400, 401, 403):
                raise Unauthenticated("JupyterHub refused the login; try again") from None
            raise ServiceUnavailable(f"JupyterHub does not answer now: {error.log_message}") from None
        except OSError as error:
            raise ServiceUnavailable(f"JupyterHub does not answer now: {error}") from None


def local_path(path: str, prefix: str) -> str:
    """Return a path of this service, or its docs where `path` leads elsewhere."""
    inside = path.startswith(prefix) and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if inside and ".." not in path else f"{prefix}docs"


def _kept(cookie: str) -> dict[str, str]:
    try:
        if len(cookie) > _STATE_MOST:
            raise ValueError
        found = json.loads(base64.urlsafe_b64decode(cookie.encode()))
        return {name: str(found[name]) for name in ("state", "verifier", "next")}
    except (ValueError, KeyError, TypeError):
        raise Unauthenticated("the login was begun elsewhere, or too long ago; try again") from None


def _of_environment() -> Any:  # Any: see above
    try:
        from jupyterhub.services.auth import HubOAuth
    except ImportError as error:
        raise PlatformFailed(
            f"RASEN_API_ACCESS=hub needs JupyterHub: {error}; install the extra `rasen[hub]`"
        ) from None
    auth = HubOAuth(cache_max_age=REMEMBERED_SECONDS)
    try:
        ready = bool(auth.api_token and auth.oauth_client_id)
    except ValueError:
        ready = False
    if not ready:
        raise PlatformFailed(
            "RASEN_API_ACCESS=hub needs what JupyterHub gives its services: JUPYTERHUB_API_TOKEN, JUPYTERHUB_API_URL, "
            "JUPYTERHUB_CLIENT_ID and JUPYTERHUB_SERVICE_PREFIX"
        )
    return auth
