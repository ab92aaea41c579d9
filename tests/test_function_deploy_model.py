"""The deploy function under the real functions-framework: binary and structured events, poison, and an absent store."""

import getpass
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.deploy import ledger
from rasen.deploy.assignment import assign
from rasen.events import OBJECT_FINALIZED, CloudEvent, object_finalized, scheduler_tick
from rasen.local.processes import free_port
from rasen.settings import Settings, load_settings, platform_environment
from rasen.store import DirectoryStore
from rasen.tracking.keys import replica_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.replica_report import EndpointReport, ReplicaReport, ShadowReport, VariantReport
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.function import Receiver, post, running_function
from stand.manifests import Publisher, run_of


class Function:
    """A running function with its store."""

    def __init__(self, settings: Settings, serving: Receiver) -> None:
        self.settings = settings
        self.serving = serving
        self.store = DirectoryStore(settings.store_dir)
        self.publisher = Publisher(
            self.store,
            settings.home / "unpickled",
            registrar=open_signer(settings, Role.REGISTRAR),
            control=open_signer(settings, Role.CONTROL),
            decider=open_signer(settings, Role.DECIDER),
        )

    def send(self, event: CloudEvent) -> int:
        headers, body = event.to_http()
        return post(self.settings.host, self.settings.function_port, headers, body)

    def send_raw(self, body: bytes, **attributes: str) -> int:
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": "1",
            "ce-source": "//x",
        }
        headers |= {f"ce-{name}": value for name, value in ({"type": OBJECT_FINALIZED} | attributes).items()}
        return post(self.settings.host, self.settings.function_port, headers, body)

    def tick(self) -> int:
        return self.send(scheduler_tick(job="reconcile", at=datetime.now(tz=UTC)))

    def records(self, endpoint: str) -> list[LedgerRecord]:
        trust = load_trust(self.settings)
        return list(ledger.list_records(self.store, trust, endpoint, environment="dev"))

    def decided(self, endpoint: str) -> list[tuple[str, str | None]]:
        return [(record.action, record.run) for record in self.records(endpoint)]


def finalized(number: int, pipeline: str) -> CloudEvent:
    return object_finalized(
        bucket="rasen-dev",
        name=f"manifests/{pipeline}/{run_of(number)}.json",
        generation=1,
        size_bytes=1,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def function(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    home = tmp_path_factory.mktemp("home")
    with Receiver() as serving:
        settings = load_settings(
            home=home, environment="dev", function_port=free_port("127.0.0.1"), admin_port=serving.port
        )
        with running_function(settings, log=home / "function.log"):
            yield Function(settings, serving)
    assert not (home / "unpickled").exists()


def test_a_binary_event_leads_to_a_record_and_a_hint_to_serving(function: Function) -> None:
    function.publisher.register("binary")
    function.publisher.publish(1, "binary")
    function.serving.requests.clear()
    assert function.send(finalized(1, "binary")) == 200
    assert function.decided("binary") == [("deploy", run_of(1))]
    assert [(path, body) for path, _, body in function.serving.requests] == [("/-/reload", b"")]
    assert function.send(finalized(1, "binary")) == 200
    assert len(function.records("binary")) == len(function.serving.requests) == 1


def test_a_structured_event_leads_to_a_record(function: Function) -> None:
    function.publisher.register("structured")
    function.publisher.publish(1, "structured")
    event = finalized(1, "structured")
    envelope = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "datacontenttype": "application/json",
        "data": event.data,
    }
    headers = {"Content-Type": "application/cloudevents+json"}
    body = json.dumps(envelope).encode()
    assert post(function.settings.host, function.settings.function_port, headers, body) == 200
    assert function.decided("structured") == [("deploy", run_of(1))]


def test_one_event_decides_all_that_was_published(function: Function) -> None:
    function.publisher.register("several")
    for number in (3, 1, 2):
        function.publisher.publish(number, "several")
    assert function.send(finalized(2, "several")) == 200
    assert function.decided("several") == [("deploy", run_of(number)) for number in (1, 2, 3)]


def test_an_event_decides_its_own_pipeline_only_and_the_tick_all(function: Function) -> None:
    for name in ("rung", "unrung"):
        function.publisher.register(name)
        function.publisher.publish(1, name)
    assert function.send(finalized(1, "rung")) == 200
    assert (len(function.records("rung")), len(function.records("unrung"))) == (1, 0)
    assert function.tick() == 200
    assert (len(function.records("rung")), len(function.records("unrung"))) == (1, 1)


def test_the_same_event_many_times_at_once_is_one_decision(function: Function) -> None:
    function.publisher.register("stormy")
    function.publisher.publish(1, "stormy")
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(function.send, [finalized(1, "stormy")] * 64))
    assert statuses == [200] * 64
    assert function.decided("stormy") == [("deploy", run_of(1))]


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        (b"", {}),
        (b"{", {}),
        (b"\xff\xfe\x00", {}),
        (b"null", {}),
        (b"[]", {}),
        (b'"manifests"', {}),
        (b"{}", {}),
        (b'{"name": null}', {}),
        (b'{"name": "manifests/demand/x.json"}', {}),
        (b'{"name": "manifests/../../etc/passwd"}', {}),
        (b'{"name": "manifests/Demand/20260101T000100000Z-0123456789ab.json"}', {}),
        (b'{"name": "manifests/nobody/20260101T000100000Z-0123456789ab.json"}', {}),
        (b'{"name": "manifests/a/b/c/d"}', {}),
        (b'{"name": "manifests\\u0000/demand"}', {}),
        (b'{"name": "runs/demand/20260101T000100000Z-0123456789ab/train/1/result.json"}', {}),
        (b'{"name": "releases/demand/current.json"}', {}),
        (b'{"name": "' + b"x" * 100_000 + b'"}', {}),
        (b'{"name": "manifests/demand/x.json"}', {"subject": "objects/other"}),
        (b"{}", {"type": "google.cloud.storage.object.v1.deleted"}),
        (b"{}", {"type": "?" * 4000}),
    ],
)
def test_poison_is_acknowledged_and_decides_nothing(
    function: Function, body: bytes, attributes: dict[str, str]
) -> None:
    before = ledger.list_endpoints(function.store)
    assert function.send_raw(body, **attributes) == 200
    assert ledger.list_endpoints(function.store) == before


