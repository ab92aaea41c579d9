"""The two models of the serving benchmark, and the folder in which every contender finds one of them.

`python -m bench.serving_models FOLDER NAME` writes it. That is a process of its own, because pages of libraries that
the measuring process maps too would be counted as half of a server's memory.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from rasen.model.schema import ModelSchema

ROWS = 100
"""So many answers of every server are compared with the model's."""


def make_pipe(random: np.random.Generator) -> tuple[Any, pd.DataFrame]:
    """Return `pipe`: 8 scaled numbers and 2 one-hot categories into a logistic regression."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = 2000
    frame = pd.DataFrame({f"n{i}": random.normal(size=rows) for i in range(8)})
    for name in ("c0", "c1"):
        frame[name] = random.choice(["a", "b", "c", "d"], size=rows)
    target = (frame["n0"] + random.normal(size=rows) > 0).astype("int64")
    numbers, categories = [f"n{i}" for i in range(8)], ["c0", "c1"]
    encode = ColumnTransformer(
        [("scale", StandardScaler(), numbers), ("hot", OneHotEncoder(handle_unknown="ignore"), categories)]
    )
    return Pipeline([("encode", encode), ("fit", LogisticRegression())]).fit(frame, target), frame


def make_xgb(random: np.random.Generator) -> tuple[Any, pd.DataFrame]:
    """Return `xgb`: 200 trees of depth 6 on 20 numbers."""
    import pandas as pd
    from xgboost import XGBRegressor

    frame = pd.DataFrame({f"x{i}": random.normal(size=2000) for i in range(20)})
    target = frame["x0"] * 2 + frame["x1"] ** 2
    return XGBRegressor(n_estimators=200, max_depth=6, n_jobs=1).fit(frame, target), frame


MODELS: Mapping[str, Callable[[Any], tuple[Any, Any]]] = {"pipe": make_pipe, "xgb": make_xgb}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One model as the contenders get it.

    Args:
        name: Of `MODELS`.
        folder: Holds `model.pickle`: `{"model": …, "types": {column: float | str}}`.
        rows: What is asked.
        expected: What the model answers.
    """

    name: str
    folder: Path
    rows: list[dict[str, Any]]  # Any: numbers and texts
    expected: list[float]

    @property
    def numeric(self) -> bool:
        """Whether a row can be sent as a list of numbers."""
        return not any(isinstance(value, str) for value in self.rows[0].values())


def make_workload(name: str, folder: Path) -> Workload:
    """Write a model in a process of its own and return what was written."""
    subprocess.run([sys.executable, "-m", "bench.serving_models", str(folder), name], check=True)
    return Workload(name=name, folder=folder, **json.loads((folder / "workload.json").read_text()))


def make_model(name: str, *, seed: int = 0) -> tuple[Any, pd.DataFrame]:
    """Return a model and its training rows; other seeds give other models of the same schema."""
    import numpy as np

    return MODELS[name](np.random.default_rng(seed))


def schema_of(model: Any, frame: pd.DataFrame) -> ModelSchema:
    """Return the contract that publishing the model would give it."""
    from rasen.model.publishing import prepare

    with tempfile.TemporaryDirectory() as folder:
        return prepare(model, example=frame.head(3), folder=Path(folder)).schema


def write_workload(name: str, folder: Path) -> None:
    """Make the model and write what the contenders need."""
    model, frame = make_model(name)
    folder.mkdir(parents=True, exist_ok=True)
    types = {column: str if isinstance(value, str) else float for column, value in frame.iloc[0].items()}
    (folder / "model.pickle").write_bytes(pickle.dumps({"model": model, "types": types}))
    asked = frame.head(ROWS)
    described = {
        "rows": asked.to_dict("records"),
        "expected": model.predict(asked).tolist(),
    }
    (folder / "workload.json").write_text(json.dumps(described), encoding="utf-8")


if __name__ == "__main__":
    write_workload(sys.argv[2], Path(sys.argv[1]))
