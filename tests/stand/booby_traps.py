"""A platform's home in which the live model is a booby trap, and everything that somebody may do to its store.

The model of run 2 is a `Trap` that was published and signed as it should be: whoever unpickles it leaves a mark, so a
path that loads models leaves one when nothing was touched, and must not when something was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rasen.model.publishing import Publication
from rasen.settings_model import Settings
from rasen.store import Store, open_store
from rasen.tracking.key_rotation import revoke_key, rotate_key
from rasen.tracking.keys import manifest_key
from rasen.tracking.signature import FileSigner, Role, open_signer, sign
from stand.manifests import FIRST_INSTANT
from stand.published import Trap
from stand.versions import PublishedVersion, deploy_version, publish_and_deploy, publish_version

PIPELINE = "demand"


@dataclass(frozen=True, kw_only=True)
class TrappedHome:
    """A home whose live model is a trap.

    Args:
        settings: Of the home.
        mark: The file that is there when somebody has unpickled.
        harmless: The version before, which is no trap.
        live: The trap.
    """

    settings: Settings
    mark: Path
    harmless: PublishedVersion
    live: PublishedVersion

    @property
    def store(self) -> Store:
        return open_store(self.settings)

    @property
    def model_key(self) -> str:
        return self.live.files["model"].key

    @property
    def manifest_key(self) -> str:
        return manifest_key(PIPELINE, self.live.run)

    def file(self, key: str) -> Path:
        """Return where an object lies on this disk."""
        return self.settings.store_dir / key

    def copy(self, home: Path) -> TrappedHome:
        """Return the same in another folder; the mark stays where it is."""
        shutil.copytree(self.settings.home, home)
        place = {"home": home, "trust_file": home / "trust.json"}
        return dataclasses.replace(self, settings=self.settings.model_copy(update=place))


def trapped_bytes(mark: Path, *, padding: bytes = b"\0") -> bytes:
    """Return a pickle that leaves the mark; what follows its end is not read."""
    return pickle.dumps(Trap(mark)) + padding * 3000


def make_trapped_home(settings: Settings, mark: Path) -> TrappedHome:
    """Publish and deploy a harmless version and then the trap."""
    for role in Role:
        open_signer(settings, role)
    store = open_store(settings)

    def trap(publication: Publication) -> Publication:
        return dataclasses.replace(publication, model=trapped_bytes(mark))

    harmless = publish_and_deploy(store, settings, number=1)
    live = publish_version(store, settings, number=2, change=trap)
    deploy_version(store, settings, live)
    return TrappedHome(settings=settings, mark=mark, harmless=harmless, live=live)


def _replace_model(data: Callable[[TrappedHome], bytes]) -> Callable[[TrappedHome], None]:
    def replace(home: TrappedHome) -> None:
        home.store.write(home.model_key, data(home))

    return replace


def _flip(position: int) -> Callable[[TrappedHome], None]:
    def flip(home: TrappedHome) -> None:
        data = bytearray(home.store.read(home.model_key))
        data[position % len(data)] ^= 1
        home.store.write(home.model_key, bytes(data))

    return flip


def _sign_manifest_again(make_signer: Callable[[TrappedHome], FileSigner]) -> Callable[[TrappedHome], None]:
    """Return an attack that vouches for another trap, by a signature that must not count."""

    def attack(home: TrappedHome) -> None:
        data = trapped_bytes(home.mark, padding=b"\1")
        home.store.write(home.model_key, data)
        payload = home.store.read(home.manifest_key).partition(b"\n")[2]
        before = home.live.files["model"].sha256.encode()
        payload = payload.replace(before, hashlib.sha256(data).hexdigest().encode())
        home.store.write(home.manifest_key, sign(home.manifest_key, payload, make_signer(home)))

    return attack


def _stranger(home: TrappedHome) -> FileSigner:
    path = home.settings.home / "stranger.key"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    return FileSigner(path, Role.CONTROL)


def _another_role(home: TrappedHome) -> FileSigner:
    return FileSigner(home.settings.keys_dir / "registrar.key", Role.REGISTRAR)


def _pretended_role(home: TrappedHome) -> FileSigner:
    return FileSigner(home.settings.keys_dir / "registrar.key", Role.CONTROL)


def _revoke(role: Role) -> Callable[[TrappedHome], None]:
    def revoke(home: TrappedHome) -> None:
        key_id = open_signer(home.settings, role).key_id
        revoke_key(home.settings, key_id, reason="stolen", by="ada", now=FIRST_INSTANT)
        rotate_key(home.settings, role, by="ada", now=FIRST_INSTANT)

    return revoke


def _take_signature_away(home: TrappedHome) -> None:
    home.store.write(home.manifest_key, home.store.read(home.manifest_key).partition(b"\n")[2])


def _replay_manifest(home: TrappedHome) -> None:
    """Put the genuine manifest of another run where this one's was, and the trap where that one's model was."""
    other = manifest_key(PIPELINE, home.harmless.run)
    home.store.write(home.manifest_key, home.store.read(other))
    home.store.write(home.harmless.files["model"].key, home.store.read(home.model_key))


def _link(home: TrappedHome, *, folder: bool) -> None:
    """Have the very bytes that were signed lie outside of the store, with a link to them."""
    inside = home.file(home.model_key)
    inside = inside.parent if folder else inside
    outside = home.settings.home / "outside"
    shutil.move(inside, outside)
    inside.symlink_to(outside)


TAMPERS: dict[str, Callable[[TrappedHome], None]] = {
    **{f"bit {position} kB": _flip(1000 * position) for position in range(4)},
    "last bit": _flip(-1),
    "cut": _replace_model(lambda home: home.store.read(home.model_key)[:-1]),
    "half": _replace_model(lambda home: home.store.read(home.model_key)[:1500]),
    "empty": _replace_model(lambda home: b""),
    "longer": _replace_model(lambda home: home.store.read(home.model_key) + b"\0"),
    "another file": _replace_model(lambda home: trapped_bytes(home.mark, padding=b"\2")),
    "another run's file": _replace_model(lambda home: home.store.read(home.harmless.files["model"].key)),
    "gone": lambda home: home.store.delete(home.model_key),
    "signed by a stranger": _sign_manifest_again(_stranger),
    "signed by another role": _sign_manifest_again(_another_role),
    "signed by another role that says it is control": _sign_manifest_again(_pretended_role),
    "not signed": _take_signature_away,
    "signed by a key that was revoked": _revoke(Role.CONTROL),
    "another run's manifest": _replay_manifest,
    "a link to the file": lambda home: _link(home, folder=False),
    "a link to its folder": lambda home: _link(home, folder=True),
}
"""What somebody who can write into the store, or has a key that does not count, may do."""


def _link_to(path: Path, data: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(data)
    path.unlink()
    path.symlink_to(other)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "one bit": lambda path, mark: path.write_bytes(path.read_bytes()[:-1] + b"\1"),
    "cut": lambda path, mark: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path, mark: path.write_bytes(b""),
    "another": lambda path, mark: path.write_bytes(trapped_bytes(mark, padding=b"\3")),
    "gone": lambda path, mark: path.unlink(),
    "a link to another": lambda path, mark: _link_to(path, trapped_bytes(mark, padding=b"\4")),
}
"""What somebody may do to a file on a disk after it was verified."""
