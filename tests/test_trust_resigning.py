"""After a revocation: what is loaded answers on and says so, and a person may vouch for what the key had signed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rasen.deploy.decide import Decider
from rasen.errors import InvalidInput, KeyRefused, ObjectNotFound
from rasen.model.loading import load_version
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import DirectoryStore, Store, open_store
from rasen.tracking.key_rotation import reinstate_key, revoke_key, rotate_key
from rasen.tracking.keys import deployment_key, manifest_key, release_key
from rasen.tracking.resigning import Resigning, count_signed, find_signed, read_resignings, resign
from rasen.tracking.signature import (
    Role,
    load_trust,
    open_signer,
    parse_signed,
    read_signed,
    sign,
    write_signed,
)
from rasen_serving.revisions import Revisions
from rasen_serving.trust_watch import TrustWatch
from stand.manifests import FIRST_INSTANT
from stand.serving import Server, bring_up, new_settings, running_server, wait_until
from stand.versions import RELEASE, PublishedVersion, publish_and_deploy, publish_version

SIGNED = {
    Role.REGISTRAR: release_key("demand", RELEASE),
    Role.DECIDER: deployment_key("demand", 1),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture
def version(store: Store, settings: Settings) -> PublishedVersion:
    """A version that is live."""
    return publish_and_deploy(store, settings, number=1)


def place_of(role: Role, version: PublishedVersion) -> str:
    return SIGNED.get(role, manifest_key("demand", version.run))


def lose(settings: Settings, role: Role) -> str:
    """Revoke the key of a role, have another one sign, and return the old one's id."""
    old = open_signer(settings, role).key_id
    revoke_key(settings, old, reason="stolen", by="ada", now=FIRST_INSTANT)
    rotate_key(settings, role, by="ada", now=FIRST_INSTANT)
    return old


def vouch(
    settings: Settings, store: Store, key_id: str, *, under: str = "", reason: str = "checked"
) -> Resigning:
    signed = find_signed(settings, store, key_id, under=under)
    resign(settings, store, signed, by="ada", now=FIRST_INSTANT, reason=reason)
    return read_resignings(store, load_trust(settings), environment=settings.environment)[-1]


@pytest.mark.parametrize("role", [Role.REGISTRAR, Role.CONTROL, Role.DECIDER])
def test_what_was_signed_again_is_believed_and_not_a_byte_of_it_has_changed(
    store: Store, settings: Settings, version: PublishedVersion, role: Role
) -> None:
    place = place_of(role, version)
    before = parse_signed(store.read(place), place)[1]
    old = lose(settings, role)
    with pytest.raises(KeyRefused, match="is revoked"):
        read_signed(store, place, trust=load_trust(settings), role=role, environment="dev")
    record = vouch(settings, store, old[:8])
    assert read_signed(store, place, trust=load_trust(settings), role=role, environment="dev") == before
    assert (record.key_id, record.successor) == (old, open_signer(settings, role).key_id)
    assert (record.by, record.reason) == ("ada", "checked")
    assert place in {vouched.key for vouched in record.objects}
    assert count_signed(store)[old] == 0
    loaded = load_version(
        store,
        load_trust(settings),
        pipeline="demand",
        run=version.run,
        manifest_sha256=version.manifest_sha256,
        environment="dev",
    )
    assert loaded.run == version.run


def test_what_the_key_did_not_sign_is_left_alone(
    store: Store, settings: Settings, version: PublishedVersion
) -> None:
    place = manifest_key("demand", version.run)
    header, _, payload = store.read(place).partition(b"\n")
    forged = manifest_key("demand", "20990101T000000000Z-0123456789ab")
    store.write(forged, header + b"\n" + payload.replace(b"demand", b"harmed"))
    copied = manifest_key("copied", version.run)
    store.write(copied, store.read(place))
    old = lose(settings, Role.CONTROL)
    signed = find_signed(settings, store, old)
    assert [vouched.key for vouched in signed.objects] == [place]
    assert set(signed.forged) == {forged, copied}
    resign(settings, store, signed, by="ada", now=FIRST_INSTANT, reason="checked")
    for other in (forged, copied):
        with pytest.raises(KeyRefused, match="is revoked"):
            read_signed(store, other, trust=load_trust(settings), role=Role.CONTROL, environment="dev")


def test_nobody_vouches_without_a_reason_or_with_the_key_itself(
    store: Store, settings: Settings, version: PublishedVersion
) -> None:
    present = open_signer(settings, Role.CONTROL).key_id
    signed = find_signed(settings, store, present)
    with pytest.raises(KeyRefused, match="is the one that signs now; `rasen trust rotate control` first"):
        resign(settings, store, signed, by="ada", now=FIRST_INSTANT, reason="checked")
    old = lose(settings, Role.CONTROL)
    with pytest.raises(InvalidInput, match="a reason is needed"):
        vouch(settings, store, old, reason="")
    with pytest.raises(InvalidInput, match="there is nothing to sign again"):
        vouch(settings, store, old, under="manifests/other/")
    assert read_resignings(store, load_trust(settings), environment="dev") == []
    revoke_key(
        settings, open_signer(settings, Role.CONTROL).key_id, reason="too", by="ada", now=FIRST_INSTANT
    )
    with pytest.raises(KeyRefused, match="is revoked"):  # nobody here may sign for the role
        vouch(settings, store, old)


