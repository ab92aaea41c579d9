"""From an endpoint's state, a run and what is to be said of it, to the next ledger record. Reads and writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rasen.deploy.candidate import Candidate, Unverified
from rasen.deploy.heads import Head
from rasen.deploy.rollout import begin, champion_of, crown, describe_step, share
from rasen.errors import InvalidInput
from rasen.model.schema import ModelSchema, breaking_changes
from rasen.pipeline_deploy import Deploy
from rasen.tracking.ledger_records import Action, EndpointState, GateVerdict, LedgerRecord, Variant
from rasen.tracking.records import PublishedModel


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be said of a candidate, whatever the state of its endpoint."""

    action: Action
    reason: str
    verdicts: tuple[GateVerdict, ...] = ()


def refuse(reason: str) -> Judgement:
    """Return a refusal."""
    return Judgement(action="refuse", reason=reason)


def is_settled(state: EndpointState, found: Candidate | Unverified) -> bool:
    """Say whether the state has an answer already: the run, or a newer one of its pipeline, was decided."""
    newest = state.newest_run if state.pipeline == found.pipeline else state.claims.get(found.pipeline)
    if newest is not None and found.run <= newest:
        return True
    if isinstance(found, Unverified):
        return state.unverified.get(f"{found.pipeline}/{found.run}") == found.object_sha256
    return False


def may_enter(state: EndpointState, pipeline: str) -> bool:
    """Return whether the pipeline's runs are candidates of the endpoint: it owns it, is invited, or comes first."""
    return state.pipeline in {None, pipeline} or pipeline in state.challengers


def record_of_run(
    endpoint: str,
    head: Head,
    found: Candidate | Unverified,
    judgement: Judgement,
    *,
    conditions: Deploy,
    live: PublishedModel | None,
) -> LedgerRecord:
    """Return the record that follows from one published run.

    Args:
        endpoint: Whose ledger.
        head: Its newest record.
        found: The run.
        judgement: What the gates say of it.
        conditions: The owner's `deploy`: how a version takes over, and what serving is told.
        live: The champion's model, `None` when it cannot be read or there is none.
    """
    state, number = head.state, head.number + 1
    if isinstance(found, Unverified):
        name = f"{found.pipeline}/{found.run}"
        state = state.model_copy(update={"unverified": state.unverified | {name: found.object_sha256}})
    else:
        owns = state.pipeline in {None, found.pipeline}
        if not may_enter(state, found.pipeline):
            judgement = refuse(
                f"endpoint {endpoint!r} belongs to pipeline {state.pipeline!r}; give {found.pipeline!r} a "
                "`deploy.endpoint` of its own"
            )
        decided = (
            {"newest_run": found.run, "pipeline": found.pipeline}
            if owns
            else {"claims": state.claims | {found.pipeline: found.run}}
        )
        state = state.model_copy(update={**decided, "unverified": _prune(state, found)})
        if judgement.action == "deploy":
            judgement, state = _enter(state, found, judgement, conditions, live, number=number, owns=owns)
    return record_of(
        endpoint, number, state, action=judgement.action, run=found.run, reason=judgement.reason
    ).model_copy(update={"verdicts": list(judgement.verdicts)})


def record_of(
    endpoint: str,
    number: int,
    state: EndpointState,
    *,
    action: Action,
    run: str | None,
    reason: str,
    actor: str = "function",
) -> LedgerRecord:
    """Return a record of this moment."""
    return LedgerRecord(
        endpoint=endpoint,
        number=number,
        action=action,
        run=run,
        actor=actor,
        reason=reason,
        state=state,
        decided_at=datetime.now(tz=UTC),
    )


def _enter(
    state: EndpointState,
    found: Candidate,
    judgement: Judgement,
    conditions: Deploy,
    live: PublishedModel | None,
    *,
    number: int,
    owns: bool,
) -> tuple[Judgement, EndpointState]:
    """Return how a candidate that passed enters: at once, by the declared rollout, or not beside this champion."""
    candidate = Variant(
        run=found.run,
        pipeline=found.pipeline,
        manifest_sha256=found.manifest_sha256,
        role="champion",
        weight=1.0,
    )
    policies: dict[str, object] = {}
    if owns:
        policies = {
            "fallback": conditions.fallback.policy,
            "log": conditions.log.policy,
            "challengers": [name for name in dict.fromkeys(conditions.challengers) if name != found.pipeline],
        }
    if champion_of(state) is None:
        reason = f"first version, so no live one to compare with; {judgement.reason}"
        return replace(judgement, reason=reason), crown(state.model_copy(update=policies), candidate)
    superseded = "" if state.rollout is None else f"; supersedes {state.rollout.run}, which was under way"
    if conditions.rollout is None and not owns:
        return refuse(
            f"pipeline {state.pipeline!r} declares no rollout any more by which others may enter"
        ), state
    if conditions.rollout is None:
        reason = f"{judgement.reason}{superseded}"
        return replace(judgement, reason=reason), crown(state.model_copy(update=policies), candidate)
    if problem := _cannot_share(live, found.model):
        reason = (
            f"{judgement.reason}, but it cannot share the requests with the champion: {problem}; remove "
            "`deploy.rollout` to switch at once, or give it an endpoint of its own"
        )
        return Judgement(action="refuse", reason=reason, verdicts=judgement.verdicts), state
    rollout = begin(conditions.rollout, run=found.run, number=number)
    reason = f"{judgement.reason}; {describe_step(rollout)}{superseded}"
    return replace(judgement, reason=reason), share(state.model_copy(update=policies), candidate, rollout)


def _cannot_share(live: PublishedModel | None, candidate: PublishedModel) -> str:
    """Return why callers would notice which of two versions answers; `""` when they would not, or nobody can say."""
    if live is None:
        return ""
    try:
        old, new = ModelSchema.from_dict(live.schema_), ModelSchema.from_dict(candidate.schema_)
    except InvalidInput:
        return ""  # serving refuses a version whose schema it cannot read
    return ", ".join(breaking_changes(old, new))


def _prune(state: EndpointState, decided: Candidate) -> dict[str, str]:
    """Return the known forgeries without those that nobody will look at again, now that a later run is decided."""
    limit = f"{decided.pipeline}/{decided.run}"
    return {
        name: digest
        for name, digest in state.unverified.items()
        if name.partition("/")[0] != decided.pipeline or name > limit
    }
