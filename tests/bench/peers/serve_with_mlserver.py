"""MLServer with adaptive batching: `python serve_with_mlserver.py FOLDER PORT`, in MLServer's own environment.

Models run in the server's process (`parallel_workers=0`), because a process behind a queue is slower with one worker;
access log, metrics and latency spans are off. uvloop, as MLServer's command line installs it.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import sys
from pathlib import Path

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyRequestCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import install_uvloop_event_loop

_BATCH_REQUESTS, _BATCH_SECONDS = 64, 0.001


class Runtime(MLModel):  # type: ignore[misc]  # MLServer is in an environment of its own, so it is Any here
    """Decodes with MLServer's codecs, predicts, encodes."""

    async def load(self) -> bool:
        with open(self.settings.parameters.uri, "rb") as file:  # noqa: ASYNC230, PTH123  # before anybody asks
            self._model = pickle.load(file)["model"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        frame = self.decode_request(payload, default_codec=NumpyRequestCodec)
        answers = np.asarray(self._model.predict(frame)).reshape(-1, 1)
        return NumpyRequestCodec.encode_response(model_name=self.name, payload=answers)


async def main(folder: Path, port: int) -> None:
    with socket.socket() as found:  # its gRPC server cannot be switched off
        found.bind(("127.0.0.1", 0))
        grpc_port = found.getsockname()[1]
    server = MLServer(
        Settings(
            host="127.0.0.1",
            http_port=port,
            grpc_port=grpc_port,
            parallel_workers=0,
            metrics_endpoint=None,
            debug=False,
            gzip_enabled=False,
        )
    )
    model = ModelSettings(
        name="model",
        implementation=Runtime,
        parameters=ModelParameters(uri=str(folder / "model.pickle")),
        max_batch_size=_BATCH_REQUESTS,
        max_batch_time=_BATCH_SECONDS,
    )
    await server.start([model])


if __name__ == "__main__":
    install_uvloop_event_loop()
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
