"""`rasen trust`: a walk through rotation, revocation and the way back, as a person types it."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rasen.cli import build_app
from rasen.deploy.commands import Command, open_command, sign_command
from rasen.errors import InvalidInput, KeyRefused, NotFound, RasenError
from rasen.settings import load_settings, platform_environment
from rasen.settings_model import Settings
from rasen.store import open_store
from rasen.tracking.keys import manifest_key
from rasen.tracking.signature import Role, TrustStore, load_trust, open_signer, read_signed
from stand.versions import PublishedVersion, publish_and_deploy


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.fixture
def version(settings: Settings) -> PublishedVersion:
    return publish_and_deploy(open_store(settings), settings, number=1)


def type_in(settings: Settings, *arguments: str) -> Result:
    environment = platform_environment(settings) | {"COLUMNS": "200"}
    return CliRunner().invoke(build_app(), ["trust", *arguments], env=environment, catch_exceptions=False)


def listed(settings: Settings, *arguments: str) -> dict[str, dict[str, object]]:
    document = json.loads(type_in(settings, *arguments, "--json").stdout)
    return {key["key_id"]: key for key in document["keys"]}


def test_without_keys_it_says_where_they_come_from(settings: Settings) -> None:
    assert "lists no key; the first signature makes one" in type_in(settings).stdout


def test_the_way_from_a_lost_key_back(settings: Settings, version: PublishedVersion) -> None:
    store, place = open_store(settings), manifest_key("demand", version.run)
    old = open_signer(settings, Role.CONTROL).key_id
    assert (
        listed(settings, "--count")[old] | {"objects": 1, "signs_here": True, "believed": True}
        == (listed(settings, "--count")[old])
    )
    done = type_in(settings, "revoke", old, "--reason", "laptop [stolen]")
    assert "nothing that it signed loads any more" in done.stdout
    assert "next: `rasen trust rotate control`, then `rasen trust resign" in done.stdout
    with pytest.raises(KeyRefused, match="rasen trust rotate control"):
        type_in(settings, "resign", old, "--reason", "checked", "--yes")
    new = json.loads(type_in(settings, "rotate", "control", "--json").stdout)["key_id"]
    assert f"{new} signs as control" not in type_in(settings).stdout
    before = store.read(place)
    planned = type_in(settings, "resign", old, "--reason", "checked")
    assert place in planned.stdout
    assert "would be signed again, and nothing was done; with --yes you vouch" in planned.stdout
    assert store.read(place) == before
    done = type_in(settings, "resign", old, "--reason", "checked", "--yes")
    assert "1 object signed again; who vouched for them stands in resigned/" in done.stdout
    payload = read_signed(store, place, trust=load_trust(settings), role=Role.CONTROL, environment="dev")
    assert payload == before.partition(b"\n")[2]
    keys = listed(settings, "--count")
    assert (keys[old]["state"], keys[old]["objects"], keys[old]["believed"]) == ("revoked", 0, False)
    assert (keys[new]["state"], keys[new]["objects"]) == ("active", 2)  # the manifest, and the record of it
    table = type_in(settings).stdout
    assert f"{old}  revoked by {getpass.getuser()}: laptop [stolen]" in table
    assert "keys/control.key, signs here" in table
    assert "not believed in dev" in table
    assert "believed again; it signs nothing new" in (
        type_in(settings, "reinstate", old, "--reason", "found").stdout
    )


def test_a_revocation_of_a_key_that_signs_no_more_asks_for_no_rotation(settings: Settings) -> None:
    type_in(settings, "rotate", "control")
    old = open_signer(settings, Role.CONTROL).key_id
    type_in(settings, "rotate", "control", "--reason", "quarterly")
    done = type_in(settings, "revoke", old, "--reason", "old")
    assert "rotate" not in done.stdout
    assert f"`rasen trust resign {old}" in done.stdout


def test_keys_go_to_another_machine_in_a_file(settings: Settings, tmp_path: Path) -> None:
    for role in Role:
        open_signer(settings, role)
    other = load_settings(home=tmp_path / "other")
    file = tmp_path / "keys.json"
    file.write_text(type_in(settings, "export", "control", "decider").stdout)
    first = type_in(other, "add", str(file), "--reason", "the batch machine")
    assert first.stdout.count(" is believed as ") == 2
    assert "2 of 2 were known already" in type_in(other, "add", str(file)).stdout
    assert {key["role"] for key in listed(other).values()} == {"control", "decider"}
    assert "a key file, not here" in type_in(other).stdout
    # Over there it is rotated, and the news is taken over.
    old = open_signer(settings, Role.CONTROL).key_id
    type_in(settings, "rotate", "control")
    file.write_text(type_in(settings, "export").stdout)
    assert json.loads(type_in(other, "add", str(file), "--json").stdout)["known"] == 2
    assert listed(other)[old]["state"] == "verify_only"


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        (("rotate", "boss"), InvalidInput, "there are: registrar, control, decider, operator"),
        (("revoke", "feed", "--reason", "x"), NotFound, "there is no key 'feed' in the trust file"),
        (("resign", "feed", "--reason", "x"), NotFound, "there is no key 'feed'"),
        (("add", "nowhere.json"), InvalidInput, "'nowhere.json' cannot be read: No such file"),
        (("add", "."), InvalidInput, "cannot be read: Is a directory"),
        (("export", "boss"), InvalidInput, "there is no role 'boss'"),
    ],
)
def test_what_cannot_be_is_told(
    settings: Settings, arguments: tuple[str, ...], error: type[RasenError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        type_in(settings, *arguments)


def test_a_key_cannot_be_revoked_without_a_reason(settings: Settings) -> None:
    assert type_in(settings, "revoke", "feed").exit_code == 2


def test_a_persons_key_gives_no_orders_in_anothers_name(settings: Settings) -> None:
    signer = open_signer(settings, Role.OPERATOR)
    (entry,) = load_trust(settings).keys
    trust = TrustStore(keys=[entry.model_copy(update={"holder": "ada"})])

    def ordered(by: str) -> Command:
        command = Command(endpoint="demand", command="hold", seen=1, by=by, reason="a fair")
        return open_command(sign_command(command, signer), trust, environment="dev")

    assert ordered("ada").by == "ada"
    with pytest.raises(KeyRefused, match=r"signs for 'ada', and the command is by 'eve'"):
        ordered("eve")
