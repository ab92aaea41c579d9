"""What a person decides about an endpoint, through the real deploy function: hold, approve, override, roll back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from rasen.batch.decisions import decide, wait_until_answered
from rasen.batch.ledger_queries import newest_record
from rasen.deploy.commands import Command, give_command
from rasen.deploy.ledger import append
from rasen.errors import InvalidInput, NotFound, PlatformFailed
from rasen.local.processes import free_port
from rasen.settings import Settings, load_settings
from rasen.tracking.ledger_records import Held, LedgerRecord
from rasen.tracking.manifest import read_manifest
from rasen.tracking.signature import Role, open_signer
from stand.function import running_function
from stand.ledger_home import LedgerHome, ask, ask_json
from stand.manifests import BAD

_names = count()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerHome]:
    folder = tmp_path_factory.mktemp("home")
    ports = {name: free_port("127.0.0.1") for name in ("function_port", "admin_port", "serving_port")}
    settings = load_settings(home=folder, environment="dev", **ports)
    with running_function(settings, log=folder / "function.log"):
        yield LedgerHome(settings)
    assert not (folder / "unpickled").exists()


@pytest.fixture
def endpoint(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> str:
    """An endpoint of its own for each test, with runs 1 and 2 decided: the second is live."""
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    monkeypatch.setenv("RASEN_FUNCTION_PORT", str(home.settings.function_port))
    monkeypatch.setenv("RASEN_SERVING_PORT", str(home.settings.serving_port))
    monkeypatch.setenv("COLUMNS", "200")
    name = f"demand_{next(_names)}"
    home.release(name)
    home.publish(1, name)
    home.publish(2, name)
    return name


def live_run(endpoint: str) -> str:
    (found,) = ask_json("live", endpoint)
    return str(found["versions"][0]["run"])


def test_a_frozen_endpoint_holds_what_comes(home: LedgerHome, endpoint: str) -> None:
    second = live_run(endpoint)
    shown = ask("hold", endpoint, "--reason", "stocktaking")
    assert f"{endpoint} 3  hold" in shown
    assert "no version goes live by itself: stocktaking" in shown
    third = home.publish(3, endpoint)
    assert live_run(endpoint) == second
    waiting = ask("live", endpoint)
    assert f"waiting    {third}  held by record 4, until the endpoint is unheld" in waiting
    assert "stocktaking; `rasen unhold" in waiting
    assert f"waiting    {third}" in ask("rollout", endpoint)
    with pytest.raises(InvalidInput, match="`rasen unhold"):
        ask("approve", endpoint)
    freed = ask("unhold", endpoint)
    assert f"{endpoint} 5  unhold" in freed
    assert f"{endpoint} 6  deploy  {third}" in freed, "what waited for nothing else is judged anew, and shown"
    assert live_run(endpoint) == third


def hold_for_approval(home: LedgerHome, endpoint: str, number: int) -> str:
    """Write the record that a gate which waits for a person would lead to; return the run that waits."""
    home.decider.decide(endpoint)
    run = home.publish(number, endpoint, decide=False)
    seen = newest_record(home.settings, endpoint)
    manifest = read_manifest(home.store, home.trust(), endpoint, run, environment="dev")
    held = Held(
        run=run,
        pipeline=endpoint,
        manifest_sha256=manifest.sha256,
        number=seen.number + 1,
        gates=["approval"],
    )
    record = seen.model_copy(
        update={
            "number": seen.number + 1,
            "action": "hold",
            "run": run,
            "reason": "approval: nobody has approved yet",
            "previous": seen.state.since,
            "state": seen.state.model_copy(
                update={"held": held, "newest_run": run, "acted": seen.number + 1}
            ),
        }
    )
    assert append(home.store, open_signer(home.settings, Role.DECIDER), record)
    return run


def test_the_version_that_waits_is_approved(home: LedgerHome, endpoint: str) -> None:
    third = hold_for_approval(home, endpoint, 3)
    waiting = ask("live", endpoint)
    assert (
        f"waiting    {third}  held by record 3 for approval; `rasen approve {endpoint}` lets it in" in waiting
    )
    with pytest.raises(NotFound, match=f"no version '0000' waits at endpoint {endpoint!r}; {third} does"):
        ask("approve", endpoint, "0000")
    record = ask_json("approve", endpoint, third[-12:], "--reason", "looks right")
    assert (record["action"], record["run"], record["state"]["held"]) == ("approve", third, None)
    assert record["reason"].startswith("looks right; record 3 (hold) said:")
    assert live_run(endpoint) == third
    with pytest.raises(NotFound, match=f"no version of endpoint {endpoint!r} waits"):
        ask("approve", endpoint)


def test_a_refused_version_is_let_in_with_a_reason(home: LedgerHome, endpoint: str) -> None:
    refused = home.publish(3, endpoint, metrics=BAD)
    with pytest.raises(NotFound, match=f"no version 'beef' was held or refused .* the last ones: {refused}"):
        ask("override", endpoint, "beef", "--reason", "because")
    with pytest.raises(InvalidInput, match="says nothing"):
        ask("override", endpoint, refused, "--reason", " ")
    shown = ask("override", endpoint, refused[-12:-4], "--reason", "the actuals of March were wrong")
    assert "override" in shown
    assert "the actuals of March were wrong" in shown
    assert live_run(endpoint) == refused
    (newest, *_) = ask_json("deployments", endpoint)
    assert (newest["action"], newest["run"], newest["previous"]) == ("override", refused, 2)


def test_a_rollback_and_its_undoing(endpoint: str) -> None:
    second = live_run(endpoint)
    shown = ask("rollback", endpoint, "--reason", "answers are odd")
    assert f"{endpoint} 3  rollback" in shown
    assert "serving does not answer at" in shown
    first = live_run(endpoint)
    assert first < second
    back = ask_json("rollback", endpoint, "--to", "2", "--no-wait")
    assert (back["record"]["number"], back["answered"]["seconds"]) == (4, None)
    assert live_run(endpoint) == second
    with pytest.raises(InvalidInput, match="is live already"):
        ask("rollback", endpoint, "--to", "2")
    with pytest.raises(InvalidInput, match=f"endpoint {endpoint!r} has no record 99; its records are 1 to 4"):
        ask("rollback", endpoint, "--to", "99")


def test_a_rollback_where_there_is_nothing_to_go_back_to(home: LedgerHome, endpoint: str) -> None:
    name = f"{endpoint}_once"
    home.release(name)
    home.publish(1, name, metrics=BAD)
    with pytest.raises(InvalidInput, match="no version was live at record 1"):
        ask("rollback", name, "--to", "1")
    with pytest.raises(InvalidInput, match="has had no other champion than none"):
        ask("rollback", name)


def test_a_version_whose_artifact_is_gone_is_not_gone_back_to(home: LedgerHome, endpoint: str) -> None:
    before = live_run(endpoint)
    first = ask_json("deployments", endpoint)[-1]["run"]
    home.store.delete(f"runs/{endpoint}/{first}/train/1/model/model.cloudpickle")
    with pytest.raises(InvalidInput, match=f"cannot go back to {first}"):
        ask("rollback", endpoint)
    assert live_run(endpoint) == before


def test_an_unknown_endpoint_is_answered_with_the_nearest(endpoint: str) -> None:
    with pytest.raises(NotFound, match=f"nothing was decided about endpoint '{endpoint}x': did you mean"):
        ask("hold", f"{endpoint}x", "--reason", "why not")


def test_without_the_function_nothing_is_decided(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASEN_FUNCTION_PORT", str(free_port("127.0.0.1")))
    with pytest.raises(PlatformFailed, match="the deploy function does not answer"):
        ask("rollback", endpoint)
    assert len(ask_json("deployments", endpoint)) == 2


# A command that meets a ledger that has moved on


def test_a_void_command_is_given_again_while_the_same_version_is_live(
    home: LedgerHome, endpoint: str
) -> None:
    told: list[str] = []
    given: list[int] = []

    def give(settings: Settings, command: Command) -> LedgerRecord:
        given.append(command.seen)
        if len(given) == 1:
            ask("hold", endpoint, "--reason", "somebody was quicker")
        return give_command(settings, command)

    record = decide(home.settings, endpoint, "rollback", by="ada", tell=told.append, give=give)
    assert (given, record.action, record.number) == ([2, 3], "rollback", 4)
    assert len(told) == 1
    assert told[0].startswith("meanwhile, record 3: hold by ")


def test_a_void_command_is_not_given_again_about_another_version(home: LedgerHome, endpoint: str) -> None:
    told: list[str] = []

    def give(settings: Settings, command: Command) -> LedgerRecord:
        home.publish(3, endpoint)
        return give_command(settings, command)

    with pytest.raises(InvalidInput, match="has changed it since; look again"):
        decide(home.settings, endpoint, "rollback", by="ada", tell=told.append, give=give)
    assert len(told) == 1
    assert newest_record(home.settings, endpoint).action == "deploy"


def test_a_command_gives_up_where_the_ledger_never_rests(home: LedgerHome, endpoint: str) -> None:
    given: list[int] = []

    def give(settings: Settings, command: Command) -> LedgerRecord:
        given.append(command.seen)
        ask("unhold" if len(given) % 2 == 0 else "hold", endpoint, "--reason", "to and fro")
        return give_command(settings, command)

    with pytest.raises(InvalidInput, match="look again"):
        decide(home.settings, endpoint, "rollback", by="ada", tell=lambda _: None, give=give)
    assert given == [2, 3, 4]


# What serving's public route says


@contextmanager
def public_route(port: int, answers: list[tuple[int, bytes]]) -> Iterator[None]:
    """Answer each GET with the next of `answers`, the last one for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "follows", "said"),
    [
        ([(200, b'{"revision": 1}'), (503, b"asleep"), (200, b'{"revision": 2}')], True, ""),
        ([(200, b'{"revision": 1}')], False, "did not follow in 0 s: it still answers by record 1"),
        ([(404, b'{"error": {"message": "no such endpoint"}}')], False, "no such endpoint"),
        ([(401, b"{}")], False, "asks for a key"),
        ([(500, b"<html>")], False, "it says 500"),
    ],
)
def test_serving_is_asked_until_it_answers_by_the_record(
    home: LedgerHome, endpoint: str, answers: list[tuple[int, bytes]], follows: bool, said: str
) -> None:
    record = newest_record(home.settings, endpoint)
    assert record.number == 2
    with public_route(home.settings.serving_port, answers):
        found = wait_until_answered(
            home.settings, record, since=0.0, timeout_seconds=10.0 if follows else 0.1
        )
    assert (found.seconds is not None) is follows
    assert said in found.problem


def test_a_rollback_says_how_long_it_took(home: LedgerHome, endpoint: str) -> None:
    with public_route(home.settings.serving_port, [(200, b'{"revision": 2}'), (200, b'{"revision": 3}')]):
        assert re.search(r"serving answers with it, \d+\.\d\d s after the command", ask("rollback", endpoint))
