"""What most people write: FastAPI, pydantic, a DataFrame, `predict`. The yardstick of the serving benchmark.

A model of numbers only gets a matrix, as whoever has measured it once would do: `XGBRegressor.predict` takes a quarter
of the time then.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model


def build_app(model: Any, types: dict[str, type]) -> FastAPI:
    """Return the app around a model whose input columns have these types; all numbers: rows are lists of them."""
    app = FastAPI()
    numeric = all(kind is float for kind in types.values())
    if numeric:
        row_type: Any = list[float]
    else:
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in types.items()}
        row_type = create_model("Row", **fields)
    body_model: type[BaseModel] = create_model("Body", rows=(list[row_type], ...))

    def predict(body):  # type: ignore[no-untyped-def]
        if numeric:
            return {"predictions": model.predict(np.array(body.rows)).tolist()}
        frame = pd.DataFrame([row.model_dump() for row in body.rows])
        return {"predictions": model.predict(frame).tolist()}

    predict.__annotations__["body"] = body_model
    app.post("/predict")(predict)
    return app


if __name__ == "__main__":
    loaded = pickle.loads(Path(sys.argv[1]).read_bytes())
    uvicorn.run(
        build_app(loaded["model"], loaded["types"]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="error",
        access_log=False,
    )
