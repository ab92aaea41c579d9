"""What a rule is told about a notebook that does not stand in it: what it is for, and where it is looked at.

Filled from `pipeline.yaml` and the image's lock file by whoever runs the rules, so that a rule opens no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from rasen.linter import Stage


class Role(StrEnum):
    """What a notebook is for: its pipeline says so; a notebook that no pipeline names is an exploration."""

    EXPLORATION = "exploration"
    STEP = "step"
    GATE = "gate"
    EVALUATION = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a notebook stands. The defaults are those of a notebook that nobody knows anything about.

    Args:
        role: What it is for.
        stage: Where it is looked at: in an editor, or before a merge.
        pipeline: The name of its pipeline.
        step: The step whose notebook it is.
        only_step: It is the single step of a pipeline without `tables`, and so must publish the model itself.
        gate_metrics: Names of metrics that the pipeline's gates judge.
        contract: The declared inputs of the model, column name to type; `None` where `pipeline.yaml` declares none.
        siblings: Files in the pipeline's folder, relative to the notebook's folder, with `/`; `None` if unknown.
        outside_modules: Names of Python modules and packages that lie in the repository but not in that folder.
        image_modules: Names that can be imported in the image; `None` where no lock file says so.
    """

    role: Role = Role.EXPLORATION
    stage: Stage = "editor"
    pipeline: str | None = None
    step: str | None = None
    only_step: bool = False
    gate_metrics: frozenset[str] = frozenset()
    contract: Mapping[str, str] | None = None
    siblings: frozenset[str] | None = None
    outside_modules: frozenset[str] = frozenset()
    image_modules: frozenset[str] | None = None
