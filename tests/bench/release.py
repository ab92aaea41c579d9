"""From a signed manifest to the first answer, and from a rollback's command to it: the whole platform under load.

`PYTHONPATH=tests python -m bench.release` starts serving (two workers), the real deploy function under
functions-framework and the event bridge, as `rasen up` does, keeps 32 connections busy, and deploys again and again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.load import Measured
from bench.serving_peers import end_tidily, machine, say
from bench.wrk import ask, asked_meanwhile
from rasen.deploy.commands import Command, give_command
from rasen.deploy.ledger import find_head
from rasen.local.processes import free_port
from rasen.local.up import running_platform
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import open_store
from stand.versions import publish_version

_CONNECTIONS = 32
_CHUNK_SECONDS = 5.0
_PATH = "/endpoints/demand/predict"
_BODY = b'{"rows": [{"origin": "JFK", "hour": 7}]}'
_WAIT_SECONDS = 60.0


def measure_release(folder: Path, *, count: int, rollbacks: int) -> list[str]:
    """Return what a person reads about deployments and rollbacks of the whole platform."""
    ports = {f"{name}_port": free_port("127.0.0.1") for name in ("serving", "admin", "function")}
    settings = load_settings(home=folder / "home", **ports)
    store = open_store(settings)
    deployed, rolled_back = [], []
    with running_platform(settings, tell=say):
        first = publish_version(store, settings, number=1).run
        _wait_for(settings, first, time.monotonic())
        with asked_meanwhile(lambda: _load(settings)) as during:
            for number in range(2, count + 2):
                run = publish_version(store, settings, number=number).run
                deployed.append(_wait_for(settings, run, time.monotonic()))
                if number % 20 == 1:
                    say(f"{number - 1} of {count} deployments")
            versions = [publish_version(store, settings, number=count + more).run for more in (2, 3)]
            _wait_for(settings, versions[1], time.monotonic())
            for turn in range(rollbacks):
                began = time.monotonic()
                seen = find_head(store, "demand")
                give_command(settings, Command(endpoint="demand", command="rollback", seen=seen, by="bench"))
                rolled_back.append(_wait_for(settings, versions[turn % 2], began))
    failed = sum(one.errors for one in during)
    asked = sum(one.per_second for one in during) * _CHUNK_SECONDS
    return [
        _line(f"manifest written → first answer of the version, {count} deployments", deployed, target=2.0),
        _line(
            f"rollback asked → first answer of the version before, {rollbacks} times", rolled_back, target=1.0
        ),
        f"meanwhile {asked:,.0f} requests over {_CONNECTIONS} connections, **{failed} failed**",
    ]


def _line(what: str, seconds: Sequence[float], *, target: float) -> str:
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return (
        f"{what}: median {median(ordered):.2f} s, 99 % within **{last:.2f} s**, worst {ordered[-1]:.2f} s; "
        f"target {target:g} s"
    )


def _wait_for(settings: Settings, run: str, began: float) -> float:
    """Return after how many seconds the version answered; asked every 5 ms."""
    connection = http.client.HTTPConnection(settings.host, settings.serving_port, timeout=10)
    said: dict[str, object] = {}
    try:
        while time.monotonic() - began < _WAIT_SECONDS:
            connection.request("POST", _PATH, body=_BODY, headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if said.get("model") == run:
                return time.monotonic() - began
            time.sleep(0.005)
    finally:
        connection.close()
    raise SystemExit(f"{run} did not answer within {_WAIT_SECONDS:.0f} s; last was {said}")


def _load(settings: Settings) -> Measured:
    return ask(
        settings.serving_port, _PATH, _BODY, connections=_CONNECTIONS, seconds=_CHUNK_SECONDS, warm=False
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="deployments")
    parser.add_argument("--rollbacks", type=int, default=40)
    chosen = parser.parse_args()
    end_tidily()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for line in measure_release(Path(folder), count=chosen.count, rollbacks=chosen.rollbacks):
            print(f"* {line}")


if __name__ == "__main__":
    main()
