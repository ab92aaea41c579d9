"""Which way the metrics are better that the platform itself can compute; of any other, whoever names it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["minimize", "maximize"]

DIRECTIONS: Mapping[str, Direction] = {
    "rmse": "minimize",
    "mae": "minimize",
    "log_loss": "minimize",
    "brier": "minimize",
    "accuracy": "maximize",
    "auc": "maximize",
}
