"""Running the steps of a test, and what each came to: the failing cell, its error, and where its notebook is kept."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from rasen.batch.live import read_live
from rasen.batch.plain_text import clean_line, clean_text, without_colours
from rasen.batch.run_events import RunEvent, RunWarned, StepBegan, StepEnded, StepSkipped
from rasen.batch.runner import run_steps
from rasen.errors import NotebookError, RasenError
from rasen.interface_test.before import Found, failed, passed, skipped
from rasen.interface_test.checks import Observer, StepProgress
from rasen.interface_test.home import TestHome
from rasen.notebook import read_notebook
from rasen.release import Release
from rasen.store import Store
from rasen.tracking.keys import step_prefix
from rasen.tracking.records import Start, StepResult, Verdict

_LOOK_SECONDS = 0.5
_EXCERPT_LINES = 3  # before and after the failing one
_TRACEBACK_LINES = 12
_LINE_IN_CELL = re.compile(r"(?:Cell In\[\d+\], line (\d+))|(?:line (\d+)\)?$)")
_UNKNOWN_TABLE = re.compile(r"unknown table '?([\w.]+)'?")


@dataclass(kw_only=True)
class Ran:
    """What running the steps came to.

    Args:
        results: Of the steps that ended, `_qualify` included.
        unstarted: Steps that were skipped because one that they need did not succeed, or that were lost.
        warnings: What the runner had to say, by step.
        stopped: Whether it was told to stop.
    """

    results: dict[str, StepResult] = field(default_factory=dict)
    unstarted: set[str] = field(default_factory=set)
    warnings: dict[str | None, str] = field(default_factory=dict)
    stopped: bool = False

    @property
    def models(self) -> list[str]:
        """The steps that have published a model."""
        return [step for step, result in self.results.items() if result.model is not None]

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers of all rows, those that the qualification computed included."""
        return {
            metric.name: metric.value
            for result in self.results.values()
            for metric in result.metrics
            if not metric.slice
        }


def run_sample(
    home: TestHome,
    release: Release,
    start: Start,
    *,
    jobs: int | None,
    observe: Observer,
    began: Callable[[str], None],
    ended: Callable[[str, StepResult], None],
) -> Ran:
    """Run the steps, then the qualification of the model that they published.

    Args:
        home: Where.
        release: With the steps that are to run.
        start: The run.
        jobs: How many steps may run at once.
        observe: Told where the cells are.
        began: Called with a step that begins.
        ended: Called with a step that has ended and its result.
    """
    ran = Ran()

    def take(event: RunEvent) -> None:
        match event:
            case StepBegan():
                began(event.step)
            case StepEnded():
                ran.results[event.step] = event.result
                ended(event.step, event.result)
            case StepSkipped():
                ran.unstarted.add(event.step)
            case RunWarned():
                ran.warnings[event.step] = event.message
            case _:
                pass

    with _watch(home.store, start, observe):
        ran.stopped = run_steps(home.settings, home.store, release, start, take, jobs=jobs)
    return ran


