"""What the runner itself costs a step: a graph of 1,000 steps whose processes are over at once.

Everything but the notebooks is real: the release, the start, the claims and results in a directory store, the loop, the
manifest of 1,000 steps at the end. What a step's own process would do (its claim and its result, three `fsync` each) is
measured apart. Run `python -m bench.batch_scheduling`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from rasen.batch.executor import StepProcess
from rasen.batch.run_events import RunEvent, StepEnded
from rasen.batch.runner import run_to_end
from rasen.settings import load_settings
from rasen.store import open_store
from rasen.tracking.records import Start, Verdict
from stand.executors import ScriptedExecutor
from stand.pipelines import write_notebook
from stand.runs import start_working_copy


def write_graph(folder: Path, shape: str, count: int) -> None:
    """Write a pipeline of `count` steps: a chain, all beside one another, or each needing up to three earlier ones."""
    chooser = random.Random(7)  # no secret hangs on it
    write_notebook(folder / "step.ipynb", ["1"])
    lines = [f"name: {folder.name}", "owner: bench", "steps:"]
    for index in range(count):
        match shape:
            case "chain":
                needs = [index - 1] if index else []
            case "wide":
                needs = []
            case _:
                needs = sorted({chooser.randrange(index) for _ in range(3)}) if index else []
        names = ", ".join(f"s{need}" for need in needs)
        lines.append(f"  s{index}: {{notebook: step.ipynb, needs: [{names}]}}")
    (folder / "pipeline.yaml").write_text("\n".join(lines) + "\n")


class TimedExecutor(ScriptedExecutor):
    """Notes how long the steps' own work took."""

    seconds = 0.0

    def launch(self, start: Start, step: str, attempt: int) -> StepProcess:
        """Begin, and with these steps end, an attempt."""
        begun = time.perf_counter()
        process = super().launch(start, step, attempt)
        self.seconds += time.perf_counter() - begun
        return process


def measure(shape: str, count: int, jobs: int) -> tuple[float, float, float]:
    """Return milliseconds a step: of the loop alone, of the steps' own writes, and of the end of the run."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = load_settings(home=Path(scratch) / "home")
        store = open_store(settings)
        folder = Path(scratch) / shape
        write_graph(folder, shape, count)
        release, start = start_working_copy(settings, store, folder)
        last = 0.0

        def observe(event: RunEvent) -> None:
            nonlocal last
            if isinstance(event, StepEnded):
                last = time.perf_counter()

        executor = TimedExecutor(store)
        begun = time.perf_counter()
        finished = run_to_end(settings, store, release, start, observe, jobs=jobs, executor=executor)
        ended = time.perf_counter()
        if finished.verdict is not Verdict.SUCCEEDED:
            raise SystemExit(f"the {shape} ended as {finished.verdict}: {finished.end}")
        spans = (last - begun - executor.seconds, executor.seconds, ended - last)
        return tuple(1e3 * span / count for span in spans)  # type: ignore[return-value] # three of them


def main() -> None:
    """Measure each shape and print milliseconds a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=8)
    options = parser.parse_args()
    sys.stdout.write(
        f"| graph of {options.steps} steps | scheduling, ms/step | the steps' own writes | finishing |\n"
    )
    sys.stdout.write("|---|---|---|---|\n")
    for shape in ("chain", "wide", "random"):
        loop, own, end = measure(shape, options.steps, options.jobs)
        sys.stdout.write(f"| {shape} | {loop:.2f} | {own:.2f} | {end:.2f} |\n")


if __name__ == "__main__":
    main()
