"""Signed objects: only the right role's signature over these very bytes under this very key opens them."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import KeyRefused, PreconditionFailed, SignatureInvalid, TrustError
from rasen.settings import Settings, load_settings
from rasen.store import MemoryStore
from rasen.tracking.signature import (
    Role,
    TrustStore,
    load_trust,
    open_signed,
    open_signer,
    read_signed,
    sign,
    signed_message,
    write_signed,
)

KEY = "manifests/toy/run.json"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(home=tmp_path_factory.mktemp("home"))


def opened(data: bytes, settings: Settings, **changes: object) -> bytes:
    options = {"trust": load_trust(settings), "role": Role.CONTROL, "environment": "dev"} | changes
    return open_signed(data, str(options.pop("key", KEY)), **options)  # type: ignore[arg-type] # mixed on purpose


def test_what_was_signed_opens_and_nothing_else_does(settings: Settings) -> None:
    data = sign(KEY, b'{"a": 1}\n', open_signer(settings, Role.CONTROL))
    assert opened(data, settings) == b'{"a": 1}\n'
    with pytest.raises(SignatureInvalid, match="does not fit"):
        opened(data, settings, key="manifests/toy/other.json")
    with pytest.raises(KeyRefused, match="'decider' must sign it"):
        opened(data, settings, role=Role.DECIDER)
    with pytest.raises(KeyRefused, match=r"trusted in \['dev'\], not in 'prod'"):
        opened(data, settings, environment="prod")
    with pytest.raises(KeyRefused, match="not among the trusted keys"):
        opened(data, settings, trust=TrustStore())


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n{}", b'{"format":1}', b"x" * 5000 + b"\n", b"\xff\xfe\n\x00"]
)
def test_what_is_not_signed_is_refused(settings: Settings, data: bytes) -> None:
    with pytest.raises(SignatureInvalid, match="not signed"):
        opened(data, settings)


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(settings: Settings, position: int, bit: int) -> None:
    data = bytearray(sign(KEY, b'{"run": "one"}\n' * 10, open_signer(settings, Role.CONTROL)))
    data[position % len(data)] ^= 1 << bit
    try:
        payload = opened(bytes(data), settings)
    except TrustError:
        return
    # The header's own spelling is not signed; what it says is. The payload is what counts.
    assert payload == b'{"run": "one"}\n' * 10


def test_a_large_payload_is_signed_by_its_digest_and_the_two_kinds_are_never_taken_for_one_another(
    settings: Settings,
) -> None:
    signer = open_signer(settings, Role.CONTROL)
    small, large = b"x" * 32_768, b"x" * 32_769
    assert b'"digest"' not in sign(KEY, small, signer).partition(b"\n")[0]
    data = sign(KEY, large, signer)
    assert opened(data, settings) == large
    for damaged in (data[:-1], data + b"x", data.replace(b'"digest":"sha256"', b'"digest":null')):
        with pytest.raises(SignatureInvalid, match="does not fit"):
            opened(damaged, settings)
    with pytest.raises(SignatureInvalid, match="is not signed"):
        opened(data.replace(b'"digest":"sha256"', b'"digest":"crc32"'), settings)
    # What would be signed for one object, given out as the payload of another.
    message = signed_message(Role.CONTROL, KEY, large, digest="sha256")
    for payload in (message, hashlib.sha256(large).digest()):
        forged = data.partition(b"\n")[0].replace(b',"digest":"sha256"', b"") + b"\n" + payload
        with pytest.raises(SignatureInvalid, match="does not fit"):
            opened(forged, settings)


def test_a_revoked_key_opens_nothing_and_a_verify_only_key_does(settings: Settings) -> None:
    data = sign(KEY, b"x", open_signer(settings, Role.CONTROL))

    def trust(state: str) -> TrustStore:
        keys = [key.model_copy(update={"state": state}) for key in load_trust(settings).keys]
        return TrustStore(keys=keys)

    assert opened(data, settings, trust=trust("verify_only")) == b"x"
    with pytest.raises(KeyRefused, match="is revoked"):
        opened(data, settings, trust=trust("revoked"))


def test_signing_twice_is_one_object_and_another_payload_is_refused(settings: Settings) -> None:
    store = MemoryStore()
    signer = open_signer(settings, Role.CONTROL)
    digest = write_signed(store, KEY, b"one", signer)
    assert write_signed(store, KEY, b"one", signer) == digest
    with pytest.raises(PreconditionFailed):
        write_signed(store, KEY, b"two", signer)
    found = read_signed(store, KEY, trust=load_trust(settings), role=Role.CONTROL, environment="dev")
    assert found == b"one"


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    for role in Role:
        assert open_signer(settings, role).key_id == open_signer(settings, role).key_id
        path = settings.keys_dir / f"{role.value}.key"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.keys_dir.stat().st_mode) == 0o700
    assert {key.role for key in load_trust(settings).keys} == set(Role)
    path = settings.keys_dir / "control.key"
    path.chmod(0o644)
    with pytest.raises(KeyRefused, match="chmod 600"):
        open_signer(settings, Role.CONTROL).sign(b"x")


def test_eight_processes_make_one_key(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for role in Role:
                    open_signer(settings, role).sign(b"x")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert sorted(key.role for key in load_trust(settings).keys) == sorted(Role)


def test_a_key_of_one_machine_is_never_made_for_prod(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="never trusted in 'prod'"):
        open_signer(load_settings(home=tmp_path, environment="prod"), Role.CONTROL)
