"""Asking for a process: from the warm process where there is one to be had, else from a cold Python; same result.

Whoever needs the warm process first starts it, behind a lock, and is served by it at once: the listening socket is made
here and handed over, so there is nothing to wait for. What cannot be served warm is not an error: the process starts
cold and the log says why.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from rasen.batch.process_request import Messages, ProcessRequest, inherited, send_request
from rasen.batch.supervised_process import SupervisedProcess
from rasen.batch.supervisor import CREDENTIALS
from rasen.batch.zygote import RETIRED, Options
from rasen.batch.zygote_identity import identity_key, installed_digest, start_environment
from rasen.batch.zygote_place import Place, private_folder
from rasen.errors import PlatformFailed
from rasen.settings import Settings, child_environment

_ANSWER_SECONDS = 30.0  # of a warm process: it may be in the middle of an import
_START_SECONDS = 120.0  # of a cold Python, on a machine that has much else to do
_BACKLOG = 1024
# Unless the asker's environment says otherwise. OpenMP's threads wait by spinning, which is right for a process that
# has its processors for itself; two notebooks that train beside one another take seven times as long for it.
_FIXED = {"PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "PASSIVE"}

_Answer = TypeVar("_Answer")
Stream = int | IO[Any] | None  # Any: bytes or text, only its descriptor counts

_log = logging.getLogger("rasen.zygote")


class _Refused(Exception):
    """The warm process cannot or will not serve this request; the text says why."""


def start_module(
    settings: Settings,
    module: str,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path | str | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
) -> SupervisedProcess:
    """Run a module's `main(arguments)` in a process of its own, warm if possible; `main` returns the exit code.

    The process has a session and a process group of its own. It ends with the handle that is returned, and nothing
    that it has started outlives it.

    Args:
        settings: Whether there is a warm process, and what it imports.
        module: The module's full name.
        arguments: What `main` is given, as a list.
        environment: The whole environment of the process. The hash seed is set to 0, and OpenMP waits without
            spinning, unless it says otherwise.
        cwd: The working directory; the caller's by default.
        stdin: A file or a descriptor, `subprocess.DEVNULL`, or `None` for the caller's own.
        stdout: The same.
        stderr: The same, or `subprocess.STDOUT`.

    Raises:
        PlatformFailed: It could be started neither warm nor cold.
    """
    request = ProcessRequest(
        module=module,
        arguments=[str(argument) for argument in arguments],
        environment=_FIXED | dict(environment),
        cwd=str(Path(cwd or ".").absolute()),
        **inherited(),
    )
    with open(os.devnull, "r+b", buffering=0) as nowhere:  # noqa: PTH123  # the standard idiom
        streams = [
            _descriptor(stream, number, nowhere) for number, stream in enumerate((stdin, stdout, stderr))
        ]
        if stderr == subprocess.STDOUT:
            streams[2] = streams[1]
        reason = "the setting zygote is off"
        if settings.zygote:
            try:
                return _again_if_it_left(
                    lambda: _launch(_connect(settings, request.environment), request, streams)
                )
            except (_Refused, OSError, PlatformFailed) as error:
                reason = str(error)
                _log.warning("%s starts cold: %s", module, reason)
        return _start_cold(request, streams, reason)


def warm_up(
    settings: Settings, *, environment: Mapping[str, str] | None = None, timeout_seconds: float = 60.0
) -> bool:
    """Have the warm process for kernels with `environment` started, and wait until it has imported everything.

    Returns whether it has; `False` as well when it cannot be had.
    """
    frozen = _FIXED | dict(child_environment() if environment is None else environment)
    deadline = time.monotonic() + timeout_seconds
    while settings.zygote and time.monotonic() < deadline:
        try:
            answer = _again_if_it_left(lambda: _ask(_connect(settings, frozen)))
        except (_Refused, OSError, PlatformFailed) as error:
            _log.warning("no warm process: %s", error)
            return False
        if answer["imported"] == answer["preload"]:
            return True
        time.sleep(0.05)
    return False


def _descriptor(stream: Stream, number: int, nowhere: IO[bytes]) -> int:
    if stream is None:
        try:
            os.fstat(number)
        except OSError:  # a daemon has none
            return nowhere.fileno()
        return number
    if isinstance(stream, int):
        return nowhere.fileno() if stream in (subprocess.DEVNULL, subprocess.STDOUT) else stream
    return stream.fileno()


def _again_if_it_left(ask: Callable[[], _Answer]) -> _Answer:
    """Ask once more when the warm process left between our knock and its answer: there is a new one now."""
    try:
        return ask()
    except ConnectionError:
        return ask()
    except _Refused as error:
        if str(error) != RETIRED:
            raise
        return ask()


def _launch(
    connection: socket.socket,
    request: ProcessRequest,
    streams: Sequence[int],
    *,
    cold_reason: str | None = None,
    supervisor: subprocess.Popen[bytes] | None = None,
) -> SupervisedProcess:
    messages = Messages(connection)
    try:
        send_request(connection, request, streams)
        started = _answer(messages)["started"]
    except BaseException:
        connection.close()
        raise
    return SupervisedProcess(
        connection, pid=started, messages=messages, cold_reason=cold_reason, supervisor=supervisor
    )


def _ask(connection: socket.socket) -> dict[str, Any]:  # Any: JSON
    with connection:
        send_request(connection, None)
        return _answer(Messages(connection))


def _answer(messages: Messages) -> dict[str, Any]:  # Any: JSON
    while not messages.ended:
        for message in messages.read():
            if "refused" in message:
                raise _Refused(message["refused"])
            if "failed" in message:
                raise PlatformFailed(f"the process cannot be started: {message['failed']}")
            return message
    raise ConnectionResetError("the other side hung up")


def _start_cold(request: ProcessRequest, streams: Sequence[int], reason: str) -> SupervisedProcess:
    ours, theirs = socket.socketpair()
    ours.settimeout(_START_SECONDS)
    with theirs:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "rasen.batch.supervisor", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd="/",
            env=dict(request.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=streams[2],
            start_new_session=True,
        )
    try:
        return _launch(ours, request, streams, cold_reason=reason, supervisor=supervisor)
    except (OSError, PlatformFailed, _Refused) as error:
        supervisor.kill()
        supervisor.wait()
        raise PlatformFailed(f"{request.module!r} cannot be started: {error}") from error


def _connect(settings: Settings, environment: Mapping[str, str]) -> socket.socket:
    """Return a connection to the warm process for `environment`; start that if there is none."""
    installed = installed_digest()
    place = Place(folder=private_folder(), key=identity_key(installed, environment, settings.zygote_preload))
    connection = _knock(place)
    if connection is not None:
        return connection
    if _is_supervised():
        raise _Refused(
            "there is no warm process, and what a supervisor runs starts none: it would end with it"
        )
    options = Options(
        folder=str(place.folder),
        key=place.key,
        installed=installed,
        preload=tuple(settings.zygote_preload),
        idle_seconds=settings.zygote_idle_seconds,
        most_forks=settings.zygote_forks,
    )
    with place.locked():
        connection = _knock(place)
        if connection is None:
            _start_zygote(place, options, start_environment(environment))
            connection = _knock(place)
    if connection is None:
        raise _Refused(f"the warm process does not listen at {str(place.socket)!r}; see {str(place.log)!r}")
    return connection


def _knock(place: Place) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_SECONDS)
    try:
        connection.connect(str(place.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    owner = CREDENTIALS.unpack(packed)[1]
    if owner != os.getuid():
        connection.close()
        raise _Refused(f"{str(place.socket)!r} is served by user {owner}")
    return connection


def _start_zygote(place: Place, options: Options, environment: Mapping[str, str]) -> None:
    """Make the socket and hand it to a new process; it can be knocked at from now on, whatever that is still doing."""
    scratch = place.socket.with_suffix(".new")
    with suppress(FileNotFoundError):
        scratch.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, place.log.open("wb") as log:
        listener.bind(str(scratch))
        scratch.chmod(0o600)
        listener.listen(_BACKLOG)
        scratch.replace(place.socket)
        starter = subprocess.Popen(
            [sys.executable, "-m", "rasen.batch.zygote", str(listener.fileno()), options.to_json()],
            pass_fds=[listener.fileno()],
            cwd=place.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    starter.wait()  # it forks at once, so that the zygote is nobody's child
    place.tidy()


def _is_supervised() -> bool:
    """Return whether a supervisor answers for this process: then all that it starts ends with it."""
    pid = os.getpid()
    while pid > 1:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return False
        if {b"rasen.batch.zygote", b"rasen.batch.supervisor"} & set(command):
            return True
        pid = int(stat.rpartition(b")")[2].split()[1])
    return False
