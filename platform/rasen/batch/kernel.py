"""A kernel of one step and the messages to and from it, over raw sockets and without an event loop.

What jupyter_client's ready-made clients spend on fixed waits and on polling is most of the time of a small cell. Here
one `poll` waits for whatever comes first: a message, the end of the process (through a pidfd, so a death is seen at
once), or the caller's deadline.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import zmq
from jupyter_client.manager import KernelManager
from jupyter_core.utils import run_sync

from rasen.errors import PlatformFailed

_RECONNECT_MILLISECONDS = 5
_HELLO_SECONDS = 0.2  # how long an answer to the first question is awaited before it is asked again
_STOP_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of the kernel; `parent` is the id of the request that it belongs to."""

    channel: str
    kind: str
    parent: str
    content: dict[str, Any]  # Any: JSON
    metadata: dict[str, Any]  # Any: JSON


class KernelDied(Exception):
    """The kernel's process is gone; `how` says what is known of its end."""

    def __init__(self, how: str, signal_number: int | None = None) -> None:
        super().__init__(how)
        self.how = how
        self.signal_number = signal_number


class Kernel:
    """A running kernel. Talks over Unix sockets in a private folder: no port, nobody else's to clash with."""

    def __init__(
        self, *, kernel_name: str, environment: Mapping[str, str] | None, folder: str | None
    ) -> None:
        self._sockets_folder = Path(tempfile.mkdtemp(prefix="rasen-"))
        self._manager = KernelManager(kernel_name=kernel_name, transport="ipc")
        self._manager.connection_file = str(self._sockets_folder / "kernel.json")
        self._environment = environment
        self._folder = folder
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._poller = zmq.Poller()
        self._pidfd: int | None = None
        self.language_info: dict[str, Any] = {}  # Any: JSON

    @property
    def process_id(self) -> int:
        """The kernel's process."""
        provisioner = self._manager.provisioner
        return int(provisioner.pid or 0) if provisioner is not None else 0  # type: ignore[attr-defined] # all have it

    def start(self, *, timeout_seconds: float) -> None:
        """Start the process and return when it answers.

        Raises:
            KernelDied: It ended before it answered.
            PlatformFailed: It did not answer in time, or could not be started.
        """
        options: dict[str, Any] = {"cwd": self._folder}  # Any: whatever the provisioner takes
        if self._environment is not None:
            options["env"] = dict(self._environment)
        self._manager.start_kernel(**options)
        try:
            self._pidfd = os.pidfd_open(self.process_id)
        except ProcessLookupError:  # it ended at once
            raise self._death() from None
        self._poller.register(self._pidfd, zmq.POLLIN)
        for channel, kind in (("shell", zmq.DEALER), ("iopub", zmq.SUB), ("control", zmq.DEALER)):
            self._connect(channel, kind)
        self._say_hello(time.monotonic() + timeout_seconds, timeout_seconds)

    def execute(self, code: str, *, stop_on_error: bool = True) -> str:
        """Ask the kernel to run `code`; return the id that its messages will carry as parent."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": stop_on_error,
        }
        return self._send("shell", "execute_request", content)

    def poll(self, timeout_seconds: float) -> Iterator[Message]:
        """Wait for messages, at most `timeout_seconds`, and yield all that have come.

        Raises:
            KernelDied: The process is gone and everything that it had sent was yielded.
        """
        ready = dict(self._poller.poll(max(0, round(timeout_seconds * 1000))))
        yield from self._receive()
        if self._pidfd is not None and self._pidfd in ready:
            yield from self._receive()
            raise self._death()

    def interrupt(self) -> None:
        """Interrupt what the kernel does, as Ctrl-C would."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.process_id, signal.SIGINT)

    def stop(self) -> None:
        """End the kernel's process and everything that belongs to it."""
        try:
            self._kill()
            if self._manager.has_kernel:
                with suppress(RuntimeError):
                    self._manager.shutdown_kernel(now=True)
            self._manager.cleanup_resources()
        finally:
            for socket in self._sockets.values():
                socket.close(linger=0)
            self._context.term()
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
            shutil.rmtree(self._sockets_folder, ignore_errors=True)

    def _kill(self) -> None:
        """Kill the kernel's processes and wait: the manager's own wait looks every 100 ms only."""
        provisioner = self._manager.provisioner
        if self._pidfd is None or provisioner is None:
            return
        run_sync(provisioner.kill)()
        ended = select.poll()
        ended.register(self._pidfd, select.POLLIN)
        ended.poll(_STOP_SECONDS * 1000)

    def _connect(self, channel: str, kind: int) -> None:
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MILLISECONDS)  # the kernel binds only in a moment
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        else:
            socket.setsockopt(zmq.IDENTITY, self._manager.session.bsession)
        info = cast(
            "dict[str, Any]", self._manager.get_connection_info()
        )  # Any: its values are of many types
        socket.connect(f"ipc://{info['ip']}-{info[f'{channel}_port']}")
        self._sockets[channel] = socket
        self._poller.register(socket, zmq.POLLIN)

    def _say_hello(self, deadline: float, timeout_seconds: float) -> None:
        """Wait for an answer on the shell channel and for a first message on iopub: then none can be lost."""
        subscribed = False
        ask_again = 0.0
        while not (subscribed and self.language_info):
            now = time.monotonic()
            if now > deadline:
                raise PlatformFailed(f"the kernel did not answer within {timeout_seconds:.0f} s of its start")
            if now >= ask_again:
                self._send("shell", "kernel_info_request", {})
                ask_again = now + _HELLO_SECONDS if ask_again else now + timeout_seconds / 4
            for message in self.poll(min(_HELLO_SECONDS, deadline - now)):
                if message.channel == "iopub":
                    subscribed = True
                elif message.kind == "kernel_info_reply":
                    self.language_info = message.content["language_info"]
                    ask_again = min(ask_again, time.monotonic() + _HELLO_SECONDS)

    def _send(self, channel: str, kind: str, content: dict[str, Any]) -> str:  # Any: JSON
        sent = self._manager.session.send(self._sockets[channel], kind, content)
        return cast("str", sent["header"]["msg_id"])

    def _receive(self) -> Iterator[Message]:
        waiting = True
        while waiting:
            waiting = False
            for channel, socket in self._sockets.items():
                _, raw = self._manager.session.recv(socket, mode=zmq.NOBLOCK)
                if raw is None:
                    continue
                waiting = True
                yield Message(
                    channel=channel,
                    kind=raw["header"]["msg_type"],
                    parent=raw["parent_header"].get("msg_id", ""),
                    content=raw["content"],
                    metadata=raw["metadata"],
                )

    def _death(self) -> KernelDied:
        provisioner = self._manager.provisioner
        deadline = time.monotonic() + _STOP_SECONDS
        code = None
        while provisioner is not None and code is None and time.monotonic() < deadline:
            code = run_sync(provisioner.poll)()
            time.sleep(0.005)
        if code is None:
            return KernelDied("the kernel's process is gone")
        if code < 0:
            with suppress(ValueError):
                return KernelDied(f"the kernel was killed by {signal.Signals(-code).name}", -code)
        return KernelDied(f"the kernel's process exited with code {code}")