def test_an_interrupted_run_is_finished_and_tells_of_the_whole_beforehand(
    store: Store, settings: Settings
) -> None:
    signer = open_signer(settings, Role.CONTROL)
    places = [manifest_key("toy", f"{number:03}") for number in range(5)]
    for place in places:
        write_signed(store, place, place.encode(), signer)
    old = lose(settings, Role.CONTROL)

    class Failing(DirectoryStore):
        """Is gone after two objects and the record of them all."""

        left = 3

        def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
            self.left -= 1
            if self.left < 0:
                raise OSError("gone")
            return super().write(key, data, if_generation=if_generation)

    failing = Failing(settings.store_dir)
    with pytest.raises(OSError, match="gone"):
        resign(
            settings,
            failing,
            find_signed(settings, failing, old),
            by="ada",
            now=FIRST_INSTANT,
            reason="checked",
        )
    (record,) = read_resignings(store, load_trust(settings), environment="dev")
    assert [vouched.key for vouched in record.objects] == places
    assert len(find_signed(settings, store, old).objects) == 3
    vouch(settings, store, old)
    assert count_signed(store)[old] == 0


def test_the_record_of_it_survives_the_next_loss(
    store: Store, settings: Settings, version: PublishedVersion
) -> None:
    first = lose(settings, Role.CONTROL)
    vouch(settings, store, first, reason="one")
    second = lose(settings, Role.CONTROL)
    with pytest.raises(KeyRefused):
        read_resignings(store, load_trust(settings), environment="dev")
    vouch(settings, store, second, reason="two")
    records = read_resignings(store, load_trust(settings), environment="dev")
    assert {record.reason for record in records} == {"one", "two"}


def test_what_answers_is_watched_and_the_copies_for_a_start_without_the_store_follow(
    store: Store, settings: Settings, version: PublishedVersion
) -> None:
    revisions = Revisions(store, settings)
    live = {"demand": revisions.resolve("demand", 1)}
    revisions.keep(live["demand"], held=[live["demand"].revision])
    watch = TrustWatch(store, settings)
    watch.look(live)
    assert watch.distrusted == {}
    old = lose(settings, Role.CONTROL)
    watch.look(live)
    assert "is revoked" in watch.distrusted["demand"]
    with pytest.raises(KeyRefused):  # nothing loads any more, from the store or from this disk
        revisions.resolve("demand", 1)
    with pytest.raises(KeyRefused):
        revisions.resolve_kept("demand")
    vouch(settings, store, old)
    watch.look(live)
    assert watch.distrusted == {}
    assert revisions.resolve("demand", 1).revision == live["demand"].revision
    assert revisions.resolve_kept("demand").revision == live["demand"].revision


def test_a_record_that_says_something_else_does_not_replace_what_answers(
    store: Store, settings: Settings, version: PublishedVersion
) -> None:
    revisions = Revisions(store, settings)
    live = {"demand": revisions.resolve("demand", 1)}
    watch = TrustWatch(store, settings)
    lose(settings, Role.CONTROL)
    place = manifest_key("demand", version.run)
    kept = live["demand"].records[place]
    store.write(place, sign(place, b'{"format": 1}\n', open_signer(settings, Role.CONTROL)))
    watch.look(live)
    assert "is revoked" in watch.distrusted["demand"]
    assert live["demand"].records[place] == kept
    store.delete(place)
    watch.look(live)
    assert "is revoked" in watch.distrusted["demand"]
    with pytest.raises(ObjectNotFound):
        revisions.resolve("demand", 1)


def test_a_version_that_the_new_key_signed_takes_the_place_of_one_that_is_not_believed(
    store: Store, settings: Settings, version: PublishedVersion
) -> None:
    lose(settings, Role.CONTROL)
    following = publish_version(store, settings, number=2)
    decider = Decider(
        store,
        open_signer(settings, Role.DECIDER),
        trust=lambda: load_trust(settings),
        environment="dev",
        scratch_dir=settings.scratch_dir,
    )
    assert [(record.action, record.run) for record in decider.decide("demand")] == [("deploy", following.run)]
    assert Revisions(store, settings).resolve("demand", 2).revision.champion.run == following.run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(tmp_path_factory.mktemp("serving"), environment="dev", reconcile_seconds=0.5)
    with running_server(settings) as server:
        yield server


def test_a_service_answers_on_after_a_revocation_loads_nothing_new_and_says_so(server: Server) -> None:
    live = bring_up(server, "demand")
    metric = 'rasen_serving_distrusted{endpoint="demand"}'
    assert server.metric(metric) == 0
    old = lose(server.settings, Role.DECIDER)
    wait_until(lambda: server.metric(metric) == 1)
    assert "is revoked" in server.state()["endpoints"]["demand"]["distrusted"]
    assert "answers on, but what is live is not believed any more" in server.log()
    answer = server.predict("demand")
    assert (answer.status_code, answer.headers["x-rasen-model"]) == (200, live.run)
    vouch(server.settings, server.store, old)
    wait_until(lambda: server.metric(metric) == 0)
    # A slip: undone without a trace in the answers.
    revoke_key(
        server.settings,
        control := open_signer(server.settings, Role.CONTROL).key_id,
        reason="the wrong one",
        by="ada",
        now=FIRST_INSTANT,
    )
    wait_until(lambda: server.metric(metric) == 1)
    reinstate_key(server.settings, control, reason="it was the other", by="ada", now=FIRST_INSTANT)
    wait_until(lambda: server.metric(metric) == 0)
    assert server.predict("demand").headers["x-rasen-model"] == live.run
