"""The platform's processes on one machine, as one supervised group.

A process that ends by itself is started again, at once and then with growing pauses; a stop reaches all of them, and
so does the death of the supervisor, by the kernel's own parent-death signal. Nothing of the flow goes through here: the
processes talk through the store and HTTP only, as in a cluster.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from rasen.errors import PlatformFailed
from rasen.settings import Settings, platform_environment

_STOP_SECONDS = 12.0
_LONGEST_PAUSE_SECONDS = 10.0
_STEADY_SECONDS = 30.0  # a process that ran this long has recovered: its next pause is short again
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and where its health is asked; `health` is `None` for a process without HTTP."""

    name: str
    command: tuple[str, ...]
    health: str | None = None


@dataclass(kw_only=True)
class _Running:
    program: Program
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    pause_seconds: float = 0.0
    restart_due: float | None = None


class Group:
    """Programs that run together until they are stopped together."""

    def __init__(self, settings: Settings, programs: Iterable[Program]) -> None:
        self._settings = settings
        self._programs = tuple(programs)
        self._running: dict[str, _Running] = {}

    @property
    def process_ids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        return {name: one.process.pid for name, one in self._running.items() if one.process.poll() is None}

    def start(self) -> None:
        """Start every program."""
        for program in self._programs:
            self._running[program.name] = _Running(program=program, process=self._spawn(program))

    def supervise(self) -> list[str]:
        """Start again what has ended and is due; return the names, to tell the user. Call it often."""
        revived = []
        now = time.monotonic()
        for name, one in self._running.items():
            if one.process.poll() is None:
                continue
            if one.restart_due is None:
                steady = now - one.started > _STEADY_SECONDS
                one.pause_seconds = (
                    0.0 if steady else min(_LONGEST_PAUSE_SECONDS, one.pause_seconds * 2 or 0.1)
                )
                one.restart_due = now + one.pause_seconds
            if now >= one.restart_due:
                one.process = self._spawn(one.program)
                one.started, one.restart_due = now, None
                revived.append(name)
        return revived

    def wait_until_healthy(self, *, timeout_seconds: float, supervise: bool = True) -> None:
        """Wait until every program with a health address answers.

        Raises:
            PlatformFailed: One does not in time; the message has the end of its log.
        """
        deadline = time.monotonic() + timeout_seconds
        for program in self._programs:
            while program.health is not None and not _answers(program.health):
                if time.monotonic() > deadline:
                    raise PlatformFailed(
                        f"{program.name} did not answer at {program.health} within {timeout_seconds:.0f} s; the end of "
                        f"its log {str(self._log(program.name))!r}:\n{self._log_tail(program.name)}"
                    )
                if supervise:
                    self.supervise()
                time.sleep(0.05)

    def stop(self, *, timeout_seconds: float = _STOP_SECONDS) -> None:
        """Ask every program to stop, in reverse order, and end what has not after `timeout_seconds`."""
        running = [one for one in reversed(self._running.values()) if one.process.poll() is None]
        for one in running:
            one.process.terminate()
        deadline = time.monotonic() + timeout_seconds
        for one in running:
            try:
                one.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        log = self._log(program.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=platform_environment(self._settings),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread when it spawns
            )

    def _log(self, name: str) -> Path:
        return self._settings.logs_dir / f"{name}.log"

    def _log_tail(self, name: str) -> str:
        try:
            return "\n".join(self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        except FileNotFoundError:
            return "(no log)"


def platform_programs(settings: Settings) -> tuple[Program, ...]:
    """Return the programs of the platform: serving, deploy function, control API, event bridge, notifier."""
    function = find_function("deploy_model")
    host = settings.host
    return (
        Program(
            name="serving",
            command=(sys.executable, "-m", "rasen_serving"),
            health=f"http://{host}:{settings.serving_port}/livez",
        ),
        Program(
            name="function",
            command=(
                *(sys.executable, "-m", "functions_framework"),
                *("--target", "deploy_model", "--source", str(function), "--signature-type", "cloudevent"),
                *("--host", host, "--port", str(settings.function_port)),
            ),
            health=f"http://{host}:{settings.function_port}/health",
        ),
        Program(
            name="api",
            command=(sys.executable, "-m", "rasen.api"),
            health=f"http://{host}:{settings.api_port}/v1/health",
        ),
        Program(name="bridge", command=(sys.executable, "-m", "rasen.local.bridge")),
        Program(name="notifier", command=(sys.executable, "-m", "rasen.notify")),
    )


def find_function(name: str) -> Path:
    """Return the source of a cloud function: in the repository beside this package, or packed into it.

    Raises:
        PlatformFailed: It is in neither place.
    """
    package = Path(__file__).resolve().parent.parent
    candidates = [root / "cloud_functions" / name / "main.py" for root in (package.parent.parent, package)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise PlatformFailed(
        f"cloud function {name!r} is not installed: none of {[str(path) for path in candidates]}"
    )


def check_ports(settings: Settings) -> None:
    """See that the platform's ports are free before anything is started.

    Raises:
        PlatformFailed: One is in use; the message names it and the variable that changes it.
    """
    for name in ("serving_port", "admin_port", "function_port", "api_port"):
        port = getattr(settings, name)
        if not port_is_free(settings.host, port):
            raise PlatformFailed(
                f"port {port} is in use by another program; stop it, or set RASEN_{name.upper()} to a free port"
            )


def port_is_free(host: str, port: int) -> bool:
    """Return whether this process could listen on the port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    """Return a port that is free now."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=1.0).status_code < 500
    except httpx.HTTPError:
        return False


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
