"""Dead letters: what cannot be answered is acknowledged, kept, listed, and replayed; nothing is tried for ever."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.deploy import dead_letters
from rasen.deploy.commands import Command, give_command, sign_command
from rasen.deploy.dead_letters import DeadLetters, list_dead_letters, replay_dead_letter
from rasen.deploy.decide import Decider
from rasen.deploy.doorbell import Doorbell
from rasen.errors import InvalidInput, PlatformFailed, StoreUnavailable
from rasen.events import ENDPOINT_COMMANDED, OBJECT_FINALIZED, SCHEDULER_EXECUTED, endpoint_commanded
from rasen.local.processes import free_port
from rasen.settings import Settings, load_settings
from rasen.store import DirectoryStore, MemoryStore, Stat
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.decided import Desk
from stand.function import post, running_function
from stand.manifests import Publisher, run_of

FINALIZED = {"type": OBJECT_FINALIZED, "source": "//storage", "id": "1"}


class Broken(Decider):
    """A decider with an error that nobody expected."""

    broken = True

    def decide(self, pipeline: str, *, event: str = "") -> list[LedgerRecord]:
        if self.broken:
            raise ZeroDivisionError("nobody expected this")
        return super().decide(pipeline, event=event)


def bell_of(desk: Desk) -> Doorbell:
    return Doorbell(desk.decider, DeadLetters(desk.store), send_hint=lambda: None)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_one_poisoned_event_leaves_one_letter_however_often_it_comes(desk: Desk) -> None:
    bell = bell_of(desk)
    for _ in range(10):
        assert bell.answer(FINALIZED, {"name": "manifests/demand/../x.json"}).kind == "rejected"
    (letter,) = list_dead_letters(desk.store)
    assert (letter.kind, letter.times, letter.event_id, letter.source) == ("rejected", 10, "1", "//storage")
    assert letter.data is not None
    assert json.loads(letter.data) == {"name": "manifests/demand/../x.json"}
    assert "'../x'" in letter.reason
    assert letter.first_at <= letter.last_at


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attributes=st.dictionaries(st.sampled_from(["id", "source", "type", "subject", "rasenreplay"]), anything),
    kind=st.sampled_from([OBJECT_FINALIZED, ENDPOINT_COMMANDED, SCHEDULER_EXECUTED, "other"]),
    data=anything
    | st.fixed_dictionaries({"name": st.text(max_size=40).map(lambda text: f"manifests/{text}")})
    | st.fixed_dictionaries({"command": anything}),
)
def test_whatever_comes_is_acknowledged_and_if_it_is_rejected_it_is_kept(
    desk: Desk, attributes: dict[str, object], kind: str, data: object
) -> None:
    outcome = bell_of(desk).answer({"type": kind} | attributes, data)
    if outcome.kind == "rejected":
        name = dead_letters.letter_id(attributes.get("source"), attributes.get("id"))
        assert name in [letter.id for letter in list_dead_letters(desk.store)]
    else:
        assert outcome.kind in {"ignored", "nothing_new", "decided"}


def test_an_unexpected_error_is_tried_some_times_and_then_kept(desk: Desk) -> None:
    decider = Broken(
        desk.store,
        desk.publisher.decider,
        trust=desk.publisher.trust,
        environment="dev",
        scratch_dir=desk.folder / "scratch",
    )
    desk.publisher.publish(1)
    bell = Doorbell(decider, DeadLetters(desk.store), send_hint=lambda: None)
    name = {"name": desk.publisher.manifest_key(1)}
    for _ in range(4):
        with pytest.raises(ZeroDivisionError):
            bell.answer(FINALIZED, name)
    assert bell.answer(FINALIZED, name).kind == "failed"
    (letter,) = list_dead_letters(desk.store)
    assert (letter.kind, letter.reason) == (
        "failed",
        "failed 5 times, last with ZeroDivisionError: nobody expected this",
    )
    decider.broken = False
    assert bell.answer(FINALIZED | {"rasenreplay": letter.id}, name).kind == "decided"
    assert list(list_dead_letters(desk.store)) == []


class Down(MemoryStore):
    """A store that may refuse to write, or to be listed."""

    refuses = False

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        if self.refuses:
            raise StoreUnavailable("the store is down")
        return super().write(key, data, if_generation=if_generation)

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        if self.refuses:
            raise StoreUnavailable("the store is down")
        return super().list(prefix, after=after)


def test_nothing_is_acknowledged_that_could_not_be_kept_and_a_store_that_is_down_kills_no_event(
    tmp_path: Path,
) -> None:
    store = Down()
    desk = Desk(tmp_path, store=store)
    desk.publisher.publish(1)
    bell = bell_of(desk)
    store.refuses = True
    with pytest.raises(StoreUnavailable):
        bell.answer(FINALIZED, {"name": "manifests/x"})
    for _ in range(20):
        with pytest.raises(StoreUnavailable):
            bell.answer(FINALIZED, {"name": desk.publisher.manifest_key(1)})
    store.refuses = False
    assert bell.answer(FINALIZED, {"name": desk.publisher.manifest_key(1)}).kind == "decided"
    assert list(list_dead_letters(store)) == []


def test_a_flood_fills_the_log_and_not_the_store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "LETTERS_MAX", 3)
    bell = bell_of(desk)
    for number in range(10):
        bell.answer(FINALIZED | {"id": str(number)}, {"name": "manifests/x"})
    assert len(list(list_dead_letters(desk.store))) == 3
    bell.answer(FINALIZED | {"id": "1"}, {"name": "manifests/x"})
    assert sorted(letter.times for letter in list_dead_letters(desk.store)) == [1, 1, 2]


def test_data_too_long_to_keep_are_told_and_not_replayed(desk: Desk) -> None:
    bell_of(desk).answer(FINALIZED, {"name": "manifests/" + "x" * 100_000})
    (letter,) = list_dead_letters(desk.store)
    assert (letter.data, len(letter.reason) < 2100) == (None, True)
    with pytest.raises(InvalidInput, match="cannot be replayed"):
        replay_dead_letter(desk.store, letter, host="127.0.0.1", port=1)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, Publisher]]:
    """A home with the real function, and a pipeline whose key is not trusted yet."""
    monkeypatch.setenv("RASEN_HOME", str(tmp_path))
    monkeypatch.setenv("RASEN_FUNCTION_PORT", str(free_port("127.0.0.1")))
    settings = load_settings()
    publisher = Publisher(
        DirectoryStore(settings.store_dir),
        tmp_path / "unpickled",
        registrar=open_signer(settings, Role.REGISTRAR),
        control=open_signer(settings, Role.CONTROL),
        decider=open_signer(settings, Role.DECIDER),
        operator=open_signer(settings, Role.OPERATOR),
    )
    publisher.register()
    with running_function(settings, log=tmp_path / "function.log"):
        yield settings, publisher
    assert not (tmp_path / "unpickled").exists()


def rasen(*words: str, code: int = 0) -> str:
    """Run the command, and return what it printed."""
    result = CliRunner().invoke(build_app(), list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_commands_and_letters_with_the_real_function(platform: tuple[Settings, Publisher]) -> None:
    settings, publisher = platform
    store = DirectoryStore(settings.store_dir)
    assert rasen("dead-letters") == "there are no dead letters"
    publisher.publish(1)
    publisher.publish(2)
    finalized = endpoint_commanded("nonsense", at=datetime.now(tz=UTC)).to_http()
    assert post(settings.host, settings.function_port, *finalized) == 200
    (letter,) = json.loads(rasen("dead-letters", "--json"))
    assert letter["kind"] == "rejected"
    assert "is not signed" in rasen("dead-letters")
    said = rasen("dead-letters", "replay", letter["id"][:6], code=1)
    assert "is not signed" in said
    assert next(list_dead_letters(store)).times == 2
    with pytest.raises(InvalidInput, match="name letters, or give --all"):
        rasen("dead-letters", "replay")
    with pytest.raises(InvalidInput, match="no letter begins with 'zz'"):
        rasen("dead-letters", "discard", "zz")
    assert "discarded" in rasen("dead-letters", "discard", "--all")
    assert rasen("dead-letters") == "there are no dead letters"

    tick = {"ce-id": "t", "ce-source": "//x", "ce-type": SCHEDULER_EXECUTED, "ce-specversion": "1.0"}
    assert post(settings.host, settings.function_port, tick, b"{}") == 200
    record = give_command(settings, Command(endpoint="demand", command="rollback", seen=2, by="ada"))
    assert (record.action, record.run, record.number, bool(record.event)) == ("rollback", run_of(1), 3, True)
    with pytest.raises(
        InvalidInput, match=r"record 3 \(rollback by ada: .*\) has changed it since; look again"
    ):
        give_command(settings, Command(endpoint="demand", command="rollback", seen=2, by="bob"))
    assert "asked to rollback" in rasen("dead-letters"), "who wanted what, and why it was not done"


def test_a_letter_is_answered_when_its_cause_is_gone(platform: tuple[Settings, Publisher]) -> None:
    settings, publisher = platform
    store = DirectoryStore(settings.store_dir)
    trusted = load_trust(settings)
    publisher.publish(1)
    text = sign_command(
        Command(endpoint="demand", command="hold", seen=1, by="ada", reason="wait"), publisher.operator
    )
    tick = {"ce-id": "t", "ce-source": "//x", "ce-type": SCHEDULER_EXECUTED, "ce-specversion": "1.0"}
    assert post(settings.host, settings.function_port, tick, b"{}") == 200
    operators = [key for key in trusted.keys if key.role is Role.OPERATOR]
    settings.trust_file.write_bytes(
        trusted.model_copy(update={"keys": [key for key in trusted.keys if key not in operators]}).to_bytes()
    )
    event = endpoint_commanded(text, at=datetime.now(tz=UTC))
    assert post(settings.host, settings.function_port, *event.to_http()) == 200
    assert "is not among the trusted keys" in rasen("dead-letters")
    settings.trust_file.write_bytes(trusted.to_bytes())
    assert "answered; the letter is gone" in rasen("dead-letters", "replay", "--all")
    assert list(list_dead_letters(store)) == []
    assert rasen("deployments", "demand").count("hold") >= 1


def test_a_function_that_is_down_is_told(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, function_port=free_port("127.0.0.1"))
    with pytest.raises(PlatformFailed, match="does not answer"):
        give_command(settings, Command(endpoint="demand", command="rollback", seen=2, by="ada"))
