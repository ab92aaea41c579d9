"""Clients that connect, ask once and then say nothing: `python -m bench.idle_connections PORT COUNT`.

It prints how many connections were answered, waits for a line, and prints how many are still open and how many of a
sample answer another request. A process of its own, so that no limit of descriptors is shared with who measures.
"""

from __future__ import annotations

import json
import re
import resource
import socket
import sys

_REQUEST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
_AT_ONCE = 200
_SAMPLE = 100
_SPARE = 100


def open_connections(port: int, count: int) -> list[socket.socket]:
    """Return so many connections, each of which has been answered once."""
    made: list[socket.socket] = []
    while len(made) < count:
        fresh = [_connect(port) for _ in range(min(_AT_ONCE, count - len(made)))]
        for one in fresh:
            one.sendall(_REQUEST)
        made += [one for one in fresh if _is_answered(one)]
        if len(made) % _AT_ONCE and len(made) < count:
            break  # some were refused: that is the answer
    return made


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20.0)


def _is_answered(connection: socket.socket) -> bool:
    """Read one whole answer, because what is left of it would look like the next one."""
    received = b""
    try:
        while (length := _whole(received)) is None or len(received) < length:
            more = connection.recv(4096)
            if not more:
                return False
            received += more
    except OSError:
        return False
    return received.startswith(b"HTTP/1.1 200")


def _whole(received: bytes) -> int | None:
    """Return how long the answer is in all, `None` when its head is not whole yet."""
    head, separator, _ = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return len(head) + len(separator) + (int(found[1]) if found else 0)


def is_open(connection: socket.socket) -> bool:
    """Tell whether the server has left the connection open."""
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(20.0)


def main() -> None:
    """Connect, say how many, wait for a line, say how many are left."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < count + _SPARE:
        sys.exit(f"{count} connections need {count + _SPARE} descriptors, this machine allows {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    made = open_connections(port, count)
    print(json.dumps({"opened": len(made)}), flush=True)
    sys.stdin.readline()
    still = [one for one in made if is_open(one)]
    sample = still[:: max(1, len(still) // _SAMPLE)]
    for one in sample:
        one.sendall(_REQUEST)
    print(json.dumps({"open": len(still), "asked": len(sample), "answered": sum(map(_is_answered, sample))}))


if __name__ == "__main__":
    main()
