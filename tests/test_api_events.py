"""A real run that the platform makes of a request, followed over a real server by the client and the commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from rasen.api.client import ControlClient
from rasen.api.server_events import ServerEvent
from rasen.cli import build_app
from rasen.errors import AccessRefused, InvalidInput, NotFound, ServiceUnavailable
from rasen.tracking.records import Start
from stand.control import ControlHome, Worker, served, write_shop
from stand.pipeline_folder import git

CELLS = ("print('price', price)", "import rasen\nrasen.log_metrics(rmse=price)", "print('done')")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> ControlHome:
    return ControlHome(tmp_path_factory.mktemp("events") / "home")


@pytest.fixture(scope="module")
def address(home: ControlHome) -> Iterator[str]:
    with served(home) as address:
        yield address


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("repository")
    folder = write_shop(top, *CELLS)
    git(top, "init", "--quiet")
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--message", "first")
    (folder / "note.txt").write_text("not committed")
    return folder


@pytest.fixture(scope="module")
def followed(home: ControlHome, address: str, shop: Path) -> tuple[dict[str, Any], list[list[ServerEvent]]]:
    """A run that two listeners followed from before its beginning to its verdict."""
    with ControlClient(address, home.token) as client:
        ordered = client.order_folder(shop, typed={"price": "3"}, request="followed")
    heard: list[list[ServerEvent]] = [[], []]

    def listen(events: list[ServerEvent]) -> None:
        with ControlClient(address, home.token) as client:
            events += client.events(ordered["run"])

    listeners = [threading.Thread(target=listen, args=(events,)) for events in heard]
    for listener in listeners:
        listener.start()
    with Worker(home.settings) as worker:
        for listener in listeners:
            listener.join()
    assert worker.told
    return ordered, heard


def test_events_tell_a_run_from_the_wish_to_the_verdict(
    followed: tuple[dict[str, Any], list[list[ServerEvent]]],
) -> None:
    ordered, (events, others) = followed
    assert events == others, "both heard the same"
    states = [one.data["state"] for one in events if one.kind == "state"]
    assert (states[0], states[-1]) == ("waiting", "running")
    assert next(one.data["place"] for one in events if one.kind == "state") == 1
    needs = [one.data["needs"] for one in events if one.kind == "state"]
    assert (needs[0], needs[-1]) == ({}, {"train": []})
    steps = [(one.data["step"], one.data["state"]) for one in events if one.kind == "step"]
    assert steps[-1] == ("train", "succeeded")
    assert next(one.data for one in reversed(events) if one.kind == "step")["metrics"] == {"rmse": 3.0}
    printed = [one.data["text"] for one in events if one.kind == "log" and one.data["kind"] == "stdout"]
    assert printed == ["price 3.0", "done"]
    assert events[-1].kind == "verdict"
    assert (events[-1].data["run"], events[-1].data["verdict"]) == (ordered["run"], "succeeded")
    numbers = [int(one.id.partition("-")[2]) for one in events]
    assert numbers == list(range(1, len(events) + 1))


def test_it_says_which_working_copy_ran_and_who_asked(
    home: ControlHome, shop: Path, followed: tuple[dict[str, Any], list[list[ServerEvent]]]
) -> None:
    ordered, _ = followed
    commit = git(shop, "rev-parse", "HEAD")
    assert (ordered["base_commit"], ordered["changed"]) == (commit, ["note.txt"])
    start = Start.from_bytes(home.store.read(f"starts/shop/{ordered['run']}.json"))
    assert (start.base_commit, start.changed, start.trigger) == (commit, ["note.txt"], "request:run-followed")
    assert start.by
    shown = home.client().run(ordered["run"])
    assert (shown["commit"], shown["changed"], shown["by"]) == (commit, ["note.txt"], start.by)


def test_a_listener_goes_on_where_he_was_and_a_late_one_hears_all(
    home: ControlHome, address: str, followed: tuple[dict[str, Any], list[list[ServerEvent]]]
) -> None:
    ordered, (events, _) = followed
    with ControlClient(address, home.token) as client:
        late = list(client.follow(ordered["run"].rpartition("-")[2]))
        assert [one.kind for one in late][-1] == "verdict"
        assert [one.data["text"] for one in late if one.kind == "log"] == [
            one.data["text"] for one in events if one.kind == "log"
        ]
        rest = list(client.events(ordered["run"], last_id="elsewhere-7"))
        assert rest[0].kind == "reset"
        assert rest[-1].kind == "verdict"


def test_events_ask_for_a_token_too(
    address: str, followed: tuple[dict[str, Any], list[list[ServerEvent]]]
) -> None:
    path = f"{address}/v1/runs/{followed[0]['run']}/events"
    assert httpx.get(path).status_code == 401
    assert httpx.get(path, headers={"Authorization": "Bearer rasen_0123456789ab.x"}).status_code == 401
    with ControlClient(address, "rasen_0123456789ab.x") as client, pytest.raises(AccessRefused):
        next(client.events(followed[0]["run"]))
    with ControlClient(address, "") as client, pytest.raises(AccessRefused, match="send a token"):
        client.runs()


def test_the_client_has_every_route_and_raises_our_errors(
    home: ControlHome, address: str, followed: tuple[dict[str, Any], list[list[ServerEvent]]]
) -> None:
    ordered, _ = followed
    run = ordered["run"]
    with ControlClient(address, home.token) as client:
        assert client.health() == {"status": "ok"}
        assert client.runs(pipeline="shop", metric=["rmse<4"], limit=5)["runs"][0]["run"] == run
        assert client.runs(metric=["rmse<2"])["runs"] == []
        logs = client.logs(run, step="train")
        assert logs["verdict"] == "succeeded"
        assert client.logs(run, offset=logs["offset"])["lines"] == []
        assert json.loads(client.notebook(run, "train"))["nbformat"] == 4
        assert client.compare(run, run)["metrics"] == []
        assert client.release_file("shop", ordered["release"], "note.txt") == b"not committed"
        assert (client.pipelines(), client.releases(), client.endpoints()) == ([], [], [])
        assert client.deployments(limit=3) == {"deployments": [], "problems": []}
        for missing in (
            lambda: client.run("nothing"),
            lambda: client.notebook(run, "tran"),
            lambda: client.pipeline("shop"),
            lambda: client.endpoint("shop"),
            lambda: client.deployment("shop", 1),
            lambda: client.release_file("shop", ordered["release"], "../release.json"),
        ):
            with pytest.raises(NotFound):
                missing()
        with pytest.raises(InvalidInput, match="has ended already"):
            client.cancel(run)
        with pytest.raises(InvalidInput, match="is no name"):
            client.run("..")
    with (
        ControlClient("http://127.0.0.1:9", "t") as nobody,
        pytest.raises(ServiceUnavailable, match="rasen up"),
    ):
        nobody.health()
    with pytest.raises(InvalidInput, match="is no address of a control API"):
        ControlClient("ftp://here", "t")


def test_commands_show_the_same_from_here_and_through_the_server(
    home: ControlHome,
    address: str,
    followed: tuple[dict[str, Any], list[list[ServerEvent]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = followed[0]["run"]
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    for command in (
        *(["runs", "--json"], ["runs"], ["runs", "--metric", "rmse<4"], ["show", run, "--json"]),
        *(["logs", run], ["logs", run, "--json"], ["compare", run, run], ["compare", run, run, "--json"]),
        *(["releases", "--json"], ["deployments"], ["live", "--json"]),
    ):
        here = CliRunner().invoke(build_app(), command)
        there = CliRunner().invoke(build_app(), [*command, "--server", address])
        assert here.exception is None, command
        assert there.exception is None, command
        assert there.stdout == here.stdout, command
        assert here.stdout or command[0] == "deployments"
    monkeypatch.setenv("RASEN_SERVER", address)
    shown = CliRunner().invoke(build_app(), ["show", run]).stdout
    assert "changed since: note.txt" in shown
    for command in (["show", "nothing"], ["logs", "nothing"], ["cancel", "nothing"], ["live", "nothing"]):
        assert isinstance(CliRunner().invoke(build_app(), command).exception, NotFound), command
    refused = CliRunner().invoke(build_app(), ["run", "--resume", run])
    assert "--resume and --server exclude one another" in str(refused.exception)


def test_the_machines_own_token_goes_to_nobody_else(
    home: ControlHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rasen.cli.control import open_client

    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    sent: list[str | None] = []
    for server in ("http://127.0.0.1:8083", "https://elsewhere.example"):
        client = open_client(server)
        assert client is not None
        request = client._client.build_request("GET", "runs")
        sent.append(request.headers.get("Authorization"))
    assert sent == [f"Bearer {home.token}", None]
    monkeypatch.setenv("RASEN_TOKEN", "rasen_of_elsewhere")
    client = open_client("https://elsewhere.example")
    assert client is not None
    assert client._client.headers["Authorization"] == "Bearer rasen_of_elsewhere"


def test_run_asks_the_platform_and_shows_the_run_like_one_of_its_own(
    home: ControlHome, address: str, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("RASEN_SERVER", address)
    with Worker(home.settings):
        done = CliRunner().invoke(build_app(), ["run", "--dev", str(shop), "-p", "price=free"])
        assert isinstance(done.exception, InvalidInput), "nothing was asked for"
        failing = write_shop(shop.parent / "failing", "1 / 0")
        shown = CliRunner().invoke(build_app(), ["run", "--dev", str(failing), "--request", "fails"])
    assert shown.exit_code == 42
    assert "train: begins" in shown.stdout
    assert "train: failed" in shown.stdout
    assert "ZeroDivisionError: division by zero" in shown.stdout
    again = CliRunner().invoke(build_app(), ["run", "--dev", str(failing), "--request", "fails", "--json"])
    said = json.loads(again.stdout)
    assert (said["verdict"], said["step"], said["exit_code"]) == ("failed", "train", 42)
