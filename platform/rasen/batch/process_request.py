"""What one process asks another to run for it, and how the two talk over a Unix socket until it has ended.

The request travels with the three standard descriptors. It carries everything that a child would inherit from its
parent (environment, working directory, umask, limits), because the process that does the forking is not the one that
asks. After it both sides send one JSON object a line: `started`, `failed`, `refused`, `ended` come back; `signal` and
`kill` go there; the end of the connection means that the asker is gone.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import resource
import socket
import struct
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct(">I")
_MOST_BYTES = 64 * 1024 * 1024
_STANDARD_DESCRIPTORS = 3
_READ_BYTES = 65536


@dataclass(frozen=True, kw_only=True)
class ProcessRequest:
    """A module whose `main(arguments)` is to run in a process of its own.

    Args:
        module: Its full name.
        arguments: What `main` is given.
        environment: The whole environment of the process.
        cwd: Its working directory, absolute.
        umask: Its file mode creation mask.
        soft_limits: Soft resource limits by their number in `resource`.
        processors: The processors that it may run on.
    """

    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    umask: int
    soft_limits: Mapping[str, int]
    processors: Sequence[int]


def inherited() -> dict[str, Any]:  # Any: the fields of a request, each of its own type
    """Return what a child of this process would inherit and a request has to carry."""
    return {
        "umask": int(own_status()["Umask"], 8),
        "soft_limits": {str(number): resource.getrlimit(number)[0] for number in limit_numbers()},
        "processors": sorted(os.sched_getaffinity(0)),
    }


def limit_numbers() -> list[int]:
    """Return the numbers of the resource limits that this system knows."""
    return sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def own_status() -> dict[str, str]:
    """Return the fields of `/proc/self/status`."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def send_request(
    connection: socket.socket, request: ProcessRequest | None, descriptors: Sequence[int] = ()
) -> None:
    """Send a request with its standard descriptors; `None` only asks how the other side is.

    Raises:
        OSError: The connection broke.
    """
    payload = b"" if request is None else json.dumps(asdict(request)).encode()
    socket.send_fds(connection, [_LENGTH.pack(len(payload))], list(descriptors))
    connection.sendall(payload)


def receive_request(connection: socket.socket) -> tuple[ProcessRequest | None, list[int]]:
    """Return the request that comes over a connection, and its descriptors, which now belong to the caller.

    Raises:
        OSError: The connection broke or brought something else.
    """
    header, ancillary, _, _ = connection.recvmsg(
        _LENGTH.size, socket.CMSG_SPACE(_STANDARD_DESCRIPTORS * array.array("i").itemsize)
    )
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    header += _receive_exactly(connection, _LENGTH.size - len(header))
    length = _LENGTH.unpack(header)[0]
    if length == 0:
        return None, list(descriptors)
    if length > _MOST_BYTES or len(descriptors) != _STANDARD_DESCRIPTORS:
        raise OSError(f"a request of {length} bytes with {len(descriptors)} descriptors is none of ours")
    document = json.loads(_receive_exactly(connection, length))
    return ProcessRequest(**document), list(descriptors)


def _receive_exactly(connection: socket.socket, size_bytes: int) -> bytes:
    parts = bytearray()
    while len(parts) < size_bytes:
        part = connection.recv(min(size_bytes - len(parts), 1 << 20))
        if not part:
            raise OSError("the connection ended in the middle of a request")
        parts += part
    return bytes(parts)


def send_message(connection: socket.socket, **fields: object) -> None:
    """Send one message; that the other side is gone is no error here, reading will tell."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(fields).encode() + b"\n")


class Messages:
    """The messages that come over a connection, however they are cut into pieces."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        self._lines: deque[bytes] = deque()
        self.ended = False

    def read(self) -> Iterator[dict[str, Any]]:  # Any: JSON
        """Yield what is there; if that is nothing, read once, waiting as the connection's timeout says.

        What a caller leaves is yielded by the next call. `ended` is set when no more can come.

        Raises:
            BlockingIOError: Nothing is there, and the connection does not wait.
            TimeoutError: Nothing came in time.
        """
        if not self._lines:
            self._receive()
        while self._lines:
            yield json.loads(self._lines.popleft())

    def _receive(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines.extend(lines)
