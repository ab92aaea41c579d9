"""BentoML with adaptive batching: `python -m bentoml serve serve_with_bentoml:Served`, in BentoML's own environment.

`BENCH_FOLDER` names the folder of the model. Rows with names come as lists of dicts, because batches of DataFrames
fail in BentoML 1.4.39 ("unsupported operand type(s) for +: 'int' and 'tuple'").
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pandas as pd

_BATCH_ROWS = 6400


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Served:
    """One route for rows with names, one for rows that are lists of numbers."""

    def __init__(self) -> None:
        self._model = pickle.loads((Path(os.environ["BENCH_FOLDER"]) / "model.pickle").read_bytes())["model"]

    @bentoml.api(batchable=True, max_batch_size=_BATCH_ROWS)  # type: ignore[untyped-decorator]  # Any here
    def predict_frame(self, rows: list[dict[str, Any]]) -> list[float]:
        return self._model.predict(pd.DataFrame(rows)).tolist()  # type: ignore[no-any-return]  # a list of numbers

    @bentoml.api(batchable=True, max_batch_size=_BATCH_ROWS)  # type: ignore[untyped-decorator]  # Any here
    def predict_matrix(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict(rows))
