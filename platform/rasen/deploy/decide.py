"""Deciding: from the manifests that are there to the next records of a ledger. Only this module writes ledgers.

Whoever calls, and why, changes nothing: a decision reads the ledger's head and the manifests after it, in the order of
their runs, and commits by creating the next number. A lost race starts over from the winner's record. Hence duplicate,
late, reordered and lost events all lead to the same ledger, and the reconciler is the same call.

Order is per pipeline: a run older than one that was decided is superseded, without a record. What is remembered between
calls only saves reading: everything remembered is immutable in the store, and is forgotten when the keys change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from rasen.deploy import ledger
from rasen.deploy.candidate import Candidate, NothingToDecide, Unverified, check_contents, open_candidate
from rasen.deploy.gates import default_gates, judge
from rasen.errors import InvalidInput, ModelFailed, ObjectNotFound, TrustError
from rasen.release import current_release, read_release
from rasen.store import Stat, Store
from rasen.tracking.ids import check_name, check_run_id
from rasen.tracking.records import Action, EndpointState, GateVerdict, LedgerRecord, UnreadableRecord, Variant
from rasen.tracking.signature import Signer, TrustStore

_UNVERIFIED_MAX = 100  # a flood of forgeries fills the log, not the ledger

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Judgement:
    """What is to be said of a candidate, whatever the state of its endpoint."""

    action: Action
    reason: str
    verdicts: tuple[GateVerdict, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Head:
    """The newest record of a ledger; number 0 and an empty state before the first."""

    number: int
    state: EndpointState


@dataclass(kw_only=True)
class _Memory:
    """What need not be read again while the trusted keys are the same."""

    trust: TrustStore
    floors: dict[str, str] = field(default_factory=dict)  # pipeline: a decided run
    # By key and generation of a manifest:
    found: dict[tuple[str, int], NothingToDecide | Unverified] = field(default_factory=dict)
    known: dict[str, _Head] = field(default_factory=dict)  # endpoint
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
        self._memory = _Memory(trust=TrustStore())
        self._heads: dict[str, int] | None = None  # of this call

    def decide(self, pipeline: str) -> list[LedgerRecord]:
        """Decide every run of the pipeline that can be decided, and return the records that this call created.

        Raises:
            InvalidInput: `pipeline` cannot be the name of one.
            TrustError, UnreadableRecord: The head of a ledger cannot be trusted or read; a person must look at it.
            StoreUnavailable: The store is down; calling again later is right.
        """
        check_name("pipeline", pipeline)
        self._look_at_trust()
        self._heads = None
        return [record for found in self._undecided(pipeline) for record in self._decide_one(found)]

    def reconcile(self) -> list[LedgerRecord]:
        """Call `decide` for every pipeline with manifests that it does not know to be decided.

        A pipeline whose ledger cannot be trusted is logged and does not stop the others.

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
        return written

    def _look_at_trust(self) -> bool:
        """Return whether the trusted keys have changed; what was remembered under the old ones is forgotten."""
        trust = self._read_trust()
        changed = trust != self._memory.trust
        if changed:
            self._memory = _Memory(trust=trust)
        return changed

    def _complain(self, message: str) -> None:
        """Log once; the same will be found at every look until somebody has acted."""
        if message not in self._memory.complaints:
            self._memory.complaints.add(message)
            _log.error("%s", message)

    def _undecided(self, pipeline: str) -> list[Candidate | Unverified]:
        """Return what is to be decided, oldest run first. Reads from the newest back to the first that is decided."""
        pending: list[Candidate | Unverified] = []
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
                    elif not _is_settled(self._head(endpoint).state, found):
                        pending.append(found)
                case Candidate():
                    if _is_settled(self._head(found.endpoint).state, found):
                        self._memory.floors[pipeline] = run
                        break
                    pending.append(found)
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
            return self._head(endpoint).state.pipeline
        except (TrustError, UnreadableRecord):
            return None

    def _head(self, endpoint: str) -> _Head:
        """Return the ledger's newest record, and put `heads.json` right when it says something else."""
        if self._heads is None:
            self._heads = ledger.read_heads(self._store)
        known = self._memory.known.get(endpoint, _Head(number=0, state=EndpointState()))
        hint = self._heads.get(endpoint, 0)
        number = ledger.find_head(self._store, endpoint, hint=max(hint, known.number))
        if number != hint:
            ledger.write_heads(self._store, {endpoint: number})
            self._heads[endpoint] = number
        if number < known.number:
            _log.error("ledger of %s went back from #%d to #%d", endpoint, known.number, number)
        if number == 0:
            known = _Head(number=0, state=EndpointState())
            self._memory.known[endpoint] = known
        elif number != known.number:
            record = ledger.read_record(
                self._store, self._memory.trust, endpoint, number, environment=self._environment
            )
            known = _Head(number=number, state=record.state)
            self._memory.known[endpoint] = known
        return known

    def _decide_one(self, found: Candidate | Unverified) -> Iterator[LedgerRecord]:
        """Create the record of one run, unless somebody else decides it first."""
        endpoint: str | None
        if isinstance(found, Unverified):
            endpoint, judgement = self._endpoint_of(found.pipeline), _refuse(found.reason)
        else:
            endpoint, judgement = found.endpoint, self._judge(found)
        while endpoint is not None:
            head = self._head(endpoint)
            if _is_settled(head.state, found):
                return
            if isinstance(found, Unverified) and len(head.state.unverified) >= _UNVERIFIED_MAX:
                self._complain(
                    f"one more manifest that is not ours, {found.pipeline}/{found.run}: {found.reason}"
                )
                return
            record = self._record(endpoint, head, found, judgement)
            if ledger.append(self._store, self._signer, record):
                self._memory.known[endpoint] = _Head(number=record.number, state=record.state)
                ledger.write_heads(self._store, {endpoint: record.number})
                if self._heads is not None:
                    self._heads[endpoint] = record.number
                _log.info(
                    "%s #%d %s %s: %s", endpoint, record.number, record.action, record.run, record.reason
                )
                yield record
                return

    def _judge(self, candidate: Candidate) -> _Judgement:
        try:
            metrics = check_contents(
                self._store, candidate, environment=self._environment, scratch_dir=self._scratch_dir
            )
        except (TrustError, ObjectNotFound, UnreadableRecord, InvalidInput, ModelFailed) as error:
            return _refuse(str(error))
        declared = candidate.release.spec.deploy.gates
        verdicts = tuple(judge(default_gates(metrics) if declared is None else declared, metrics))
        failed = [verdict for verdict in verdicts if verdict.answer != "pass"]
        passed = f"{len(verdicts) - len(failed)} of {len(verdicts)} gates passed"
        if failed:
            reasons = "; ".join(verdict.reason for verdict in failed)
            return _Judgement(action="refuse", reason=f"{passed}: {reasons}", verdicts=verdicts)
        if verdicts:
            reasons = "; ".join(verdict.reason for verdict in verdicts)
            return _Judgement(action="deploy", reason=f"{passed}: {reasons}", verdicts=verdicts)
        return _Judgement(
            action="deploy",
            reason="no gate is declared and no metric has a profile_ partner: deployed on its qualification alone",
        )

    def _record(
        self, endpoint: str, head: _Head, found: Candidate | Unverified, judgement: _Judgement
    ) -> LedgerRecord:
        state = head.state
        if isinstance(found, Unverified):
            name = f"{found.pipeline}/{found.run}"
            state = state.model_copy(update={"unverified": state.unverified | {name: found.object_sha256}})
        elif state.pipeline not in {None, found.pipeline}:
            judgement = _refuse(
                f"endpoint {endpoint!r} belongs to pipeline {state.pipeline!r}; give {found.pipeline!r} a "
                "`deploy.endpoint` of its own"
            )
            claims = state.claims | {found.pipeline: found.run}
            state = state.model_copy(update={"claims": claims, "unverified": _prune(state, found)})
        else:
            first = judgement.action == "deploy" and not state.variants
            if first:
                reason = f"first version, so no live one to compare with; {judgement.reason}"
                judgement = _Judgement(action="deploy", reason=reason, verdicts=judgement.verdicts)
            state = state.model_copy(
                update={
                    "newest_run": found.run,
                    "pipeline": found.pipeline,
                    "variants": [_champion(found)] if judgement.action == "deploy" else state.variants,
                    "unverified": _prune(state, found),
                }
            )
        return LedgerRecord(
            endpoint=endpoint,
            number=head.number + 1,
            action=judgement.action,
            run=found.run,
            actor="function",
            reason=judgement.reason,
            verdicts=list(judgement.verdicts),
            state=state,
            decided_at=datetime.now(tz=UTC),
        )


def _refuse(reason: str) -> _Judgement:
    return _Judgement(action="refuse", reason=reason)


def _champion(candidate: Candidate) -> Variant:
    return Variant(
        run=candidate.run,
        pipeline=candidate.pipeline,
        manifest_sha256=candidate.manifest_sha256,
        role="champion",
        weight=1.0,
    )


def _is_settled(state: EndpointState, found: Candidate | Unverified) -> bool:
    """Say whether the state has an answer already: the run, or a newer one of its pipeline, was decided."""
    newest = state.newest_run if state.pipeline == found.pipeline else state.claims.get(found.pipeline)
    if newest is not None and found.run <= newest:
        return True
    if isinstance(found, Unverified):
        return state.unverified.get(f"{found.pipeline}/{found.run}") == found.object_sha256
    return False


def _prune(state: EndpointState, decided: Candidate) -> dict[str, str]:
    """Return the known forgeries without those that nobody will look at again, now that a later run is decided."""
    limit = f"{decided.pipeline}/{decided.run}"
    return {
        name: digest
        for name, digest in state.unverified.items()
        if name.partition("/")[0] != decided.pipeline or name > limit
    }
