"""What the ledger wants served: verified each time, also from the copies on this disk."""

import os
from pathlib import Path

import pytest

from rasen.errors import DigestMismatch, NotFound, ObjectNotFound, SignatureInvalid, StoreUnavailable
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import DirectoryStore, Store, open_store
from rasen.tracking.keys import HEADS_KEY, deployment_key, manifest_key, result_key
from rasen.tracking.signature import Role, open_signer
from rasen_serving.revisions import Resolved, Revisions
from stand.versions import PublishedVersion, deploy_version, publish_and_deploy, publish_version


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", environment="dev")


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def revisions(store: Store, settings: Settings) -> Revisions:
    return Revisions(store, settings, sweep_seconds=0.0)


def keep(revisions: Revisions, number: int) -> Resolved:
    resolved = revisions.resolve("demand", number)
    revisions.keep(resolved, held=[resolved.revision])
    return resolved


def test_a_look_believes_records_and_not_heads(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    publish_and_deploy(store, settings, number=1)
    publish_and_deploy(store, settings, number=1, pipeline="other")
    assert revisions.look({}, thorough=False).newest == {"demand": 1, "other": 1}
    for heads in (b"{}", b"nonsense", b'{"demand": 7, "nobody": 3}'):
        store.write(HEADS_KEY, heads)
        assert revisions.look({}, thorough=True).newest == {"demand": 1, "other": 1}
    store.delete(HEADS_KEY)
    found = revisions.look({"demand": 1}, thorough=True)
    assert (found.newest, found.stale) == ({"demand": 1, "other": 1}, "")


def test_a_store_that_has_lost_a_record_is_not_believed(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    publish_and_deploy(store, settings, number=1)
    found = revisions.look({"demand": 2}, thorough=True)
    assert found.newest == {"demand": 2}
    assert "lost record 2 of endpoint 'demand'" in found.stale


def test_a_revision_says_everything_that_a_worker_needs(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    version = publish_and_deploy(store, settings, number=1, metrics={"rmse": 3.1, "odd": float("inf")})
    revision = revisions.resolve("demand", 1).revision
    champion = revision.champion
    assert (champion.run, champion.manifest_sha256) == (version.run, version.manifest_sha256)
    assert champion.metrics == {"rmse": 3.1}
    assert champion.description == "Made for a test."
    for role, file in champion.files.items():
        assert Path(file.path).read_bytes() == store.read(version.files[role].key)


def test_what_only_informs_may_be_missing_or_wrong(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    version = publish_and_deploy(store, settings, number=1)
    store.write(result_key("demand", version.run, "train", 1), b"{}")
    assert revisions.resolve("demand", 1).revision.champion.metrics == {}


def test_what_was_live_is_kept_and_what_was_before_is_cleared(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    versions = [publish_and_deploy(store, settings, number=number) for number in (1, 2)]
    first = keep(revisions, 1)
    old = Path(first.revision.champion.files["model"].path)
    os.utime(old, (0, 0))
    second = keep(revisions, 2)
    assert revisions.kept() == {"demand": 2}
    kept = DirectoryStore(settings.cache_dir / "records")
    assert kept.stat(manifest_key("demand", versions[0].run)) is None
    assert not old.exists()
    store.delete(deployment_key("demand", 2))
    assert revisions.resolve_kept("demand").revision == second.revision


def test_a_copy_is_verified_like_the_original(store: Store, settings: Settings, revisions: Revisions) -> None:
    publish_and_deploy(store, settings, number=1)
    keep(revisions, 1)
    kept = DirectoryStore(settings.cache_dir / "records")
    key = deployment_key("demand", 1)
    kept.write(key, kept.read(key).replace(b'"number":1', b'"number":2'))
    with pytest.raises(SignatureInvalid):
        revisions.resolve_kept("demand")
    with pytest.raises(ObjectNotFound):
        revisions.resolve_kept("nobody")


def test_a_damaged_cached_file_is_fetched_again_or_refused(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    version = publish_and_deploy(store, settings, number=1)
    file = Path(revisions.resolve("demand", 1).revision.champion.files["model"].path)
    file.write_bytes(b"damaged")
    revisions.resolve("demand", 1)
    assert file.read_bytes() == store.read(version.files["model"].key)
    file.write_bytes(b"damaged")
    store.write(version.files["model"].key, b"damaged")
    with pytest.raises(DigestMismatch):
        revisions.resolve("demand", 1)


def test_a_manifest_that_was_not_decided_about_is_refused(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    version = publish_version(store, settings, number=1)
    wrong = PublishedVersion(
        pipeline=version.pipeline, run=version.run, manifest_sha256="0" * 64, files=version.files
    )
    deploy_version(store, settings, wrong)
    with pytest.raises(DigestMismatch, match="names 000000000000"):
        revisions.resolve("demand", 1)


def test_a_run_without_a_model_cannot_be_served(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    from rasen.tracking.manifest import write_manifest
    from rasen.tracking.records import Manifest

    with_model = publish_version(store, settings, number=1)
    manifest = Manifest.from_bytes(store.read(manifest_key("demand", with_model.run)).partition(b"\n")[2])
    store.delete(manifest_key("demand", with_model.run))
    signer = open_signer(settings, Role.CONTROL)
    sha256 = write_manifest(store, manifest.model_copy(update={"model": None}), signer)
    without = PublishedVersion(pipeline="demand", run=with_model.run, manifest_sha256=sha256, files={})
    deploy_version(store, settings, without)
    with pytest.raises(NotFound, match="published no model"):
        revisions.resolve("demand", 1)


def test_a_disk_that_cannot_be_written_is_no_refusal(
    store: Store, settings: Settings, revisions: Revisions
) -> None:
    publish_and_deploy(store, settings, number=1)
    settings.cache_dir.mkdir(parents=True)
    (settings.cache_dir / "files").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        revisions.resolve("demand", 1)
