"""Who executes a notebook in `batch.py`: papermill and we, as commands and as functions in a process that lives on."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.batch_peer import peer_environment
from rasen.settings import load_settings, platform_environment
from stand.notebook_workers import Executed, NotebookWorker

KERNEL = "rasen"
Execute = Callable[[Path, Path], float]


class Contender(Protocol):
    """Executes notebooks; `name` is its row in the tables."""

    @property
    def name(self) -> str:
        """Return the name of its row."""

    def open(self) -> Iterator[Execute]:
        """Give, once, a function that executes a notebook and returns the seconds that it took."""


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """A command, from its start to its end; a source and a target are added to it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path

    def open(self) -> Iterator[Execute]:
        """Give a function that runs the command once."""
        yield self._run

    def _run(self, source: Path, target: Path) -> float:
        began = time.perf_counter()
        with self.log.open("ab") as log:
            subprocess.run(
                [*self.command, str(source), str(target)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
        return time.perf_counter() - began


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """A function, called in a process that has imported everything and lives on."""

    name: str
    runner: str
    python: Path
    environment: Mapping[str, str]
    kernel: str
    log: Path

    def open(self) -> Iterator[Execute]:
        """Give a function that executes in a process of its own."""
        with self.worker() as worker:
            yield lambda source, target: self.execute(worker, source, target).seconds

    def worker(self) -> NotebookWorker:
        """Return the process, not yet started."""
        return NotebookWorker(self.runner, python=self.python, environment=self.environment, log=self.log)

    def execute(self, worker: NotebookWorker, source: Path, target: Path) -> Executed:
        """Execute a notebook in the process.

        Raises:
            RuntimeError: It did not succeed.
        """
        executed = worker.run(source, target, kernel=self.kernel)
        if executed.verdict != "succeeded":
            raise RuntimeError(f"{self.name}: {source.name}: {executed}; see {self.log}")
        return executed


@dataclass(frozen=True, kw_only=True)
class Contenders:
    """All of them. Papermill runs in an environment of its own, without anything of ours."""

    papermill_command: CommandLine
    papermill: InProcess
    rasen_command: CommandLine
    rasen: InProcess
    engine_command: CommandLine
    engine: InProcess
    step: InProcess

    def all_timed(self) -> tuple[Contender, ...]:
        """Return those whose time is compared, papermill's first."""
        return (
            self.papermill_command,
            self.papermill,
            self.rasen_command,
            self.rasen,
            self.engine_command,
            self.engine,
        )


def make_contenders(peer: Path, folder: Path) -> Contenders:
    """Return the contenders; what they print goes to a log in `folder`.

    Args:
        peer: The interpreter of papermill's environment.
        folder: A folder for logs and for the platform's data.
    """
    log = folder / "contenders.log"
    theirs, ours = peer_environment(), platform_environment(load_settings(home=folder / "home"))
    python, scripts = Path(sys.executable), Path(sys.executable).parent
    through_engine = (str(scripts / "papermill"), "-k", KERNEL, "--engine", "rasen")
    return Contenders(
        papermill_command=CommandLine(
            name="papermill, command line",
            command=(str(peer.with_name("papermill")), "-k", "python3"),
            environment=theirs,
            log=log,
        ),
        papermill=InProcess(
            name="papermill, in-process",
            runner="papermill",
            python=peer,
            environment=theirs,
            kernel="python3",
            log=log,
        ),
        rasen_command=CommandLine(
            name="`rasen notebook run`",
            command=(str(scripts / "rasen"), "notebook", "run", "-k", KERNEL),
            environment=ours,
            log=log,
        ),
        rasen=InProcess(
            name="Rasen, in-process", runner="rasen", python=python, environment=ours, kernel=KERNEL, log=log
        ),
        engine_command=CommandLine(
            name="papermill -k rasen --engine rasen", command=through_engine, environment=ours, log=log
        ),
        engine=InProcess(
            name="the same, in-process",
            runner="papermill-with-our-engine",
            python=python,
            environment=ours,
            kernel=KERNEL,
            log=log,
        ),
        step=InProcess(
            name="a step: with journal and spill file",
            runner="rasen-step",
            python=python,
            environment=ours,
            kernel=KERNEL,
            log=log,
        ),
    )


@contextmanager
def opened(contenders: Sequence[Contender]) -> Iterator[dict[str, Execute]]:
    """Give the functions of several contenders by name, ready to take turns."""
    with ExitStack() as stack:
        yield {one.name: stack.enter_context(contextmanager(one.open)()) for one in contenders}


def execute_many(contender: Contender, source: Path, folder: Path, *, count: int, workers: int) -> float:
    """Execute a notebook `count` times, `workers` at a time; return the seconds, start of the workers included."""
    waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for number in range(count):
        waiting.put(folder / f"output-{number}.ipynb")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with opened([contender]) as ready:
                while not failed:
                    ready[contender.name](source, waiting.get_nowait())
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001  # a thread's own end would go unseen; raised below
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        failed.append(error)  # Ctrl-C: nobody begins another notebook
        raise
    if failed:
        raise failed[0]
    return time.perf_counter() - began
