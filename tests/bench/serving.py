"""Serving against a plain FastAPI handler, in one run on one machine: requests a second, latency, memory, switching.

`PYTHONPATH=tests python -m bench.serving` prints the table of `tests/bench/README.md`. Both servers have one worker,
OMP_NUM_THREADS=1, and take turns, so that a busy machine slows both; ratios are what counts. Metrics and prediction
log are on in ours.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBRegressor

from bench.load import Measured
from rasen.local.processes import free_port
from rasen.model.engines import make_engines
from rasen.model.onnx_conversion import convert_to_onnx
from rasen.model.publishing import prepare
from rasen.model.schema import ModelSchema
from rasen.settings import platform_environment
from rasen.store import open_store
from stand.serving import Server, new_settings, running_server, wait_until
from stand.versions import publish_and_deploy

_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_SCENARIOS = ((1, 1), (1, 64), (100, 64))
_ROUNDS = 4
"""Each takes so many turns, and its best one counts: what else the machine does only makes a turn worse."""


def make_pipe(random: np.random.Generator) -> tuple[Any, pd.DataFrame]:
    """Return `pipe` of the facts: 8 scaled numbers and 2 one-hot categories into a logistic regression."""
    rows = 2000
    frame = pd.DataFrame({f"n{i}": random.normal(size=rows) for i in range(8)})
    for name in ("c0", "c1"):
        frame[name] = random.choice(["a", "b", "c", "d"], size=rows)
    target = (frame["n0"] + random.normal(size=rows) > 0).astype("int64")
    numbers, categories = [f"n{i}" for i in range(8)], ["c0", "c1"]
    encode = ColumnTransformer(
        [("scale", StandardScaler(), numbers), ("hot", OneHotEncoder(handle_unknown="ignore"), categories)]
    )
    return Pipeline([("encode", encode), ("fit", LogisticRegression())]).fit(frame, target), frame


def make_xgb(random: np.random.Generator) -> tuple[Any, pd.DataFrame]:
    """Return `xgb` of the facts: 200 trees of depth 6 on 20 numbers."""
    frame = pd.DataFrame({f"x{i}": random.normal(size=2000) for i in range(20)})
    target = frame["x0"] * 2 + frame["x1"] ** 2
    return XGBRegressor(n_estimators=200, max_depth=6, n_jobs=1).fit(frame, target), frame


@contextmanager
def plain_server(
    model: Any, frame: pd.DataFrame, folder: Path
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run the plain handler; give its port and process."""
    file, port = folder / "plain.pickle", free_port("127.0.0.1")
    types = {name: type(value) for name, value in frame.iloc[0].to_dict().items()}
    file.write_bytes(
        pickle.dumps({"model": model, "types": {n: str if t is str else float for n, t in types.items()}})
    )
    settings = new_settings(folder, environment="dev")
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.plain_handler", str(file), str(port)],
        env=platform_environment(settings, **_THREADS),
    )
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/docs"), seconds=60)
        yield port, process
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1.0).status_code == 200
    except httpx.TransportError:
        return False


def ask(port: int, path: str, rows: list[dict[str, Any]], connections: int, seconds: float) -> Measured:
    """Measure from a process of its own: with `wrk` where it is installed, else with `load.py`, which is slower."""
    if shutil.which("wrk") is not None:
        return _ask_with_wrk(port, path, json.dumps({"rows": rows}), connections, seconds)
    wanted = {
        "port": port,
        "path": path,
        "body": json.dumps({"rows": rows}),
        "connections": connections,
        "seconds": seconds,
    }
    output = subprocess.run(
        [sys.executable, "-m", "bench.load", json.dumps(wanted)], check=True, stdout=subprocess.PIPE
    ).stdout
    return Measured(**json.loads(output))


