"""Gates: what a model version must pass before it answers anybody. Arithmetic on verified numbers, no model code.

Every declared gate is judged, also after one has failed, because whoever reads the refusal should see all of it. A gate
that cannot be judged (its metric is missing, or is no finite number) fails: silence is never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from rasen.deploy.gates import baseline, threshold
from rasen.deploy.gates.measured import Measured, Unmeasured
from rasen.metric_directions import DIRECTIONS
from rasen.pipeline_deploy import BaselineGate, ThresholdGate
from rasen.tracking.records import GateVerdict, Metric

__all__ = ["DeclaredGate", "Judge", "default_gates", "judge"]

DeclaredGate = BaselineGate | ThresholdGate

_PROFILE_PREFIX = "profile_"


class Judge(Protocol):
    """One kind of gate."""

    # Any: each kind takes its own model of `pipeline.yaml`; the `kind` that picks the judge has picked the model too.
    def __call__(self, name: str, gate: Any, measured: Measured) -> GateVerdict:
        """Return the verdict, under `name`.

        Raises:
            Unmeasured: There is no number to judge.
        """


_KINDS: dict[str, Judge] = {
    "baseline": baseline.judge,
    "threshold": threshold.judge,
}


def judge(gates: Iterable[DeclaredGate], metrics: Sequence[Metric]) -> list[GateVerdict]:
    """Return the verdict of each gate, in the declared order.

    Args:
        gates: As declared in `pipeline.yaml`.
        metrics: What the run measured; of several values of one name the last counts, values of slices do not.
    """
    measured = Measured(metrics)
    return [_judge_one(gate, measured) for gate in gates]


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


def _judge_one(gate: DeclaredGate, measured: Measured) -> GateVerdict:
    name = f"{gate.kind} {gate.metric}"
    try:
        return _KINDS[gate.kind](name, gate, measured)
    except Unmeasured as problem:
        return GateVerdict(gate=name, answer="fail", outcome=problem.outcome, reason=str(problem))
