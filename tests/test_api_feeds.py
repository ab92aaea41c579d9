"""Events for many listeners: one reader, a bounded past, and nobody who is slow is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rasen.api import feeds as feeds_module
from rasen.api.event_stream import EventStream
from rasen.api.feeds import HEARTBEAT, Feed, Feeds
from rasen.api.refusals import TooManyListeners
from rasen.api.run_watch import Happening, RunWatch
from rasen.api.server_events import parse_events
from rasen.errors import StoreUnavailable
from rasen.settings import load_settings
from rasen.store.memory import MemoryStore


class Watch(RunWatch):
    """A watch of no run: it says what the test lets happen."""

    def __init__(self, home: Path) -> None:
        super().__init__(settings=load_settings(home=home), store=MemoryStore(), pipeline="shop", run="r")
        self.looked = 0
        self.script: list[list[Happening] | Exception] = []

    def look(self) -> list[Happening]:
        """Return what the script says next; its end is the end of the run."""
        self.looked += 1
        step = self.script.pop(0)
        self.over = not self.script
        if isinstance(step, Exception):
            raise step
        return step


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def said(*numbers: int) -> list[Happening]:
    return [Happening(kind="log", data={"text": f"line {number}"}) for number in numbers]


async def collect(events: AsyncIterator[bytes]) -> list[tuple[str, str, Any]]:
    text = b"".join([data async for data in events if data != HEARTBEAT]).decode()
    return [(one.id, one.kind, one.data) for one in parse_events(iter(text.split("\n")))]


async def take(events: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await anext(events) for _ in range(count)]


def test_many_listeners_share_one_reader_and_all_hear_everything(watch: Watch) -> None:
    async def follow() -> list[list[tuple[str, str, Any]]]:
        feed = Feed(watch, look_seconds=0.01)
        watch.script = [said(1), said(), said(2, 3), said(4)]
        reading = asyncio.create_task(feed.read())
        heard = await asyncio.gather(*(collect(feed.follow("", heartbeat_seconds=5.0)) for _ in range(20)))
        await reading
        return heard

    heard = asyncio.run(follow())
    assert watch.looked == 4
    assert [[data["text"] for _, _, data in one] for one in heard] == [
        ["line 1", "line 2", "line 3", "line 4"]
    ] * 20


def test_who_comes_again_goes_on_behind_what_he_had(watch: Watch) -> None:
    async def follow() -> tuple[list[Any], list[Any], list[Any]]:
        feed = Feed(watch)
        feed.publish(said(1, 2, 3))
        feed.over = True
        everything = await collect(feed.follow("", heartbeat_seconds=5.0))
        rest = await collect(feed.follow(everything[1][0], heartbeat_seconds=5.0))
        of_another = await collect(feed.follow("0123abcd-2", heartbeat_seconds=5.0))
        return everything, rest, of_another

    everything, rest, of_another = asyncio.run(follow())
    assert [data["text"] for _, _, data in rest] == ["line 3"]
    assert of_another[0][1:] == ("reset", {"forgotten": 0})
    assert of_another[1:] == everything, "after a reset all of it comes again"


@pytest.mark.parametrize("last_id", ["x", "-", "-1", "9" * 50, "a-b-c", "\u00b2"])
def test_a_last_event_id_that_is_none_begins_anew(watch: Watch, last_id: str) -> None:
    async def follow() -> list[Any]:
        feed = Feed(watch)
        feed.publish(said(1))
        feed.over = True
        return await collect(feed.follow(last_id, heartbeat_seconds=5.0))

    assert [kind for _, kind, _ in asyncio.run(follow())] == ["reset", "log"]


def test_the_past_is_bounded_and_who_falls_out_of_it_is_let_go(watch: Watch) -> None:
    async def follow() -> tuple[list[Any], int, list[Any]]:
        feed = Feed(watch, kept_bytes=10_000)
        feed.publish(said(1))
        slow = feed.follow("", heartbeat_seconds=5.0)
        first = await take(slow, 1)
        for number in range(2, 1000):
            feed.publish(said(number))
        left = [data async for data in slow]
        again = feed.follow(first[0].decode().split("\n")[0].removeprefix("id: "), heartbeat_seconds=5.0)
        feed.over = True
        return left, feed.first, await collect(again)

    left, first_kept, again = asyncio.run(follow())
    assert left == [], "the stream ends, and nothing was kept for it"
    assert first_kept > 800
    assert again[0][1:] == ("reset", {"forgotten": first_kept - 1})
    assert again[-1][2] == {"text": "line 999"}


def test_silence_is_broken_by_a_comment(watch: Watch) -> None:
    async def follow() -> list[bytes]:
        feed = Feed(watch)
        events = feed.follow("", heartbeat_seconds=0.01)
        return await take(events, 3)

    assert asyncio.run(follow()) == [HEARTBEAT] * 3
    assert list(parse_events(iter(HEARTBEAT.decode().split("\n")))) == []


def test_a_store_that_fails_is_asked_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "_PAUSE_SECONDS", 0.01)

    async def follow() -> list[Any]:
        feed = Feed(watch, look_seconds=0.01)
        watch.script = [said(1), StoreUnavailable("down"), OSError("down"), said(2)]
        reading = asyncio.create_task(feed.read())
        heard = await collect(feed.follow("", heartbeat_seconds=5.0))
        await reading
        return heard

    assert [data["text"] for _, _, data in asyncio.run(follow())] == ["line 1", "line 2"]


def test_a_run_has_one_feed_for_all_and_there_is_a_limit(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds_module, "_LISTENERS_MOST", 2)

    async def follow() -> None:
        watch.script = [said(1)] * 1000
        feeds = Feeds()
        one = feeds.open(lambda: watch, pipeline="shop", run="r")
        one.listeners += 2
        with pytest.raises(TooManyListeners):
            feeds.open(lambda: watch, pipeline="shop", run="other")
        one.listeners -= 1
        assert feeds.open(lambda: watch, pipeline="shop", run="r") is one
        await feeds.close()

    asyncio.run(follow())


def test_a_listener_who_takes_nothing_is_let_go_and_so_is_one_whose_token_ended(watch: Watch) -> None:
    async def listen(*, stuck: bool, may_stay: bool) -> list[bytes]:
        feed = Feed(watch)
        feed.publish(said(1, 2))
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            body = message.get("body", b"")
            if stuck and len(sent) == 1 and body:
                await asyncio.Event().wait()
            if message["type"] == "http.response.body":
                sent.append(body)

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def allowed() -> bool:
            return may_stay

        stream = EventStream(feed, last_id="", may_stay=allowed, heartbeat_seconds=0.02, send_seconds=0.05)
        await stream({"type": "http"}, receive, send)
        assert feed.listeners == 0
        return sent

    stuck = asyncio.run(listen(stuck=True, may_stay=True))
    assert (len(stuck), stuck[-1]) == (2, b"")
    ended = asyncio.run(listen(stuck=False, may_stay=False))
    assert ended[-2:] == [HEARTBEAT, b""]


def test_a_listener_who_leaves_is_forgotten_at_once(watch: Watch) -> None:
    async def listen() -> None:
        feed = Feed(watch)

        async def send(_message: Any) -> None:
            pass

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def allowed() -> bool:
            return True

        await EventStream(feed, last_id="", may_stay=allowed)({"type": "http"}, receive, send)
        assert feed.listeners == 0

    asyncio.run(listen())
