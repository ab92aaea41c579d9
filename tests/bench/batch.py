"""Batch execution against papermill, in one run on one machine: seconds, bytes written, notebooks a minute, memory.

`PYTHONPATH=tests python -m bench.batch` prints the tables of `tests/bench/README.md`. papermill has an environment of
its own (`batch_peer.py`), with plain ipykernel and the same versions of the libraries. All take turns, so that a busy
machine slows all; ratios are what counts. Our warm process has imported everything before the first turn: it serves a
machine's notebooks all day, and starting it once is not what a notebook costs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.batch_contenders import Contenders, execute_many, make_contenders, opened
from bench.batch_peer import other_versions, peer_python
from bench.batch_workloads import IMPORTS, write_workload
from rasen.batch.zygote_client import warm_up
from rasen.settings import load_settings
from stand.zygotes import runtime_folder

_NOTEBOOKS, _WORKERS = 16, 2
_KERNELS = 4
_MEGABYTE = 1e6
_TARGETS = {
    "trivial": "a notebook of one trivial cell; target: at most 0.25 of papermill's command line",
    "realistic": "imports, 50,000 rows, validate, train, pickle; target: at most 0.55 of papermill in-process",
    "cells": "200 small cells; target: at most 0.18 of papermill in-process",
    "outputs": "30 outputs of 1 MB; target: written at most 3 times the final file",
    "throughput": f"{_NOTEBOOKS} realistic notebooks, {_WORKERS} workers; target: at least 1.7 of papermill's pool",
    "memory": f"private memory of a kernel after imports, {_KERNELS} side by side; target: at most 0.33",
}


@dataclass(kw_only=True)
class Measured:
    """One figure: all samples of each contender, and the table that a person reads."""

    figure: str
    unit: str
    samples: dict[str, list[float]] = field(default_factory=dict)
    more: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Add a sample."""
        self.samples.setdefault(name, []).append(value)

    def middle(self, name: str) -> float:
        """Return the median of a contender."""
        return median(self.samples[name])


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What every figure is measured with."""

    contenders: Contenders
    folder: Path
    rounds: int


def measure_seconds(bench: Bench, figure: str) -> Measured:
    """Measure how long a workload takes, contender by contender in turns."""
    source = write_workload(figure, bench.folder)
    measured = Measured(figure=figure, unit="s")
    with opened(bench.contenders.all_timed()) as ready:
        for turn in range(-1, bench.rounds):
            for name, execute in ready.items():
                seconds = execute(source, bench.folder / "output.ipynb")
                say(f"{figure}, {name}, {f'round {turn + 1}' if turn >= 0 else 'warm-up'}: {seconds:.3f} s")
                if turn >= 0:
                    measured.add(name, seconds)
    return measured


def measure_bytes(bench: Bench) -> Measured:
    """Measure what is written while a notebook with large outputs runs, by the process that executes it.

    That process writes the notebook; the kernel only sends, over sockets, which these counters leave out.
    """
    source = write_workload("outputs", bench.folder)
    measured = Measured(figure="outputs", unit="MB")
    chosen = bench.contenders
    for contender in (chosen.papermill, chosen.rasen, chosen.engine, chosen.step):
        folder = bench.folder / contender.runner
        folder.mkdir(exist_ok=True)
        with contender.worker() as worker:
            executed = contender.execute(worker, source, folder / "output.ipynb")
        final = (folder / "output.ipynb").stat().st_size
        say(f"outputs, {contender.name}: {executed.wchar / _MEGABYTE:.0f} MB, {executed.seconds:.2f} s")
        measured.add(contender.name, executed.wchar / _MEGABYTE)
        measured.more[contender.name] = {
            "final_mb": final / _MEGABYTE,
            "disk_mb": executed.write_bytes / _MEGABYTE,
            "seconds": executed.seconds,
        }
    return measured


def measure_throughput(bench: Bench) -> Measured:
    """Measure notebooks a minute, workers and their start included."""
    source = write_workload("realistic", bench.folder)
    measured = Measured(figure="throughput", unit="notebooks/min")
    chosen = bench.contenders
    for turn in range(max(1, bench.rounds // 2)):
        for contender in (chosen.papermill_command, chosen.papermill, chosen.rasen_command, chosen.rasen):
            seconds = execute_many(contender, source, bench.folder, count=_NOTEBOOKS, workers=_WORKERS)
            say(f"throughput, {contender.name}, round {turn + 1}: {seconds:.1f} s")
            measured.add(contender.name, 60 * _NOTEBOOKS / seconds)
    return measured


def measure_memory(bench: Bench) -> Measured:
    """Measure the private memory of kernels that have imported what the realistic notebook imports."""
    measured = Measured(figure="memory", unit="MB")
    script = Path(__file__).with_name("batch_memory.py")
    chosen = bench.contenders
    for contender in (chosen.papermill, chosen.rasen):
        command = [str(contender.python), "-P", str(script), contender.kernel, str(_KERNELS), IMPORTS]
        output = subprocess.run(
            command, env=dict(contender.environment), check=True, stdout=subprocess.PIPE
        ).stdout
        found: list[dict[str, int]] = json.loads(output)
        name = "ipykernel, cold" if contender is chosen.papermill else "kernel `rasen`, a fork"
        for one in found:
            measured.add(name, one["private"] / _MEGABYTE)
        measured.more[name] = {"dirty_mb": median(one["private_dirty"] for one in found) / _MEGABYTE}
        say(f"memory, {name}: {measured.middle(name):.0f} MB")
    return measured


FIGURES: Mapping[str, Callable[[Bench], Measured]] = {
    "trivial": lambda bench: measure_seconds(bench, "trivial"),
    "realistic": lambda bench: measure_seconds(bench, "realistic"),
    "cells": lambda bench: measure_seconds(bench, "cells"),
    "outputs": measure_bytes,
    "throughput": measure_throughput,
    "memory": measure_memory,
}


def show(measured: Measured, contenders: Contenders) -> str:
    """Return one figure as a table in Markdown."""
    match measured.figure:
        case "outputs":
            return _show_bytes(measured)
        case "memory":
            return _show_memory(measured)
        case _:
            return _show_ratios(measured, contenders)


def _show_ratios(measured: Measured, contenders: Contenders) -> str:
    best, digits = ("maximum", 1) if measured.figure == "throughput" else ("minimum", 3)
    command, in_process = contenders.papermill_command.name, contenders.papermill.name
    rows = []
    for name, samples in measured.samples.items():
        extreme = max(samples) if best == "maximum" else min(samples)
        middle = measured.middle(name)
        rows.append(
            (
                name,
                f"{middle:.{digits}f}",
                f"{extreme:.{digits}f}",
                f"{middle / measured.middle(command):.2f}",
                f"{middle / measured.middle(in_process):.2f}",
            )
        )
    return _table(
        ("", f"median, {measured.unit}", best, "× papermill's command line", "× papermill in-process"), rows
    )


def _show_bytes(measured: Measured) -> str:
    rows = []
    for name in measured.samples:
        more, written = measured.more[name], measured.middle(name)
        rows.append(
            (
                name,
                f"{more['final_mb']:.1f}",
                f"{written:.1f}",
                f"{more['disk_mb']:.1f}",
                f"{written / more['final_mb']:.2f}",
                f"{more['seconds']:.2f}",
            )
        )
    return _table(
        ("", "final file, MB", "handed to `write`, MB", "sent to the disk, MB", "× final file", "s"), rows
    )


def _show_memory(measured: Measured) -> str:
    first = next(iter(measured.samples))
    rows = [
        (
            name,
            f"{measured.middle(name):.0f}",
            f"{measured.more[name]['dirty_mb']:.0f}",
            f"{measured.middle(name) / measured.middle(first):.2f}",
        )
        for name in measured.samples
    ]
    return _table(("", "private, MB", "of it written to, MB", "ratio"), rows)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how many turns each contender gets")
    parser.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES), metavar="FIGURE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to a file")
    options = parser.parse_args()
    peer = peer_python()
    for line in other_versions():
        say(f"compare with care: {line}")
    machine = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}, "
        f"load {os.getloadavg()[0]:.1f} at the start, {options.rounds} rounds"
    )
    results = []
    with runtime_folder(), tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if not warm_up(load_settings(home=Path(folder) / "home")):
            say("compare with care: there is no warm process, our kernels start cold")
        bench = Bench(
            contenders=make_contenders(peer, Path(folder)), folder=Path(folder), rounds=options.rounds
        )
        for figure in options.only:
            measured = FIGURES[figure](bench)
            results.append(measured)
            print(f"\n**{figure}**: {_TARGETS[figure]}\n\n{show(measured, bench.contenders)}", flush=True)
    print(f"\n{machine}")
    if options.json is not None:
        found = {"machine": machine, "figures": [asdict(one) for one in results]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
