"""The `schema` gate: who was written for the live version goes on working, or the endpoint's major version rises.

Inputs and output count, as `rasen.model.schema.breaking_changes` names them. A rollout shares requests between two
versions, so a candidate that breaks the contract cannot enter by one, whatever its major version (`next_state.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rasen.deploy.gates.live_version import first, is_first, the_candidate, unavailable
from rasen.deploy.gates.measured import Unmeasured
from rasen.errors import InvalidInput
from rasen.model.schema import ModelSchema, breaking_changes
from rasen.pipeline_gates_contract import SchemaGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence


def judge(name: str, gate: SchemaGate, evidence: Evidence) -> GateVerdict:
    """Return whether the candidate keeps the contract of the live version, or says that it does not.

    Raises:
        Unmeasured: The candidate's own contract cannot be read.
    """
    candidate, live = the_candidate(evidence).model, evidence.champion
    try:
        new = ModelSchema.from_dict(candidate.schema_)
    except (InvalidInput, AttributeError, TypeError) as error:
        raise Unmeasured(f"its schema cannot be read: {error}", "unreadable") from None
    if is_first(evidence):
        return first(name, f"major {candidate.major}, {_describe(new)}")
    if live is None:
        return unavailable(name, f"the live version cannot be looked at: {evidence.champion_problem}")
    try:
        old = ModelSchema.from_dict(live.model.schema_)
    except (InvalidInput, AttributeError, TypeError) as error:
        return unavailable(name, f"the schema of the live version {live.run} cannot be read: {error}")
    changes = breaking_changes(old, new)
    raised = candidate.major - live.model.major
    listed = ", ".join(changes)
    answer: Literal["pass", "fail", "hold"]
    if raised < 0:
        answer, outcome = "fail", "lower"
        reason = (
            f"major {candidate.major} is below that of the live version, {live.model.major}; write "
            f"`deploy.major: {live.model.major}`, or one more if clients would break"
        )
        reason += f": {listed}" if changes else ""
    elif changes and not raised:
        answer, outcome = gate.breaking, "breaking"
        reason = (
            f"clients of the live version would break: {listed}; keep what they rely on, or write "
            f"`deploy.major: {live.model.major + 1}`"
        )
    elif raised:
        answer, outcome = "pass", "raised"
        said = listed or "nothing that clients of the live version rely on has changed"
        reason = f"major rises from {live.model.major} to {candidate.major}: {said}"
    else:
        answer, outcome = "pass", "compatible"
        reason = f"clients of the live version go on working: {_describe(new)}"
        reason += _describe_additions(old, new)
    return GateVerdict(
        gate=name,
        answer=answer,
        outcome=outcome,
        numbers={
            "breaking_changes": len(changes),
            "major": candidate.major,
            "champion_major": live.model.major,
        },
        reason=reason,
    )


def _describe(schema: ModelSchema) -> str:
    count = len(schema.inputs)
    return f"{count} {'input' if count == 1 else 'inputs'}, output {schema.output.describe()}"


def _describe_additions(old: ModelSchema, new: ModelSchema) -> str:
    added = [name for name in new.names if name not in old.names]
    return f"; new and nullable: {', '.join(map(repr, added))}" if added else ""
