"""A store with a notifier behind it: runs that fail and succeed, decisions, reports, and a log of what was told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasen.deploy.ledger import append, find_head
from rasen.notify.database import open_database
from rasen.notify.incidents import Incident, Incidents
from rasen.notify.notifier import Notifier
from rasen.notify.outbox import Outbox, Waiting
from rasen.settings import Settings, load_settings
from rasen.store import DirectoryStore
from rasen.tracking.keys import end_key, release_key, replica_key, result_key, start_key, step_prefix
from rasen.tracking.ledger_records import Action, EndpointState, GateVerdict, LedgerRecord, Variant
from rasen.tracking.records import End, ErrorRecord, Start, StepResult, Verdict
from rasen.tracking.replica_report import EndpointReport, ReplicaReport
from rasen.tracking.signature import write_signed
from stand.manifests import Publisher, run_of
from stand.published import release_of

RELEASE = "1-0123456789ab"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Clock:
    """Seconds that go on when the test says so."""

    seconds: float = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def later(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Watched:
    """A store and its notifier, which looks when the test says so."""

    settings: Settings
    store: DirectoryStore
    publisher: Publisher
    notifier: Notifier
    incidents: Incidents
    outbox: Outbox
    clock: Clock
    generation: int = field(default=0)

    def look(self) -> None:
        self.notifier.step()

    def register(
        self, pipeline: str = "demand", *, alerts: Mapping[str, Any] | None = None, release: str = RELEASE
    ) -> None:
        """Write a release of an owner named `us`."""
        text = json.dumps(
            {
                "name": pipeline,
                "owner": "us",
                "steps": {"train": {"notebook": "train.ipynb"}},
                **({"alerts": alerts} if alerts else {}),
            }
        )
        record = release_of(pipeline, release, text, image="sha256:0")
        key = release_key(pipeline, release)
        write_signed(self.store, key, record.to_bytes(), self.publisher.registrar)

    def fail(
        self,
        number: int,
        pipeline: str = "demand",
        *,
        verdict: Verdict = Verdict.FAILED,
        step: str = "train",
        error: str = "no rows for JFK",
        cell: str = "rows = load()\ncheck(rows)",
        origin: Any = "release",
        release: str = RELEASE,
    ) -> str:
        """Leave what a run leaves that did not succeed; return its id."""
        run = run_of(number)
        start = Start(
            run=run,
            pipeline=pipeline,
            release=release,
            origin=origin,
            environment="dev",
            nonce="",
            trigger=f"request:{number}",
            image="",
        )
        self.store.write(start_key(pipeline, run), start.to_bytes())
        result = StepResult(
            attempt=1,
            verdict=verdict,
            cell=1,
            seconds=1.0,
            error=ErrorRecord(name="ValueError", message=error),
        )
        self.store.write(result_key(pipeline, run, step, 1), result.to_bytes())
        saved = {"cells": [{"source": "x = 1"}, {"source": cell.splitlines(keepends=True)}]}
        key = step_prefix(pipeline, run, step, 1) + "output.ipynb"
        self.store.write(key, json.dumps(saved).encode())
        end = End(
            run=run,
            pipeline=pipeline,
            verdict=verdict,
            step=step,
            error=f"ValueError: {error}",
            ended_at=BEGAN,
        )
        self.store.write(end_key(pipeline, run), end.to_bytes(), if_generation=0)
        return run

    def succeed(self, number: int, pipeline: str = "demand", **changes: Any) -> str:
        """Publish a run."""
        return self.publisher.publish(number, pipeline, **changes)

    def decide(
        self,
        action: Action,
        *,
        endpoint: str = "demand",
        run: str = "",
        champion: str = "",
        verdicts: Sequence[GateVerdict] = (),
        reason: str = "because",
        actor: str = "function",
        **state: Any,
    ) -> int:
        """Write the next record of a ledger; return its number."""
        number = find_head(self.store, endpoint) + 1
        live = champion or run_of(1)
        record = LedgerRecord(
            endpoint=endpoint,
            number=number,
            action=action,
            run=run or None,
            actor=actor,
            reason=reason,
            verdicts=list(verdicts),
            state=EndpointState(
                **{
                    "pipeline": "demand",
                    "variants": [Variant(run=live, pipeline="demand", manifest_sha256="")],
                    **state,
                }
            ),
            decided_at=BEGAN,
        )
        assert append(self.store, self.publisher.decider, record)
        return number

    def report(self, replica: str = "one", *, stale: bool = False, **endpoints: EndpointReport) -> None:
        """Have a replica report."""
        self.generation += 1
        report = ReplicaReport(
            replica=replica, started_at=BEGAN, reported_at=BEGAN, stale=stale, endpoints=endpoints
        )
        self.store.write(replica_key(replica), report.to_bytes())

    def told(self) -> list[Waiting]:
        """Return every message that was put into the outbox and not taken."""
        return self.outbox.all()

    def events(self) -> list[tuple[str, str]]:
        """Return of each message what it is about: event and title."""
        return [(one.message.event, one.message.content.title) for one in self.told()]

    def open(self) -> list[Incident]:
        return [one for one in self.incidents.list_incidents() if one.recovered_at is None]


@contextmanager
def watched(home: Path, *, alerts: str = "", begin: bool = True, **changes: Any) -> Iterator[Watched]:
    """Give a store with a notifier whose messages stay in the outbox, for a receiver that nobody can reach.

    Args:
        home: The platform's folder.
        alerts: More of `alerts.yaml`, or all of it when it begins with `receivers`.
        begin: Look once, so that what follows is news.
        changes: Settings.
    """
    settings = load_settings(home=home, **changes)
    home.mkdir(parents=True, exist_ok=True)
    # Nothing listens on port 9 of this machine ("discard"), so what is told can be counted.
    nobody = "receivers: {team: {kind: webhook, url: 'http://127.0.0.1:9/'}}\ndefault: team\n"
    settings.alerts_file.write_text(alerts if alerts.startswith("receivers") else nobody + alerts)
    store = DirectoryStore(settings.store_dir)
    publisher = Publisher(store, home / "trap")
    settings.trust_file.write_bytes(publisher.trust().to_bytes())
    clock = Clock()
    with closing(open_database(settings.alerts_database)) as database:
        notifier = Notifier(settings, database, store, now=clock, clock=clock, first_pause_seconds=0.05)
        try:
            scene = Watched(
                settings, store, publisher, notifier, Incidents(database), Outbox(database), clock
            )
            if begin:
                scene.look()
            yield scene
        finally:
            notifier.close()