@contextmanager
def _watch(store: Store, start: Start, observe: Observer) -> Iterator[None]:
    """Tell where the running notebooks are, whenever one is in another cell."""
    over = threading.Event()

    def look() -> None:
        seen: dict[str, int] = {}
        while not over.wait(_LOOK_SECONDS):
            with suppress(RasenError, OSError):  # what cannot be read now is read the next time
                for live in read_live(store, start.pipeline, start.run):
                    if live.cell is not None and seen.get(live.step) != live.cell:
                        seen[live.step] = live.cell
                        observe(
                            StepProgress(
                                step=live.step,
                                cell=live.cell,
                                cells=live.cells,
                                seconds=live.seconds,
                                last_line=clean_line(live.last_line),
                            )
                        )

    thread = threading.Thread(target=look, name="rasen-test-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def judge_step(folder: Path, release: Release, step: str, result: StepResult) -> Found:
    """Return what a step's result means: the cell, the error and an excerpt where it failed."""
    if result.verdict is Verdict.SUCCEEDED:
        metrics = "  ".join(f"{name} {value:.4g}" for name, value in list(_overall(result).items())[:6])
        return passed(metrics or "it ran to its end")
    error = result.error
    name = error.name if error is not None else result.verdict.value
    message = clean_line(error.message, most=400) if error is not None else ""
    where = f"cell {result.cell}: " if result.cell is not None else ""
    details: list[str] = []
    if result.cell is not None:
        notebook = folder / release.spec.steps[step].notebook
        details += _excerpt(notebook, result.cell, error.traceback if error is not None else "")
    if error is not None and error.traceback:
        lines = without_colours(clean_text(error.traceback)).rstrip().splitlines()
        details += ["traceback:", *lines[-_TRACEBACK_LINES:]]
    hint = _UNKNOWN_TABLE.search(message)
    if hint is not None:
        details.insert(
            0,
            f"the warehouse has no table {hint[1]!r}: `rasen tables` lists those there are, `rasen load {hint[1]} "
            "FILE` adds one, and `rasen demo` loads those of the sample pipelines",
        )
    said = f"{where}{name}: {message}" if message else f"{where}{name}"
    if result.verdict is not Verdict.FAILED:
        said = f"{result.verdict.value}, {said}"
    return failed(said, *details)


def _overall(result: StepResult) -> Mapping[str, float]:
    return {metric.name: metric.value for metric in result.metrics if not metric.slice}


def _excerpt(notebook: Path, cell: int, traceback: str) -> list[str]:
    """Return the lines of a cell around the one that failed, if the traceback says which, else its first ones."""
    try:
        cells = read_notebook(notebook).cells
    except NotebookError:
        return []
    lines = cells[cell].source.splitlines() if cell < len(cells) else []
    numbers = [
        int(match[1] or match[2])
        for match in map(_LINE_IN_CELL.search, without_colours(traceback).splitlines())
        if match is not None
    ]
    failing = next((number for number in numbers if 0 < number <= len(lines)), None)
    first = max(0, (failing or 1) - 1 - _EXCERPT_LINES)
    shown = lines[first : (failing or 1) + _EXCERPT_LINES]
    return [
        f"{'>' if number == failing else ' '} {number:3} {clean_line(line)}"
        if failing is not None
        else f"  {number:3} {clean_line(line)}"
        for number, line in enumerate(shown, start=first + 1)
    ]


def judge_unstarted(ran: Ran, release: Release, step: str) -> Found:
    """Return why a step has no result: one that it needs did not succeed, or its process was lost."""
    if step in ran.unstarted:
        needs = [need for need in release.spec.steps[step].needs if not _succeeded(ran, need)]
        return skipped(f"it needs step {', '.join(map(repr, needs))}, which did not succeed")
    return failed(ran.warnings.get(step, "its process was lost without a result"))


def _succeeded(ran: Ran, step: str) -> bool:
    result = ran.results.get(step)
    return result is not None and result.verdict is Verdict.SUCCEEDED


def keep_output(
    home: TestHome, start: Start, step: str, result: StepResult, *, name: str = "output.ipynb"
) -> str | None:
    """Copy an executed notebook to where the next test of the pipeline replaces it; return its path.

    Args:
        home: Where the test runs.
        start: Its run.
        step: The step that executed it.
        result: The step's result.
        name: Its name among the step's files: the step's own notebook, or that of a gate.
    """
    source = home.store.root / (step_prefix(start.pipeline, start.run, step, result.attempt) + name)
    if not source.is_file():
        return None
    kept = f"{step}.ipynb" if name == "output.ipynb" else name
    target = home.original.home / "interface_tests" / start.pipeline / kept
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError:
        return None  # the folder cannot be written: the message and the excerpt are enough
    return str(target)
