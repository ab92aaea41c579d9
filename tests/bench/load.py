"""A load client: one process, some connections, each sending its next request when it has the last answer.

Written here rather than taken from the package manager, so that the benchmarks run wherever the tests do. It keeps
ahead of any server that runs a model; for servers above 10,000 requests a second, use `wrk`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

_WARM_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load brought.

    Args:
        per_second: Good answers a second.
        p50_ms: Median latency.
        p99_ms: Of 100 answers, 99 were at most this slow.
        errors: Answers that were not 200, and connections that broke.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


class _Connection(asyncio.Protocol):
    def __init__(
        self, request: bytes, latencies: list[float], end_at: float, *, pause_seconds: float = 0.0
    ) -> None:
        self._pause_seconds = pause_seconds
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.errors = 0
        self._request = request
        self._latencies = latencies
        self._end_at = end_at
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        lowered = head.lower()
        start = lowered.index(b"content-length:") + len(b"content-length:")
        length = int(lowered[start:].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._received = b""
        now = time.perf_counter()
        if head.startswith(b"HTTP/1.1 200"):
            self._latencies.append(now - self._sent_at)
        else:
            self.errors += 1
        if now >= self._end_at:
            self._transport.close()
        elif self._pause_seconds:
            asyncio.get_running_loop().call_later(self._pause_seconds, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or time.perf_counter() < self._end_at:
            self.errors += 1
        if not self.done.done():
            self.done.set_result(None)


async def _run(
    port: int, request: bytes, connections: int, seconds: float, *, pause_seconds: float = 0.0
) -> tuple[list[float], int]:
    latencies: list[float] = []
    end_at = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = [
        (
            await loop.create_connection(
                lambda: _Connection(request, latencies, end_at, pause_seconds=pause_seconds),
                "127.0.0.1",
                port,
            )
        )[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.done for one in made))
    return latencies, sum(one.errors for one in made)


def measure(
    *,
    port: int,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    connections: int,
    seconds: float,
    pause_seconds: float = 0.0,
) -> Measured:
    """Post `body` for some seconds over so many connections, after a short warm-up.

    Args:
        pause_seconds: How long each connection waits between an answer and its next request.
    """
    request = make_request(path, body, headers)
    asyncio.run(_run(port, request, connections, _WARM_SECONDS))
    began = time.perf_counter()
    latencies, errors = asyncio.run(_run(port, request, connections, seconds, pause_seconds=pause_seconds))
    took = time.perf_counter() - began
    latencies.sort()
    return Measured(
        per_second=len(latencies) / took,
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[int(0.99 * (len(latencies) - 1))],
        errors=errors,
    )


def make_request(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a POST as it goes over the wire."""
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def main() -> None:
    """Measure what the JSON in the first argument says, and print the result as JSON."""
    wanted = json.loads(sys.argv[1])
    body = wanted.pop("body").encode()
    print(json.dumps(asdict(measure(body=body, **wanted))))


if __name__ == "__main__":
    main()
