"""Deciders that race, die and miss events: the ledger depends only on the manifests present at each decision."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rasen.deploy import ledger
from rasen.deploy.decide import Decider
from rasen.settings import load_settings
from rasen.store import DirectoryStore, MemoryStore
from rasen.tracking.keys import HEADS_KEY
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.decided import Desk
from stand.deciders import local_decider
from stand.manifests import BAD, GOOD, Publisher, run_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def publisher(home: Path) -> Publisher:
    """Publishes into the directory store of a home, signing with the keys of that home."""
    settings = load_settings(home=home)
    publisher = Publisher(
        DirectoryStore(settings.store_dir),
        home / "unpickled",
        registrar=open_signer(settings, Role.REGISTRAR),
        control=open_signer(settings, Role.CONTROL),
        decider=open_signer(settings, Role.DECIDER),
    )
    publisher.register()
    return publisher


def start_decider(home: Path, command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "stand.deciders", str(home), command],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )


def records_in(home: Path) -> list[LedgerRecord]:
    settings = load_settings(home=home)
    store = DirectoryStore(settings.store_dir)
    return list(ledger.list_records(store, load_trust(settings), "demand", environment="dev"))


def test_eight_processes_that_decide_at_once_write_each_record_once(home: Path, publisher: Publisher) -> None:
    rounds = 40
    for number in range(rounds):
        publisher.publish(number, metrics=BAD if number % 5 == 4 else GOOD)
    processes = [start_decider(home, "race") for _ in range(8)]
    while len(list(home.glob("ready-*"))) < len(processes):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (home / "go").touch()
    written = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0] * 8
    assert sorted(written) == list(range(1, rounds + 1))
    assert [(record.number, record.run, record.action) for record in records_in(home)] == [
        (number + 1, run_of(number), "refuse" if number % 5 == 4 else "deploy") for number in range(rounds)
    ]
    assert ledger.read_heads(publisher.store) == {"demand": rounds}


def test_a_function_killed_between_record_and_hint_loses_nothing(home: Path, publisher: Publisher) -> None:
    publisher.publish(1)
    publisher.publish(2)
    process = start_decider(home, "die")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert [record.run for record in records_in(home)] == [run_of(1)]
    assert publisher.store.stat(HEADS_KEY) is None
    made = local_decider(home, DirectoryStore(home / "store")).reconcile()
    assert [record.run for record in made] == [run_of(2)]
    assert [record.run for record in records_in(home)] == [run_of(1), run_of(2)]
    assert ledger.read_heads(publisher.store) == {"demand": 2}


def test_a_kill_after_the_last_record_is_healed_by_the_next_look(home: Path, publisher: Publisher) -> None:
    publisher.publish(1)
    process = start_decider(home, "die")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert local_decider(home, DirectoryStore(home / "store")).reconcile() == []
    assert ledger.read_heads(publisher.store) == {"demand": 1}


def test_the_decider_leaves_no_file_behind(home: Path, publisher: Publisher) -> None:
    publisher.publish(1)
    local_decider(home, DirectoryStore(home / "store")).decide("demand")
    assert list((home / "scratch").iterdir()) == []
    assert not (home / "unpickled").exists()


class Killed(BaseException):
    """Stands for SIGKILL where thousands are needed: nothing in the decider catches it."""


class Mortal(MemoryStore):
    """A store whose user dies before or after its n-th call from now."""

    def __init__(self) -> None:
        super().__init__()
        self.calls_left: int | None = None

    def _count(self) -> None:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                self.calls_left = None
                raise Killed

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        self._count()
        return super().read_versioned(key)

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        self._count()
        generation = super().write(key, data, if_generation=if_generation)
        self._count()
        return generation


@pytest.mark.parametrize("command", ["rollback", "hold", "override"])
def test_a_command_killed_at_any_call_is_obeyed_once_when_it_comes_again(
    tmp_path: Path, command: str
) -> None:
    run = run_of(3) if command == "override" else None
    finished, calls = False, 0
    while not finished:
        store = Mortal()
        desk = Desk(tmp_path / str(calls), store=store)
        for number in (1, 2, 3):
            desk.publish(number, metrics=BAD if number == 3 else GOOD)
        text = desk.text(command, reason="because", run=run)
        desk.decider = desk.another_decider()
        store.calls_left = calls
        try:
            desk.decider.obey(text, event="1")
            finished = True
        except Killed:
            desk.decider = desk.another_decider()
        store.calls_left = None
        desk.decider.obey(text, event="1")
        assert [record.action for record in desk.records()] == ["deploy", "deploy", "refuse", command]
        calls += 1
    assert calls > 5


good_or_bad = st.sampled_from([GOOD, BAD])
action = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 12), good_or_bad),
    st.tuples(st.just("forge"), st.integers(1, 12)),
    st.tuples(st.just("decide")),
    st.tuples(st.just("reconcile")),
    st.tuples(st.just("restart")),
    st.tuples(
        st.just("lose_heads"),
        st.sampled_from([None, b"{}", b"garbage", b'{"demand": 1}', b'{"demand": 9999}']),
    ),
    st.tuples(st.just("kill"), st.integers(0, 30)),
)


class History:
    """What was published, and what the ledger must say by the sentence in the design, written down anew."""

    def __init__(self) -> None:
        self.published: dict[int, bool] = {}
        self.forged: set[int] = set()
        self.ledger: list[tuple[str, int]] = []
        self.newest = 0

    def has(self, number: int) -> bool:
        return number in self.published or number in self.forged

    def after_a_decision(self) -> list[tuple[str, int]]:
        present = sorted(number for number in {*self.published, *self.forged} if number > self.newest)
        decided = {number for action, number in self.ledger if action == "forged"}
        return self.ledger + [
            ("forged", number)
            if number in self.forged
            else ("deploy" if self.published[number] else "refuse", number)
            for number in present
            if number not in decided
        ]

    def accept(self, found: list[tuple[str, int]]) -> None:
        self.ledger = found
        self.newest = max((number for action, number in found if action != "forged"), default=0)


@hypothesis_settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(action, max_size=25))
def test_the_ledger_depends_only_on_the_manifests_present_at_each_decision(
    tmp_path: Path, actions: list[tuple[object, ...]]
) -> None:
    store = Mortal()
    publisher = Publisher(store, tmp_path / "unpickled")
    publisher.register()
    history = History()

    def fresh() -> Decider:
        return Decider(
            store,
            publisher.decider,
            trust=publisher.trust,
            environment="dev",
            scratch_dir=tmp_path / "scratch",
        )

    def found() -> list[tuple[str, int]]:
        store.calls_left = None
        numbers = {run_of(number): number for number in range(13)}
        made = list(ledger.list_records(store, publisher.trust(), "demand", environment="dev"))
        assert [record.number for record in made] == list(range(1, len(made) + 1))
        forged: set[str] = set()
        entries: list[tuple[str, int]] = []
        for record in made:  # a forgery that is refused shows in the state of its own record
            is_forged = bool(record.state.unverified.keys() - forged)
            entries.append(("forged" if is_forged else record.action, numbers[str(record.run)]))
            forged = set(record.state.unverified)
        return entries

    decider = fresh()
    for name, *arguments in actions:
        match name, arguments:
            case "publish", [int(number), dict(metrics)] if not history.has(number):
                publisher.publish(number, metrics=metrics)
                history.published[number] = metrics == GOOD
            case "forge", [int(number)] if not history.has(number):
                store.write(publisher.manifest_key(number), b"forged")
                history.forged.add(number)
            case "decide" | "reconcile", []:
                decider.decide("demand") if name == "decide" else decider.reconcile()
                assert found() == history.after_a_decision()
                history.accept(history.after_a_decision())
            case "restart", []:
                decider = fresh()
            case "lose_heads", [data]:
                if isinstance(data, bytes):
                    store.write(HEADS_KEY, data)
                else:
                    store.delete(HEADS_KEY)
            case "kill", [int(calls)]:
                store.calls_left = calls
                try:
                    decider.decide("demand")
                except Killed:
                    decider = fresh()
                made = found()
                assert made == history.after_a_decision()[: len(made)]
                assert made[: len(history.ledger)] == history.ledger
                history.accept(made)
            case _:
                pass
    fresh().reconcile()
    assert found() == history.after_a_decision()
    if found():
        assert ledger.read_heads(store) == {"demand": len(found())}
    assert not (tmp_path / "unpickled").exists()
