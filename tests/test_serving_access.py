"""Who may ask: keys and tokens are checked, kept, revoked; nobody is let in by accident."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route
from typer.testing import CliRunner, Result

from rasen.cli import build_app
from rasen.errors import InvalidInput, NotFound, SignatureInvalid
from rasen.settings import load_settings, platform_environment
from rasen.settings_model import Settings
from rasen.store import MemoryStore, Store, open_store
from rasen.tracking.access_keys import (
    KEY_PREFIX,
    create_key,
    digest_of,
    open_key,
    parse_rate,
    read_keys,
    revoke_key,
)
from rasen.tracking.keys import ACCESS_HINT_KEY, access_key, revocation_key
from rasen.tracking.signature import Role, load_trust, local_signer, write_signed
from rasen_serving import access
from rasen_serving.access import OPEN_PATHS, Access
from rasen_serving.access_watch import AccessWatch, check_access
from rasen_serving.asked import authorization_of, note_headers
from rasen_serving.callers import Callers
from rasen_serving.log import Entry, PredictionLog
from rasen_serving.rates import Bucket
from rasen_serving.refusals import (
    AccessUnknown,
    Forbidden,
    RateExceeded,
    Unauthenticated,
    headers_of,
    status_of,
)
from stand.app import App
from stand.faulty_store import FaultyStore
from stand.versions import publish_and_deploy

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
        self.signer = local_signer(settings, Role.CONTROL)
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


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(new_settings(tmp_path, access="keys"))


# --- the record -------------------------------------------------------------------------------------------------------


def test_the_secret_is_stored_nowhere(door: Door) -> None:
    text = door.create()
    secret = text.partition(".")[2]
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    stored = b"".join(door.store.read(stat.key) for stat in door.store.list("access/"))
    assert secret.encode() not in stored
    assert digest_of(text).encode() in stored


def test_a_bucket_writer_cannot_add_a_key(door: Door) -> None:
    text = door.create()
    record = door.store.read(access_key(id_of(text)))
    # The same record under another id, unsigned, signed by another role, and for another environment.
    door.store.write(access_key("0" * 12), record)
    door.store.write(access_key("1" * 12), record.partition(b"\n")[2])
    payload = record.partition(b"\n")[2].replace(id_of(text).encode(), b"2" * 12)
    write_signed(door.store, access_key("2" * 12), payload, local_signer(door.settings, Role.DECIDER))
    door.create(environment="staging")
    keys, refused = read_keys(door.store, load_trust(door.settings), environment="dev")
    assert [one.key.id for one in keys] == [id_of(text)]
    assert len(refused) == 4
    assert [caller.id for caller in door.look().keys] == [id_of(text)]


def test_a_record_of_another_key_is_refused(door: Door) -> None:
    text = door.create()
    payload = door.store.read(access_key(id_of(text))).partition(b"\n")[2]
    write_signed(door.store, access_key("3" * 12), payload, door.signer)
    with pytest.raises(SignatureInvalid, match="speaks of key"):
        open_key(
            door.store.read(access_key("3" * 12)),
            "3" * 12,
            trust=load_trust(door.settings),
            environment="dev",
        )


@pytest.mark.parametrize(
    "options",
    [
        {"name": "Shop!"},
        {"endpoints": ["../etc"]},
        {"rate": "1000"},
        {"rate": "0/minute"},
        {"rate": "5/week"},
    ],
)
def test_what_makes_no_sense_makes_no_key(door: Door, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        door.create(**options)
    assert list(door.store.list("access/")) == []


def test_an_unknown_key_cannot_be_revoked(door: Door) -> None:
    text = door.create()
    for unknown in ("0" * 12, "../x", id_of(text) + ".revoked"):
        with pytest.raises(NotFound, match=id_of(text)):
            revoke_key(door.store, door.signer, unknown, by="me", now=NOW)


# --- the command ------------------------------------------------------------------------------------------------------


def run_command(settings: Settings, *arguments: str) -> Result:
    environment = platform_environment(settings)
    return CliRunner().invoke(build_app(), ["keys", *arguments], env=environment, catch_exceptions=False)


def test_keys_are_made_listed_and_revoked_by_command(tmp_path: Path) -> None:
    settings = new_settings(tmp_path, access="keys")
    assert "rasen keys create NAME" in run_command(settings).stdout
    made = run_command(
        settings, "create", "shop", "--endpoints", "demand,delay", "--expires", "90d", "--rate", "9/second"
    )
    text = made.stdout.strip()
    assert "delay, demand" in made.stderr  # not there yet: perhaps a slip of the pen
    second = json.loads(run_command(settings, "create", "shop", "--json").stdout)
    listed = run_command(settings, "--json").stdout
    assert text.partition(".")[2] not in listed
    keys = {one["id"]: one for one in json.loads(listed)["keys"]}
    assert set(keys) == {id_of(text), second["id"]}
    assert keys[id_of(text)]["endpoints"] == ["delay", "demand"]
    assert keys[id_of(text)]["rate"] == "9/second"
    lasts = datetime.fromisoformat(keys[id_of(text)]["expires_at"]) - NOW
    assert timedelta(days=89) < lasts < timedelta(days=91)
    door = Door(settings, open_store(settings))
    door.look()
    assert door.access.admit("delay", f"Bearer {text}") == id_of(text)
    assert "revoked" in run_command(settings, "revoke", id_of(text)).stdout
    assert "already" in run_command(settings, "revoke", id_of(text)).stdout
    table = run_command(settings).stdout
    assert "revoked" in table
    assert "active" in table
    door.look()
    with pytest.raises(Unauthenticated, match="revoked"):
        door.access.admit("delay", f"Bearer {text}")


@pytest.mark.parametrize("arguments", [("--expires", "soon"), ("--rate", "often"), ("--endpoints", "A")])
def test_a_wrong_option_makes_no_key(tmp_path: Path, arguments: tuple[str, str]) -> None:
    settings = new_settings(tmp_path)
    with pytest.raises(InvalidInput):
        run_command(settings, "create", "shop", *arguments)
    assert read_keys(open_store(settings), load_trust(settings), environment="dev") == ([], {})


# --- admission --------------------------------------------------------------------------------------------------------


def test_a_known_key_is_let_in_by_each_header(door: Door) -> None:
    text = door.create()
    door.look()
    basic = base64.b64encode(f"anybody:{text}".encode()).decode()
    for headers in (
        [(b"authorization", f"Bearer {text}".encode())],
        [(b"authorization", f"bearer  {text}".encode())],
        [(b"authorization", f"Basic {basic}".encode())],
        [(b"x-api-key", text.encode())],
        [(b"authorization", b"Bearer of.something.else"), (b"x-api-key", text.encode())],
    ):
        assert door.access.admit("demand", of_headers(headers)) == id_of(text)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic !!!",
        "Basic " + base64.b64encode(b"\xff").decode(),
        "Digest x",
        "Bearer rasen_",
        "Bearer rasen_000000000000.x",
        "Bearer a.b.c",
        "ApiKey \xff",
        "IAP x",
    ],
)
def test_everybody_else_is_a_401_that_says_what_to_send(door: Door, authorization: str) -> None:
    door.create()
    door.look()
    with pytest.raises(Unauthenticated) as caught:
        door.access.admit("demand", authorization)
    assert status_of(caught.value) == 401
    ways = headers_of(caught.value)["WWW-Authenticate"]
    assert ways.startswith('Basic realm="rasen"')  # a browser asks for the key only when this is the first
    assert "Bearer" in ways


def test_another_secret_of_a_known_key_is_refused(door: Door) -> None:
    text = door.create()
    door.look()
    for wrong in (text[:-1], text + "x", f"{KEY_PREFIX}{id_of(text)}.", text.upper()):
        with pytest.raises(Unauthenticated):
            door.access.admit("demand", f"Bearer {wrong}")


def test_no_message_tells_a_secret(door: Door) -> None:
    text = door.create(endpoints=["demand"], lifetime=timedelta(seconds=-1))
    door.look()
    secret = text.partition(".")[2]
    for wrong in (text, f"{KEY_PREFIX}{'0' * 12}.{secret}", f"no.{secret}"):
        with pytest.raises(Unauthenticated) as caught:
            door.access.admit("demand", f"Bearer {wrong}")
        assert secret not in str(caught.value)


def test_a_key_opens_only_its_endpoints(door: Door) -> None:
    text = door.create(endpoints=["demand", "delay"])
    door.look()
    assert door.access.admit("delay", f"Bearer {text}") == id_of(text)
    with pytest.raises(Forbidden, match=r"'price'.*'delay', 'demand'") as caught:
        door.access.admit("price", f"Bearer {text}")
    assert status_of(caught.value) == 403


def test_an_expired_key_is_told_so(door: Door) -> None:
    old = door.create(lifetime=timedelta(seconds=-1))
    soon = door.create(lifetime=timedelta(days=1))
    door.look()
    door.access.admit("demand", f"Bearer {soon}")
    with pytest.raises(Unauthenticated, match="expired"):
        door.access.admit("demand", f"Bearer {old}")
    door.now += 2 * 86400
    for _ in range(2):  # remembered, then looked up anew
        with pytest.raises(Unauthenticated, match="expired"):
            door.access.admit("demand", f"Bearer {soon}")


def test_a_revoked_key_is_refused_and_the_new_one_is_not(door: Door) -> None:
    old, new = door.create(), door.create()
    door.look()
    for text in (old, new):
        door.access.admit("demand", f"Bearer {text}")
    door.revoke(old)
    door.look()
    with pytest.raises(Unauthenticated, match="revoked"):
        door.access.admit("demand", f"Bearer {old}")
    assert door.access.admit("demand", f"Bearer {new}") == id_of(new)


def test_a_revocation_that_is_not_believed_closes_the_door_all_the_same(door: Door) -> None:
    text = door.create()
    door.look()
    door.store.write(revocation_key(id_of(text)), b"junk")
    door.look(thorough=True)
    with pytest.raises(Unauthenticated, match="revoked"):
        door.access.admit("demand", f"Bearer {text}")


def test_open_means_everybody(tmp_path: Path) -> None:
    door = Access(new_settings(tmp_path))
    assert door.is_open
    assert door.admit("demand", "") == ""
    assert door.identify("Bearer junk").may_ask("demand")


def test_what_is_remembered_is_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_REMEMBERED_MOST", 3)
    texts = [door.create(rate="5/second") for _ in range(6)]
    door.look()
    for text in [*texts, *texts]:
        door.access.admit("demand", f"Bearer {text}")


# --- rates ------------------------------------------------------------------------------------------------------------


def test_who_asks_too_often_is_told_when_to_come_again(door: Door) -> None:
    text = door.create(rate="3/minute")
    door.look()
    for _ in range(3):
        door.access.admit("demand", f"Bearer {text}")
    with pytest.raises(RateExceeded, match="3/minute") as caught:
        door.access.admit("demand", f"ApiKey {text}")  # another header is not another caller
    assert status_of(caught.value) == 429
    assert 1 <= int(headers_of(caught.value)["Retry-After"]) <= 20
    door.look()  # news about other keys fill no bucket
    with pytest.raises(RateExceeded):
        door.access.admit("demand", f"Bearer {text}")


def test_a_bucket_fills_evenly_and_never_over() -> None:
    now = 100.0
    bucket = Bucket("120/minute", shares=2, clock=lambda: now)  # one a second
    assert [bucket.take() for _ in range(60)] == [0.0] * 60
    assert bucket.take() == pytest.approx(1.0)
    now += 2.0
    assert [bucket.take() > 0 for _ in range(3)] == [False, False, True]
    now += 1e6
    assert sum(bucket.take() == 0 for _ in range(100)) == 60


def test_a_share_of_a_small_rate_still_lets_a_request_through() -> None:
    assert Bucket("1/day", shares=64).take() == 0.0


@pytest.mark.parametrize("text", ["20/second", "1000/minute", "5000/hour", "9/day"])
def test_rates_are_read(text: str) -> None:
    assert f"{parse_rate(text).requests}/" in text


# --- what the supervisor knows ----------------------------------------------------------------------------------------


def test_news_is_seen_at_once_and_nothing_is_read_without_news(door: Door) -> None:
    text = door.create()
    first = door.look()
    door.store.delete(access_key(id_of(text)))  # would be noticed by whoever listed again
    assert door.look() == first
    other = door.create()
    assert {caller.id for caller in door.look().keys} == {id_of(text), id_of(other)}


def test_a_store_that_lost_keys_is_not_believed(door: Door) -> None:
    kept, revoked = door.create(), door.create()
    door.revoke(revoked)
    door.look()
    for stat in list(door.store.list("access/")):
        door.store.delete(stat.key)
    door.look(thorough=True)
    door.access.admit("demand", f"Bearer {kept}")
    with pytest.raises(Unauthenticated, match="revoked"):
        door.access.admit("demand", f"Bearer {revoked}")


def test_a_lost_hint_delays_news_until_the_next_thorough_look(door: Door) -> None:
    door.create()
    door.look()
    text = door.create()
    door.store.delete(ACCESS_HINT_KEY)
    assert id_of(text) in {caller.id for caller in door.look(thorough=True).keys}


def test_a_start_without_the_store_knows_the_keys_of_before(door: Door) -> None:
    text, revoked = door.create(), door.create()
    door.revoke(revoked)
    door.look()
    down = FaultyStore(MemoryStore(), "before", lambda: True)
    late = Door(door.settings, down)
    assert late.look().unread == ""
    assert late.access.admit("demand", f"Bearer {text}") == id_of(text)
    with pytest.raises(Unauthenticated, match="revoked"):
        late.access.admit("demand", f"Bearer {revoked}")


def test_a_first_start_without_the_store_lets_nobody_in_yet(door: Door) -> None:
    text = door.create()
    is_down = True
    down = FaultyStore(door.store, "before", lambda: is_down)
    late = Door(door.settings, down)
    assert "store is down" in late.look().unread
    with pytest.raises(AccessUnknown) as caught:
        late.access.admit("demand", f"Bearer {text}")
    assert status_of(caught.value) == 503
    is_down = False
    late.look()
    assert late.access.admit("demand", f"Bearer {text}") == id_of(text)


def test_kept_copies_are_verified_too(door: Door) -> None:
    text = door.create()
    door.look()
    kept = door.settings.cache_dir / "records" / access_key(id_of(text))
    kept.write_bytes(kept.read_bytes().replace(b'"rate":""', b'"rate":"x"'))
    down = FaultyStore(MemoryStore(), "before", lambda: True)
    late = Door(door.settings, down)
    assert late.look().keys == []


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_nobody_serves_everybody_by_accident(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="RASEN_ACCESS"):
        check_access(new_settings(tmp_path, host=host))
    check_access(new_settings(tmp_path, host=host, access="keys"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_may_be_open(tmp_path: Path, host: str) -> None:
    check_access(new_settings(tmp_path, host=host))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"access": "jwt"}, "RASEN_JWT_ISSUER"),
        ({"access": "jwt", "jwt_issuer": ISSUER}, "RASEN_JWT_AUDIENCE"),
        ({"access": "keys,jwt", **JWT}, "RASEN_JWT_KEYS"),
        ({"access": "jwt", **JWT, "jwt_keys": "http://issuer.example/keys"}, "https"),
        ({"access": "jwt", **JWT, "jwt_keys": "file:///etc/keys"}, "https"),
        ({"access": "jwt", **JWT, "jwt_keys": "/k", "jwt_rate": "often"}, "RASEN_JWT_RATE"),
    ],
)
def test_tokens_need_complete_settings(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        check_access(new_settings(tmp_path, **changes))


@pytest.mark.parametrize("access", ["", "open,keys", "keys,keys", "password"])
def test_access_is_one_of_four(tmp_path: Path, access: str) -> None:
    with pytest.raises(InvalidInput, match="RASEN_ACCESS"):
        new_settings(tmp_path, access=access)


def test_access_survives_the_way_to_a_child_process(tmp_path: Path) -> None:
    assert platform_environment(new_settings(tmp_path, access="keys, jwt"))["RASEN_ACCESS"] == "keys,jwt"


# --- tokens -----------------------------------------------------------------------------------------------------------


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


# --- the routes -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> tuple[App, Door]:
    """An app with two endpoints that asks for keys."""
    settings = new_settings(tmp_path_factory.mktemp("home"), access="keys")
    store = open_store(settings)
    for pipeline in ("demand", "delay"):
        publish_and_deploy(store, settings, number=1, pipeline=pipeline)
    app = App(store, settings)
    app.bring_up()
    door = Door(settings, store)
    door.access = app.service.access
    return app, door


def test_every_route_is_health_or_asks_for_a_key(guarded: tuple[App, Door]) -> None:
    app, _ = guarded
    paths = {route.path for route in app.asgi.routes if isinstance(route, Route)}
    assert {"/endpoints/{endpoint}/predict", "/endpoints", "/docs", "/openapi.json", "/livez"} <= paths
    assert {type(route) for route in app.asgi.routes} <= {Route, APIRoute}, (
        "a mount or a socket needs a look of its own"
    )
    open_to_all = set()
    for path in paths | {"/", "/nothing", "//livez", "/livez/", "/LIVEZ", "/livez/../endpoints"}:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            answer = app.call(
                method, path.replace("{endpoint}", "demand").replace("{name}", "swagger-ui.css")
            )
            if answer.status_code != 401:
                open_to_all.add(path)
            elif method != "HEAD":
                assert "X-Api-Key" in answer.text  # the shape is that of the path's protocol
                if path.startswith("/endpoints") and not path.endswith("/invocations"):
                    assert answer.json()["error"]["code"] == "unauthenticated"
                assert answer.headers["www-authenticate"]
                assert answer.headers["x-request-id"]
    assert open_to_all == OPEN_PATHS


def test_the_body_of_an_unknown_caller_is_not_read(guarded: tuple[App, Door]) -> None:
    app, _ = guarded
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"x"

    answer = app.call(
        "POST", "/endpoints/demand/predict", content=body(), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 401
    assert read == []


def test_a_key_of_one_endpoint_sees_nothing_of_the_others(guarded: tuple[App, Door]) -> None:
    app, door = guarded
    headers = {"x-api-key": door.create(endpoints=["demand"])}
    door.look()
    assert app.predict("demand", {"rows": [ROW]}, headers=headers).status_code == 200
    assert app.call("GET", "/endpoints/demand", headers=headers).status_code == 200
    for answer in (
        app.predict("delay", {"rows": [ROW]}, headers=headers),
        app.predict("nothing", {"rows": [ROW]}, headers=headers),
        app.call("GET", "/endpoints/delay", headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden"
    listed = app.call("GET", "/endpoints", headers=headers).json()["endpoints"]
    assert [one["endpoint"] for one in listed] == ["demand"]
    document = app.call("GET", "/openapi.json", headers=headers)
    assert "demand.request" in document.text
    assert "delay" not in document.text
    assert document.json()["security"] == [{"key": []}, {"bearer": []}]


def test_a_rate_counts_predictions_and_descriptions_once_each(guarded: tuple[App, Door]) -> None:
    app, door = guarded
    headers = {"authorization": f"Bearer {door.create(rate='3/hour')}"}
    door.look()
    assert app.predict("demand", {"rows": [ROW]}, headers=headers).status_code == 200
    assert app.call("GET", "/endpoints", headers=headers).status_code == 200
    assert app.predict("demand", {"rows": [ROW]}, headers=headers).status_code == 200
    for answer in (
        app.predict("demand", {"rows": [ROW]}, headers=headers),
        app.call("GET", "/endpoints/demand", headers=headers),
    ):
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 1
        assert "3/hour" in answer.json()["error"]["message"]


class Recorder(PredictionLog):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)


def test_the_log_names_the_key(guarded: tuple[App, Door]) -> None:
    app, door = guarded
    text = door.create()
    door.look()
    app.service.log = recorder = Recorder()
    try:
        app.predict("demand", {"rows": [ROW]}, headers={"x-api-key": text})
        app.predict("demand", {"rows": [ROW]})
    finally:
        app.service.log = None
    assert [entry.key_id for entry in recorder.entries] == [id_of(text)]


def test_refusals_are_counted(guarded: tuple[App, Door]) -> None:
    app, _ = guarded

    def count() -> int:
        return sum(one.requests for one in app.service.counts.series() if one.status == 401)

    before = count()
    app.predict("demand", {"rows": [ROW]})
    app.call("GET", "/endpoints")
    assert count() == before + 2


def test_the_service_does_not_start_open_to_other_machines(tmp_path: Path) -> None:
    settings = new_settings(tmp_path, host="0.0.0.0", serving_port=0, admin_port=0)
    done = subprocess.run(
        [sys.executable, "-m", "rasen_serving"],
        env=platform_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "RASEN_ACCESS" in done.stderr
