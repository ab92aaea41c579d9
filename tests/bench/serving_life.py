"""A service's life: cold start, deployments under full load, idle connections, and memory over time.

`PYTHONPATH=tests python -m bench.serving_life` measures the first three; `--soak MINUTES` the last one, alone. One
worker; access keys, metrics and prediction log are on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import linear_regression, median

import httpx

from bench.contenders import end_group, our_settings
from bench.load import Measured
from bench.memory import cpu_seconds, family, measure_memory
from bench.serving_home import CHOSEN, NATIVE, Deployer, deploy_model, deployer
from bench.serving_models import Workload, make_workload
from bench.serving_peers import end_tidily, machine, say
from bench.wrk import ask, asked_meanwhile
from rasen.settings import platform_environment
from rasen.settings_model import Settings
from stand.serving import Server, running_server, wait_until

_CONNECTIONS = 64
_CHUNK_SECONDS = 5.0
_SETTLE_SECONDS = 3.0


def measure_cold_start(folder: Path, *, times: int) -> list[str]:
    """Measure from the start of the process to the first 200 of `/readyz`, then what the idle service holds."""
    settings = our_settings(folder / "cold")
    deploy_model(settings, "pipe", engines=CHOSEN)
    took, held = [], []
    for turn in range(times):
        with _started(settings) as (process, seconds):
            took.append(seconds)
            if turn == times - 1:
                held = _idle(process.pid)
    shown = ", ".join(f"{one:.2f}" for one in took)
    return [
        f"cold start to ready, one model, one worker: median {median(took):.2f} s ({shown}); target 3",
        *held,
    ]


@contextmanager
def _started(settings: Settings) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    began = time.monotonic()
    with (settings.home / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "rasen_serving"],
            env=platform_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while not _is_ready(settings.serving_port):
            assert process.poll() is None, (settings.home / "serve.log").read_text()
            time.sleep(0.005)
        yield process, time.monotonic() - began
    finally:
        end_group(process)


def _is_ready(port: int) -> bool:
    try:
        # The port is bound at once: this waits in the queue until a worker accepts.
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60.0).status_code == 200
    except httpx.ConnectError:
        return False


def _idle(pid: int) -> list[str]:
    time.sleep(_SETTLE_SECONDS)
    before = cpu_seconds(pid)
    time.sleep(_SETTLE_SECONDS)
    used = 100 * (cpu_seconds(pid) - before) / _SETTLE_SECONDS
    parts = ", ".join(f"{one.memory_full_info().pss / 1e6:.0f}" for one in family(pid))
    held = measure_memory(pid)
    return [f"idle: {held.pss_mb:.0f} MB PSS (supervisor, nursery, worker: {parts}), {used:.1f} % of a core"]


def measure_swaps(folder: Path, workload: Workload, *, engines: str, count: int, pause: float) -> list[str]:
    """Deploy again and again under full load; count what failed and compare the tails."""
    settings = our_settings(folder / f"swaps-{engines}")
    with deployer(settings, workload.name, engines=engines, versions=count + 1) as published:
        published.deploy()
        with running_server(settings) as server:
            before = [_load(server, workload, published) for _ in range(2)]
            pss = measure_memory(server.process.pid).pss_mb
            took: list[float] = []
            with asked_meanwhile(lambda: _load(server, workload, published, warm=False)) as during:
                for turn in range(count):
                    took.append(_swap(server, workload.name, published.deploy()))
                    if turn % 20 == 19:
                        say(f"{turn + 1} of {count} deployments")
                    time.sleep(pause)
            after = _load(server, workload, published)
            time.sleep(_SETTLE_SECONDS)
            grown = measure_memory(server.process.pid).pss_mb - pss
    return show_swaps(f"{workload.name}, {engines}", before, during, after, took=took, grown_mb=grown)


def _swap(server: Server, endpoint: str, number: int) -> float:
    began = time.monotonic()
    server.reload()
    wait_until(lambda: server.state()["endpoints"][endpoint]["revision"] == number, seconds=60)
    return time.monotonic() - began


def _load(server: Server, workload: Workload, deployed: Deployer, *, warm: bool = True) -> Measured:
    body = json.dumps({"rows": workload.rows[:1]}).encode()
    path, port = f"/endpoints/{workload.name}/predict", server.settings.serving_port
    return ask(
        port,
        path,
        body,
        connections=_CONNECTIONS,
        seconds=_CHUNK_SECONDS,
        headers=deployed.headers,
        warm=warm,
    )


def show_swaps(
    name: str,
    before: Sequence[Measured],
    during: Sequence[Measured],
    after: Measured,
    *,
    took: Sequence[float],
    grown_mb: float,
) -> list[str]:
    """Return what a person reads about deployments under load."""
    usual = median(one.p99_ms for one in before)
    tails = [one.p99_ms for one in during]
    failed = sum(one.errors for one in (*before, *during, after))
    asked = sum(one.per_second for one in during) * _CHUNK_SECONDS
    ordered = sorted(took)
    return [
        f"{name}: {len(took)} deployments under load, about {asked:,.0f} requests meanwhile: **{failed} failed**",
        (
            f"{name}: p99 {usual:.1f} ms before, {median(tails):.1f} ms during (worst {_CHUNK_SECONDS:.0f} s: "
            f"{max(tails):.1f}), {after.p99_ms:.1f} ms after: **{median(tails) / usual:.2f} ×**; target 1.5"
        ),
        (
            f"{name}: requests a second {median(one.per_second for one in before):,.0f} before, "
            f"{median(one.per_second for one in during):,.0f} during"
        ),
        (
            f"{name}: reload hint to live: median {1000 * median(took):.0f} ms, "
            f"95 % within {1000 * ordered[int(0.95 * (len(ordered) - 1))]:.0f} ms; memory {grown_mb:+.0f} MB PSS"
        ),
    ]


def measure_idle_connections(
    folder: Path, workload: Workload, *, count: int, hold_seconds: float
) -> list[str]:
    """Hold idle connections and ask meanwhile."""
    settings = our_settings(folder / "idle")
    deployed = deploy_model(settings, workload.name, engines=CHOSEN)
    with running_server(settings) as server:
        assert server.client.get(f"{server.url}/livez").status_code == 200
        before = measure_memory(server.process.pid).rss_mb
        holder = subprocess.Popen(
            [sys.executable, "-m", "bench.idle_connections", str(settings.serving_port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        opened = json.loads(holder.stdout.readline() or '{"opened": 0}')["opened"]
        each_kb = 1000 * (measure_memory(server.process.pid).rss_mb - before) / max(1, opened)
        ready, predicted = [], []
        end_at = time.monotonic() + hold_seconds
        while time.monotonic() < end_at:
            ready.append(_milliseconds(server, "/readyz"))
            began = time.perf_counter()
            answer = server.client.post(
                f"{server.url}/endpoints/{workload.name}/predict",
                json={"rows": workload.rows[:1]},
                headers=dict(deployed.headers),
            )
            answer.raise_for_status()
            predicted.append(1000 * (time.perf_counter() - began))
            time.sleep(0.05)
        left = json.loads(holder.communicate("\n", timeout=60)[0] or "{}")
    return [
        (
            f"idle keep-alive connections: {opened:,} of {count:,} opened, {left.get('open', 0):,} open after "
            f"{hold_seconds:.0f} s, {left.get('answered', 0)} of a sample of {left.get('asked', 0)} answered again; "
            f"{each_kb:.1f} kB RSS each; meanwhile `/readyz` {median(ready):.1f} ms (worst {max(ready):.0f}), "
            f"a prediction {median(predicted):.1f} ms (worst {max(predicted):.0f})"
        )
    ]


def _milliseconds(server: Server, path: str) -> float:
    began = time.perf_counter()
    assert server.client.get(f"{server.url}{path}").status_code == 200
    return 1000 * (time.perf_counter() - began)


def measure_soak(folder: Path, workload: Workload, *, minutes: float, rate: float) -> list[str]:
    """Ask at a steady rate with a deployment every half minute; return how memory went."""
    settings = our_settings(folder / "soak")
    seconds = 60 * minutes
    with deployer(settings, workload.name, engines=CHOSEN, versions=int(seconds / 30) + 2) as published:
        published.deploy()
        with running_server(settings) as server:
            wanted = {
                "port": settings.serving_port,
                "path": f"/endpoints/{workload.name}/predict",
                "body": json.dumps({"rows": workload.rows[:1]}),
                "headers": {"Content-Type": "application/json", **published.headers},
                "connections": _CONNECTIONS,
                "seconds": seconds,
                "pause_seconds": _CONNECTIONS / rate,
            }
            asking = subprocess.Popen(
                [sys.executable, "-m", "bench.load", json.dumps(wanted)], stdout=subprocess.PIPE, text=True
            )
            samples: list[tuple[float, float]] = []
            began = deployed = time.monotonic()
            while asking.poll() is None:
                time.sleep(min(5.0, seconds / 20))
                now = time.monotonic()
                samples.append((now - began, measure_memory(server.process.pid).pss_mb))
                say(f"{samples[-1][0]:.0f} s: {samples[-1][1]:.0f} MB")
                if now - deployed >= 30 and asking.poll() is None:
                    deployed = now
                    server.wait_revision(workload.name, published.deploy())
            found = Measured(**json.loads(asking.communicate()[0]))
    return show_soak(samples, found, minutes=minutes)


def show_soak(samples: Sequence[tuple[float, float]], found: Measured, *, minutes: float) -> list[str]:
    """Return the slope of memory over the second half, from the least of each minute.

    The least, because for some seconds each minute a process ships the prediction log, and is no part of a leak.
    """
    middle = samples[-1][0] / 2
    window = min(60.0, middle / 3)
    least: dict[int, tuple[float, float]] = {}
    for at, pss in samples:
        place = int(at / window)
        if at >= middle and (place not in least or pss < least[place][1]):
            least[place] = (at, pss)
    kept = list(least.values())
    slope = (
        linear_regression([at / 3600 for at, _ in kept], [pss for _, pss in kept]).slope
        if len(kept) > 1
        else 0.0
    )
    return [
        (
            f"soak of {minutes:g} minutes at {found.per_second:,.0f} requests a second, a deployment every 30 s: "
            f"**{found.errors} failed**, p99 {found.p99_ms:.1f} ms; memory {samples[0][1]:.0f} MB PSS at the start, "
            f"{kept[-1][1]:.0f} at the end, **{slope:+.1f} MB an hour** over the second half"
        )
    ]


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=("start", "swaps", "idle"), default=["start", "swaps", "idle"]
    )
    parser.add_argument("--starts", type=int, default=5, help="how many cold starts")
    parser.add_argument("--deployments", type=int, default=200, help="how many deployments under load")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two deployments")
    parser.add_argument("--connections", type=int, default=10_000, help="how many idle connections")
    parser.add_argument("--hold", type=float, default=30.0, help="for how many seconds they are held")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="measure only this: load for so long")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second of the soak")
    options = parser.parse_args()
    end_tidily()
    where, lines = machine(), []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        pipe = make_workload("pipe", folder / "pipe")
        if options.soak is not None:
            lines += measure_soak(folder, pipe, minutes=options.soak, rate=options.rate)
        else:
            if "start" in options.only:
                lines += measure_cold_start(folder, times=options.starts)
            if "swaps" in options.only:
                for engines in (CHOSEN, NATIVE):
                    lines += measure_swaps(
                        folder, pipe, engines=engines, count=options.deployments, pause=options.pause
                    )
            if "idle" in options.only:
                lines += measure_idle_connections(
                    folder, pipe, count=options.connections, hold_seconds=options.hold
                )
    for line in lines:
        print(f"* {line}")
    print(f"\n{where}")


if __name__ == "__main__":
    main()
