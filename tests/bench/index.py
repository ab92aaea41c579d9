"""The index at scale: building it, catching up, and the lists that people wait for.

`PYTHONPATH=tests python -m bench.index` builds an index of `--runs` (a million) from a store that makes its objects
when they are asked for, and of `--stored` (100,000) from a real directory, with real signatures in both; then it asks
every kind of question, and lists a ledger of 10,000 records. `--keep FOLDER` keeps the index for another round of
questions.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from statistics import median

from bench.serving_peers import machine
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.store import DirectoryStore, MemoryStore, Stat
from rasen.tracking.ids import run_id
from rasen.tracking.index import Index
from rasen.tracking.index_queries import RunFilter, parse_metric
from rasen.tracking.keys import deployment_key, end_key, manifest_key, result_key, start_key
from rasen.tracking.ledger_records import EndpointState, LedgerRecord, Variant
from rasen.tracking.records import (
    End,
    Manifest,
    Metric,
    PublishedModel,
    PublishedStep,
    Qualification,
    Start,
    StepResult,
    Verdict,
)
from rasen.tracking.signature import Role, Signer, TrustStore, load_trust, open_signer, sign
from rasen.tracking.signers import key_path, read_private_key

_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_PIPELINES = 100
_ERRORS = (
    "ZeroDivisionError: division by zero",
    "SchemaError: column 'dep_delay' has 12 nulls",
    "KeyError: 'tailnum'",
    "TimeoutError: the warehouse did not answer",
    "ValueError: 入力データが空です",
)


class QuickSigner:
    """A key that is read once: a bench signs more in a minute than control does in a year."""

    def __init__(self, settings: Settings, role: Role) -> None:
        self.key_id, self.role = open_signer(settings, role).key_id, role
        self.sign = read_private_key(key_path(settings, role)).sign


@lru_cache(maxsize=1)
def _templates() -> tuple[str, str, str]:
    """Return a train result, a qualification's and a manifest as text, with %s where runs differ."""
    manifest = Manifest(
        start_sha256="0" * 64,
        run="RUN",
        pipeline="PIPELINE",
        release="RELEASE",
        commit="0" * 40,
        environment="dev",
        nonce="0" * 32,
        image="sha256:0",
        steps={name: PublishedStep(attempt=1, result_sha256="0" * 64) for name in ("train", "_qualify")},
        model=PublishedModel(files={}, schema_={}, qualification=Qualification()),
        published_at=_FIRST,
    )
    train, qualified = (
        StepResult(
            attempt=1,
            verdict=Verdict.SUCCEEDED,
            seconds=9.1,
            metrics=[Metric(name=name, value=value) for name, value in metrics.items()],
        )
        for metrics in ({"rmse": -1.5, "mae": -2.5}, {"profile_rmse": 5.0})
    )
    return tuple(one.to_bytes().decode() for one in (train, qualified, manifest))  # type: ignore[return-value]  # three


class MadeUp:
    """Runs number 0 to `count`: what a store would hold under each key, made when it is asked for."""

    def __init__(self, count: int, control: Signer) -> None:
        self.count = count
        self.control = control

    def start(self, number: int) -> Start:
        chance = random.Random(number)
        pipeline = f"pipeline_{number % _PIPELINES:02}"
        trigger = f"{chance.choice(('cron', 'cron', 'cron', 'request'))}:{number}"
        return Start(
            run=run_id(_FIRST + timedelta(seconds=30 * number), trigger),
            pipeline=pipeline,
            release=f"{number // 5000}-{number // 5000:012x}",
            origin="workspace" if number % 10 == 0 else "release",
            environment="dev",
            nonce="0" * 32,
            trigger=trigger,
            parameters={
                "train_until": f"{_FIRST + timedelta(seconds=30 * number):%Y-%m-%d}",
                "max_depth": chance.randrange(3, 11),
                "region": chance.choice(("tokyo", "osaka", "kyōto")),
            },
            image="sha256:0",
        )

    def end(self, number: int, start: Start) -> dict[str, bytes]:
        """Return what a run leaves besides its start."""
        chance = random.Random(-number - 1)
        if number % 20 == 7:
            end = End(
                run=start.run,
                pipeline=start.pipeline,
                verdict=chance.choice((Verdict.FAILED, Verdict.VALIDATION_FAILED, Verdict.TIMED_OUT)),
                step="train",
                error=f"{chance.choice(_ERRORS)} in cell {chance.randrange(40)}",
                ended_at=_FIRST,
            )
            return {end_key(start.pipeline, start.run): end.to_bytes()}
        rmse = chance.lognormvariate(1.5, 0.3)
        train, qualified, manifest = _templates()
        train = train.replace("-1.5", f"{rmse:.6f}").replace("-2.5", f"{rmse * 0.8:.6f}")
        for word, value in (("RUN", start.run), ("PIPELINE", start.pipeline), ("RELEASE", start.release)):
            manifest = manifest.replace(f'"{word}"', f'"{value}"')
        key = manifest_key(start.pipeline, start.run)
        return {
            result_key(start.pipeline, start.run, "train", 1): train.encode(),
            result_key(start.pipeline, start.run, "_qualify", 1): qualified.encode(),
            key: sign(key, manifest.encode(), self.control),
        }


