"""Gates: what a model version must pass before it answers anybody. Arithmetic on verified numbers, no model code.

Every declared gate is judged, also after one has failed, because whoever reads the refusal should see all of it. A gate
that cannot be judged (its metric is missing, or is no finite number) fails: silence is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rasen.deploy.gates import (
    approval,
    baseline,
    champion,
    data,
    history,
    latency,
    notebook,
    profile,
    schema,
    size,
    threshold,
)
from rasen.deploy.gates import slice as slice_gate  # `slice` is a builtin
from rasen.deploy.gates.measured import Unmeasured
from rasen.metric_directions import DIRECTIONS
from rasen.pipeline_gates import BaselineGate, DeclaredGate
from rasen.tracking.ledger_records import GateVerdict
from rasen.tracking.records import Metric

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence

__all__ = ["Judge", "default_gates", "judge"]

_PROFILE_PREFIX = "profile_"


class Judge(Protocol):
    """One kind of gate."""

    # Any: each kind takes its own model of `pipeline.yaml`; the `kind` that picks the judge has picked the model too.
    def __call__(self, name: str, gate: Any, evidence: Evidence) -> GateVerdict:
        """Return the verdict, under `name`.

        Raises:
            Unmeasured: There is no number to judge.
        """


_KINDS: dict[str, Judge] = {
    "baseline": baseline.judge,
    "threshold": threshold.judge,
    "champion": champion.judge,
    "history": history.judge,
    "slice": slice_gate.judge,
    "profile": profile.judge,
    "schema": schema.judge,
    "data": data.judge,
    "latency": latency.judge,
    "size": size.judge,
    "notebook": notebook.judge,
    "approval": approval.judge,
}


def judge(gates: Iterable[DeclaredGate], evidence: Evidence) -> list[GateVerdict]:
    """Return the verdict of each gate, in the declared order; all are judged, also after one has failed.

    Args:
        gates: As declared in `pipeline.yaml`.
        evidence: What is known of the candidate.
    """
    return [_judge_one(gate, evidence) for gate in gates]


def default_gates(metrics: Sequence[Metric]) -> list[DeclaredGate]:
    """Return what a pipeline that declares no gates must pass: each metric of known direction beats its profile's.

    A run that logged `profile_rmse` and no `rmse` gets the gate too, and fails it.
    """
    logged = {metric.name for metric in metrics if not metric.slice}
    return [
        BaselineGate(kind="baseline", metric=name, better_than=_PROFILE_PREFIX + name)
        for name in DIRECTIONS
        if _PROFILE_PREFIX + name in logged
    ]


def _judge_one(gate: DeclaredGate, evidence: Evidence) -> GateVerdict:
    try:
        return _KINDS[gate.kind](gate.label, gate, evidence)
    except Unmeasured as problem:
        return GateVerdict(gate=gate.label, answer="fail", outcome=problem.outcome, reason=str(problem))
