"""The notebooks that `batch.py` measures: those of the facts, written on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stand.pipelines import write_notebook

IMPORTS = """\
import cloudpickle
import numpy as np
import pandas as pd
import sklearn.compose
import sklearn.ensemble
import sklearn.linear_model
import sklearn.model_selection
import sklearn.pipeline
import sklearn.preprocessing
import xgboost as xgb
"""
_REALISTIC = (
    IMPORTS,
    """\
random = np.random.default_rng(0)
rows = 50_000
frame = pd.DataFrame({f"x{i}": random.normal(size=rows) for i in range(10)})
frame["carrier"] = random.choice(["AA", "UA", "DL", "WN"], size=rows)
frame["delay"] = 3 * frame["x0"] + frame["x1"] ** 2 + random.normal(size=rows)
""",
    """\
problems = [name for name in frame if frame[name].isna().any()]
assert not problems, problems
assert frame["carrier"].isin(["AA", "UA", "DL", "WN"]).all()
assert frame.filter(like="x").abs().max().max() < 10
frame.describe()
""",
    """\
numbers = [f"x{i}" for i in range(10)]
features = frame[numbers].assign(**{f"is_{name}": frame["carrier"] == name for name in ("AA", "UA", "DL", "WN")})
inputs, held_out, target, actual = sklearn.model_selection.train_test_split(
    features, frame["delay"], test_size=0.2, random_state=0
)
model = xgb.XGBRegressor(n_estimators=50, max_depth=6, n_jobs=2).fit(inputs, target)
baseline = sklearn.linear_model.LinearRegression().fit(inputs, target)
""",
    """\
errors = {
    "model": float(np.sqrt(((model.predict(held_out) - actual) ** 2).mean())),
    "baseline": float(np.sqrt(((baseline.predict(held_out) - actual) ** 2).mean())),
}
errors
""",
    """\
pickled = cloudpickle.dumps(model)
print(len(pickled), "bytes")
""",
)
WORKLOADS: dict[str, Sequence[str]] = {
    "trivial": ("1 + 1",),
    "realistic": _REALISTIC,
    "cells": tuple(f"x_{i} = {i}\nx_{i}" for i in range(200)),
    "outputs": tuple(f"print(('{i % 10}' * 99 + '\\n') * 10_000)" for i in range(30)),
}


def write_workload(name: str, folder: Path) -> Path:
    """Write a workload's notebook into a folder; return its path."""
    path = folder / f"{name}.ipynb"
    write_notebook(path, WORKLOADS[name])
    return path
