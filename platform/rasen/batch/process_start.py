"""What a freshly forked process does before it runs what it was asked for: become what a new process would have been.

A fork inherits from the forking process what a new process gets from its parent, so everything that matters is set
from the request: descriptors, environment, limits, seeds. What cannot be changed after the interpreter or a library has
been loaded is part of the warm process's identity instead (`zygote_identity.py`).
"""

from __future__ import annotations

import gc
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from rasen.batch.process_request import ProcessRequest
from rasen.batch.process_tree import die_with_parent, name_process
from rasen.settings import replace_environment

_BLAS_VARIABLES = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")  # in OpenBLAS's own order


def leave_start_folder() -> None:
    """Take the folder that `python -m` was started in off the path, and leave it.

    What lies there is not what this process is asked to import.
    """
    if sys.path[0] == str(Path.cwd()):
        del sys.path[0]
    os.chdir("/")


def loaded_libraries() -> str:
    """Return the names of the libraries that are loaded here, a line each; what is the standard library's is left out.

    One text, because a fork that looks through it touches, and so copies, none of what it names.
    """
    names = {name for name in sys.modules if "." not in name} - sys.stdlib_module_names - {"__main__"}
    return "\n".join(sorted(names))


def find_shadow(cwd: str, libraries: str) -> str | None:
    """Return what in a working directory a new process would import and a fork would not, as a sentence.

    A notebook finds modules beside it first. One that is named like a library that is loaded here already, say
    `xgboost.py`, would be passed over.
    """
    for name in libraries.splitlines():
        for place in (f"{cwd}/{name}.py", f"{cwd}/{name}/__init__.py"):
            if os.path.exists(place) and not _is(sys.modules[name], place):  # noqa: PTH110  # 300 of these
                return f"{place!r} has the name of a library that the warm process has imported"
    return None


def _is(module: ModuleType, place: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == Path(place).resolve()


def become(
    request: ProcessRequest,
    descriptors: list[int],
    *,
    supervisor: int,
    keep: int,
    defaults: Mapping[str, str],
) -> None:
    """Turn this process, just forked, into the one that was asked for.

    Args:
        request: What was asked for.
        descriptors: Standard input, output and error.
        supervisor: The process that this one must not outlive.
        keep: A descriptor to leave open besides.
        defaults: Environment variables that libraries have set when they were imported, as they would in a new process.

    Raises:
        OSError: The working directory or a limit is not to be had.
    """
    os.setsid()
    name_process(request.module.rpartition(".")[2])
    die_with_parent()
    if os.getppid() != supervisor:  # it had ended before we asked to be told
        os._exit(1)
    for target, descriptor in enumerate(descriptors):
        os.dup2(descriptor, target)
    _close_all_but({0, 1, 2, keep})
    _reset_signals()
    os.umask(request.umask)
    os.sched_setaffinity(0, request.processors)
    for number, soft in request.soft_limits.items():
        resource.setrlimit(int(number), (soft, resource.getrlimit(int(number))[1]))
    os.chdir(request.cwd)
    replace_environment({**defaults, **request.environment})
    time.tzset()
    _renew_interpreter(request)
    _reseed()
    _renew_libraries(request)


def _close_all_but(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # names only; the listing's own descriptor is gone by then
        if int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        # Python's own start-up choices: these two are ignored so that a broken pipe becomes an exception.
        ignored = number in (signal.SIGPIPE, signal.SIGXFSZ)
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _renew_interpreter(request: ProcessRequest) -> None:
    sys.argv = [
        getattr(sys.modules.get(request.module), "__file__", None) or request.module,
        *request.arguments,
    ]
    sys.orig_argv = [sys.executable, "-m", request.module, *request.arguments]
    # Nothing of ours: multiprocessing's spawned children import what `__main__` says it was loaded from.
    sys.modules["__main__"] = ModuleType("__main__")
    sys.modules["__main__"].__dict__["__builtins__"] = sys.modules["builtins"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
    tempfile.tempdir = None  # it may have been asked for under another TMPDIR
    gc.enable()


def _reseed() -> None:
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "multiprocessing.process" in sys.modules:
        # The key with which managers and listeners of this process know one another.
        sys.modules["multiprocessing.process"].current_process().authkey = os.urandom(32)


def _renew_libraries(request: ProcessRequest) -> None:
    """Make libraries that read the environment when they were imported read it again."""
    backend = request.environment.get("MPLBACKEND")
    if backend and "matplotlib" in sys.modules:
        sys.modules["matplotlib"].rcParams["backend"] = backend
    if "threadpoolctl" in sys.modules:
        _raise_blas_threads(request)


def _raise_blas_threads(request: ProcessRequest) -> None:
    """Give OpenBLAS the threads that it would have started with; the warm process keeps it at one."""
    asked = [request.environment[name] for name in _BLAS_VARIABLES if name in request.environment]
    threads = int(asked[0]) if asked and asked[0].isdecimal() else len(request.processors)
    if threads > 1:
        for library in sys.modules["threadpoolctl"].ThreadpoolController().lib_controllers:
            if library.internal_api == "openblas":
                library.set_num_threads(threads)
