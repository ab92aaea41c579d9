"""How long 10,000 logged requests take to be asked again, from the start of the command to its last line.

`PYTHONPATH=tests python -m bench.replay`: real requests to a real service, of one row each and 64 at a time, so that
they shared calls as they do; then `rasen replay`, cold and with a warm process, on the version that answered and on two
others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from bench.contenders import our_settings
from bench.serving_home import CHOSEN, NATIVE, deployer
from bench.serving_models import Workload, make_workload
from rasen.settings import platform_environment
from rasen.settings_model import Settings
from stand.serving import Server, running_server, wait_until

_CONNECTIONS = 64
_LOG_SECONDS = 60.0


def fill_log(server: Server, workload: Workload, headers: Mapping[str, str], *, requests: int) -> None:
    """Ask so many different rows, and wait until all of them are in the log."""
    asyncio.run(_ask(f"{server.url}/endpoints/{workload.name}/predict", workload, headers, requests))
    wait_until(
        lambda: server.metric('rasen_serving_log_rows_total{outcome="shipped"}') >= requests,
        seconds=_LOG_SECONDS,
    )


async def _ask(url: str, workload: Workload, headers: Mapping[str, str], requests: int) -> None:
    chooser = random.Random(0)
    waiting = iter([_vary(chooser.choice(workload.rows), chooser) for _ in range(requests)])
    async with httpx.AsyncClient(timeout=30.0, headers=dict(headers)) as client:

        async def call() -> None:
            for row in waiting:
                answer = await client.post(url, json={"rows": [row]})
                assert answer.status_code == 200, answer.text

        await asyncio.gather(*(call() for _ in range(_CONNECTIONS)))


def _vary(row: Mapping[str, Any], chooser: random.Random) -> dict[str, Any]:  # Any: numbers and texts
    return {name: chooser.gauss(0, 1) if isinstance(value, float) else value for name, value in row.items()}


def replay(settings: Settings, endpoint: str, *options: str) -> tuple[float, dict[str, Any]]:
    """Run the command and return its seconds and what it said."""
    command = [sys.executable, "-c", "from rasen.cli import main; main()"]
    command += ["replay", endpoint, "--json", "--show", "0", *options]
    began = time.monotonic()
    done = subprocess.run(command, env=platform_environment(settings), check=True, capture_output=True)
    return time.monotonic() - began, json.loads(done.stdout)


def measure(folder: Path, name: str, engines: str, *, requests: int) -> list[str]:
    """Return the lines of the table for one model."""
    settings = our_settings(folder / f"{name}-{engines}")
    workload = make_workload(name, folder / name)
    with deployer(settings, name, engines=engines, versions=3) as ready:
        ready.deploy()
        ready.deploy()
        number = ready.deploy()
        with running_server(settings) as server:
            server.wait_revision(name, number)
            fill_log(server, workload, ready.headers, requests=requests)
    lines = []
    cold = settings.model_copy(update={"zygote": False})
    asked: Sequence[tuple[str, Settings, tuple[str, ...]]] = (
        ("its own version, cold", cold, ()),
        ("its own version", settings, ()),
        ("version 1 against 2", settings, ("--version", "1", "--version", "2")),
    )
    for what, given, options in asked:
        seconds, said = replay(given, name, *options)
        comparison, used = said["comparison"], said["versions"][0]["engines"]
        lines.append(
            f"| {name}, {engines} | {what} | {seconds:.1f} s | {comparison['compared']:,} | "
            f"{comparison['equal']:,} | {comparison['identical']:,} | {', '.join(used)} |"
        )
    return lines


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--models", nargs="+", default=["pipe", "xgb"])
    given = parser.parse_args()
    print("| model | asked | seconds | compared | equal within 1e-6 | to the last bit | engines |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.models:
            for engines in (CHOSEN, NATIVE):
                for line in measure(Path(folder), name, engines, requests=given.requests):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
