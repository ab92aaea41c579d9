"""Gates: what a model version must pass before it answers anybody. Arithmetic on verified numbers, no model code.

Every declared gate is judged, also after one has failed, because whoever reads the refusal should see all of it. A gate
that cannot be judged (its metric is missing, or is no finite number) fails: silence is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rasen.deploy.gates import baseline, threshold
from rasen.deploy.gates.measured import Unmeasured
from rasen.metric_directions import DIRECTIONS
from rasen.pipeline_gates import BaselineGate, DeclaredGate
from rasen.tracking.ledger_records import GateVerdict
from rasen.tracking.records import Metric

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence

__all__ = ["Judge", "default_gates", "gate_name", "judge", "needs_champion"]

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


def gate_name(gate: DeclaredGate) -> str:
    """Return what a gate is called in records: its kind, and the metric or notebook that it looks at."""
    about = [
        str(value)
        for key in ("notebook", "metric", "by")
        if isinstance(value := getattr(gate, key, None), str)
    ]
    return " ".join([gate.kind, *about])


def needs_champion(gate: DeclaredGate) -> bool:
    """Return whether a gate compares with what the live version said during the qualification."""
    kind: str = gate.kind
    return kind == "champion" or (kind == "notebook" and getattr(gate, "better_than", None) == "champion")


def _judge_one(gate: DeclaredGate, evidence: Evidence) -> GateVerdict:
    name = gate_name(gate)
    try:
        return _KINDS[gate.kind](name, gate, evidence)
    except Unmeasured as problem:
        return GateVerdict(gate=name, answer="fail", outcome=problem.outcome, reason=str(problem))
