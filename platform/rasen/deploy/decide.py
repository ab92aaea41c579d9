"""Deciding: from the manifests, the replicas' reports and people's commands to the next records of a ledger.

Only this module writes ledgers. Whoever calls, and why, changes nothing: a decision reads the ledger's head and the
manifests after it, in the order of their runs, and commits by creating the next number. A lost race starts over from
the winner's record. Hence duplicate, late, reordered and lost events all lead to the same ledger, and the reconciler is
the same call. So is the watch over rollouts: it reads the reports and decides from their sum.

Order is per pipeline: a run older than one that was decided is superseded, without a record. What is remembered between
calls only saves reading (`rasen.deploy.memory`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import assert_never

from rasen.deploy import ledger
from rasen.deploy.candidate import Candidate, Unverified
from rasen.deploy.commands import open_command
from rasen.deploy.heads import Head
from rasen.deploy.judging import Judgement, judge_candidate, refuse
from rasen.deploy.memory import Memory
from rasen.deploy.next_state import is_settled, may_enter, policies_of, record_of, record_of_run
from rasen.deploy.obeying import obey
from rasen.deploy.replicas import Replicas, Reported, cannot_be_served, observe
from rasen.deploy.requalification import request_qualification
from rasen.deploy.rollout import advance, champion_of, crown, judge_step, wait_for_person, withdraw
from rasen.deploy.undecided import list_undecided, welcome
from rasen.errors import InvalidInput, TrustError
from rasen.pipeline_deploy import Deploy
from rasen.store import Store
from rasen.tracking.ids import check_name
from rasen.tracking.keys import deployment_key
from rasen.tracking.ledger_records import EndpointState, LedgerRecord
from rasen.tracking.records import PublishedModel, UnreadableRecord
from rasen.tracking.signature import Signer, TrustStore

_UNVERIFIED_MAX = 100  # a flood of forgeries fills the log, not the ledger

_log = logging.getLogger(__name__)


class Decider:
    """Who may sign the ledger. Not for several threads at once."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        *,
        trust: Callable[[], TrustStore],
        environment: str,
        scratch_dir: Path,
    ) -> None:
        self._store = store
        self._signer = signer
        self._read_trust = trust
        self._environment = environment
        self._scratch_dir = scratch_dir
        self._replicas = Replicas(store)
        self._memory = self._remember_nothing(TrustStore())

    def decide(self, pipeline: str, *, event: str = "") -> list[LedgerRecord]:
        """Decide every run of the pipeline that can be decided, and return the records that this call created.

        Args:
            pipeline: Whose runs.
            event: Id of the event that is being answered, for the records.

        Raises:
            InvalidInput: `pipeline` cannot be the name of one.
            TrustError, UnreadableRecord: The head of a ledger cannot be trusted or read; a person must look at it.
            StoreUnavailable: The store is down; calling again later is right.
        """
        check_name("pipeline", pipeline)
        self._look_at_trust()
        self._memory.heads.begin()
        undecided = list_undecided(pipeline, memory=lambda: self._memory, look_again=self._look_at_trust)
        return [
            record
            for found, endpoint in undecided
            for record in self._decide_one(found, endpoint, event=event)
        ]

    def reconcile(self) -> list[LedgerRecord]:
        """Call `decide` for every pipeline with manifests that it does not know to be decided, then watch the rollouts.

        What cannot be trusted is logged and does not stop the others.

        Raises:
            StoreUnavailable: The store is down; calling again later is right.
        """
        written: list[LedgerRecord] = []
        self._look_at_trust()
        for pipeline in self._store.children("manifests/"):
            names = hash(tuple(self._store.children(f"manifests/{pipeline}/")))
            if self._memory.reconciled.get(pipeline) == names:
                continue
            try:
                written += self.decide(pipeline)
                self._memory.reconciled[pipeline] = names
            except (InvalidInput, TrustError, UnreadableRecord) as error:
                self._memory.complain(f"pipeline {pipeline!r} was not decided: {error}")
        reports = self._replicas.read()
        refusing = {name for one in reports for name, each in one.report.endpoints.items() if each.refused}
        for endpoint in sorted({*self._memory.under_way(), *refusing}):
            try:
                written += self._watch(endpoint)
                written += self._decide_held(endpoint)
                written += self._take_back(endpoint, reports)
            except (TrustError, UnreadableRecord) as error:
                self._memory.complain(f"endpoint {endpoint!r} was not looked at: {error}")
        welcome(self._memory)
        return written

    def obey(self, command_text: str, *, event: str = "") -> list[LedgerRecord]:
        """Do what a person asks of an endpoint, and return the records that this call created.

        Raises:
            InvalidInput: It cannot be done, or something has changed since the person looked.
            TrustError, UnreadableRecord: Nobody who may has signed it, or the ledger's head cannot be trusted.
            StoreUnavailable: The store is down; calling again later is right.
        """
        self._look_at_trust()
        command = open_command(command_text, self._memory.trust, environment=self._environment)
        endpoint = check_name("endpoint", command.endpoint)
        self._memory.heads.begin()
        while True:
            head = self._memory.heads.head(endpoint)
            if event and self._was_obeyed(endpoint, head, event, after=command.seen):
                return []  # the same event came twice
            record = obey(self._memory, command, head, conditions_of=self._conditions, event=event)
            if self._append(record):
                break
        return [record, *self._decide_held(endpoint)]

    def _was_obeyed(self, endpoint: str, head: Head, event: str, *, after: int) -> bool:
        records = self._memory.past.records(endpoint, head=head.number)
        return any(record.event == event for record in takewhile(lambda one: one.number > after, records))

    def _watch(self, endpoint: str) -> Iterator[LedgerRecord]:
        """Promote or abort the endpoint's rollout if it is time, unless somebody else does it first."""
        while (rollout := (head := self._memory.heads.head(endpoint)).state.rollout) is not None:
            began = self._store.stat(deployment_key(endpoint, rollout.step_number))
            if began is None:
                raise UnreadableRecord(f"ledger record {rollout.step_number}, which began the step, is gone")
            seen = observe(self._replicas.read(), endpoint, rollout, step_at=began.updated_at)
            judgement = judge_step(rollout, seen)
            state = head.state
            match judgement.action:
                case "wait":
                    return
                case "promote" if state.frozen is not None:
                    return  # a person wants nothing to go on by itself; ending it early is still right
                case "promote":
                    state = advance(state, number=head.number + 1)
                case "abort":
                    state = withdraw(state)
                case "hold":
                    state = wait_for_person(state)
                case _:
                    assert_never(judgement.action)
            record = record_of(
                endpoint, head, state, action=judgement.action, run=rollout.run, reason=judgement.reason
            )
            if self._append(record):
                yield record

    def _decide_held(self, endpoint: str) -> Iterator[LedgerRecord]:
        """Judge a version anew that was held only because a person held the endpoint, which is over now."""
        while True:
            head = self._memory.heads.head(endpoint)
            held = head.state.held
            if held is None or held.gates or head.state.frozen is not None:
                return
            found = self._memory.reopen(held.pipeline, held.run)
            if isinstance(found, str):
                state = head.state.model_copy(update={"held": None})
                reason = f"the version that waited cannot be looked at any more: {found}"
                record = record_of(
                    endpoint,
                    head,
                    state,
                    action="refuse",
                    run=held.run,
                    pipeline=held.pipeline,
                    reason=reason,
                )
            else:
                conditions, judgement = self._judge(endpoint, head, found)
                record = record_of_run(
                    endpoint,
                    head,
                    found,
                    judgement,
                    conditions=conditions,
                    live=self._live_model(head.state, conditions),
                )
            if self._append(record):
                yield record
                return

    def _take_back(self, endpoint: str, reports: list[Reported]) -> Iterator[LedgerRecord]:
        """Go back to the champion before where no replica can serve what was deployed; they answer with it anyway."""
        while (champion := champion_of((head := self._memory.heads.head(endpoint)).state)) is not None:
            began = self._store.stat(deployment_key(endpoint, head.state.since))
            if head.state.rollout is not None or began is None:
                return
            why = cannot_be_served(reports, endpoint, since=head.state.since, since_at=began.updated_at)
            before = self._memory.past.champion_before(endpoint, head=head.number) if why else None
            target = None if before is None else champion_of(before.state)
            if before is None or target is None:
                if why:
                    self._memory.complain(
                        f"endpoint {endpoint!r} has no earlier version to go back to: {why}"
                    )
                return
            record = record_of(
                endpoint,
                head,
                crown(head.state.model_copy(update=policies_of(before.state)), target),
                action="rollback",
                run=target.run,
                pipeline=target.pipeline,
                reason=f"back to {target.run} of record {before.number} instead of {champion.run}: {why}",
            )
            if self._append(record):
                yield record
                return

    def _append(self, record: LedgerRecord) -> bool:
        """Create the record, and return whether nobody else took its number."""
        if not ledger.append(self._store, self._signer, record):
            return False
        self._memory.heads.wrote(record)
        _log.info(
            "%s #%d %s %s: %s", record.endpoint, record.number, record.action, record.run, record.reason
        )
        return True

    def _remember_nothing(self, trust: TrustStore) -> Memory:
        return Memory(
            store=self._store, trust=trust, environment=self._environment, scratch_dir=self._scratch_dir
        )

    def _look_at_trust(self) -> bool:
        """Return whether the trusted keys have changed; what was remembered under the old ones is forgotten."""
        trust = self._read_trust()
        changed = trust != self._memory.trust
        if changed:
            self._memory = self._remember_nothing(trust)
        return changed

    def _decide_one(
        self, found: Candidate | Unverified, endpoint: str, *, event: str
    ) -> Iterator[LedgerRecord]:
        """Create the record of one run in one ledger, unless somebody else decides it first."""
        while True:
            head = self._memory.heads.head(endpoint)
            if is_settled(head.state, found):
                return
            if isinstance(found, Unverified):
                if len(head.state.unverified) >= _UNVERIFIED_MAX:
                    self._memory.complain(
                        f"one more manifest that is not ours, {found.pipeline}/{found.run}: {found.reason}"
                    )
                    return
                conditions, judgement = Deploy(), refuse(found.reason)
            else:
                conditions, judgement = self._judge(endpoint, head, found)
                if judgement.request:
                    # Before the record: killed in between, the same request is found by whoever decides next.
                    request_qualification(self._store, found, judgement.request, endpoint=endpoint)
            live = self._live_model(head.state, conditions)
            record = record_of_run(
                endpoint, head, found, judgement, conditions=conditions, live=live, event=event
            )
            if self._append(record):
                yield record
                return

    def _judge(self, endpoint: str, head: Head, found: Candidate) -> tuple[Deploy, Judgement]:
        """Return the owner's conditions and what is to be said of a candidate under them."""
        conditions = self._conditions(head.state, found)
        if conditions is None:
            return Deploy(), refuse(f"the conditions of {head.state.pipeline!r}, which invites, are gone")
        return conditions, judge_candidate(self._memory, found, conditions, endpoint=endpoint, head=head)

    def _conditions(self, state: EndpointState, candidate: Candidate) -> Deploy | None:
        """Return the owner's conditions, as the newest of its runs that was decided has them; `None` if it is gone."""
        if state.pipeline in {None, candidate.pipeline} or not may_enter(state, candidate.pipeline):
            return candidate.release.spec.deploy
        assert state.pipeline is not None  # it has an owner, who has invited
        newest = state.newest_run
        found = None if newest is None else self._memory.reopen(state.pipeline, newest)
        return found.release.spec.deploy if isinstance(found, Candidate) else None

    def _live_model(self, state: EndpointState, conditions: Deploy) -> PublishedModel | None:
        """Return the champion's model where a rollout would have it share the requests."""
        champion = None if conditions.rollout is None else champion_of(state)
        found = None if champion is None else self._memory.reopen(champion.pipeline, champion.run)
        return found.model if isinstance(found, Candidate) else None