def test_a_person_decides_about_a_rollout(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in platform_environment(function.settings).items():
        monkeypatch.setenv(name, value)

    def ask(*typed: str) -> Any:
        done = CliRunner().invoke(build_app(), list(typed), env={"COLUMNS": "300"})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return str(done.exception)
        return done.stdout

    function.publisher.register("canary", rollout={"kind": "canary", "steps": ["5%", "50%"], "watch": "1h"})
    function.publisher.publish(1, "canary")
    function.publisher.publish(2, "canary")
    function.send(finalized(2, "canary"))
    shown = ask("rollout", "canary")
    assert "canary, step 1 of 2: 5 % of the requests" in shown
    assert f"challenger     5 %  {run_of(2)}  0 requests, 0 failed" in shown
    assert "next: wait: watched 0 s of 1 h, 0 requests of at least 100" in shown
    counted = VariantReport(
        run=run_of(2),
        revision=2,
        role="challenger",
        requests=50,
        errors=1,
        rewards=4,
        reward=3.0,
        shadow=ShadowReport(answers=40, equal=39, numbers=40, difference=2.0, dropped=3),
    )
    report = ReplicaReport(
        replica="one",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        reported_at=datetime(2026, 1, 1, tzinfo=UTC),
        endpoints={"canary": EndpointReport(revision=2, variants=[counted])},
    )
    function.store.write(replica_key("one"), report.to_bytes())
    assert (
        f"{run_of(2)}  50 requests, 1 failed, 4 rewards, 0.75 on average, 97.5 % as returned, "
        "0.05 away on average, 3 copies dropped"
    ) in ask("rollout", "canary")
    assert json.loads(ask("rollout", "canary", "promote", "--json"))["rollout"]["step_number"] == 3
    found = json.loads(ask("assign", "canary", "ada", "grace", "--json"))
    state = function.records("canary")[-1].state
    assert [each["run"] for each in found] == [assign("canary", state, key).run for key in ("ada", "grace")]
    before = json.loads(ask("assign", "canary", "ada", "--number", "1", "--json"))
    assert before == [{"key": "ada", "run": run_of(1), "role": "champion"}]
    assert "nothing is under way" in ask("rollout", "canary", "abort")
    assert [(record.action, record.actor) for record in function.records("canary")][2:] == [
        ("promote", getpass.getuser()),
        ("abort", getpass.getuser()),
    ]
    assert "nothing is under way for endpoint 'canary', so nothing to promote" in ask(
        "rollout", "canary", "promote"
    )
    assert "'go' is no decision" in ask("rollout", "canary", "go")
    assert "did you mean 'canary'?" in ask("rollout", "canari")


def test_an_event_for_a_deleted_manifest_is_acknowledged(function: Function) -> None:
    function.publisher.register("deleted")
    function.publisher.publish(1, "deleted")
    function.store.delete(function.publisher.manifest_key(1, "deleted"))
    assert function.send(finalized(1, "deleted")) == 200
    assert function.records("deleted") == []


def test_a_store_that_cannot_be_written_makes_the_sender_try_again(function: Function) -> None:
    function.publisher.register("stalled")
    function.publisher.publish(1, "stalled")
    staged = function.settings.store_dir / ".staged"
    staged.rmdir()
    staged.write_text("in the way")
    try:
        assert function.send(finalized(1, "stalled")) == 500
        assert function.tick() == 500
    finally:
        staged.unlink()
    assert function.records("stalled") == []
    assert function.send(finalized(1, "stalled")) == 200
    assert function.decided("stalled") == [("deploy", run_of(1))]


def test_serving_that_is_down_does_not_stand_in_the_way(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path, function_port=free_port("127.0.0.1"), admin_port=free_port("127.0.0.1")
    )
    with Receiver() as unused, running_function(settings, log=tmp_path / "function.log"):
        alone = Function(settings, unused)
        alone.publisher.register("alone")
        alone.publisher.publish(1, "alone")
        assert alone.send(finalized(1, "alone")) == 200
        assert alone.decided("alone") == [("deploy", run_of(1))]


def test_the_function_loads_nothing_heavy() -> None:
    program = (
        "import sys, rasen.deploy.doorbell, rasen.settings; rasen.settings.load_settings();"
        "print(sorted(sys.modules.keys() & {'pandas', 'numpy', 'duckdb', 'sqlglot', 'sklearn', 'xgboost', 'papermill',"
        " 'pyarrow', 'scipy', 'nbformat', 'cloudpickle', 'fastapi', 'httpx'}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert output == "[]\n"
