"""Load from a process of its own: with `wrk -t1` where it is installed, else with `load.py`, which is slower."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from bench.load import Measured

_WARM = "-d1s"


def ask(
    port: int,
    path: str,
    body: bytes,
    *,
    connections: int,
    seconds: float,
    headers: Mapping[str, str] | None = None,
    warm: bool = True,
) -> Measured:
    """Post the body for some seconds over so many connections.

    Args:
        headers: Sent with each request, beside the content type of JSON.
        warm: Ask for a second before anything counts.
    """
    sent = {"Content-Type": "application/json", **(headers or {})}
    if shutil.which("wrk") is not None:
        return _ask_with_wrk(port, path, body, sent, connections, seconds, warm=warm)
    wanted = {
        "port": port,
        "path": path,
        "body": body.decode(),
        "headers": sent,
        "connections": connections,
        "seconds": seconds,
    }
    output = subprocess.run(
        [sys.executable, "-m", "bench.load", json.dumps(wanted)], check=True, stdout=subprocess.PIPE
    ).stdout
    return Measured(**json.loads(output))


@contextmanager
def asked_meanwhile(ask_once: Callable[[], Measured]) -> Iterator[list[Measured]]:
    """Ask again and again without a pause; afterwards the list says how it went."""
    found: list[Measured] = []
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            found.append(ask_once())

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        yield found
    finally:
        stop.set()
        asking.join()


def _ask_with_wrk(
    port: int,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    connections: int,
    seconds: float,
    *,
    warm: bool,
) -> Measured:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write('wrk.method = "POST"\n')
        script.writelines(f'wrk.headers["{name}"] = [==[{value}]==]\n' for name, value in headers.items())
        script.write(f"wrk.body = [==[{body.decode()}]==]\n")
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", "--latency", "--timeout", "20s", "-s", script.name]
        url = f"http://127.0.0.1:{port}{path}"
        if warm:
            subprocess.run([*command, _WARM, url], check=True, capture_output=True)
        said = subprocess.run(
            [*command, f"-d{max(1, round(seconds))}s", url], check=True, capture_output=True, text=True
        ).stdout
    return read_report(said)


def read_report(said: str) -> Measured:
    """Return what `wrk --latency` printed."""
    found = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.split()}
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return Measured(
        per_second=float(found["Requests/sec:"]),
        p50_ms=_milliseconds(found["50%"]),
        p99_ms=_milliseconds(found["99%"]),
        errors=(int(bad[1]) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0),
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr] # as wrk writes it
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit]
