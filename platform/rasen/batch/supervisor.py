"""The process between the one that asks for a process and the one that runs: `python -m rasen.batch.supervisor FD`.

It runs one request, passes signals on, and answers for the whole tree: when the process ends, or whoever asked for it
is gone, nothing that it started stays behind. The supervisor is the subreaper of that tree, so a daemon that forked
twice into a session of its own is found too. It comes into being as a fork of the warm process (`zygote.py`), or, for
a cold start, as a Python of its own with nothing imported; what happens then is the same.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from rasen.batch.process_request import Messages, ProcessRequest, receive_request, send_message
from rasen.batch.process_start import become, find_shadow, leave_start_folder
from rasen.batch.process_tree import Swept, adopt_orphans, end_descendants, name_process, reap

_REQUEST_SECONDS = 30.0
CREDENTIALS = struct.Struct("3i")

Job = Callable[[], int]


def main() -> int:
    """Serve the one request that comes over the descriptor named as the argument, in a process without imports."""
    leave_start_folder()
    return supervise(socket.socket(fileno=int(sys.argv[1])))()


@dataclass(frozen=True, kw_only=True)
class Warm:
    """What a supervisor knows of the warm process that it was forked from.

    Args:
        zygote: Its process id.
        imported: How many of the modules to preload it has imported.
        preload: How many those are.
        libraries: What `loaded_libraries` returned.
        variables: The environment variables that these libraries have set.
    """

    zygote: int
    imported: int
    preload: int
    libraries: str
    variables: Mapping[str, str]


def supervise(connection: socket.socket, *, warm: Warm | None = None) -> Job:
    """Serve one request; return, in the process that was asked for only, what it has to run.

    The supervisor itself never returns. What it forks returns, so that the interpreter ends that process as it ends
    every other: with its threads joined, its `atexit` functions called and its files flushed.

    Args:
        connection: To whoever asks.
        warm: What this process was forked from, `None` for a cold start.
    """
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        name_process("rasen-supervise")
        adopt_orphans()
        connection.settimeout(_REQUEST_SECONDS)
        request, descriptors = receive_request(connection)
        if request is None:
            send_message(connection, **(asdict(warm) if warm is not None else {}))
            os._exit(0)
        shadow = find_shadow(request.cwd, warm.libraries) if warm is not None else None
        if shadow is not None:
            send_message(connection, refused=shadow)
            os._exit(0)
        child, told = _fork(request, descriptors, connection, warm.variables if warm is not None else {})
        if child == 0:
            return _job(request)
        for descriptor in descriptors:
            os.close(descriptor)
        if told:
            send_message(connection, failed=told)
            os._exit(0)
        send_message(connection, started=child)
        _watch(connection, child)
    except OSError as error:
        sys.stderr.write(f"supervisor {os.getpid()}: {error}\n")
        os._exit(1)


def _fork(
    request: ProcessRequest, descriptors: list[int], connection: socket.socket, defaults: Mapping[str, str]
) -> tuple[int, str]:
    """Fork the process; return its id (0 in itself) and why it could not become what was asked for."""
    answer, tell = os.pipe()
    supervisor = os.getpid()
    child = os.fork()
    if child != 0:
        os.close(tell)
        with open(answer, encoding="utf-8", errors="replace") as report:  # noqa: PTH123  # a descriptor, not a path
            told = report.read()
        return child, told
    os.close(answer)
    connection.close()
    try:
        become(request, descriptors, supervisor=supervisor, keep=tell, defaults=defaults)
    except (OSError, ValueError) as error:
        os.write(tell, str(error).encode(errors="replace"))
        os._exit(1)
    os.close(tell)
    return 0, ""


def _job(request: ProcessRequest) -> Job:
    def run() -> int:
        result = importlib.import_module(request.module).main(list(request.arguments))
        return result if isinstance(result, int) else 0

    return run


def _watch(connection: socket.socket, child: int) -> NoReturn:
    """Pass signals on until the process has ended or nobody wants it any more; then end what is left and say so."""
    woken, wake = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGTERM, lambda _number, _frame: _pass_on({"kill": True}, child))
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    connection.settimeout(0)
    messages = Messages(connection)
    poll = select.poll()
    for descriptor in (woken, connection.fileno(), *_asker(connection)):
        poll.register(descriptor, select.POLLIN)
    while True:
        ended = reap()  # before the first wait: it may have ended before the wake-up call was set
        if ended is None or child in ended:
            _finish(connection, (ended or {}).get(child, -signal.SIGKILL), end_descendants())
        ready = {descriptor for descriptor, _ in poll.poll()}
        with suppress(BlockingIOError):
            os.read(woken, 4096)
        with suppress(BlockingIOError):
            for message in messages.read():
                _pass_on(message, child)
        if messages.ended or ready - {woken, connection.fileno()}:
            _pass_on({"kill": True}, child)
            end_descendants()
            os._exit(0)


def _asker(connection: socket.socket) -> list[int]:
    """Return a descriptor that becomes ready when the asking process ends, if the system can give one.

    The end of the connection says the same, except when the asker had forked: then its child holds the other end.
    """
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    try:
        return [os.pidfd_open(CREDENTIALS.unpack(packed)[0])]
    except OSError:  # of another pid namespace, or gone already
        return []


def _pass_on(message: dict[str, Any], child: int) -> None:  # Any: JSON
    with suppress(ProcessLookupError):
        if message.get("kill"):
            os.kill(child, signal.SIGKILL)
        elif "signal" in message:
            os.killpg(child, int(message["signal"]))


def _finish(connection: socket.socket, status: int, swept: Swept) -> NoReturn:
    usage = _usage()
    connection.settimeout(_REQUEST_SECONDS)
    send_message(connection, ended=status, swept=swept.found, left=swept.left, **usage)
    os._exit(0)


def _usage() -> dict[str, float]:
    """Return what the whole tree has used, as far as its processes were waited for."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "peak_bytes": used.ru_maxrss * 1024}


if __name__ == "__main__":
    # Under its own name, because `__main__` is somebody else's after a fork.
    sys.exit(importlib.import_module("rasen.batch.supervisor").main())