class MadeUpStore(MemoryStore):
    """A store of made-up runs that needs no disk; what is written to it is kept in memory."""

    def __init__(self, made_up: MadeUp) -> None:
        super().__init__()
        self._made_up = made_up

    def children(self, prefix: str) -> list[str]:
        match prefix.split("/"):
            case ["starts", ""]:
                return [f"pipeline_{number:02}" for number in range(min(_PIPELINES, self._made_up.count))]
            case ["starts", pipeline, ""]:
                first = int(pipeline[-2:])
                numbers = range(first, self._made_up.count, _PIPELINES)
                return [f"{self._made_up.start(number).run}.json" for number in numbers]
            case _:
                return super().children(prefix)

    def stat(self, key: str) -> Stat | None:
        data = self._made(key)
        if data is None:
            return super().stat(key)
        return Stat(key=key, size_bytes=len(data), generation=1, updated_at=_FIRST)

    def read_versioned(self, key: str) -> tuple[bytes, int]:
        data = self._made(key)
        return (data, 1) if data is not None else super().read_versioned(key)

    def _made(self, key: str) -> bytes | None:
        if not key.startswith(("starts/", "ends/", "manifests/", "runs/")):
            return None
        run = key.split("/")[2].removesuffix(".json")
        return _objects(self._made_up, run).get(key)


@lru_cache(maxsize=16)
def _objects(made_up: MadeUp, run: str) -> dict[str, bytes]:
    at = datetime.strptime(run[:18], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    number = (at - _FIRST) // timedelta(seconds=30)
    start = made_up.start(number)
    return {start_key(start.pipeline, start.run): start.to_bytes(), **made_up.end(number, start)}


def write_store(root: Path, made_up: MadeUp) -> None:
    """Write the runs as files, without the store's fsync: this is not what is measured."""
    for number in range(made_up.count):
        start = made_up.start(number)
        objects = {start_key(start.pipeline, start.run): start.to_bytes(), **made_up.end(number, start)}
        for key, data in objects.items():
            path = root / key
            try:
                path.write_bytes(data)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


def write_ledger(store: DirectoryStore, decider: Signer, count: int) -> None:
    """Write a ledger of so many records under endpoint `demand`."""
    for number in range(1, count + 1):
        run = run_id(_FIRST + timedelta(minutes=number), str(number))
        record = LedgerRecord(
            endpoint="demand",
            number=number,
            action="deploy" if number % 3 else "refuse",
            run=run,
            actor="function",
            reason="3 of 3 gates passed: rmse 3.1 is 22 % better than profile_rmse 4",
            state=EndpointState(variants=[Variant(run=run, pipeline="demand", manifest_sha256="0" * 64)]),
            decided_at=_FIRST + timedelta(minutes=number),
        )
        key = deployment_key("demand", number)
        path = store.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sign(key, record.to_bytes(), decider))


