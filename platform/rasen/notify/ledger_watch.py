"""Ledgers: what was decided about endpoints, by the function or by a person.

A ledger has no gaps, so reading goes on at the number after the last one. A record that is not believed is told and
passed by: what comes after it must be heard too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from rasen.deploy.ledger import find_head, list_endpoints, read_record
from rasen.errors import ObjectNotFound, RasenError, StoreUnavailable
from rasen.notify.changes import Change, Ended, Findings, Happened
from rasen.notify.incidents import Incidents
from rasen.notify.message import Content
from rasen.notify.run_story import Stories
from rasen.pipeline_alerts import AlertKind, Alerts
from rasen.store import Store
from rasen.tracking.keys import deployment_key, start_key
from rasen.tracking.ledger_records import LedgerRecord

_LIVE = frozenset({"deploy", "promote", "approve", "override"})


class LedgerWatch:
    """Looks at `endpoints/`.

    Args:
        store: Where they are.
        incidents: How far they were read.
        stories: Returns what tells of runs; asked each time, because keys may have changed.
    """

    def __init__(self, store: Store, incidents: Incidents, stories: Callable[[], Stories]) -> None:
        self._store = store
        self._incidents = incidents
        self._stories = stories
        self._read: dict[str, int] = {}

    def begin(self) -> Findings:
        """Return the heads of all ledgers as read: they are older than the notifier, and nobody is told of them."""
        return Findings(
            positions={
                _ledger(name): str(find_head(self._store, name)) for name in list_endpoints(self._store)
            }
        )

    def look(self) -> Findings:
        """Return what was decided since the last look that was kept."""
        findings = Findings()
        for endpoint in list_endpoints(self._store):
            number = int(self._incidents.position(_ledger(endpoint)) or 0)
            while (stat := self._store.stat(deployment_key(endpoint, number + 1))) is not None:
                number += 1
                findings.positions[_ledger(endpoint)] = str(number)
                findings.changes += self._changes(endpoint, number, stat.updated_at)
        return findings

    def _changes(self, endpoint: str, number: int, at: datetime) -> Iterator[Change]:
        stories = self._stories()
        try:
            record = read_record(
                self._store, stories.trust, endpoint, number, environment=stories.environment
            )
        except (StoreUnavailable, ObjectNotFound):
            raise
        except RasenError as error:
            content = Content(
                kind=AlertKind.TRUST,
                title=f"{endpoint}: record {number} of the ledger is not believed; serving stays with what it has",
                endpoint=endpoint,
                facts={"why": str(error)},
                commands=[f"rasen deployments {endpoint}"],
            )
            yield Happened(
                key=f"trust/{endpoint}", at=at, mark=_mark(number), describe=lambda: (content, None)
            )
            return
        yield Ended(key=f"trust/{endpoint}", at=at, why=f"record {number} is believed")
        yield from self._decided(stories, record, at)

    def _decided(self, stories: Stories, record: LedgerRecord, at: datetime) -> Iterator[Change]:
        endpoint, state = record.endpoint, record.state
        pipeline = self._pipeline(record)
        why = f"decision {record.number} of {endpoint}: {record.action}, {record.reason}"
        if record.action in _LIVE:
            yield Ended(key=f"refusal/{endpoint}/{pipeline}", at=at, why=why)
            if state.rollout is None:
                yield Ended(key=f"rollback/{endpoint}", at=at, why=why)
                yield Ended(key=f"abort/{endpoint}", at=at, why=why)
        if state.held is None and not (state.rollout is not None and state.rollout.waits):
            yield Ended(key=f"hold/{endpoint}", at=at, why=why)
        if state.frozen is None:
            yield Ended(key=f"freeze/{endpoint}", at=at, why=why)
        told = self._told(record, pipeline)
        if told is not None:
            kind, key, title, lasting = told
            yield Happened(
                key=key,
                at=at,
                mark=_mark(record.number),
                lasting=lasting,
                describe=partial(_describe, stories, record, pipeline, kind, title),
            )

    def _told(self, record: LedgerRecord, pipeline: str) -> tuple[AlertKind, str, str, bool] | None:
        """Return kind, incident, title, and whether it goes on; `None` for what nobody is told of."""
        endpoint, state = record.endpoint, record.state
        match record.action:
            case "refuse":
                failed = [verdict.gate for verdict in record.verdicts if verdict.answer == "fail"]
                by = f" by {', '.join(failed)}" if failed else ""
                title = f"{endpoint}: a version of {pipeline or 'an unknown pipeline'} was refused{by}"
                return AlertKind.REFUSAL, f"refusal/{endpoint}/{pipeline}", title, True
            case "hold" if state.frozen is not None and state.frozen.number == record.number:
                title = f"{endpoint}: {state.frozen.by} holds it, no version goes live: {state.frozen.reason}"
                return AlertKind.HOLD, f"freeze/{endpoint}", title, True
            case "hold" if state.held is not None and state.held.requested:
                return None  # nobody has to do anything: a comparison is being made anew, and decided then
            case "hold":
                title = f"{endpoint}: a rollout is at its end, and a person decides what comes now"
                if state.held is not None:
                    waits = f" for {', '.join(state.held.gates)}" if state.held.gates else ""
                    title = f"{endpoint}: a version of {pipeline or 'an unknown pipeline'} waits{waits}"
                return AlertKind.HOLD, f"hold/{endpoint}", title, True
            case "rollback":
                title = f"{endpoint}: rolled back to {_champion(record) or 'nothing'}"
                return AlertKind.ROLLBACK, f"rollback/{endpoint}", title, True
            case "abort":
                title = f"{endpoint}: a rollout was ended, the champion answers everything"
                return AlertKind.ABORT, f"abort/{endpoint}", title, True
            case "override":
                title = f"{endpoint}: {record.actor} let in a version against its gates"
                return AlertKind.OVERRIDE, f"override/{endpoint}/{record.number}", title, False
            case "deploy" | "promote" | "approve" if state.rollout is None and record.run:
                title = f"{endpoint}: a version of {pipeline or 'an unknown pipeline'} is live"
                return AlertKind.SUCCESS, f"success/{endpoint}/{record.number}", title, False
            case _:
                return None

    def _pipeline(self, record: LedgerRecord) -> str:
        """Return whose run a record is about."""
        state = record.state
        named = [
            *((one.pipeline, one.run) for one in state.variants),
            *([(state.held.pipeline, state.held.run)] if state.held is not None else []),
        ]
        known = next((pipeline for pipeline, run in named if run == record.run), None)
        if known is not None:
            return known
        candidates = [state.pipeline, *state.challengers]
        if record.run is not None:
            for pipeline in filter(None, candidates):
                if self._store.stat(start_key(pipeline, record.run)) is not None:
                    return pipeline
        return state.pipeline or ""


def _describe(
    stories: Stories, record: LedgerRecord, pipeline: str, kind: AlertKind, title: str
) -> tuple[Content, Alerts | None]:
    run = record.run or ""
    champion = _champion(record)
    owner, alerts = stories.who(pipeline, run or champion)
    facts = {
        "decision": f"{record.number}: {record.action} by {record.actor}",
        "reason": record.reason,
        "answers now": champion or "nothing",
    }
    content = Content(
        kind=kind,
        title=title,
        pipeline=pipeline,
        endpoint=record.endpoint,
        owner=owner,
        run=run,
        verdicts=record.verdicts,
        facts=facts,
        commands=[f"rasen deployments {record.endpoint}", *([f"rasen show {run}"] if run else [])],
        links=stories.links.of_endpoint(record.endpoint),
    )
    return content, alerts


def _champion(record: LedgerRecord) -> str:
    """Return the version that answers after a decision, `""` for none."""
    return next((one.run for one in record.state.variants if one.role == "champion"), "")


def _ledger(endpoint: str) -> str:
    return f"ledger/{endpoint}"


def _mark(number: int) -> str:
    return f"{number:08d}"
