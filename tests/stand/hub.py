"""JupyterHub as its services see it: the two routes of its API that they ask, over real HTTP."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

SCOPE = "access:services!service=rasen"


class Hub:
    """Users by token, logins by code; `down` lets it fail, `asked` counts how often it was asked who somebody is."""

    client_id = "service-rasen"
    api_token = "token-of-the-service"

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {  # Any: JSON
            "token-of-ann": {"kind": "user", "name": "ann", "scopes": [SCOPE]},
            "token-of-bob": {"kind": "user", "name": "bob", "scopes": ["self"]},
        }
        self.challenges: dict[str, str] = {}
        self.down = False
        self.asked = 0
        self.url = ""

    def answer_user(self, authorization: str) -> tuple[int, Any]:  # Any: JSON
        """Return who a token stands for."""
        self.asked += 1
        if self.down:
            return 503, {"message": "down"}
        user = self.users.get(authorization.removeprefix("token "))
        return (200, user) if user is not None else (403, {"message": "no"})

    def answer_token(self, form: dict[str, list[str]]) -> tuple[int, Any]:  # Any: JSON
        """Return the token for a code, if the whole login is right."""
        said = {name: values[0] for name, values in form.items()}
        digest = sha256(said.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")
        right = (
            said.get("client_id") == self.client_id
            and said.get("client_secret") == self.api_token
            and said.get("grant_type") == "authorization_code"
            and self.challenges.pop(said.get("code", ""), None) == challenge
        )
        return (200, {"access_token": "token-of-ann"}) if right else (400, {"error": "invalid_grant"})


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a Hub on a free port."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*hub.answer_user(self.headers.get("Authorization", "")))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(*hub.answer_token(parse_qs(body.decode())))

        def _answer(self, status: int, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}/hub/api"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