def questions(index: Index, newest: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """Yield each question with what asks it and returns the number of answers."""

    def runs(limit: int = 50, **wanted: object) -> Callable[[], int]:
        return lambda: len(index.runs(RunFilter(**wanted), limit=limit))  # type: ignore[arg-type]  # written below

    def metric(text: str) -> Callable[[], int]:
        return runs(metrics=(parse_metric(text),))

    month = _FIRST + timedelta(days=30)
    yield "the newest 50", runs()
    yield "the newest 1,000", runs(limit=1000)
    yield "pipeline", runs(pipeline="pipeline_42")
    yield "failed", runs(verdict="failed")
    yield "running (none)", runs(verdict="running")
    yield "pipeline and verdict", runs(pipeline="pipeline_07", verdict="failed")
    yield "a day of a pipeline", runs(pipeline="pipeline_07", since=month, until=month + timedelta(days=1))
    yield "working copies that failed", runs(origin="workspace", verdict="timed_out")
    yield "started by request and timed out", runs(trigger="request", verdict="timed_out")
    yield "rmse<4 (common)", metric("rmse<4")
    yield "rmse<1.2 (rare)", metric("rmse<1.2")
    yield "rmse<1.2 of one pipeline", runs(pipeline="pipeline_42", metrics=(parse_metric("rmse<1.2"),))
    yield "two metrics", runs(metrics=(parse_metric("rmse<4"), parse_metric("profile_rmse>=5")))
    yield "search division", runs(search="division")
    yield "search a date", runs(search="2024-02-17")
    yield "search a month", runs(search="2024-02")
    yield "search a year", runs(search="2024")
    yield "search kyoto (every third)", runs(search="kyoto")
    yield "search 空です", runs(search="空です")
    yield "search two words", runs(search="tailnum osaka")
    yield "search a digest's beginning", runs(search=newest[-12:-7])
    yield "search of one pipeline", runs(search="tokyo", pipeline="pipeline_42", verdict="timed_out")
    yield "search nothing fits", runs(search="nowhere")
    yield "a run by its digest", lambda: len(index.find_run(newest[-12:]).run)


def measure(what: str, ask: Callable[[], int], *, rounds: int = 5) -> tuple[str, float]:
    """Ask several times and print the median and the worst."""
    took = []
    found = 0
    for _ in range(rounds):
        began = time.perf_counter()
        found = ask()
        took.append((time.perf_counter() - began) * 1000)
    print(f"| {what} | {found} | {median(took):.1f} ms | {max(took):.1f} ms |", flush=True)
    return what, median(took)


def build(title: str, index: Index, store: MemoryStore | DirectoryStore, trust: TrustStore) -> None:
    """Build an index anew and print the rate."""
    began = time.perf_counter()
    found = index.rebuild(store, trust, environment="dev")
    took = time.perf_counter() - began
    size = index.path.stat().st_size / 1e6
    print(
        f"{title}: {found.runs:,} runs in {took:.1f} s, {found.runs / took:,.0f} runs/s, {size:,.0f} MB, "
        f"{len(found.problems)} problems",
        flush=True,
    )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--stored", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--keep", type=Path, help="folder in which the index of --runs is kept and found again"
    )
    parser.add_argument("--json", type=Path, help="file for the medians, in milliseconds")
    typed = parser.parse_args()
    print(machine())
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="rasen-bench-") as temporary:
        folder = Path(temporary)
        settings = load_settings(home=folder, environment="dev")
        control, decider = QuickSigner(settings, Role.CONTROL), QuickSigner(settings, Role.DECIDER)
        trust = load_trust(settings)

        if typed.stored:
            stored = Index(folder / "stored.sqlite")
            store = DirectoryStore(folder / "store")
            write_store(store.root, MadeUp(typed.stored, control))
            for processes in dict.fromkeys((1, typed.processes)):
                stored = Index(folder / "stored.sqlite", processes=processes)
                build(f"reindex of a directory, {processes} processes", stored, store, trust)
            time.sleep(2.1)  # until the folders' stamps are settled
            stored.catch_up(store, trust, environment="dev")
            print("\n| catching up | found | median | worst |\n|---|---|---|---|")
            figures |= dict(
                [measure("nothing is new", lambda: stored.catch_up(store, trust, environment="dev"))]
            )
            made_up = MadeUp(typed.stored + 10, control)

            def one_more() -> int:
                start = made_up.start(next(numbers))
                store.write(start_key(start.pipeline, start.run), start.to_bytes(), if_generation=0)
                return stored.catch_up(store, trust, environment="dev")

            numbers = iter(range(typed.stored, typed.stored + 10))
            figures |= dict([measure("one run is new", one_more)])

        if typed.records:
            ledger_store = DirectoryStore(folder / "ledger")
            write_ledger(ledger_store, decider, typed.records)
            ledger = Index(folder / "ledger.sqlite")
            began = time.perf_counter()
            ledger.catch_up(ledger_store, trust, environment="dev")
            print(f"\na ledger of {typed.records:,} records indexed in {time.perf_counter() - began:.1f} s")
            print("\n| ledger | found | median | worst |\n|---|---|---|---|")

            def list_all() -> int:
                ledger.catch_up(ledger_store, trust, environment="dev")
                return len(ledger.deployments("demand", limit=None))

            def list_rare() -> int:
                return len(ledger.deployments("demand", action="rollback"))

            middle = _FIRST + timedelta(minutes=typed.records // 2, seconds=30)
            figures |= dict(
                [
                    measure("catch up and list all", list_all),
                    measure("an action that never was", list_rare),
                    measure("live at a time", lambda: ledger.deployment_at("demand", middle) is not None),
                ]
            )

        if typed.runs:
            made_up = MadeUp(typed.runs, control)
            index = Index((typed.keep or folder) / "many.sqlite", processes=typed.processes)
            if not index.path.exists():
                index.path.parent.mkdir(parents=True, exist_ok=True)
                build(
                    f"reindex of made-up objects, {typed.processes} processes",
                    index,
                    MadeUpStore(made_up),
                    trust,
                )
            newest = made_up.start(typed.runs - 1).run
            print(f"\n| {typed.runs:,} runs | found | median | worst |\n|---|---|---|---|")
            figures |= dict(measure(what, ask) for what, ask in questions(index, newest))
    if typed.json:
        typed.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
