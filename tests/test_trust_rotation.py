"""Rotating, revoking and taking over keys: what was signed stays readable, the new key signs, crashes heal."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from rasen.errors import InvalidInput, KeyRefused, NotFound, PlatformFailed
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import MemoryStore
from rasen.tracking import key_rotation
from rasen.tracking.key_rotation import (
    PublicKeys,
    add_keys,
    export_keys,
    finish_rotations,
    parse_keys,
    reinstate_key,
    revoke_key,
    rotate_key,
)
from rasen.tracking.records import UnreadableRecord
from rasen.tracking.signature import Role, load_trust, open_signer, read_signed, write_signed
from stand.manifests import FIRST_INSTANT, KeptKey

PLACES = (f"manifests/toy/{number}.json" for number in range(10_000))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def read(store: MemoryStore, settings: Settings, place: str, role: Role) -> bytes:
    return read_signed(store, place, trust=load_trust(settings), role=role, environment=settings.environment)


def states(settings: Settings) -> dict[str, str]:
    return {key.key_id: key.state for key in load_trust(settings).keys}


@pytest.mark.parametrize("role", Role)
def test_after_a_rotation_the_new_key_signs_and_the_old_one_is_believed(
    settings: Settings, store: MemoryStore, role: Role
) -> None:
    before, after = next(PLACES), next(PLACES)
    running = open_signer(settings, role)  # of a process that goes on
    old = running.key_id
    write_signed(store, before, b"old", running)
    new = rotate_key(settings, role, reason="every quarter", by="ada", now=FIRST_INSTANT)
    assert states(settings) == {old: "verify_only", new.key_id: "active"}
    write_signed(store, after, b"new", running)
    assert running.key_id == new.key_id
    assert read(store, settings, before, role) == b"old"
    assert read(store, settings, after, role) == b"new"
    path = settings.keys_dir / f"{role.value}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(settings.keys_dir.glob("*.next")) == []
    assert [(change.key_id, change.by, change.reason) for change in load_trust(settings).changes] == [
        (new.key_id, "ada", "every quarter"),
        (old, "ada", ""),
    ]


def test_a_role_that_has_no_key_yet_gets_one(settings: Settings) -> None:
    new = rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    assert states(settings) == {new.key_id: "active"}
    assert open_signer(settings, Role.CONTROL).key_id == new.key_id


def test_a_key_that_was_rotated_out_signs_nothing_even_when_its_file_comes_back(settings: Settings) -> None:
    open_signer(settings, Role.CONTROL)
    path = settings.keys_dir / "control.key"
    old = path.read_bytes()
    rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    path.write_bytes(old)
    with pytest.raises(KeyRefused, match="signs nothing new: it was rotated out"):
        open_signer(settings, Role.CONTROL)


def test_a_revoked_key_opens_nothing_and_signs_nothing_until_it_is_rotated(
    settings: Settings, store: MemoryStore
) -> None:
    place = next(PLACES)
    running = open_signer(settings, Role.CONTROL)
    old = running.key_id
    write_signed(store, place, b"x", running)
    with pytest.raises(InvalidInput, match="a reason is needed"):
        revoke_key(settings, old, reason=" ", by="ada", now=FIRST_INSTANT)
    revoke_key(settings, old[:6], reason="laptop stolen", by="ada", now=FIRST_INSTANT)
    with pytest.raises(KeyRefused, match="is revoked"):
        read(store, settings, place, Role.CONTROL)
    with pytest.raises(KeyRefused, match="is revoked; `rasen trust rotate control` brings in a new one"):
        running.sign(b"x")
    with pytest.raises(KeyRefused, match="is revoked"):
        open_signer(settings, Role.CONTROL)
    rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    assert states(settings)[old] == "revoked"
    write_signed(store, next(PLACES), b"x", running)
    with pytest.raises(InvalidInput, match="is revoked already"):
        revoke_key(settings, old, reason="again", by="ada", now=FIRST_INSTANT)
    reinstate_key(settings, old, reason="it was found in the other bag", by="ada", now=FIRST_INSTANT)
    assert states(settings)[old] == "verify_only"
    assert read(store, settings, place, Role.CONTROL) == b"x"
    with pytest.raises(InvalidInput, match="is verify_only, not revoked: there is nothing to undo"):
        reinstate_key(settings, old, reason="again", by="ada", now=FIRST_INSTANT)
    with pytest.raises(NotFound, match="there is no key 'feedbeef'"):
        revoke_key(settings, "feedbeef", reason="a slip", by="ada", now=FIRST_INSTANT)
    with pytest.raises(NotFound):
        revoke_key(settings, "", reason="a slip", by="ada", now=FIRST_INSTANT)


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("step", range(4))
def test_a_rotation_that_was_killed_is_finished_and_every_state_between_works(
    settings: Settings, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """`step` writes are done before the process ends: the waiting file, the trust, the key file, the trust."""
    before = next(PLACES)
    old = open_signer(settings, Role.CONTROL).key_id
    write_signed(store, before, b"old", open_signer(settings, Role.CONTROL))
    left = [step]

    def stopped(name: str) -> None:
        real = getattr(key_rotation, name)

        def write(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*arguments, **options)

        monkeypatch.setattr(key_rotation, name, write)

    with monkeypatch.context():
        stopped("replace_file")
        stopped("change_trust")
        with pytest.raises(Killed):
            rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
        monkeypatch.undo()
    between = next(PLACES)
    write_signed(store, between, b"between", open_signer(settings, Role.CONTROL))
    finished = finish_rotations(settings, by="bob", now=FIRST_INSTANT)
    assert finish_rotations(settings, by="bob", now=FIRST_INSTANT) == []
    if step == 0:  # nothing had happened
        assert finished == []
        assert states(settings) == {old: "active"}
    else:
        (new,) = finished
        assert states(settings) == {old: "verify_only", new.key_id: "active"}
        assert open_signer(settings, Role.CONTROL).key_id == new.key_id
    assert read(store, settings, before, Role.CONTROL) == b"old"
    assert read(store, settings, between, Role.CONTROL) == b"between"


def test_what_is_signed_while_keys_rotate_can_all_be_read(settings: Settings, tmp_path: Path) -> None:
    """One process signs without a pause while another rotates; no object may name one key and be signed by another."""
    from rasen.store import DirectoryStore

    store = DirectoryStore(tmp_path / "store")
    open_signer(settings, Role.CONTROL)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signer = open_signer(settings, Role.CONTROL)
            for number in range(150):
                write_signed(store, f"manifests/toy/{number}.json", b"x", signer)
            code = 0
        finally:
            os.write(writer, b".")
            os._exit(code)
    rotations = 0
    os.set_blocking(reader, False)
    while True:
        rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
        rotations += 1
        try:
            os.read(reader, 1)
            break
        except BlockingIOError:
            continue
    assert os.waitpid(child, 0)[1] == 0
    found = [stat_.key for stat_ in store.list("manifests/")]
    assert len(found) == 150
    for place in found:
        payload = read_signed(
            store, place, trust=load_trust(settings), role=Role.CONTROL, environment=settings.environment
        )
        assert payload == b"x"
    assert rotations == len(load_trust(settings).keys) - 1
    for descriptor in (reader, writer):
        os.close(descriptor)


@pytest.fixture
def other(tmp_path: Path) -> Settings:
    """Another machine, which has signed."""
    other = load_settings(home=tmp_path / "other")
    for role in Role:
        open_signer(other, role)
    return other


def test_keys_of_another_machine_are_believed_once_they_were_added(
    settings: Settings, other: Settings, store: MemoryStore
) -> None:
    place = next(PLACES)
    write_signed(store, place, b"x", open_signer(other, Role.CONTROL))
    with pytest.raises(KeyRefused, match="not among the trusted keys"):
        read(store, settings, place, Role.CONTROL)
    exported = export_keys(other, [Role.CONTROL]).to_bytes()
    added = add_keys(settings, parse_keys(exported, source="keys.json"), by="ada", now=FIRST_INSTANT)
    assert [key.role for key in added] == [Role.CONTROL]
    assert read(store, settings, place, Role.CONTROL) == b"x"
    assert (
        add_keys(settings, parse_keys(exported, source="keys.json"), by="ada", now=FIRST_INSTANT) == []
    )  # again
    for role in set(Role) - {Role.CONTROL}:
        write_signed(store, foreign := next(PLACES), b"x", open_signer(other, role))
        with pytest.raises(KeyRefused, match="not among the trusted keys"):
            read(store, settings, foreign, role)
    rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    assert states(settings)[added[0].key_id] == "active"  # only the key that signed here was retired


def test_a_key_that_is_revoked_here_does_not_come_back_with_an_export(
    settings: Settings, other: Settings
) -> None:
    keys = parse_keys(export_keys(other, [Role.DECIDER]).to_bytes(), source="keys.json")
    add_keys(settings, keys, by="ada", now=FIRST_INSTANT)
    revoke_key(settings, keys[0].key_id, reason="stolen", by="ada", now=FIRST_INSTANT)
    with pytest.raises(InvalidInput, match="is revoked here; `rasen trust reinstate` undoes that"):
        add_keys(settings, keys, by="ada", now=FIRST_INSTANT)
    assert keys[0].key_id not in {key.key_id for key in export_keys(settings).keys}


@pytest.mark.parametrize("role", Role)
def test_the_key_file_of_a_machine_is_never_trusted_in_prod(
    tmp_path: Path, other: Settings, store: MemoryStore, role: Role
) -> None:
    prod = load_settings(home=tmp_path / "prod", environment="prod")
    everywhere = [
        key.model_copy(update={"environments": ["dev", "prod"]}) for key in export_keys(other, [role]).keys
    ]
    with pytest.raises(
        KeyRefused, match="is the key file of a machine, and such keys are never trusted in 'prod'"
    ):
        add_keys(prod, everywhere, by="ada", now=FIRST_INSTANT)
    # Somebody writes it into the file by hand.
    prod.trust_file.write_bytes(load_trust(prod).model_copy(update={"keys": everywhere}).to_bytes())
    write_signed(store, place := next(PLACES), b"x", open_signer(other, role))
    with pytest.raises(KeyRefused, match="is the key file of a machine"):
        read(store, prod, place, role)


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        ({"key_id": "0" * 16}, "does not belong to its public key"),
        ({"public_key": "AAAA"}, "does not belong to its public key"),
        ({"public_key": "%%%"}, "does not belong to its public key"),
        ({"environments": []}, "is for no environment"),
    ],
)
def test_an_entry_that_is_wrong_is_refused(edit: dict[str, object], complaint: str, other: Settings) -> None:
    (key,) = export_keys(other, [Role.CONTROL]).keys
    wrong = PublicKeys(keys=[key.model_copy(update=edit)]).to_bytes()
    with pytest.raises(InvalidInput, match=f"keys.json: key .* {complaint}"):
        parse_keys(wrong, source="keys.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"keys": 1}', b'{"public_key": 1}', b"\xff"])
def test_a_file_that_is_no_export_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableRecord, match=r"keys\.json is not a PublicKeys record"):
        parse_keys(data, source="keys.json")
    with pytest.raises(InvalidInput, match=r"names no key"):
        parse_keys(b'{"keys": []}', source="keys.json")


def test_an_entry_may_be_written_by_hand_and_may_name_its_holder(settings: Settings, other: Settings) -> None:
    (key,) = export_keys(other, [Role.OPERATOR]).keys
    entry = key.model_copy(update={"holder": "ada"}).model_dump(mode="json")
    (added,) = add_keys(
        settings,
        parse_keys(json.dumps(entry).encode(), source="ada.json"),
        by="bob",
        now=FIRST_INSTANT,
    )
    assert (added.holder, added.role) == ("ada", Role.OPERATOR)
    with pytest.raises(InvalidInput, match="is listed already, as operator and with other words"):
        add_keys(settings, [added.model_copy(update={"holder": "eve"})], by="eve", now=FIRST_INSTANT)


def test_a_trust_file_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mounted").write_text("a file where a folder should be")
    settings = load_settings(home=tmp_path, trust_file=tmp_path / "mounted" / "trust.json")
    with pytest.raises(PlatformFailed, match=r"could not be written: .* mounted from a ConfigMap"):
        add_keys(settings, [KeptKey(Role.CONTROL).trusted("dev")], by="ada", now=FIRST_INSTANT)


def test_a_public_key_of_the_trust_file_that_is_none_refuses_and_does_not_crash(
    settings: Settings, store: MemoryStore
) -> None:
    write_signed(store, place := next(PLACES), b"x", open_signer(settings, Role.CONTROL))
    trust = load_trust(settings)
    for wrong in ("", "AAAA", "%%%"):
        keys = [key.model_copy(update={"public_key": wrong}) for key in trust.keys]
        with pytest.raises(KeyRefused, match="has no usable public key"):
            read_signed(
                store,
                place,
                trust=trust.model_copy(update={"keys": keys}),
                role=Role.CONTROL,
                environment="dev",
            )


def test_a_key_file_that_was_cut_is_told(settings: Settings) -> None:
    open_signer(settings, Role.CONTROL)
    path = settings.keys_dir / "control.key"
    path.write_bytes(path.read_bytes()[:31])
    with pytest.raises(KeyRefused, match="holds 31 bytes; a private key has 32"):
        open_signer(settings, Role.CONTROL)