def _ask_with_wrk(port: int, path: str, body: str, connections: int, seconds: float) -> Measured:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [==[{body}]==]\n'
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", "--latency", "-s", script.name]
        url = f"http://127.0.0.1:{port}{path}"
        subprocess.run([*command, "-d1s", url], check=True, capture_output=True)  # to warm up
        said = subprocess.run(
            [*command, f"-d{seconds:.0f}s", url], check=True, capture_output=True, text=True
        ).stdout
    found = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.split()}
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Measured(
        per_second=float(found["Requests/sec:"]),
        p50_ms=_milliseconds(found["50%"]),
        p99_ms=_milliseconds(found["99%"]),
        errors=int(errors[1]) if errors else 0,
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr] # as wrk writes it
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def compare(
    name: str,
    model: Any,
    frame: pd.DataFrame,
    *,
    engine: str,
    allowed: list[str],
    onnx: bytes | None,
    seconds: float,
    table: Table,
) -> None:
    """Measure one model with the allowed engines in all scenarios and add the rows to the table."""
    with tempfile.TemporaryDirectory() as folder:
        settings = new_settings(Path(folder) / "home", environment="dev", serving_workers=1)
        publish_and_deploy(
            open_store(settings),
            settings,
            number=1,
            pipeline=name,
            model=model,
            example=frame.head(3),
            engines=allowed,
            onnx=onnx,
        )
        path = f"/endpoints/{name}/predict"
        with plain_server(model, frame, Path(folder)) as (port, plain), running_server(settings) as ours:
            rows = json.loads(frame.head(100).to_json(orient="records"))
            same = httpx.post(f"http://127.0.0.1:{port}/predict", json={"rows": rows}).json()["predictions"]
            answered = httpx.post(f"{ours.url}{path}", json={"rows": rows}).json()["predictions"]
            assert np.allclose(same, answered), "the two servers do not answer the same"
            for count, connections in _SCENARIOS:
                best: dict[str, Measured] = {}
                for _ in range(_ROUNDS):
                    for who, whose, where in (
                        ("plain", port, "/predict"),
                        ("ours", ours.settings.serving_port, path),
                    ):
                        found = ask(whose, where, rows[:count], connections, seconds)
                        if who not in best or _worth(found, connections) > _worth(best[who], connections):
                            best[who] = found
                table.add_row(
                    name,
                    engine,
                    str(count),
                    str(connections),
                    _show(best["plain"]),
                    _show(best["ours"]),
                    f"{_worth(best['ours'], connections) / _worth(best['plain'], connections):.2f}",
                )
            memory = f"{_pss(plain.pid):.0f} MB against {_pss(ours.process.pid):.0f} MB"
            table.add_row(name, engine, "", "", "memory (PSS)", memory, "")


def schema_of(model: Any, frame: pd.DataFrame) -> ModelSchema:
    """Return the contract that publishing the model would give it."""
    with tempfile.TemporaryDirectory() as folder:
        return prepare(model, example=frame.head(3), folder=Path(folder)).schema


def _worth(found: Measured, connections: int) -> float:
    """Return what is compared: requests a second, or with one connection those of a typical request."""
    return found.per_second if connections > 1 else 1000 / found.p50_ms


def _show(found: Measured) -> str:
    errors = f", {found.errors} errors" if found.errors else ""
    return f"{found.per_second:.0f}/s, p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms{errors}"


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _pss(pid: int) -> float:
    """Return the memory of a process and its children, shared pages divided by their users, in MB."""
    return sum(one.memory_full_info().pss for one in _family(pid)) / 1e6


def measure_idle_and_switch(*, idle_seconds: float) -> list[str]:
    """Return what an idle service of two workers costs, and how fast it switches."""
    with tempfile.TemporaryDirectory() as folder:
        settings = new_settings(Path(folder) / "home", environment="dev")
        store = open_store(settings)
        random = np.random.default_rng(0)
        for name, (model, frame) in (("pipe", make_pipe(random)), ("xgb", make_xgb(random))):
            publish_and_deploy(store, settings, number=1, pipeline=name, model=model, example=frame.head(3))
        publish_and_deploy(store, settings, number=1)
        began = time.monotonic()
        with running_server(settings) as server:
            started = time.monotonic() - began
            before = _cpu_seconds(server)
            time.sleep(idle_seconds)
            used = _cpu_seconds(server) - before
            memory = _pss(server.process.pid)
            switches = [_switch(server, number) for number in range(2, 7)]
        return [
            f"start to ready, three models, two workers: {started:.1f} s",
            f"idle: {memory:.0f} MB PSS, {100 * used / idle_seconds:.2f} % of a core",
            f"reload hint to first answer by the new version: median {1000 * sorted(switches)[2]:.0f} ms",
        ]


def _cpu_seconds(server: Server) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in _family(server.process.pid))


def _switch(server: Server, number: int) -> float:
    version = publish_and_deploy(server.store, server.settings, number=number)
    began = time.monotonic()
    server.reload()
    while server.predict("demand").headers["x-rasen-model"] != version.run:
        time.sleep(0.002)
    return time.monotonic() - began


def main() -> None:
    """Measure everything and print it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=2.0, help="how long each turn takes")
    options = arguments.parse_args()
    random = np.random.default_rng(0)
    table = Table("model", "engine", "rows", "connections", "plain FastAPI handler", "Rasen", "ratio")
    for name, make in (("pipe", make_pipe), ("xgb", make_xgb)):
        model, frame = make(random)
        schema = schema_of(model, frame)
        onnx = convert_to_onnx(model, schema)
        every = [made.name for made in make_engines(model, schema, onnx=onnx)]
        for engine, allowed in {"native": [], **{one: [one] for one in every}, "chosen": every}.items():
            compare(
                name,
                model,
                frame,
                engine=engine,
                allowed=allowed,
                onnx=onnx if "onnx" in allowed else None,
                seconds=options.seconds,
                table=table,
            )
    console = Console(width=150)
    console.print(table)
    for line in measure_idle_and_switch(idle_seconds=10 * options.seconds):
        console.print(line)


if __name__ == "__main__":
    main()
