"""A process that a supervisor runs for us, with the interface of `subprocess.Popen` as far as there is one to have.

It lives as long as this handle: closing it, dropping it or dying ends the process and everything that it started.
"""

from __future__ import annotations

import select
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass

from rasen.batch.process_request import Messages, send_message

_KILLED = -signal.SIGKILL


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process and all that it started have used, as far as its parents waited for them.

    Args:
        cpu_seconds: Time on processors, user and system.
        peak_bytes: The largest resident memory of a single one of these processes.
        swept: Number of processes that it had left behind, and that were ended.
        left: Number of those that would not end.
    """

    cpu_seconds: float
    peak_bytes: int
    swept: int
    left: int


class SupervisedProcess:
    """A running or ended process.

    Args:
        connection: To its supervisor, after the answer `started`.
        pid: Its process id; it leads a session and a process group of that number.
        cold_reason: Why it had to start cold, `None` when it is a fork of the warm process.
        supervisor: The supervisor, when it is a child of this process.
    """

    # What `Popen` has and its users look at.
    stdin = None
    stdout = None
    stderr = None

    def __init__(
        self,
        connection: socket.socket,
        *,
        pid: int,
        messages: Messages,
        cold_reason: str | None,
        supervisor: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.pid = pid
        self.cold_reason = cold_reason
        self.returncode: int | None = None
        self.usage: Usage | None = None
        self._connection = connection
        self._connection.settimeout(0)
        self._messages = messages
        self._supervisor = supervisor

    def fileno(self) -> int:
        """Return a descriptor that is ready to be read when the process has ended (and `poll` will say so)."""
        return self._connection.fileno()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or `None` while the process runs."""
        if self.returncode is None:
            self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code.

        Args:
            timeout: Most seconds to wait; for ever by default.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            poll.poll(None if left is None else left * 1000 + 1)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process group; SIGKILL to the process only, its supervisor sees to the others.

        Others are asked first: the resource trackers of `multiprocessing` and loky remove shared memory on their way.
        """
        if self.poll() is None:
            killing = number == signal.SIGKILL
            send_message(self._connection, **({"kill": True} if killing else {"signal": int(number)}))

    def terminate(self) -> None:
        """Ask the process group to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, and then everything that it has started."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Let go of the process; if it still runs, that ends it. `returncode` then says that it was killed."""
        if self.returncode is None:
            self.returncode = _KILLED
        self._hang_up()

    def __del__(self) -> None:
        """Let go of the process, as the end of this process would."""
        if self.returncode is None:
            self.close()

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while self.returncode is None:
                for message in self._messages.read():
                    if "ended" in message:
                        self._end(int(message["ended"]))
                        self.usage = Usage(
                            cpu_seconds=float(message["cpu_seconds"]),
                            peak_bytes=int(message["peak_bytes"]),
                            swept=int(message["swept"]),
                            left=int(message["left"]),
                        )
                if self._messages.ended and self.returncode is None:
                    self._end(_KILLED)  # the supervisor was lost, and with it the process

    def _end(self, status: int) -> None:
        self.returncode = status
        self._hang_up()

    def _hang_up(self) -> None:
        self._connection.close()
        if self._supervisor is not None:
            self._supervisor.wait()
