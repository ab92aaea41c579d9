"""Signing with a key of Cloud KMS: the real client against a service that really signs, and that goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from rasen.errors import InvalidInput, KeyRefused, PlatformFailed, SignerUnavailable, StoreUnavailable
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import MemoryStore
from rasen.tracking.key_rotation import rotate_key
from rasen.tracking.kms_signer import KmsSigner
from rasen.tracking.signature import Role, load_trust, open_signer, read_signed, write_signed
from stand.kms import RING, KeyManagement, running_kms
from stand.manifests import FIRST_INSTANT

NAME = f"{RING}/control/cryptoKeyVersions/1"


@pytest.fixture(scope="module")
def service() -> Iterator[KeyManagement]:
    with running_kms() as service:
        yield service


@pytest.fixture
def kms(service: KeyManagement) -> KeyManagement:
    """The service with one fresh key version and nothing wrong with it."""
    service.keys.clear()
    service.failures.clear()
    service.asked.clear()
    for names in (service.disabled, service.forbidden, service.other_algorithm):
        names.clear()
    service.change = lambda answer: None
    service.make_version("control")
    return service


def settings_of(kms: KeyManagement, home: Path, *, environment: str = "prod", **more: Any) -> Settings:
    options = {"signer_control": f"gcp-kms://{NAME}", "store_patience_seconds": 0.5} | more
    return load_settings(home=home, environment=environment, kms_endpoint=kms.endpoint, **options)


def signer_of(kms: KeyManagement, name: str = NAME, *, patience_seconds: float = 0.5) -> KmsSigner:
    return KmsSigner(
        f"gcp-kms://{name}", Role.CONTROL, endpoint=kms.endpoint, patience_seconds=patience_seconds
    )


@pytest.mark.parametrize("size_bytes", [2, 32_768, 32_769, 300_000])
def test_in_prod_a_key_of_the_kms_signs_and_is_believed(
    kms: KeyManagement, tmp_path: Path, size_bytes: int
) -> None:
    settings = settings_of(kms, tmp_path)
    key = rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    assert (key.kept_in, key.environments, key.address) == ("kms", ["prod"], f"gcp-kms://{NAME}")
    store, place, payload = MemoryStore(), "manifests/toy/one.json", b"x" * size_bytes
    write_signed(store, place, payload, open_signer(settings, Role.CONTROL))
    found = read_signed(
        store, place, trust=load_trust(settings), role=Role.CONTROL, environment=settings.environment
    )
    assert found == payload
    assert not settings.keys_dir.exists()


def test_in_prod_only_the_kms_signs(kms: KeyManagement, tmp_path: Path) -> None:
    settings = settings_of(kms, tmp_path)
    for role in set(Role) - {Role.CONTROL}:
        with pytest.raises(KeyRefused, match=f"name a KMS key there, in RASEN_SIGNER_{role.name}"):
            open_signer(settings, role)
        with pytest.raises(KeyRefused, match="never trusted in 'prod'"):
            rotate_key(settings, role, by="ada", now=FIRST_INSTANT)
    assert not settings.keys_dir.exists()


def test_a_key_that_nobody_made_known_signs_nothing(kms: KeyManagement, tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match=r"not among the trusted keys .* `rasen trust rotate control`"):
        open_signer(settings_of(kms, tmp_path), Role.CONTROL).sign(b"x")
    assert [asked for asked in kms.asked if asked.startswith("sign")] == []


def test_the_next_version_of_the_key_takes_over(kms: KeyManagement, tmp_path: Path) -> None:
    settings = settings_of(kms, tmp_path)
    first = rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    running = open_signer(settings, Role.CONTROL)
    running.sign(b"x")
    with pytest.raises(InvalidInput, match="active already; make another version"):
        rotate_key(settings, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    after = settings_of(kms, tmp_path, signer_control=kms.make_version("control", 2))
    second = rotate_key(after, Role.CONTROL, by="ada", now=FIRST_INSTANT)
    assert [(key.key_id, key.state) for key in load_trust(after).keys] == [
        (first.key_id, "verify_only"),
        (second.key_id, "active"),
    ]
    open_signer(after, Role.CONTROL).sign(b"x")
    with pytest.raises(KeyRefused, match="signs nothing new: it was rotated out"):
        running.sign(b"x")


def test_an_outage_that_passes_is_waited_for(kms: KeyManagement) -> None:
    kms.failures += [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert len(signer_of(kms, patience_seconds=20).sign(b"x")) == 64
    assert len(kms.asked) == 4


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL])
def test_an_outage_that_stays_is_told_as_something_to_try_again(
    kms: KeyManagement, status: grpc.StatusCode
) -> None:
    kms.failures += [status] * 50
    with pytest.raises(SignerUnavailable, match=r"did not answer .* nothing was signed, try again") as caught:
        signer_of(kms, patience_seconds=0.2).sign(b"x")
    assert isinstance(caught.value, StoreUnavailable)
    assert caught.value.exit_code == 75


def test_nobody_listens(kms: KeyManagement) -> None:
    signer = KmsSigner(f"gcp-kms://{NAME}", Role.CONTROL, endpoint="127.0.0.1:1", patience_seconds=0.2)
    with pytest.raises(SignerUnavailable, match="did not answer"):
        signer.sign(b"x")


def damaged(name: str, value: object) -> Callable[[Any], None]:
    """Return a change of one field of the answers that have it."""

    def change(answer: Any) -> None:
        if name in type(answer).meta.fields:
            setattr(answer, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (damaged("signature_crc32c", 1), "damaged on its way from the KMS"),
        (damaged("signature", bytes(64)), "damaged on its way from the KMS"),
        (damaged("verified_data_crc32c", False), "did not arrive whole"),
        (damaged("pem_crc32c", 1), "public key .* was damaged"),
        (damaged("pem", "-----BEGIN PUBLIC KEY-----"), "public key .* was damaged"),
    ],
)
def test_what_was_damaged_on_the_way_is_not_believed(
    kms: KeyManagement, change: Callable[[Any], None], complaint: str
) -> None:
    kms.change = change
    with pytest.raises(SignerUnavailable, match=complaint):
        signer_of(kms).sign(b"x")


def test_an_answer_by_another_key_is_not_believed(kms: KeyManagement) -> None:
    signer = signer_of(kms)
    assert signer.key_id
    kms.change = damaged("name", "projects/tests/other")
    with pytest.raises(KeyRefused, match="signed with 'projects/tests/other'"):
        signer.sign(b"x")


def test_a_signature_that_does_not_fit_its_public_key_is_not_handed_on(kms: KeyManagement) -> None:
    signer = signer_of(kms)
    assert signer.key_id
    kms.make_version("control")  # another private key under the same name
    with pytest.raises(SignerUnavailable, match="does not fit"):
        signer.sign(b"x")


def test_a_key_that_cannot_be_used_says_why(kms: KeyManagement) -> None:
    kms.disabled.add(NAME)
    with pytest.raises(KeyRefused, match=r"is not enabled.* current state is: DISABLED"):
        signer_of(kms).sign(b"x")
    kms.disabled.clear()
    kms.forbidden.add(NAME)
    with pytest.raises(KeyRefused, match=r"needs cloudkms.cryptoKeyVersions.viewPublicKey .*signerVerifier"):
        signer_of(kms).sign(b"x")
    kms.forbidden.clear()
    kms.other_algorithm.add(NAME)
    with pytest.raises(
        KeyRefused, match="has the algorithm EC_SIGN_P256_SHA256; Rasen signs with EC_SIGN_ED25519"
    ):
        signer_of(kms).sign(b"x")
    with pytest.raises(KeyRefused, match=r"there is no KMS key .*Versions/7"):
        signer_of(kms, f"{RING}/control/cryptoKeyVersions/7").sign(b"x")
    kms.other_algorithm.clear()
    signer = signer_of(kms)
    assert signer.key_id
    kms.disabled.add(NAME)  # while the process runs
    with pytest.raises(KeyRefused, match="is not enabled"):
        signer.sign(b"x")


def test_the_extra_is_named_when_the_library_is_missing(
    kms: KeyManagement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.cloud.kms_v1", None)
    with pytest.raises(PlatformFailed, match=r"install the extra `rasen\[gcp\]`"):
        signer_of(kms).sign(b"x")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "keys/control.key",
        "gcp-kms://",
        "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
        f"gcp-kms://{NAME}/../2",
        f"https://{NAME}",
        f"gcp-kms://{NAME}\n",
    ],
)
def test_what_is_no_address_of_a_key_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"RASEN_SIGNER_CONTROL=.* is no signer; write 'file', or 'gcp-kms:"
    ):
        load_settings(signer_control=address)
