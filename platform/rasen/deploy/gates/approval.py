"""The `approval` gate: a person looks at the version before it answers anybody. Until one approves, it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rasen.pipeline_gates_contract import ApprovalGate
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence


def judge(name: str, gate: ApprovalGate, evidence: Evidence) -> GateVerdict:
    """Return that the version waits for a person."""
    who = "anybody who may command" if gate.by is None else _either(gate.by)
    why = f" ({gate.reason})" if gate.reason else ""
    return GateVerdict(
        gate=name,
        answer="hold",
        outcome="waiting",
        reason=f"waits for approval by {who}{why}: `rasen approve {evidence.endpoint or 'ENDPOINT'}`",
    )


def may_approve(gate: ApprovalGate, person: str) -> bool:
    """Return whether `person`, named as commands name who gave them, is among those that the gate asks."""
    return gate.by is None or person in gate.by


def _either(people: tuple[str, ...]) -> str:
    *others, last = dict.fromkeys(people)
    return f"{', '.join(others)} or {last}" if others else last
