"""A kernel of one step and the messages to and from it, over raw sockets and without an event loop.

What jupyter_client's ready-made clients spend on fixed waits and on polling is most of the time of a small cell. Here
one `poll` waits for whatever comes first: a message, the end of the process (through a pidfd, so a death is seen at
once), or the caller's deadline.
"""

from __future__ import annotations

import math
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import zmq
from jupyter_client.kernelspec import NoSuchKernel
from jupyter_client.manager import KernelManager
from jupyter_core.utils import run_sync

from rasen.batch.kernel_log import KernelLog
from rasen.batch.kernel_main import STREAM_OPTION
from rasen.batch.messages import Message, read_message
from rasen.batch.output_mask import Mask
from rasen.batch.process_tree import MARK_VARIABLE, end_marked
from rasen.errors import PlatformFailed
from rasen.settings import child_environment

_RECONNECT_MILLISECONDS = 5
_HELLO_SECONDS = 0.2  # how long an answer to the first question is awaited before it is asked again
_STOP_SECONDS = 2.0
_DEAD_MILLISECONDS = 50  # how long after a death more messages are waited for
_SLICE_SECONDS = 0.05  # how long messages are taken before the caller may look at the time again
_RECEIVED_MESSAGES = 100  # of a megabyte at most, mostly
_OUR_KERNEL = "rasen.batch.kernel_main"
_SOCKET_NAME_BYTES = 100  # the system takes 107 (man 7 unix)
_SHORT_PLACES = ("/tmp", "/dev/shm")  # noqa: S108  # private folders are made in them, only where TMPDIR has a long name


class KernelDied(Exception):
    """The kernel's process is gone.

    Args:
        how: What is known of its end.
        signal_number: The signal that ended it, if one did.
        last_words: What it wrote last to its own standard output and error.
    """

    def __init__(self, how: str, signal_number: int | None = None, last_words: str = "") -> None:
        super().__init__(how, signal_number, last_words)
        self.how = how
        self.signal_number = signal_number
        self.last_words = last_words


