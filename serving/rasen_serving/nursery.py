"""The process that imports everything heavy once and forks the workers, which then share that memory.

pandas, scikit-learn, xgboost and FastAPI cost 3 s and 190 MB; a fork of a process that has them costs 20 ms and the
pages it changes. Forking is sound only from a single thread, so the native thread pools are told to stay away before
anything is imported, and a nursery that has a second thread all the same says so and is not used: the supervisor
then starts cold workers, which import for themselves.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from rasen_serving.worker import Kit

THREADLESS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # pyarrow, when present, is imported by pandas and would start jemalloc's background thread
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Environment of the nursery: read by the native libraries when they are loaded."""

WARM = b"warm"
COLD = b"cold"
PID = struct.Struct("=q")

_IMPORTS = (
    "rasen_serving.worker",
    "rasen.model.loading",
    "cloudpickle",
    "fastapi_swagger",
    "httptools",
    "numpy",
    "pandas",
    "scipy.sparse",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.feature_extraction.text",
    "sklearn.impute",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "xgboost",
)


def main(control: socket.socket, listener: socket.socket) -> None:
    """Import, say whether forking is sound, then fork a worker for each request until the supervisor hangs up.

    A request is the supervisor's process id with two descriptors, the worker's channel and its board; the answer is
    the worker's process id.
    """
    # Ctrl-C reaches the whole terminal group; when to stop is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for name in _IMPORTS:
        importlib.import_module(name)
    from rasen.settings import load_settings
    from rasen_serving.worker import make_kit

    kit = make_kit(load_settings())
    threads = len(list(Path("/proc/self/task").iterdir()))
    control.sendall(WARM if threads == 1 else COLD)
    if threads != 1:
        return
    # What lives now lives for ever: the collector of a worker must not touch, and so copy, these pages.
    gc.disable()
    gc.collect()
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, PID.size, 2)
        if not request:
            return
        channel, board = descriptors
        control.sendall(
            PID.pack(_fork_worker(control, listener, channel, board, PID.unpack(request)[0], kit))
        )
        os.close(channel)
        os.close(board)


def _fork_worker(
    control: socket.socket, listener: socket.socket, channel: int, board: int, supervisor: int, kit: Kit
) -> int:
    """Fork twice, so that the worker is orphaned at once and becomes the supervisor's child; return its id."""
    answer, tell = os.pipe()
    middle = os.fork()
    if middle == 0:
        worker = os.fork()
        if worker != 0:
            os.write(tell, PID.pack(worker))
            os._exit(0)
        control.close()
        os.close(answer)
        os.close(tell)
        _become_worker(listener, channel, board, supervisor, kit)
    os.close(tell)
    pid: int = PID.unpack(os.read(answer, PID.size))[0]
    os.close(answer)
    os.waitpid(middle, 0)
    return pid


def _become_worker(listener: socket.socket, channel: int, board: int, supervisor: int, kit: Kit) -> NoReturn:
    from rasen_serving.worker import run_worker

    status = 1
    try:
        gc.enable()
        run_worker(kit, listener=listener, channel=channel, board=board, supervisor=supervisor)
        status = 0
    except BaseException:  # noqa: BLE001  # told here, because nothing is above this frame
        traceback.print_exc()
    finally:
        # Without the interpreter's shutdown: its hooks belong to the nursery, and a model's threads may never end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
