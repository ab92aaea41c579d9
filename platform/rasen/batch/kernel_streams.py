"""The standard output and error of our kernel: ipykernel's own, which waits when more is written than can be sent.

ipykernel puts everything that a cell prints into memory and sends it five times a second as one message, however large:
a cell that prints faster than anybody reads takes all memory, and one `print` of 200 MB becomes one message. Here a
message holds a megabyte at most, and whoever prints more waits until that is sent. And where ZeroMQ would drop
messages because the listener does not keep up, the last "idle" included, the kernel waits for it: over a Unix socket,
whose listener is the one that started the kernel.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import zmq
from ipykernel.iostream import OutStream
from typing_extensions import override

_MESSAGE_CHARACTERS = 1_000_000


class BoundedStream(OutStream):
    """A stream of a kernel whose messages have a limit."""

    _written = 0

    def __init__(
        self, session: Any, pub_thread: Any, *arguments: Any, **options: Any
    ) -> None:  # Any: as in the base
        super().__init__(session, pub_thread, *arguments, **options)  # type: ignore[no-untyped-call] # ipykernel annotates little
        pub_thread.schedule(
            partial(_wait_for_listener, pub_thread.socket)
        )  # in the thread whose socket it is

    @override
    def write(self, string: str) -> int | None:  # type: ignore[override] # as ipykernel has it
        """Write a text, in pieces if it is long; wait for the pieces before it to be sent."""
        if self._written + len(string) < _MESSAGE_CHARACTERS:
            written = super().write(string)
            self._written += len(string)
            return written
        for begin in range(0, len(string), _MESSAGE_CHARACTERS):
            self._make_room()
            piece = string[begin : begin + _MESSAGE_CHARACTERS]
            super().write(piece)
            self._written += len(piece)
        return len(string)

    def _make_room(self) -> None:
        # The thread that sends cannot wait for itself, and a forked child has none.
        if self._written >= _MESSAGE_CHARACTERS and threading.current_thread() is not self.pub_thread.thread:
            self.flush()  # type: ignore[no-untyped-call] # as above

    @override
    def _flush(self) -> None:
        self._written = 0
        super()._flush()  # type: ignore[no-untyped-call] # as above


def _wait_for_listener(socket: zmq.Socket[bytes]) -> None:
    endpoint = socket.getsockopt(zmq.LAST_ENDPOINT)
    if isinstance(endpoint, bytes) and endpoint.startswith(b"ipc:"):
        socket.setsockopt(zmq.XPUB_NODROP, 1)
