"""From a person's command and the ledger's head to the next record: what may be asked for, and what follows from it.

A person may undo and allow more than the gates do, but never more than provenance does: what was not proved to be
ours, or was never executed before publication, is let in by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, assert_never

from rasen.deploy.candidate import Candidate, check_contents
from rasen.deploy.commands import Command
from rasen.deploy.gates.approval import may_approve
from rasen.deploy.heads import Head
from rasen.deploy.judging import Judgement
from rasen.deploy.memory import Memory
from rasen.deploy.next_state import policies_of, record_of, record_of_run
from rasen.deploy.rollout import advance, champion_of, crown, withdraw
from rasen.errors import InvalidInput, ModelFailed, ObjectNotFound, TrustError
from rasen.pipeline_deploy import Deploy
from rasen.pipeline_gates_contract import ApprovalGate
from rasen.tracking.keys import tombstone_key
from rasen.tracking.ledger_records import EndpointState, Freeze, LedgerRecord
from rasen.tracking.records import PublishedModel, UnreadableRecord

ConditionsOf: TypeAlias = Callable[[EndpointState, Candidate], Deploy | None]

_TEXT_MAX_CHARACTERS = 2000


def obey(
    memory: Memory,
    command: Command,
    head: Head,
    *,
    conditions_of: ConditionsOf,
    event: str,
) -> LedgerRecord:
    """Return the record that follows from a command.

    Args:
        memory: What is known of the store.
        command: What is asked for, its signature checked.
        head: The newest record of the endpoint.
        conditions_of: Returns the owner's conditions for a candidate, `None` when they are gone.
        event: Id of the event that is being answered.

    Raises:
        InvalidInput: It cannot be done, or something has changed since the person looked.
    """
    _check(memory, command, head)
    match command.command:
        case "promote" | "abort":
            return _move_rollout(command, head, event)
        case "hold":
            return _freeze(command, head, event)
        case "unhold":
            return _unfreeze(command, head, event)
        case "rollback":
            return _roll_back(memory, command, head, event)
        case "approve" | "override":
            return _let_in(memory, command, head, conditions_of, event)
        case _:
            assert_never(command.command)


def _check(memory: Memory, command: Command, head: Head) -> None:
    """Refuse what is void, and texts that no record should carry."""
    if not command.by.strip():
        raise InvalidInput(f"a command to {command.command} {command.endpoint!r} must say who gives it")
    if len(command.by) > 200 or len(command.reason) > _TEXT_MAX_CHARACTERS:
        raise InvalidInput(f"a reason has at most {_TEXT_MAX_CHARACTERS} characters, and a name 200")
    if command.command in {"hold", "override"} and not command.reason.strip():
        raise InvalidInput(
            f"{command.by!r} asked to {command.command} {command.endpoint!r} without a reason; give one with --reason"
        )
    if head.number == 0:
        raise InvalidInput(f"nothing was decided about endpoint {command.endpoint!r} yet")
    if head.state.acted > command.seen:
        latest = memory.past.record(command.endpoint, head.state.acted)
        what = "" if latest is None else f" ({latest.action} by {latest.actor}: {latest.reason})"
        raise InvalidInput(
            f"{command.by!r} asked to {command.command} {command.endpoint!r} as of record {command.seen}, but record "
            f"{head.state.acted}{what} has changed it since; look again"
        )


def _move_rollout(command: Command, head: Head, event: str) -> LedgerRecord:
    rollout = head.state.rollout
    if rollout is None:
        raise InvalidInput(
            f"{command.by!r} asked to {command.command} the rollout of {command.endpoint!r}; nothing is under way"
        )
    promotes = command.command == "promote"
    state = advance(head.state, number=head.number + 1) if promotes else withdraw(head.state)
    return record_of(
        command.endpoint,
        head,
        state,
        action="promote" if promotes else "abort",
        run=rollout.run,
        actor=command.by,
        reason=_reason(command),
        event=event,
    )


def _freeze(command: Command, head: Head, event: str) -> LedgerRecord:
    if (frozen := head.state.frozen) is not None:
        raise InvalidInput(
            f"endpoint {command.endpoint!r} is held already, by {frozen.by} (record {frozen.number}): {frozen.reason}"
        )
    frozen = Freeze(by=command.by, reason=command.reason, number=head.number + 1)
    return record_of(
        command.endpoint,
        head,
        head.state.model_copy(update={"frozen": frozen}),
        action="hold",
        run=None,
        actor=command.by,
        reason=f"no version goes live by itself: {command.reason}",
        event=event,
    )


def _unfreeze(command: Command, head: Head, event: str) -> LedgerRecord:
    frozen = head.state.frozen
    if frozen is None:
        raise InvalidInput(f"endpoint {command.endpoint!r} is not held, so there is nothing to lift")
    why = f": {command.reason}" if command.reason else ""
    return record_of(
        command.endpoint,
        head,
        head.state.model_copy(update={"frozen": None}),
        action="unhold",
        run=None,
        actor=command.by,
        reason=f"versions go live by themselves again, held by {frozen.by} since record {frozen.number}{why}",
        event=event,
    )


def _roll_back(memory: Memory, command: Command, head: Head, event: str) -> LedgerRecord:
    endpoint, state = command.endpoint, head.state
    now = champion_of(state)
    if command.to is None:
        target = memory.past.champion_before(endpoint, head=head.number)
        if target is None:
            raise InvalidInput(
                f"endpoint {endpoint!r} has had no other champion than {now.run if now else 'none'}: "
                "there is nothing to go back to"
            )
    else:
        if not 0 < command.to <= head.number:
            raise InvalidInput(
                f"endpoint {endpoint!r} has no record {command.to}; its records are 1 to {head.number}"
            )
        target = memory.past.record(endpoint, command.to)
        if target is None:
            raise InvalidInput(
                f"record {command.to} of endpoint {endpoint!r} is gone or cannot be believed any more"
            )
    before = champion_of(target.state)
    if before is None:
        raise InvalidInput(f"no version was live at record {target.number} of endpoint {endpoint!r}")
    if now is not None and before.run == now.run and state.rollout is None:
        raise InvalidInput(f"{before.run}, which record {target.number} names, is live already")
    candidate = _check_version(memory, before.pipeline, before.run, what="go back to")
    if candidate.manifest_sha256 != before.manifest_sha256:
        raise InvalidInput(f"the manifest of {before.run} is not the one that record {target.number} names")
    left = "" if now is None else f" instead of {now.run}"
    why = f": {command.reason}" if command.reason else ""
    return record_of(
        endpoint,
        head,
        crown(state.model_copy(update=policies_of(target.state)), before),
        action="rollback",
        run=before.run,
        pipeline=before.pipeline,
        actor=command.by,
        reason=f"back to {before.run} of record {target.number}{left}{why}",
        event=event,
    )


def _let_in(
    memory: Memory, command: Command, head: Head, conditions_of: ConditionsOf, event: str
) -> LedgerRecord:
    """Return the record that lets in a version that is held (`approve`), or was held or refused (`override`)."""
    endpoint, state, held = command.endpoint, head.state, head.state.held
    verb = command.command
    if state.frozen is not None:
        raise InvalidInput(
            f"endpoint {endpoint!r} is held by {state.frozen.by} (record {state.frozen.number}): "
            f"{state.frozen.reason}; `rasen unhold {endpoint}` first"
        )
    if verb == "approve":
        if held is None:
            raise InvalidInput(f"no version of endpoint {endpoint!r} waits for an approval")
        if command.run not in {None, held.run}:
            raise InvalidInput(f"{command.run} does not wait for an approval; {held.run} does")
        if held.requested:
            raise InvalidInput(
                f"{held.run} does not wait for a person but to be compared with the version that is live now "
                f"({held.requested}); `rasen override` lets it in all the same"
            )
        run, pipeline = held.run, held.pipeline
    else:
        if command.run is None:
            raise InvalidInput("an override must name the version")
        run, pipeline = command.run, state.pipeline or ""
    decided = memory.past.decision_on(endpoint, run, head=head.number)
    if decided is None:
        raise InvalidInput(f"nothing was decided about {run} at endpoint {endpoint!r}")
    if any(each.run == run for each in state.variants):
        raise InvalidInput(f"{run} is live at endpoint {endpoint!r} already")
    pipeline = decided.pipeline or pipeline
    candidate = _check_version(memory, pipeline, run, what=verb)
    conditions = conditions_of(state, candidate)
    if conditions is None:
        raise InvalidInput(f"the conditions of {state.pipeline!r}, which invites {pipeline!r}, are gone")
    if verb == "approve":
        _check_approver(conditions, command, held_gates=held.gates if held is not None else [])
    judgement = Judgement(
        action=verb,
        reason=f"{_reason(command)}; record {decided.number} ({decided.action}) said: {decided.reason}",
        verdicts=tuple(decided.verdicts),
        metrics=tuple(decided.metrics.items()),
        actor=command.by,
    )
    live = _live_model(memory, state)
    record = record_of_run(
        endpoint, head, candidate, judgement, conditions=conditions, live=live, event=event
    )
    if record.action != verb:  # it cannot enter by the declared rollout
        raise InvalidInput(record.reason)
    return record


def _check_version(memory: Memory, pipeline: str, run: str, *, what: str) -> Candidate:
    """Return a version that was decided before, after all that it consists of has been checked again."""
    if memory.store.stat(tombstone_key(pipeline, run)) is not None:
        raise InvalidInput(f"cannot {what} {run}: it is marked for removal; `rasen gc --undo {run}` keeps it")
    found = memory.reopen(pipeline, run)
    if isinstance(found, str):
        raise InvalidInput(f"cannot {what} {run}: {found}")
    try:
        check_contents(memory.store, found, environment=memory.environment, scratch_dir=memory.scratch_dir)
    except (TrustError, ObjectNotFound, UnreadableRecord, InvalidInput, ModelFailed) as error:
        raise InvalidInput(f"cannot {what} {run}: {error}") from error
    return found


def _check_approver(conditions: Deploy, command: Command, *, held_gates: list[str]) -> None:
    for gate in conditions.gates or ():
        if not isinstance(gate, ApprovalGate) or gate.label not in held_gates:
            continue
        if not may_approve(gate, command.by):
            raise InvalidInput(
                f"{command.by!r} may not approve for endpoint {command.endpoint!r}; its gate names "
                f"{', '.join(gate.by or ())}"
            )


def _live_model(memory: Memory, state: EndpointState) -> PublishedModel | None:
    champion = champion_of(state)
    found = None if champion is None else memory.reopen(champion.pipeline, champion.run)
    return found.model if isinstance(found, Candidate) else None


def _reason(command: Command) -> str:
    return command.reason or f"{command.by} decided so"
