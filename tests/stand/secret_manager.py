"""Google Secret Manager and the token endpoint of Google, as far as `secret://gcp/` uses them: a real HTTP server."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_TOKEN = "token-of-the-tests"
_ACCESS = re.compile(r"/v1/projects/([^/]+)/secrets/([^/]+)/versions/([^/:]+):access")


class SecretManager:
    """Holds secrets by `PROJECT/NAME/VERSION`; `failures` are statuses that it answers first."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}
        self.failures: list[int] = []
        self.asked: list[str] = []
        self.url = ""

    def answer(self, path: str, authorization: str | None) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if self.failures:
            return self.failures.pop(0), {"error": {"message": "try again"}}
        if authorization != f"Bearer {_TOKEN}":
            return 401, {"error": {"message": "who are you?"}}
        found = _ACCESS.fullmatch(path)
        data = self.secrets.get("/".join(found.groups())) if found else None
        if data is None:
            return 404, {"error": {"message": "no such version"}}
        return 200, {"name": path, "payload": {"data": base64.b64encode(data).decode()}}

    def write_account(self, path: Path) -> Path:
        """Write the key file of a service account whose tokens come from here."""
        key = generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": "tests@example.com",
            "token_uri": f"{self.url}/token",
        }
        path.write_text(json.dumps(account), encoding="utf-8")
        return path


@contextmanager
def secret_manager() -> Iterator[SecretManager]:
    """Run one on a free port."""
    manager = SecretManager()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(*manager.answer(self.path, self.headers["Authorization"]))

        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asserted = body["assertion"][0].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(asserted + "=" * (-len(asserted) % 4)))
            known = claims["iss"] == "tests@example.com" and "cloud-platform" in claims["scope"]
            token = {"access_token": _TOKEN, "expires_in": 3600, "token_type": "Bearer"}
            self._say(200 if known else 400, token if known else {"error": "invalid_grant"})

        def _say(self, status: int, document: dict[str, Any]) -> None:
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    manager.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield manager
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
