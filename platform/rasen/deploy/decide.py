"""Deciding: from the manifests and the replicas' reports that are there to the next records of a ledger.

Only this module writes ledgers. Whoever calls, and why, changes nothing: a decision reads the ledger's head and the
manifests after it, in the order of their runs, and commits by creating the next number. A lost race starts over from
the winner's record. Hence duplicate, late, reordered and lost events all lead to the same ledger, and the reconciler is
the same call. So is the watch over rollouts: it reads the reports and decides from their sum.

Order is per pipeline: a run older than one that was decided is superseded, without a record. What is remembered between
calls only saves reading: everything remembered is immutable in the store, and is forgotten when the keys change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from rasen.deploy import ledger
from rasen.deploy.candidate import Candidate, NothingToDecide, Unverified, check_contents, open_candidate
from rasen.deploy.commands import open_command
from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import default_gates, judge
from rasen.deploy.heads import Heads
from rasen.deploy.next_state import (
    Judgement,
    is_settled,
    may_enter,
    record_of,
    record_of_run,
    refuse,
)
from rasen.deploy.replicas import Replicas, observe
from rasen.deploy.rollout import advance, champion_of, judge_step, wait_for_person, withdraw
from rasen.errors import InvalidInput, ModelFailed, ObjectNotFound, TrustError
from rasen.pipeline_deploy import Deploy
from rasen.release import current_release, read_release
from rasen.store import Stat, Store
from rasen.tracking.ids import check_name, check_run_id
from rasen.tracking.keys import deployment_key
from rasen.tracking.ledger_records import EndpointState, LedgerRecord
from rasen.tracking.records import PublishedModel, UnreadableRecord
from rasen.tracking.signature import Signer, TrustStore

_UNVERIFIED_MAX = 100  # a flood of forgeries fills the log, not the ledger

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Memory:
    """What need not be read again while the trusted keys are the same."""

    trust: TrustStore
    heads: Heads
    floors: dict[str, str] = field(default_factory=dict)  # pipeline: a decided run
    # By key and generation of a manifest:
    found: dict[tuple[str, int], NothingToDecide | Unverified] = field(default_factory=dict)
    reconciled: dict[str, int] = field(default_factory=dict)  # pipeline: hash of the names of its manifests
    complaints: set[str] = field(default_factory=set)


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

    def decide(self, pipeline: str) -> list[LedgerRecord]:
        """Decide every run of the pipeline that can be decided, and return the records that this call created.

        Raises:
            InvalidInput: `pipeline` cannot be the name of one.
            TrustError, UnreadableRecord: The head of a ledger cannot be trusted or read; a person must look at it.
            StoreUnavailable: The store is down; calling again later is right.
        """
        check_name("pipeline", pipeline)
        self._look_at_trust()
        self._memory.heads.begin()
        return [
            record
            for found, endpoint in self._undecided(pipeline)
            for record in self._decide_one(found, endpoint)
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
                self._complain(f"pipeline {pipeline!r} was not decided: {error}")
        under_way = [endpoint for endpoint, state in self._memory.heads.survey() if state.rollout is not None]
        for endpoint in under_way:
            try:
                written += self._watch(endpoint)
            except (TrustError, UnreadableRecord) as error:
                self._complain(f"the rollout of endpoint {endpoint!r} was not looked at: {error}")
        self._welcome()
        return written

    def obey(self, command_text: str) -> list[LedgerRecord]:
        """Do what a person asks of a rollout, and return the record that this call created.

        Raises:
            InvalidInput: The rollout, or its step, is not there any more.
            TrustError, UnreadableRecord: Nobody who may has signed it, or the ledger's head cannot be trusted.
            StoreUnavailable: The store is down; calling again later is right.
        """
        self._look_at_trust()
        command = open_command(command_text, self._memory.trust, environment=self._environment)
        endpoint = check_name("endpoint", command.endpoint)
        self._memory.heads.begin()
        while True:
            head = self._memory.heads.head(endpoint)
            rollout = head.state.rollout
            if rollout is None or rollout.step_number != command.step_number:
                there = (
                    "nothing is under way"
                    if rollout is None
                    else f"record {rollout.step_number} began the present step"
                )
                raise InvalidInput(
                    f"{command.by!r} asked to {command.command} the step of {endpoint!r} that record "
                    f"{command.step_number} began; {there}"
                )
            number = head.number + 1
            promotes = command.command == "promote"
            state = advance(head.state, number=number) if promotes else withdraw(head.state)
            record = record_of(
                endpoint,
                number,
                state,
                action=command.command,
                run=rollout.run,
                actor=command.by,
                reason=f"{command.by} decided so",
            )
            if self._append(record):
                return [record]

    def _watch(self, endpoint: str) -> Iterator[LedgerRecord]:
        """Promote or abort the endpoint's rollout if it is time, unless somebody else does it first."""
        while (rollout := (head := self._memory.heads.head(endpoint)).state.rollout) is not None:
            began = self._store.stat(deployment_key(endpoint, rollout.step_number))
            if began is None:
                raise UnreadableRecord(f"ledger record {rollout.step_number}, which began the step, is gone")
            seen = observe(self._replicas.read(), endpoint, rollout, step_at=began.updated_at)
            judgement = judge_step(rollout, seen)
            number, state = head.number + 1, head.state
            match judgement.action:
                case "wait":
                    return
                case "promote":
                    state = advance(state, number=number)
                case "abort":
                    state = withdraw(state)
                case "hold":
                    state = wait_for_person(state)
                case _:
                    assert_never(judgement.action)
            record = record_of(
                endpoint, number, state, action=judgement.action, run=rollout.run, reason=judgement.reason
            )
            if self._append(record):
                yield record

    def _append(self, record: LedgerRecord) -> bool:
        """Create the record, and return whether nobody else took its number."""
        if not ledger.append(self._store, self._signer, record):
            return False
        self._memory.heads.wrote(record)
        _log.info(
            "%s #%d %s %s: %s", record.endpoint, record.number, record.action, record.run, record.reason
        )
        return True

    def _welcome(self) -> None:
        """Look again at what pipelines have published that are invited somewhere now."""
        for pipeline in self._memory.heads.invited:
            self._memory.floors.pop(pipeline, None)
            self._memory.reconciled.pop(pipeline, None)
        self._memory.heads.invited.clear()

    def _remember_nothing(self, trust: TrustStore) -> _Memory:
        return _Memory(trust=trust, heads=Heads(self._store, trust, environment=self._environment))

    def _look_at_trust(self) -> bool:
        """Return whether the trusted keys have changed; what was remembered under the old ones is forgotten."""
        trust = self._read_trust()
        changed = trust != self._memory.trust
        if changed:
            self._memory = self._remember_nothing(trust)
        return changed

    def _complain(self, message: str) -> None:
        """Log once; the same will be found at every look until somebody has acted."""
        if message not in self._memory.complaints:
            self._memory.complaints.add(message)
            _log.error("%s", message)

    def _undecided(self, pipeline: str) -> list[tuple[Candidate | Unverified, str]]:
        """Return what is to be decided and for which endpoint, oldest run first.

        Reads from the newest back to the first that is decided everywhere: in the ledger of the endpoint that the run
        names, and of those whose owners invite the pipeline. Where it is new, its newest run enters and no older one.
        """
        heads = self._memory.heads
        pending: list[tuple[Candidate | Unverified, str]] = []
        invitations = {endpoint for endpoint, state in heads.survey() if pipeline in state.challengers}
        self._welcome()
        at_home = True
        for run, stat in self._manifests(pipeline):
            found = self._open(pipeline, run, stat)
            match found:
                case NothingToDecide():
                    continue
                case Unverified():
                    endpoint = self._endpoint_of(pipeline)
                    if endpoint is None:
                        self._complain(
                            f"{stat.key!r} is not decided, and no release or ledger of {pipeline!r} says for which "
                            f"endpoint to refuse it: {found.reason}"
                        )
                    elif at_home and not is_settled(heads.head(endpoint).state, found):
                        pending.append((found, endpoint))
                case Candidate():
                    invitations.discard(found.endpoint)
                    at_home = at_home and not is_settled(heads.head(found.endpoint).state, found)
                    if at_home:
                        pending.append((found, found.endpoint))
                    for endpoint in sorted(invitations):
                        state = heads.head(endpoint).state
                        known_there = pipeline in state.claims
                        if not is_settled(state, found):
                            pending.append((found, endpoint))
                        if is_settled(state, found) or not known_there:
                            invitations.discard(endpoint)
                    if not at_home and not invitations:
                        self._memory.floors[pipeline] = run
                        break
                case _:
                    assert_never(found)
        return pending[::-1]

    def _manifests(self, pipeline: str) -> Iterator[tuple[str, Stat]]:
        """Yield the pipeline's published runs after one that is known to be decided, newest first."""
        prefix = f"manifests/{pipeline}/"
        floor = self._memory.floors.get(pipeline)
        stats = list(self._store.list(prefix, after=f"{prefix}{floor}.json" if floor else ""))
        for stat in reversed(stats):
            run = stat.key.removeprefix(prefix).removesuffix(".json")
            try:
                check_run_id(run)
            except InvalidInput:
                self._complain(f"{stat.key!r} is ignored: it is not named after a run")
                continue
            yield run, stat

    def _open(self, pipeline: str, run: str, stat: Stat) -> NothingToDecide | Unverified | Candidate:
        known = self._memory.found.get((stat.key, stat.generation))
        if known is not None:
            return known
        found = open_candidate(self._store, self._memory.trust, pipeline, run, environment=self._environment)
        if isinstance(found, Unverified) and self._look_at_trust():
            # Signed with a key that became trusted after this call began: the first run of a new machine does that.
            found = open_candidate(
                self._store, self._memory.trust, pipeline, run, environment=self._environment
            )
        if not isinstance(found, Candidate):
            self._memory.found[stat.key, stat.generation] = found
        return found

    def _endpoint_of(self, pipeline: str) -> str | None:
        """Return the endpoint in whose ledger a forgery in the pipeline's name is refused, `None` for a stranger.

        The one that the pipeline owns; before its first decision, the one that a release of it names.
        """
        for endpoint in ledger.list_endpoints(self._store):
            if self._owner(endpoint) == pipeline:
                return endpoint
        releases = self._store.children(f"releases/{pipeline}/")
        with suppress(InvalidInput, UnreadableRecord):
            releases.insert(0, current_release(self._store, pipeline))
        for release in releases:
            with suppress(TrustError, UnreadableRecord, InvalidInput):
                trust = self._memory.trust
                return read_release(
                    self._store, trust, pipeline, release, environment=self._environment
                ).spec.endpoint
        return None

    def _owner(self, endpoint: str) -> str | None:
        try:
            return self._memory.heads.head(endpoint).state.pipeline
        except (TrustError, UnreadableRecord):
            return None

    def _decide_one(self, found: Candidate | Unverified, endpoint: str) -> Iterator[LedgerRecord]:
        """Create the record of one run in one ledger, unless somebody else decides it first."""
        judged: tuple[Deploy, Judgement] | None = None
        while True:
            head = self._memory.heads.head(endpoint)
            if is_settled(head.state, found):
                return
            live: PublishedModel | None = None
            if isinstance(found, Unverified):
                if len(head.state.unverified) >= _UNVERIFIED_MAX:
                    self._complain(
                        f"one more manifest that is not ours, {found.pipeline}/{found.run}: {found.reason}"
                    )
                    return
                conditions, judgement = Deploy(), refuse(found.reason)
            else:
                known = self._conditions(head.state, found)
                conditions = known or Deploy()
                if known is None:
                    judgement = refuse(f"the conditions of {head.state.pipeline!r}, which invites, are gone")
                elif judged is not None and judged[0] == known:
                    judgement = judged[1]
                else:
                    judgement = self._judge(found, known)
                    judged = known, judgement
                live = None if conditions.rollout is None else self._live_model(head.state)
            record = record_of_run(endpoint, head, found, judgement, conditions=conditions, live=live)
            if self._append(record):
                yield record
                return

    def _conditions(self, state: EndpointState, candidate: Candidate) -> Deploy | None:
        """Return the owner's conditions, as the newest of its runs that was decided has them; `None` if it is gone."""
        if state.pipeline in {None, candidate.pipeline} or not may_enter(state, candidate.pipeline):
            return candidate.release.spec.deploy
        assert state.pipeline is not None  # it has an owner, who has invited
        newest = state.newest_run
        found = None if newest is None else self._reopen(state.pipeline, newest)
        return None if found is None else found.release.spec.deploy

    def _live_model(self, state: EndpointState) -> PublishedModel | None:
        champion = champion_of(state)
        found = None if champion is None else self._reopen(champion.pipeline, champion.run)
        return None if found is None else found.model

    def _reopen(self, pipeline: str, run: str) -> Candidate | None:
        """Return a run that was decided before, `None` when it is gone or its key is not trusted any more."""
        found = open_candidate(self._store, self._memory.trust, pipeline, run, environment=self._environment)
        return found if isinstance(found, Candidate) else None

    def _judge(self, candidate: Candidate, conditions: Deploy) -> Judgement:
        try:
            metrics = check_contents(
                self._store, candidate, environment=self._environment, scratch_dir=self._scratch_dir
            )
        except (TrustError, ObjectNotFound, UnreadableRecord, InvalidInput, ModelFailed) as error:
            return refuse(str(error))
        declared = conditions.gates
        gates = default_gates(metrics) if declared is None else declared
        verdicts = tuple(judge(gates, Evidence.of_metrics(metrics)))
        failed = [verdict for verdict in verdicts if verdict.answer != "pass"]
        passed = f"{len(verdicts) - len(failed)} of {len(verdicts)} gates passed"
        if failed:
            reasons = "; ".join(verdict.reason for verdict in failed)
            return Judgement(action="refuse", reason=f"{passed}: {reasons}", verdicts=verdicts)
        if verdicts:
            reasons = "; ".join(verdict.reason for verdict in verdicts)
            return Judgement(action="deploy", reason=f"{passed}: {reasons}", verdicts=verdicts)
        return Judgement(
            action="deploy",
            reason="no gate is declared and no metric has a profile_ partner: deployed on its qualification alone",
        )
