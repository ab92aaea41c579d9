"""Row 33 of the fault matrix: a receiver that is down, busy, slow or wrong delays nobody and loses nothing it need not.

All receivers here are real servers on this machine, and the outbox is the real file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rasen.local.processes import free_port
from rasen.notify.answers import Postponed
from rasen.notify.courier import Courier
from rasen.notify.database import open_database
from rasen.notify.http_post import post_json
from rasen.notify.message import Content, Message
from rasen.notify.outbox import Outbox, Target, Waiting, wait_seconds
from rasen.notify.webhook import Webhook
from rasen.settings import load_settings, platform_environment
from rasen.store import DirectoryStore
from rasen.tracking.keys import end_key, start_key
from rasen.tracking.records import End, Start, Verdict
from stand.manifests import run_of
from stand.notified import watched
from stand.receivers import HttpReceiver, http_receiver, silent_port

AT = datetime(2026, 1, 1, tzinfo=UTC)


def message(number: int) -> Message:
    return Message(
        id=f"m{number}",
        event="opened",
        incident="i",
        environment="dev",
        content=Content(kind="failure", title=f"number {number}"),
        opened_at=AT,
        at=AT,
    )


def until(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Box:
    """An outbox and a courier for one receiver named `team`."""

    def __init__(self, path: Path, *, most: int = 200) -> None:
        self.path = path
        self.most = most
        self.couriers: list[Courier] = []

    def add(self, *numbers: int) -> None:
        with closing(open_database(self.path)) as database, database:
            for number in numbers:
                Outbox(database).add(message(number), Target(receiver="team"), most=self.most)
        for courier in self.couriers:
            courier.ring()

    def waiting(self) -> list[Waiting]:
        with closing(open_database(self.path)) as database:
            return Outbox(database).all()

    def dropped(self) -> dict[str, int]:
        with closing(open_database(self.path)) as database:
            return Outbox(database).dropped()

    @contextmanager
    def carried(self, address: str, *, timeout_seconds: float = 5.0) -> Iterator[None]:
        channel = Webhook(lambda: address, None, timeout_seconds=timeout_seconds)
        courier = Courier("team", channel, self.path, mask=str, first_pause_seconds=0.02)
        courier.start()
        self.couriers.append(courier)
        try:
            yield
        finally:
            self.couriers.remove(courier)
            courier.stop()
            courier.join(10)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "alerts.sqlite")


def test_messages_arrive_in_order_with_the_name_by_which_a_second_copy_is_known(box: Box) -> None:
    box.add(1, 2, 3)
    with http_receiver() as receiver, box.carried(receiver.url):
        posted = receiver.wait_for(3)
        until(lambda: not box.waiting())
    assert [one.headers["Idempotency-Key"] for one in posted] == ["m1", "m2", "m3"]
    assert [one.json["content"]["title"] for one in posted] == ["number 1", "number 2", "number 3"]


def test_a_receiver_that_is_down_gets_everything_when_it_is_back(box: Box) -> None:
    port = free_port("127.0.0.1")
    box.add(1, 2)
    with box.carried(f"http://127.0.0.1:{port}"):
        until(lambda: box.waiting()[0].attempts >= 2)
        assert "cannot be reached" in box.waiting()[0].problem
        with http_receiver(port=port) as receiver:
            posted = receiver.wait_for(2)
            until(lambda: not box.waiting())
    assert [one.headers["Idempotency-Key"] for one in posted] == ["m1", "m2"]


def test_what_waits_survives_the_notifier(box: Box) -> None:
    box.add(1)
    with box.carried(f"http://127.0.0.1:{free_port('127.0.0.1')}"):
        until(lambda: box.waiting()[0].attempts >= 1)
    with http_receiver() as receiver, box.carried(receiver.url):
        assert receiver.wait_for(1)[0].headers["Idempotency-Key"] == "m1"


@pytest.mark.parametrize("status", [429, 500, 503, 404, 401, 302])
def test_an_answer_that_is_about_the_moment_or_the_address_is_no_reason_to_give_up(
    box: Box, status: int
) -> None:
    box.add(1)
    with http_receiver() as receiver, http_receiver() as other:
        receiver.answers = [(status, {"Location": other.url})] * 4
        with box.carried(receiver.url):
            posted = receiver.wait_for(5)
            until(lambda: not box.waiting())
        assert {one.headers["Idempotency-Key"] for one in posted} == {"m1"}
        assert other.posted == []  # nobody follows a redirect


def test_a_receiver_that_asks_to_be_left_alone_is(box: Box) -> None:
    box.add(1)
    with http_receiver() as receiver:
        receiver.answers = [(429, {"Retry-After": "3000"})]
        with box.carried(receiver.url):
            until(lambda: box.waiting()[0].attempts == 1)
            asked = box.waiting()[0].next_try - time.time()
            assert 2900 < asked <= 3000
            assert len(receiver.posted) == 1


def test_a_message_that_is_not_taken_does_not_stop_those_behind_it(box: Box) -> None:
    box.add(1, 2)
    with http_receiver() as receiver:
        receiver.answers = [(400, {})] * 3
        with box.carried(receiver.url):
            posted = receiver.wait_for(4)
            until(lambda: len(box.waiting()) == 1)
    assert [one.headers["Idempotency-Key"] for one in posted] == ["m1", "m1", "m1", "m2"]
    [left] = box.waiting()
    assert (left.set_aside, left.problem) == (True, "answered 400 no")


def test_a_full_queue_drops_the_oldest_and_the_next_message_says_how_many(tmp_path: Path) -> None:
    box = Box(tmp_path / "alerts.sqlite", most=3)
    box.add(*range(1, 11))
    assert [one.message.id for one in box.waiting()] == ["m8", "m9", "m10"]
    assert box.dropped() == {"team": 7}
    with http_receiver() as receiver, box.carried(receiver.url):
        posted = receiver.wait_for(3)
        until(lambda: not box.waiting())
    assert [one.json["dropped"] for one in posted] == [7, 0, 0]
    assert box.dropped() == {}


def test_a_receiver_that_never_answers_delays_no_other_and_not_the_watching(tmp_path: Path) -> None:
    with silent_port() as silent, http_receiver() as receiver:
        alerts = (
            "receivers:\n"
            f"  slow: {{kind: webhook, url: 'http://127.0.0.1:{silent}/', timeout: 60s}}\n"
            f"  quick: {{kind: webhook, url: '{receiver.url}'}}\n"
            "routes: [{to: [slow, quick]}]\n"
        )
        with watched(tmp_path / "home", alerts=alerts) as scene:
            for number in range(1, 6):
                scene.fail(number, f"p{number}")
                scene.look()
            assert len(receiver.wait_for(5)) == 5
            until(lambda: len(scene.told()) == 5)
            assert {one.target.receiver for one in scene.told()} == {"slow"}


def test_a_slow_receiver_is_left_after_its_time_out() -> None:
    with silent_port() as port:
        answer = post_json(f"http://127.0.0.1:{port}/", b"{}", headers={}, timeout_seconds=0.05)
    assert answer == Postponed(problem="127.0.0.1 cannot be reached: it did not answer in time")


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/computeMetadata/v1/",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",
    ],
)
def test_nothing_is_sent_to_where_clouds_keep_their_credentials(address: str) -> None:
    answer = post_json(address, b"{}", headers={}, timeout_seconds=0.2)
    assert isinstance(answer, Postponed)
    assert "link-local" in answer.problem


def test_an_address_with_a_token_in_it_stands_in_no_problem() -> None:
    port = free_port("127.0.0.1")
    with http_receiver() as receiver:
        receiver.answers = [(500, {}), (302, {"Location": "/T0KEN"}), (400, {})]
        addresses = [f"{receiver.url}/T0KEN"] * 3 + [
            f"http://127.0.0.1:{port}/T0KEN",
            "http://nowhere.invalid/T0KEN",
        ]
        answers: list[Any] = [post_json(one, b"{}", headers={}, timeout_seconds=5.0) for one in addresses]
    assert all("T0KEN" not in one.problem for one in answers)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("90", 90.0),
        ("Thu, 01 Jan 2026 00:01:30 GMT", 90.0),  # the receiver's own clock says 00:00:00
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0.0),
        ("999999", 3600.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_a_pause_that_is_asked_for_is_measured_by_the_clock_of_who_asks(
    asked: str, seconds: float | None
) -> None:
    with http_receiver() as receiver:
        receiver.answers = [(503, {"Retry-After": asked})]
        answer = post_json(receiver.url, b"{}", headers={}, timeout_seconds=5.0)
    assert answer == Postponed(problem="answered 503 no", after_seconds=seconds)


def test_a_clock_that_was_set_back_makes_no_message_wait_for_ever(box: Box) -> None:
    box.add(1)
    [waiting] = box.waiting()
    with closing(open_database(box.path)) as database:
        Outbox(database).postpone(waiting, until=5000.0, problem="away")
    [waiting] = box.waiting()
    assert wait_seconds(waiting, now=4000.0) == 1000.0
    assert wait_seconds(waiting, now=1000.0) == 0.0
    assert wait_seconds(waiting, now=6000.0) == 0.0


def test_many_threads_share_one_file(box: Box) -> None:
    with http_receiver() as receiver, box.carried(receiver.url):
        threads = [
            threading.Thread(target=box.add, args=range(start, start + 20)) for start in range(0, 100, 20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({one.headers["Idempotency-Key"] for one in receiver.wait_for(100)}) == 100


def test_a_killed_notifier_loses_no_message_and_repeats_only_by_the_same_name(tmp_path: Path) -> None:
    """SIGKILL at random instants while failures come in: each is told, and every copy has one name."""
    settings = load_settings(home=tmp_path / "home", alert_seconds=0.02)
    settings.home.mkdir()
    store = DirectoryStore(settings.store_dir)
    with http_receiver() as receiver:
        settings.alerts_file.write_text(
            f"receivers: {{team: {{kind: webhook, url: '{receiver.url}'}}}}\ndefault: team\n"
        )
        kills, number = 3, 0
        for round_number in range(kills + 1):
            process = subprocess.Popen(
                [sys.executable, "-m", "rasen.notify"],
                env=platform_environment(settings),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                if round_number == 0:
                    until(lambda: _began(settings.alerts_database))
                for _ in range(5):
                    number += 1
                    _fail(store, f"p{number}", number)
                if round_number < kills:
                    receiver.wait_for(max(1, number - 3))  # the last ones may be on their way
                else:
                    until(lambda: len(names(receiver)) == 5 * (kills + 1))
            finally:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        told = {one.json["content"]["pipeline"]: one.headers["Idempotency-Key"] for one in receiver.posted}
        assert len(told) == number
        assert len(names(receiver)) == number
        assert len(set(told.values())) == number


def names(receiver: HttpReceiver) -> set[str]:
    """Return by how many names messages came."""
    return {one.headers["Idempotency-Key"] for one in receiver.posted}


def _began(path: Path) -> bool:
    if not path.exists():
        return False
    with closing(open_database(path)) as database:
        return database.execute("SELECT 1 FROM positions WHERE name = 'begun'").fetchone() is not None


def _fail(store: DirectoryStore, pipeline: str, number: int) -> None:
    run = run_of(number)
    start = Start(
        run=run,
        pipeline=pipeline,
        release="1-a",
        origin="release",
        environment="dev",
        nonce="",
        trigger="cron:now",
        image="",
    )
    store.write(start_key(pipeline, run), start.to_bytes())
    end = End(run=run, pipeline=pipeline, verdict=Verdict.FAILED, error="E: no", ended_at=AT)
    store.write(end_key(pipeline, run), end.to_bytes())
