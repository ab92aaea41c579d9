"""KServe's Python SDK: `python serve_with_kserve.py FOLDER PORT`, in KServe's own environment.

The v1 protocol, because its v2 decoding of one tensor a column is slower. The SDK has no batching: KServe's batcher is
a sidecar of a cluster, in front of the model server. gRPC, access log and latency log are off.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

# KServe reads its own command line while it is imported.
FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
sys.argv = sys.argv[:1]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from kserve import Model, ModelServer  # noqa: E402


class Served(Model):  # type: ignore[misc]  # KServe is in an environment of its own, so it is Any here
    """Predicts on the event loop, which is quicker than KServe's threads."""

    def load(self) -> bool:
        self._model = pickle.loads((FOLDER / "model.pickle").read_bytes())["model"]
        self.ready = True
        return self.ready

    async def predict(self, payload: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        rows = payload["instances"]
        table = np.array(rows) if isinstance(rows[0], list) else pd.DataFrame(rows)
        return {"predictions": self._model.predict(table).tolist()}


if __name__ == "__main__":
    model = Served("model")
    model.load()
    ModelServer(http_port=PORT, workers=1, enable_grpc=False, enable_latency_logging=False).start([model])
