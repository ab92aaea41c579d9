"""LitServe with batching: `python serve_with_litserve.py FOLDER PORT`, in LitServe's own environment.

One inference process and one API process; `fast_queue` (ZeroMQ instead of a multiprocessing queue) is its quicker way.
"""

import pickle
import sys
from pathlib import Path
from typing import Any, TypeAlias

import litserve
import numpy as np
import pandas as pd

Row: TypeAlias = dict[str, Any] | list[float]  # Any: numbers and texts

_BATCH_REQUESTS, _BATCH_SECONDS = 64, 0.001


class Api(litserve.LitAPI):  # type: ignore[misc]  # LitServe is in an environment of its own, so it is Any here
    """One list of rows a request; a batch is one DataFrame, or one matrix where rows are lists of numbers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=_BATCH_REQUESTS, batch_timeout=_BATCH_SECONDS)
        self._folder = folder

    def setup(self, device: str) -> None:
        self._model = pickle.loads((self._folder / "model.pickle").read_bytes())["model"]

    def decode_request(self, request: dict[str, Any], **_: Any) -> list[Row]:
        rows: list[Row] = request["rows"]
        return rows

    def batch(self, inputs: list[list[Row]]) -> tuple[list[int], list[Row]]:
        return [len(rows) for rows in inputs], [row for rows in inputs for row in rows]

    def predict(self, batch: tuple[list[int], list[Row]], **_: Any) -> list[list[Any]]:
        lengths, rows = batch
        table = np.array(rows) if isinstance(rows[0], list) else pd.DataFrame(rows)
        answers = self._model.predict(table).tolist()
        ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
        return [answers[end - length : end] for length, end in zip(lengths, ends, strict=True)]

    def unbatch(self, output: list[list[Any]]) -> list[list[Any]]:
        return output

    def encode_response(self, output: list[Any], **_: Any) -> dict[str, Any]:
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(Path(sys.argv[1])), accelerator="cpu", devices=1, workers_per_device=1, fast_queue=True
    )
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        log_level="error",
        generate_client_file=False,
        access_log=False,
    )
