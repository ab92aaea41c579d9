"""What an event is answered with: whether somebody decided, and whether the sender should try again."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rasen.deploy.commands import Command, sign_command
from rasen.deploy.dead_letters import DeadLetters
from rasen.deploy.decide import Decider
from rasen.deploy.doorbell import Doorbell, open_doorbell, send_reload_hint
from rasen.errors import KeyRefused, StoreUnavailable
from rasen.events import ENDPOINT_COMMANDED, OBJECT_FINALIZED, SCHEDULER_EXECUTED
from rasen.local.processes import free_port
from rasen.settings import load_settings
from rasen.store import MemoryStore, Stat
from rasen.tracking.keys import deployment_key
from stand.function import Receiver, wait_for
from stand.manifests import Publisher, run_of

TICK = {"type": SCHEDULER_EXECUTED}
FINALIZED = {"type": OBJECT_FINALIZED}
COMMANDED = {"type": ENDPOINT_COMMANDED, "id": "1"}


class Gate(MemoryStore):
    """A store whose listings wait until they are let through, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.down = False

    def list(self, prefix: str, *, after: str = "") -> Iterator[Stat]:
        self.entered.set()
        self.open.wait(30)
        if self.down:
            raise StoreUnavailable("the store is down")
        return super().list(prefix, after=after)


class Bell:
    """A doorbell over a store in memory that counts its hints."""

    def __init__(self, path: Path) -> None:
        self.store = Gate()
        self.publisher = Publisher(self.store, path / "unpickled")
        self.publisher.register()
        self.hints = 0
        decider = Decider(
            self.store,
            self.publisher.decider,
            trust=self.publisher.trust,
            environment="dev",
            scratch_dir=path / "scratch",
        )
        self.doorbell = Doorbell(decider, DeadLetters(self.store), send_hint=self._hint)

    def _hint(self) -> None:
        self.hints += 1

    def name(self, number: int) -> dict[str, object]:
        return {"name": self.publisher.manifest_key(number)}


@pytest.fixture
def bell(tmp_path: Path) -> Bell:
    return Bell(tmp_path)


def test_an_event_is_answered_with_the_records_it_led_to(bell: Bell) -> None:
    bell.publisher.publish(1)
    outcome = bell.doorbell.answer(FINALIZED, bell.name(1))
    assert (outcome.kind, [record.run for record in outcome.records], bell.hints) == (
        "decided",
        [run_of(1)],
        1,
    )
    outcome = bell.doorbell.answer(FINALIZED, bell.name(1))
    assert (outcome.kind, outcome.records, bell.hints) == ("nothing_new", (), 1)


def test_a_refusal_is_hinted_too(bell: Bell) -> None:
    bell.store.write(bell.publisher.manifest_key(1), b"forged")
    outcome = bell.doorbell.answer(TICK, None)
    assert ([record.action for record in outcome.records], bell.hints) == (["refuse"], 1)


def test_a_signed_command_is_obeyed_once_and_others_are_rejected(bell: Bell) -> None:
    release = bell.publisher.register(release="2-0123456789ab", rollout={"kind": "ab"})
    bell.publisher.publish(1)
    bell.publisher.publish(2, release=release)
    bell.doorbell.answer(TICK, None)
    command = Command(endpoint="demand", command="abort", seen=2, by="ada")
    data = {"command": sign_command(command, bell.publisher.operator)}
    outcome = bell.doorbell.answer(COMMANDED, data)
    assert ([record.action for record in outcome.records], bell.hints) == (["abort"], 2)
    again = bell.doorbell.answer(COMMANDED | {"id": "2"}, data)
    assert again.kind == "rejected"
    assert "'ada' asked to abort 'demand' as of record 2, but record 3 (abort by ada" in again.reason
    assert bell.doorbell.answer(COMMANDED, data).kind == "nothing_new"  # the same event came twice
    for wrong in ({"command": "abort"}, {"command": 1}, {}, None, {"command": "x" * 20_000}):
        assert bell.doorbell.answer(COMMANDED | {"id": "3"}, wrong).kind == "rejected"
    assert bell.hints == 2


def test_other_objects_are_ignored_and_nonsense_is_rejected(bell: Bell) -> None:
    assert bell.doorbell.answer(FINALIZED, {"name": "runs/demand/x"}).kind == "ignored"
    assert bell.doorbell.answer(FINALIZED, {"name": "manifests/demand/x"}).kind == "rejected"
    assert bell.doorbell.answer(FINALIZED, None).kind == "rejected"
    assert not bell.store.entered.is_set()


def test_a_ledger_that_does_not_verify_is_rejected_for_a_person_to_see(bell: Bell) -> None:
    bell.publisher.publish(1)
    bell.store.write(deployment_key("demand", 1), b"forged")
    outcome = bell.doorbell.answer(FINALIZED, bell.name(1))
    assert outcome.kind == "rejected"
    assert "endpoints/demand/deployments/00000001.json" in outcome.reason


def test_a_store_that_is_down_is_the_senders_to_try_again(bell: Bell) -> None:
    bell.publisher.publish(1)
    bell.store.down = True
    for attributes, data in ((FINALIZED, bell.name(1)), (TICK, None)):
        with pytest.raises(StoreUnavailable):
            bell.doorbell.answer(attributes, data)
    bell.store.down = False
    assert bell.doorbell.answer(TICK, None).kind == "decided"


def test_a_tick_does_not_wait_for_a_decision_and_an_event_does(bell: Bell) -> None:
    bell.publisher.publish(1)
    bell.store.open.clear()
    answers: list[str] = []

    def ring() -> None:
        answers.append(bell.doorbell.answer(FINALIZED, bell.name(1)).kind)

    threads = [threading.Thread(target=ring) for _ in range(2)]
    threads[0].start()
    wait_for("the decision to begin", bell.store.entered.is_set)
    threads[1].start()
    assert bell.doorbell.answer(TICK, None).kind == "busy"
    bell.store.open.set()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["decided", "nothing_new"]


def test_the_hint_is_a_bare_post_and_nobody_minds_when_it_is_not_heard() -> None:
    with Receiver() as serving:
        serving.statuses[:] = [503]
        send_reload_hint("127.0.0.1", serving.port)
    assert [(path, body) for path, _, body in serving.requests] == [("/-/reload", b"")]
    send_reload_hint("127.0.0.1", free_port("127.0.0.1"))


def test_a_key_file_signs_no_ledger_in_prod(tmp_path: Path) -> None:
    with pytest.raises(KeyRefused, match="prod"):
        open_doorbell(load_settings(home=tmp_path, environment="prod"))
