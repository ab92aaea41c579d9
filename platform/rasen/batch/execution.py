"""Executing one notebook in one kernel: cell by cell, with the truth about each written into it.

The notebook's metadata say under `rasen` how it ended; each cell says under `papermill`, where papermill's readers
look, whether it was completed, failed, skipped, or never reached, and under `rasen` what it took.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat

from rasen.batch.cell_notes import (
    RAISES_TAG,
    SKIP_TAGS,
    cell_of_author,
    cpu_seconds,
    forget,
    mark,
    note,
    tags_of,
)
from rasen.batch.journal import Journal, Saver
from rasen.batch.kernel import Kernel, KernelDied, Message
from rasen.batch.outcome import TRACEBACK_MAX_CHARACTERS, Outcome, verdict_of_error
from rasen.batch.outputs import Budget, CellOutputs, Limits, Output, Spill
from rasen.batch.stopping import Stopped
from rasen.batch.usage import Usage
from rasen.errors import PlatformFailed
from rasen.tracking.records import Verdict

_POLL_SECONDS = 0.25
_LATE_SECONDS = 4.0  # how long the "idle" behind a reply is awaited: a kernel that floods us drops messages
_INTERRUPT_SECONDS = 3.0  # how long a cell that was interrupted may take to end


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an executing notebook is; `cell` counts in the executed notebook."""

    cell: int
    cells: int
    memory_bytes: int
    last_line: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be asked of the engine beyond what papermill has a word for."""

    environment: Mapping[str, str] | None = None
    folder: str | None = None
    cell_timeout_seconds: float | None = None
    step_timeout_seconds: float | None = None
    start_timeout_seconds: float = 60.0
    memory_limit_bytes: int | None = None
    limits: Limits = field(default_factory=Limits)
    output: Path | None = None
    journal: Path | None = None
    spill: Path | None = None
    observe: Callable[[Progress], None] | None = None
    hear: Callable[[Message], None] | None = None
    names: Mapping[str, str] = field(default_factory=dict)  # for readers, where papermill was told others


def execute_notebook(notebook: nbformat.NotebookNode, kernel_name: str, options: Options) -> Outcome:
    """Execute a notebook in place; how it ended is returned and written into it.

    Raises:
        KeyboardInterrupt: This process was told to stop; the notebook says so and was saved.
    """
    forget(notebook)
    with ExitStack() as stack:
        journal = Journal(options.journal, notebook) if options.journal is not None else None
        if journal is not None:
            stack.callback(journal.close)
        spill = stack.enter_context(options.spill.open("ab")) if options.spill is not None else None
        saver = Saver(options.output) if options.output is not None else None
        execution = _Execution(
            notebook,
            options,
            journal=journal,
            saver=saver,
            budget=Budget(limits=options.limits, spill=Spill(spill, options.limits.spill_bytes)),
        )
        try:
            execution.run(kernel_name)
        finally:
            execution.mark()
            if journal is not None:
                journal.end(dict(notebook.metadata))
            if saver is not None:
                saver.save(notebook)
    return execution.outcome


class _Stop(Exception):
    """The notebook is not to go on; `execution.outcome` says why."""


class _Execution:
    """One notebook on its way through a kernel."""

    def __init__(
        self,
        notebook: nbformat.NotebookNode,
        options: Options,
        *,
        journal: Journal | None,
        saver: Saver | None,
        budget: Budget,
    ) -> None:
        self.notebook = notebook
        self.outcome = Outcome(
            verdict=Verdict.INTERRUPTED, error_name="Interrupted", error_message="the run was told to stop"
        )
        self._options = options
        self._journal = journal
        self._saver = saver
        self._budget = budget
        self._current: int | None = None
        self._reached = -1
        self._displays: dict[str, list[Output]] = {}
        self._outputs: dict[str, tuple[int, CellOutputs]] = {}
        self._started_at = datetime.now(tz=UTC)
        self._begun = time.monotonic()
        self._usage: Usage | None = None

    def run(self, kernel_name: str) -> None:
        """Run all cells; `outcome` says how it ended. Only an interrupt leaves as an exception."""
        options = self._options
        kernel = Kernel(kernel_name=kernel_name, environment=options.environment, folder=options.folder)
        try:
            kernel.start(timeout_seconds=options.start_timeout_seconds)
            self._usage = Usage(kernel.process_id, memory_limit_bytes=options.memory_limit_bytes)
            self.notebook.metadata["language_info"] = kernel.language_info
            for index, cell in enumerate(self.notebook.cells):
                self._reached = index
                self._run_cell(kernel, cell, index)
            self._current = None
            self._end(Verdict.SUCCEEDED)
        except _Stop:
            pass
        except Stopped as stopped:
            if stopped.verdict is Verdict.CANCELLED:
                self._end(Verdict.CANCELLED, "Cancelled", str(stopped))
            raise
        except KernelDied as death:
            self._end_dead(death)
        except PlatformFailed as error:
            self._end(Verdict.FAILED, type(error).__name__, str(error))
        finally:
            if self._usage is not None:
                self._usage.close()
            kernel.stop()
            self._measure()

    def _run_cell(self, kernel: Kernel, cell: nbformat.NotebookNode, index: int) -> None:
        tags = tags_of(cell)
        if cell.cell_type != "code" or not cell.source.strip():
            note(cell, status="completed")
            return
        if tags & SKIP_TAGS:
            note(cell, status="skipped")
            return
        assert self._usage is not None
        self._current = index
        begun, cpu = time.monotonic(), self._usage.begin_cell()
        note(cell, start_time=_now(), end_time=None, duration=None, status="running")
        outputs = CellOutputs(index, self._budget, self._displays)
        cell.execution_count = None
        request = kernel.execute(cell.source, stop_on_error=RAISES_TAG not in tags)
        self._outputs[request] = (index, outputs)
        try:
            error = self._await_cell(kernel, cell, request, outputs)
        finally:
            cell.outputs = nbformat.from_dict(outputs.outputs)  # type: ignore[no-untyped-call] # as papermill wants
            peak = self._usage.end_cell()
            cell.metadata["rasen"] = {
                "peak_bytes": peak,
                "cpu_seconds": round(max(0.0, self._usage.cpu_seconds() - cpu), 3),
            }
            note(cell, end_time=_now(), duration=round(time.monotonic() - begun, 6))
            self._tell(outputs)
        if error is not None and RAISES_TAG not in tags:
            self._end_with(error)
            raise _Stop
        note(cell, status="completed")
        if self._journal is not None:
            self._journal.cell(index, cell)
        if self._saver is not None:
            self._saver.save_if_due(self.notebook)

    def _await_cell(
        self, kernel: Kernel, cell: nbformat.NotebookNode, request: str, outputs: CellOutputs
    ) -> dict[str, Any] | None:  # Any: JSON
        """Handle messages until the cell has ended; return the content of its reply when it raised."""
        reply: dict[str, Any] | None = None
        idle = False
        now = time.monotonic()
        deadline = self._deadline(now)
        told = heard = now
        while reply is None or not idle:
            for message in kernel.poll(max(0.0, min(_POLL_SECONDS, deadline - now))):
                heard = time.monotonic()
                if message.channel == "shell" and message.parent == request:
                    reply = message.content
                elif message.channel == "iopub":
                    idle = self._handle(message, request, cell) or idle
            now = time.monotonic()
            if now >= deadline:
                self._time_out(kernel, request, cell, outputs)
            if reply is not None and now - heard > _LATE_SECONDS:
                break
            if now - told > 2 * _POLL_SECONDS:
                told = now
                self._tell(outputs)
                if outputs.changed and self._saver is not None:
                    cell.outputs = nbformat.from_dict(outputs.outputs)  # type: ignore[no-untyped-call] # as above
                    outputs.changed = False
                    self._saver.save_if_due(self.notebook)
        cell.execution_count = reply.get("execution_count")
        return reply if reply.get("status") != "ok" else None

    def _handle(self, message: Message, request: str, cell: nbformat.NotebookNode) -> bool:
        """Take an iopub message; return whether it says that the current cell has ended."""
        if message.kind == "status":
            return message.parent == request and message.content["execution_state"] == "idle"
        if message.kind == "execute_input" and message.parent == request:
            cell.execution_count = message.content["execution_count"]
        # A thread that an earlier cell left behind still belongs to that cell.
        found = self._outputs.get(message.parent)
        if found is None:
            return False
        index, outputs = found
        outputs.handle(message)
        if self._options.hear is not None:
            self._options.hear(message)
        if message.parent != request:
            self.notebook.cells[index].outputs = nbformat.from_dict(outputs.outputs)  # type: ignore[no-untyped-call] # as above
        return False

    def _deadline(self, now: float) -> float:
        options = self._options
        of_step = self._begun + options.step_timeout_seconds if options.step_timeout_seconds else math.inf
        of_cell = now + options.cell_timeout_seconds if options.cell_timeout_seconds else math.inf
        return min(of_step, of_cell)

    def _time_out(
        self, kernel: Kernel, request: str, cell: nbformat.NotebookNode, outputs: CellOutputs
    ) -> None:
        """Interrupt a cell that has run too long, so that its traceback shows where it was, and stop."""
        options = self._options
        of_step = options.step_timeout_seconds is not None and (
            time.monotonic() - self._begun >= options.step_timeout_seconds
        )
        limit = options.step_timeout_seconds if of_step else options.cell_timeout_seconds
        name, what = ("StepTimeout", "step") if of_step else ("CellTimeout", "cell")
        message = f"the {what} ran longer than its limit of {limit:g} s"
        kernel.interrupt()
        until = time.monotonic() + _INTERRUPT_SECONDS
        with suppress(KernelDied):
            while (left := until - time.monotonic()) > 0:
                if any(
                    self._handle(message_, request, cell)
                    for message_ in kernel.poll(min(_POLL_SECONDS, left))
                    if message_.channel == "iopub"
                ):
                    break
        outputs.add_error(name, message)
        self._end(Verdict.TIMED_OUT, name, message)
        raise _Stop

    def _end_with(self, error: dict[str, Any]) -> None:  # Any: JSON
        name, value = str(error.get("ename", "")), str(error.get("evalue", ""))
        if name == "SystemExit" and value in ("", "0", "None"):
            self._end(Verdict.SUCCEEDED)  # the author ended the notebook on purpose
            return
        verdict = verdict_of_error(name)
        self._end(verdict, name, value, "\n".join(error.get("traceback", ())))

    def _end_dead(self, death: KernelDied) -> None:
        memory = self._usage.died_of_memory(death.signal_number) if self._usage is not None else None
        if memory is not None:
            self._end(Verdict.OUT_OF_MEMORY, "OutOfMemory", memory)
        else:
            self._end(Verdict.KERNEL_DIED, "KernelDied", death.how)

    def _end(self, verdict: Verdict, name: str = "", message: str = "", traceback: str = "") -> None:
        self.outcome = Outcome(
            verdict=verdict,
            error_name=name,
            error_message=message,
            traceback=traceback[-TRACEBACK_MAX_CHARACTERS:],
        )

    def _measure(self) -> None:
        usage = self._usage
        at_fault = self._current if self.outcome.verdict is not Verdict.SUCCEEDED else None
        self.outcome = replace(
            self.outcome,
            cell=cell_of_author(self.notebook.cells, at_fault),
            executed=at_fault,
            seconds=round(time.monotonic() - self._begun, 3),
            peak_bytes=usage.peak_bytes if usage is not None else 0,
            cpu_seconds=cpu_seconds(self.notebook.cells),
        )

    def _tell(self, outputs: CellOutputs) -> None:
        if self._options.observe is None or self._current is None:
            return
        self._options.observe(
            Progress(
                cell=self._current,
                cells=len(self.notebook.cells),
                memory_bytes=self._usage.last_bytes if self._usage is not None else 0,
                last_line=outputs.last_line()[-200:],
            )
        )

    def mark(self) -> None:
        """Write the outcome into the notebook."""
        times = {"start_time": self._started_at.isoformat(), "end_time": _now()}
        mark(self.notebook, self.outcome, reached=self._reached, times=times, names=self._options.names)


def _now() -> str:
    return datetime.now(tz=UTC).isoformat()
