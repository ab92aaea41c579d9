"""Tokens of an identity provider: which are let in, by which keys, and for how long."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from rasen_serving.access_watch import check_access
from rasen_serving.refusals import AccessUnknown, RateExceeded, Unauthenticated
from stand.door import AUDIENCE, ISSUER, JWT, Door, id_of, new_settings, of_headers


class Issuer:
    """An identity provider with one key of each kind."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        self.keys: dict[str, Any] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "other": ec.generate_private_key(ec.SECP256R1()),
        }

    def jwks(self, *names: str) -> str:
        from jwt.algorithms import ECAlgorithm, RSAAlgorithm

        listed = []
        for name in names:
            kind = RSAAlgorithm if name == "rsa" else ECAlgorithm
            public = json.loads(kind.to_jwk(self.keys[name].public_key()))
            listed.append(public | {"kid": name, "use": "sig"})
        return json.dumps({"keys": [{"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}, {"kid": 7}, *listed]})

    def token(self, name: str = "ec", *, kid: str | None = None, algorithm: str = "", **claims: Any) -> str:
        import jwt

        now = time.time()
        document = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600} | claims
        document = {claim: value for claim, value in document.items() if value is not None}
        algorithm = algorithm or ("RS256" if name == "rsa" else "ES256")
        return jwt.encode(document, self.keys[name], algorithm=algorithm, headers={"kid": kid or name})


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def jwt_door(tmp_path: Path, issuer: Issuer) -> Door:
    keys = tmp_path / "keys.json"
    keys.write_text(issuer.jwks("rsa", "ec"))
    return Door(new_settings(tmp_path, access="keys,jwt", jwt_keys=str(keys), jwt_rate="50/minute", **JWT))


def test_tokens_of_the_issuer_are_let_in(jwt_door: Door, issuer: Issuer) -> None:
    jwt_door.look()
    for headers in (
        [(b"authorization", f"Bearer {issuer.token('rsa')}".encode())],
        [(b"authorization", f"Bearer {issuer.token('ec', aud=['else', AUDIENCE])}".encode())],
        [
            (b"x-goog-iap-jwt-assertion", issuer.token().encode()),
            (b"authorization", b"Bearer used.up.already"),
        ],
    ):
        assert jwt_door.access.admit("demand", of_headers(headers)) == "jwt:alice"
    text = jwt_door.create()
    jwt_door.look()
    assert jwt_door.access.admit("demand", f"Bearer {text}") == id_of(text)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"aud": "somebody"}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": time.time() - 3600}, "expired"),
        ({"exp": None}, "exp"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 300}, "subject"),
        ({"exp": 1e400}, "valid|usable"),
        ({"nbf": time.time() + 3600}, "valid"),
    ],
)
def test_other_tokens_are_not(jwt_door: Door, issuer: Issuer, claims: dict[str, Any], message: str) -> None:
    jwt_door.look()
    with pytest.raises(Unauthenticated, match=message):
        jwt_door.access.admit("demand", f"Bearer {issuer.token(**claims)}")


def test_a_token_chooses_neither_its_key_nor_its_algorithm(jwt_door: Door, issuer: Issuer) -> None:
    import jwt
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    jwt_door.look()
    public = issuer.keys["rsa"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "exp": time.time() + 600}
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none", "kid": "ec"}, claims)
    ]
    forged = {
        "no signature": ".".join([*encoded, ""]),
        "unknown key": issuer.token("other"),
        "the name of another's key": issuer.token("other", kid="ec"),
        "a shared secret": jwt.encode(claims, "secret" * 8, algorithm="HS256", headers={"kid": "shared"}),
        "no name": jwt.encode(claims, issuer.keys["ec"], algorithm="ES256"),
        "a key of its own": jwt.encode(
            claims,
            issuer.keys["other"],
            algorithm="ES256",
            headers={"kid": "other", "jku": "http://127.0.0.1:9/", "jwk": {}},
        ),
        "too long": issuer.token(more="x" * 9000),
        "PS256": issuer.token("rsa", algorithm="PS256"),
    }
    # The classic: the public key taken as the secret of an HMAC. pyjwt refuses to make one, so it is made by hand.
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').rstrip(b"=").decode()
    signed = f"{head}.{encoded[1]}"
    mac = base64.urlsafe_b64encode(hmac.new(public, signed.encode(), hashlib.sha256).digest()).rstrip(b"=")
    forged["a public key as secret"] = f"{signed}.{mac.decode()}"
    for what, token in forged.items():
        with pytest.raises(Unauthenticated):
            pytest.fail(f"{what}: {jwt_door.access.admit('demand', f'Bearer {token}')}")


def test_a_remembered_token_ends_with_its_time(jwt_door: Door, issuer: Issuer) -> None:
    jwt_door.look()
    token = issuer.token()
    jwt_door.access.admit("demand", f"Bearer {token}")
    jwt_door.now += 3600
    with pytest.raises(Unauthenticated, match="expired"):
        jwt_door.access.admit("demand", f"Bearer {token}")


def test_a_fresh_token_is_no_fresh_bucket(jwt_door: Door, issuer: Issuer) -> None:
    jwt_door.look()
    for number in range(50):
        jwt_door.access.admit("demand", f"Bearer {issuer.token('ec', n=number)}")
    with pytest.raises(RateExceeded):
        jwt_door.access.admit("demand", f"Bearer {issuer.token('ec', n=51)}")
    assert jwt_door.access.admit("demand", f"Bearer {issuer.token('ec', sub='bob')}") == "jwt:bob"


def test_keys_of_a_file_change_while_it_serves(jwt_door: Door, issuer: Issuer) -> None:
    jwt_door.look()
    path = Path(jwt_door.settings.jwt_keys)
    path.write_text("<html>")
    jwt_door.look()  # not believed
    jwt_door.access.admit("demand", f"Bearer {issuer.token('ec')}")
    path.write_text(issuer.jwks("other"))
    jwt_door.look()
    jwt_door.access.admit("demand", f"Bearer {issuer.token('other')}")
    with pytest.raises(Unauthenticated, match="'other'"):
        jwt_door.access.admit("demand", f"Bearer {issuer.token('ec')}")


@pytest.fixture
def key_server() -> Iterator[tuple[str, dict[str, tuple[int, dict[str, str], bytes]], list[str]]]:
    """Answer GET requests from a dictionary, and list the paths that were asked for."""
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", answers, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_keys_come_over_http_without_redirects_and_survive_the_issuer(
    tmp_path: Path, issuer: Issuer, key_server: Any
) -> None:
    url, answers, asked = key_server
    answers["/elsewhere"] = (200, {}, issuer.jwks("other").encode())
    answers["/keys"] = (302, {"Location": f"{url}/elsewhere"}, b"")
    settings = new_settings(tmp_path, access="jwt", jwt_keys=f"{url}/keys", **JWT)
    check_access(settings)
    door = Door(settings)
    assert "token issuer" in door.look().unread
    with pytest.raises(AccessUnknown):
        door.access.admit("demand", f"Bearer {issuer.token('other')}")
    assert asked == ["/keys"]
    door.look()
    assert asked == ["/keys"]  # not asked again at once
    answers["/keys"] = (200, {}, issuer.jwks("ec").encode())
    second = Door(settings)
    second.look()
    second.access.admit("demand", f"Bearer {issuer.token('ec')}")
    answers["/keys"] = (500, {}, b"")
    third = Door(settings)
    third.look()
    third.access.admit("demand", f"Bearer {issuer.token('ec')}")