class Kernel:
    """A running kernel. Talks over Unix sockets in a private folder: no port, nobody else's to clash with."""

    def __init__(
        self,
        *,
        kernel_name: str,
        environment: Mapping[str, str] | None,
        folder: str | None,
        largest_bytes: int = 10_000_000,
        mask: Mask | None = None,
    ) -> None:
        self._name = kernel_name
        self._mark = uuid.uuid4().hex
        self._largest_bytes = largest_bytes
        self._marked = False
        self._answers = False
        self._sockets_folder = _folder_for_sockets()
        self._manager = KernelManager(kernel_name=kernel_name, transport="ipc")
        self._manager.connection_file = str(self._sockets_folder / "kernel.json")
        self._environment = environment
        self._folder = folder
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._poller = zmq.Poller()
        self._pidfd: int | None = None
        self._log = KernelLog(mask)
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
        environment = self._environment if self._environment is not None else child_environment()
        ours = self._log.write_end
        options: dict[str, Any] = {  # Any: whatever the provisioner takes
            "cwd": self._folder,
            "env": dict(environment),
            "stdout": ours,
            "stderr": ours,
        }
        try:
            options["extra_arguments"] = [STREAM_OPTION] if self._is_ipykernel_here() else []
            if not self._is_ours():  # nobody answers for what it starts: that is found by a mark
                options["env"][MARK_VARIABLE] = self._mark
                self._marked = True
            self._manager.start_kernel(**options)
        except NoSuchKernel:
            there = ", ".join(sorted(self._manager.kernel_spec_manager.find_kernel_specs()))
            raise PlatformFailed(
                f"the kernel {self._name!r} is not installed here; there are {there}"
            ) from None
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as error:  # a program that is not there, no memory, no space
            raise PlatformFailed(f"the kernel {self._name!r} cannot be started: {error}") from error
        finally:
            self._log.started()
        self._poller.register(self._log.fileno(), zmq.POLLIN)
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
        if self._log.fileno() in ready and not self._log.read():
            self._poller.unregister(self._log.fileno())
        dead = self._pidfd is not None and self._pidfd in ready
        yield from self._receive(math.inf if dead else time.monotonic() + _SLICE_SECONDS)
        if dead:
            # What it had sent may still be on its way through ZeroMQ's own thread here.
            while (iopub := self._sockets.get("iopub")) is not None and iopub.poll(_DEAD_MILLISECONDS):
                yield from self._receive(math.inf)
            raise self._death()

    def interrupt(self) -> None:
        """Interrupt what the kernel does, as Ctrl-C would."""
        spec = self._manager.kernel_spec
        if spec is not None and spec.interrupt_mode == "message":
            self._send("control", "interrupt_request", {})
            return
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
            if self._marked:
                end_marked(self._mark)
        finally:
            for socket in self._sockets.values():
                socket.close(linger=0)
            self._context.term()
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
            self._log.close()
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
            # With our streams a kernel waits when we do not keep up (`kernel_streams`); another would drop messages.
            socket.setsockopt(zmq.RCVHWM, _RECEIVED_MESSAGES if self._waits_for_us() else 0)
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
                words = self._log.last_words()
                raise PlatformFailed(
                    f"the kernel {self._name!r} did not answer within {timeout_seconds:g} s of its start"
                    + (f"; it wrote: {words}" if words else "")
                )
            if now >= ask_again:
                self._send("shell", "kernel_info_request", {})
                ask_again = now + _HELLO_SECONDS if ask_again else now + timeout_seconds / 4
            for message in self.poll(min(_HELLO_SECONDS, deadline - now)):
                if message.channel == "iopub":
                    subscribed = True
                elif message.kind == "kernel_info_reply":
                    self.language_info = message.content["language_info"]
                    ask_again = min(ask_again, time.monotonic() + _HELLO_SECONDS)
        self._answers = True

    def _waits_for_us(self) -> bool:
        return self._is_ours() or self._is_ipykernel_here()

    def _is_ours(self) -> bool:
        spec = self._manager.kernel_spec
        return spec is not None and _OUR_KERNEL in spec.argv

    def _is_ipykernel_here(self) -> bool:
        """Return whether the kernel is a plain ipykernel in this environment, which can use our streams then."""
        spec = self._manager.kernel_spec
        if spec is None or spec.argv[1:3] != ["-m", "ipykernel_launcher"]:
            return False
        return spec.argv[0] in ("python", "python3", sys.executable)  # the first two become the third

    def _send(self, channel: str, kind: str, content: dict[str, Any]) -> str:  # Any: JSON
        sent = self._manager.session.send(self._sockets[channel], kind, content)
        return cast("str", sent["header"]["msg_id"])

    def _receive(self, until: float) -> Iterator[Message]:
        waiting = True
        while waiting and time.monotonic() < until:
            waiting = False
            for channel, socket in self._sockets.items():
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    continue
                waiting = True
                message = read_message(channel, frames, largest_bytes=self._largest_bytes)
                if message is not None:
                    yield message

    def _death(self) -> KernelDied:
        provisioner = self._manager.provisioner
        deadline = time.monotonic() + _STOP_SECONDS
        code = None
        while provisioner is not None and code is None and time.monotonic() < deadline:
            code = run_sync(provisioner.poll)()
            time.sleep(0.005)
        words = self._log.last_words()
        if code is None:
            how, number = "the kernel's process is gone", None
        elif code < 0:
            number = -code
            with suppress(ValueError):
                number = signal.Signals(number)
            how = f"the kernel was killed by {getattr(number, 'name', f'signal {number}')}"
        else:
            how, number = f"the kernel's process exited with code {code}", None
        if not self._answers:
            how += " before it answered" + (f"; it wrote: {words}" if words else "")
        return KernelDied(how, number, words)


def _folder_for_sockets() -> Path:
    """Return a new folder of ours alone, whose sockets have names that the system can take."""
    for place in (tempfile.gettempdir(), *_SHORT_PLACES):
        if len(f"{place}/rasen-01234567/kernel-ipc-0") <= _SOCKET_NAME_BYTES:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="rasen-", dir=place))
    raise PlatformFailed(f"no folder for temporary files can be written to: {tempfile.gettempdir()!r}")
