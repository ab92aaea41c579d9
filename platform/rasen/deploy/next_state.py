"""From an endpoint's state, a run and what is to be said of it, to the next ledger record. Reads and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rasen.deploy.candidate import Candidate, Unverified
from rasen.deploy.contracts import what_breaks
from rasen.deploy.heads import Head
from rasen.deploy.judging import Judgement, refuse
from rasen.deploy.rollout import begin, champion_of, crown, describe_step, share
from rasen.pipeline_deploy import Deploy
from rasen.tracking.ledger_records import Action, EndpointState, Freeze, Held, LedgerRecord, Variant
from rasen.tracking.records import PublishedModel

_ENTERS = frozenset({"deploy", "approve", "override"})


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
    event: str = "",
) -> LedgerRecord:
    """Return the record that follows from one published run.

    Args:
        endpoint: Whose ledger.
        head: Its newest record.
        found: The run.
        judgement: What the gates say of it.
        conditions: The owner's `deploy`: how a version takes over, and what serving is told.
        live: The champion's model, `None` when it cannot be read or there is none.
        event: Id of the event that is being answered.
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
        # A version that a person lets in later may be older than the newest that was decided.
        decided = (
            {"newest_run": max(found.run, state.newest_run or ""), "pipeline": found.pipeline}
            if owns
            else {
                "claims": state.claims
                | {found.pipeline: max(found.run, state.claims.get(found.pipeline, ""))}
            }
        )
        state = state.model_copy(update={**decided, "unverified": _prune(state, found)})
        if judgement.action == "deploy" and judgement.actor == "function" and state.frozen is not None:
            judgement = _hold_back(judgement, state.frozen)
        if judgement.action in _ENTERS:
            judgement, state = _enter(state, found, judgement, conditions, live, number=number, owns=owns)
        elif judgement.action == "hold":
            state = _keep(state, found, judgement, number=number)
        elif state.held is not None and state.held.run == found.run:
            state = state.model_copy(update={"held": None})
    return record_of(
        endpoint,
        head,
        state,
        action=judgement.action,
        run=found.run,
        pipeline=found.pipeline,
        reason=judgement.reason,
        actor=judgement.actor,
        event=event,
    ).model_copy(update={"verdicts": list(judgement.verdicts), "metrics": dict(judgement.metrics)})


def record_of(
    endpoint: str,
    head: Head,
    state: EndpointState,
    *,
    action: Action,
    run: str | None,
    reason: str,
    pipeline: str | None = None,
    actor: str = "function",
    event: str = "",
) -> LedgerRecord:
    """Return the record after `head`, of this moment; what the state says of itself is put right."""
    number, before = head.number + 1, head.state
    answers = [each.model_dump() for each in before.variants] == [
        each.model_dump() for each in state.variants
    ]
    acts = _known_of_runs_aside(before) != _known_of_runs_aside(state)
    now = datetime.now(tz=UTC)
    if head.decided_at is not None:
        now = max(now, head.decided_at + timedelta(microseconds=1))
    return LedgerRecord(
        endpoint=endpoint,
        number=number,
        action=action,
        run=run,
        pipeline=pipeline,
        actor=actor,
        reason=reason,
        previous=before.since,
        event=event,
        state=state.model_copy(
            update={
                "since": before.since if answers else number,
                "acted": number if acts else before.acted,
            }
        ),
        decided_at=now,
    )


def policies_of(state: EndpointState) -> dict[str, object]:
    """Return what a version brings with it besides itself, for a state that goes back to it."""
    return {"fallback": state.fallback, "log": state.log, "challengers": state.challengers}


def _known_of_runs_aside(state: EndpointState) -> EndpointState:
    """Return the state without what every decision about a run changes."""
    return state.model_copy(
        update={"newest_run": None, "claims": {}, "unverified": {}, "since": 0, "acted": 0}
    )


def _hold_back(judgement: Judgement, frozen: Freeze) -> Judgement:
    """Return what becomes of a deployment while a person holds the endpoint."""
    why = f"{frozen.by} holds this endpoint (record {frozen.number}): {frozen.reason}"
    return replace(judgement, action="hold", reason=f"{why}; {judgement.reason}", waits_for=())


def _keep(state: EndpointState, found: Candidate, judgement: Judgement, *, number: int) -> EndpointState:
    """Return the state in which the version waits, in the place of the one that waited before."""
    held = Held(
        run=found.run,
        pipeline=found.pipeline,
        manifest_sha256=found.manifest_sha256,
        number=number,
        gates=list(judgement.waits_for),
        requested=judgement.request,
    )
    return state.model_copy(update={"held": held})


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
    policies: dict[str, object] = {"held": _still_held(state, found)}
    if owns:
        policies |= {
            "fallback": conditions.fallback.policy,
            "log": conditions.log.policy,
            "challengers": [name for name in dict.fromkeys(conditions.challengers) if name != found.pipeline],
        }
    if champion_of(state) is None:
        reason = f"first version, so no live one to compare with; {judgement.reason}"
        return replace(judgement, reason=reason), crown(state.model_copy(update=policies), candidate)
    superseded = "" if state.rollout is None else f"; supersedes {state.rollout.run}, which was under way"
    if conditions.rollout is None and not owns:
        reason = f"pipeline {state.pipeline!r} declares no rollout any more by which others may enter"
        return replace(judgement, action="refuse", reason=reason), state
    if conditions.rollout is None:
        reason = f"{judgement.reason}{superseded}"
        return replace(judgement, reason=reason), crown(state.model_copy(update=policies), candidate)
    if problem := "" if live is None else ", ".join(what_breaks(live, found.model)):
        reason = (
            f"{judgement.reason}, but it cannot share the requests with the champion: {problem}; remove "
            "`deploy.rollout` to switch at once, or give it an endpoint of its own"
        )
        return replace(judgement, action="refuse", reason=reason), state
    rollout = begin(conditions.rollout, run=found.run, number=number)
    reason = f"{judgement.reason}; {describe_step(rollout)}{superseded}"
    return replace(judgement, reason=reason), share(state.model_copy(update=policies), candidate, rollout)


def _still_held(state: EndpointState, entering: Candidate) -> Held | None:
    """Return the version that goes on waiting when another enters: none that is older, or was qualified anew."""
    held = state.held
    if held is None or held.pipeline != entering.pipeline:
        return held
    return held if held.run > entering.run else None


def _prune(state: EndpointState, decided: Candidate) -> dict[str, str]:
    """Return the known forgeries without those that nobody will look at again, now that a later run is decided."""
    limit = f"{decided.pipeline}/{decided.run}"
    return {
        name: digest
        for name, digest in state.unverified.items()
        if name.partition("/")[0] != decided.pipeline or name > limit
    }
