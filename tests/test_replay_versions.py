"""Which version somebody means, and that it is verified before anybody fetches it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rasen.errors import DigestMismatch, InvalidInput, NotFound, SignatureInvalid
from rasen.replay.versions import Ledger
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import Store, open_store
from rasen.tracking.keys import manifest_key, tombstone_key
from stand.versions import PublishedVersion, deploy_version, publish_and_deploy, publish_version


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture(scope="module")
def versions(settings: Settings, store: Store) -> list[PublishedVersion]:
    """Three versions and a return to the first: records 1 to 4; a fourth that the ledger never named."""
    made = [publish_and_deploy(store, settings, number=number) for number in (1, 2, 3)]
    deploy_version(store, settings, made[0], action="rollback")
    publish_and_deploy(store, settings, number=7, pipeline="other")
    return [*made, publish_version(store, settings, number=4)]


@pytest.fixture
def ledger(settings: Settings, versions: list[PublishedVersion]) -> Ledger:
    return Ledger(settings, "demand")


NAMES: list[tuple[Callable[[list[PublishedVersion]], str], int]] = [
    (lambda versions: "", 0),
    (lambda versions: "2", 1),
    (lambda versions: " 4 ", 0),
    (lambda versions: versions[2].run, 2),
    (lambda versions: versions[1].run[:17], 1),
    (lambda versions: versions[1].run.rpartition("-")[2][:6], 1),
    (lambda versions: versions[3].run, 3),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_a_version_is_named_by_number_by_run_or_by_the_beginning_of_one(
    name: Callable[[list[PublishedVersion]], str],
    expected: int,
    ledger: Ledger,
    versions: list[PublishedVersion],
) -> None:
    found = ledger.find(name(versions))
    assert found.run == versions[expected].run
    assert ledger.verify(found).manifest.run == versions[expected].run


def test_a_version_that_the_ledger_let_in_carries_the_digest_that_it_named(
    ledger: Ledger, versions: list[PublishedVersion]
) -> None:
    assert ledger.find(versions[1].run).manifest_sha256 == versions[1].manifest_sha256
    assert ledger.find(versions[1].run).number == 2


def test_champions_come_in_the_order_in_which_they_were_live(
    ledger: Ledger, versions: list[PublishedVersion]
) -> None:
    found = ledger.champions()
    assert [champion.record.number for champion in found] == [1, 2, 3, 4]
    assert [champion.version.run for champion in found] == [versions[n].run for n in (0, 1, 2, 0)]


def test_names_of_nothing_say_what_there_is(ledger: Ledger, versions: list[PublishedVersion]) -> None:
    with pytest.raises(NotFound, match="no record 9; its records are 1 to 4"):
        ledger.find("9")
    with pytest.raises(NotFound, match=r"'zzz' is no version of 'demand'.*records 1 to 4"):
        ledger.find("zzz")
    typed = versions[1].run.rpartition("-")[2]
    with pytest.raises(NotFound, match=f"did you mean '{typed}'"):
        ledger.find(typed[:-1] + "x")
    with pytest.raises(NotFound, match="more than one version"):
        ledger.find("20260101T")
    with pytest.raises(InvalidInput, match="names no version"):
        ledger.find_all(" , ")


def test_a_version_of_another_pipeline_is_refused(ledger: Ledger, settings: Settings) -> None:
    foreign = Ledger(settings, "other").find().run
    with pytest.raises(
        InvalidInput, match="is of pipeline 'other'; endpoint 'demand' is answered by 'demand'"
    ):
        ledger.find(foreign)


def test_an_endpoint_that_does_not_exist_is_suggested(
    settings: Settings, versions: list[PublishedVersion]
) -> None:
    with pytest.raises(NotFound, match="did you mean 'demand'"):
        Ledger(settings, "demands")


def test_what_is_gone_or_forged_is_not_a_version_any_more(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    store = open_store(settings)
    removed, gone, changed, forged = (publish_and_deploy(store, settings, number=n) for n in (1, 2, 3, 4))
    ledger = Ledger(settings, "demand")
    store.write(tombstone_key("demand", removed.run), b"{}")
    with pytest.raises(NotFound, match="has a tombstone"):
        ledger.verify(ledger.find("1"))
    store.delete(manifest_key("demand", gone.run))
    with pytest.raises(NotFound, match="has no manifest any more"):
        ledger.verify(ledger.find("2"))
    key = manifest_key("demand", changed.run)
    store.delete(key)
    store.write(key, store.read(manifest_key("demand", forged.run)))
    with pytest.raises(SignatureInvalid):
        ledger.verify(ledger.find("3"))


def test_a_manifest_that_was_signed_again_is_not_the_one_that_the_ledger_let_in(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    store = open_store(settings)
    version = publish_and_deploy(store, settings, number=1)
    ledger = Ledger(settings, "demand")
    found = ledger.find()
    other = type(found)(run=version.run, pipeline="demand", manifest_sha256="0" * 64, number=1)
    with pytest.raises(DigestMismatch, match="the ledger names 000000000000"):
        ledger.verify(other)
