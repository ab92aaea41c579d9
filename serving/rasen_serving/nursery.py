"""The process that imports everything heavy once and forks the workers, which then share that memory.

pandas, scikit-learn, xgboost and FastAPI cost 3 s and 190 MB; a fork of a process that has them costs 20 ms and the
pages it changes. Forking is sound only from a single thread, so the native thread pools are told to stay away before
anything is imported, and a nursery that has a second thread all the same says so and is not used: the supervisor
then starts cold workers, which import for themselves.

Importing takes most of a cold start, so this process is started before the supervisor has imported anything of its own:
this module costs it milliseconds, and what the supervisor needs to know itself, the settings, come from the same
environment.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import struct
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rasen.settings import process_environment

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

_END_SECONDS = 0.5

# Without onnxruntime: importing it starts two threads, and a worker that needs it has it after 30 ms.
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


@dataclass(frozen=True, kw_only=True)
class NurseryProcess:
    """A nursery that has been started, and the supervisor's end of the conversation."""

    process: subprocess.Popen[bytes]
    control: socket.socket

    def stop(self) -> None:
        """Hang up, and see it end."""
        self.control.close()
        try:
            self.process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_nursery(environment: dict[str, str] | None = None) -> NurseryProcess:
    """Start a nursery, which says `WARM` or `COLD` some seconds later.

    To be called by the main thread: for the kernel the thread that starts a process is its parent.

    Args:
        environment: Holds the settings; by default that of this process.
    """
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "rasen_serving.nursery", str(theirs.fileno())],
        pass_fds=(theirs.fileno(),),
        env=(process_environment() if environment is None else environment) | THREADLESS,
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    return NurseryProcess(process=process, control=ours)


def main(control: socket.socket) -> None:
    """Import, say whether forking is sound, then fork a worker for each request until the supervisor hangs up.

    A request is the supervisor's process id with three descriptors: the socket that workers accept from, the worker's
    channel and its board. The answer is the worker's process id.
    """
    # What is imported lives for ever: looking for garbage in it takes a tenth of the start and finds none.
    gc.disable()
    # Ctrl-C reaches the whole terminal group; when to stop is the supervisor's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for name in _IMPORTS:
        importlib.import_module(name)
    from rasen.settings import load_settings
    from rasen_serving.worker import make_kit

    kit = make_kit(load_settings())
    threads = len(list(Path("/proc/self/task").iterdir()))
    try:
        control.sendall(WARM if threads == 1 else COLD)
    except BrokenPipeError:
        return  # the supervisor was told to stop, or found its port in use, while this was importing
    if threads != 1:
        return
    # The collector of a worker must not touch, and so copy, these pages.
    gc.freeze()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, PID.size, 3)
        if not request:
            return
        control.sendall(PID.pack(_fork_worker(control, descriptors, PID.unpack(request)[0], kit)))
        for descriptor in descriptors:
            os.close(descriptor)


def _fork_worker(control: socket.socket, descriptors: list[int], supervisor: int, kit: Kit) -> int:
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
        _become_worker(descriptors, supervisor, kit)
    os.close(tell)
    pid: int = PID.unpack(os.read(answer, PID.size))[0]
    os.close(answer)
    os.waitpid(middle, 0)
    return pid


def _become_worker(descriptors: list[int], supervisor: int, kit: Kit) -> NoReturn:
    from rasen_serving.worker import run_worker

    status = 1
    try:
        gc.enable()
        listener, channel, board = descriptors
        run_worker(
            kit,
            listener=socket.socket(fileno=listener),
            channel=channel,
            board=board,
            supervisor=supervisor,
        )
        status = 0
    except BaseException:  # noqa: BLE001  # told here, because nothing is above this frame
        traceback.print_exc()
    finally:
        # Without the interpreter's shutdown: its hooks belong to the nursery, and a model's threads may never end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
