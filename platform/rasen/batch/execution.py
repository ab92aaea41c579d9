"""Executing one notebook in one kernel: cell by cell, with the truth about each written into it.

The notebook's metadata say under `rasen` how it ended; each cell says under `papermill`, where papermill's readers
look, whether it was completed, failed, skipped, or never reached, and under `rasen` what it took.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import nbformat

from rasen.batch.cell_notes import (
    RAISES_TAG,
    SKIP_TAGS,
    as_node,
    cell_of_author,
    cpu_seconds,
    forget,
    mark,
    note,
    tags_of,
)
from rasen.batch.journal import Journal
from rasen.batch.kernel import Kernel, KernelDied
from rasen.batch.messages import Message
from rasen.batch.options import Options, Progress
from rasen.batch.outcome import MESSAGE_MAX_CHARACTERS, TRACEBACK_MAX_CHARACTERS, Outcome, verdict_of_error
from rasen.batch.output_mask import mask_text
from rasen.batch.outputs import Budget, CellOutputs, Spill
from rasen.batch.reception import Reception, asks_to_exit, exits_well, reply_of
from rasen.batch.saver import Saver
from rasen.batch.stopping import Stopped
from rasen.batch.usage import Usage
from rasen.errors import PlatformFailed
from rasen.tracking.records import Verdict

__all__ = ["Options", "Progress", "execute_notebook"]

_POLL_SECONDS = 0.25
_TELL_SECONDS = 0.4
_LATE_SECONDS = (
    4.0  # how long the "idle" behind a reply is awaited: other kernels drop messages under a flood
)
_INTERRUPT_SECONDS = 3.0  # how long a cell that was interrupted may take to end
_STOP_SECONDS = 0.5  # the same, when this process was told to stop: it has two seconds in all
_LAST_LINE_CHARACTERS = 200


def execute_notebook(notebook: nbformat.NotebookNode, kernel_name: str, options: Options) -> Outcome:
    """Execute a notebook in place; how it ended is returned and written into it.

    Raises:
        KeyboardInterrupt: This process was told to stop; the notebook says so and was saved.
        PlatformFailed: The notebook could not be saved; the message says how it had ended.
    """
    forget(notebook)
    with ExitStack() as stack:
        execution = _Execution(notebook, options, stack)
        try:
            execution.run(kernel_name)
        except BaseException as error:  # whatever it was, the notebook says so and is saved
            execution.break_off(error)
            execution.finish()
            raise
        try:
            execution.finish()
        except KeyboardInterrupt as error:  # while the end was being written: then that is done again
            execution.break_off(error)
            execution.finish()
            raise
    return execution.outcome


class _Stop(Exception):
    """The notebook is not to go on; `execution.outcome` says why."""


class _Execution:
    """One notebook on its way through a kernel."""

    def __init__(self, notebook: nbformat.NotebookNode, options: Options, stack: ExitStack) -> None:
        self.notebook = notebook
        self.outcome = Outcome(verdict=Verdict.INTERRUPTED)
        self._options = options
        self._current: int | None = None
        self._request = ""
        self._unsaved = True
        self._reached = -1
        self._begun = time.monotonic()
        self._started_at = options.now()
        notebook.metadata.setdefault("papermill", as_node({}))["start_time"] = self._started_at.isoformat()
        self._usage: Usage | None = None
        self._saver = Saver(options.output) if options.output is not None else None
        self._journal: Journal | None = None
        if options.journal is not None:
            self._journal = Journal(options.journal, notebook)
            stack.callback(self._journal.close)
        file = None
        if options.spill is not None:
            with suppress(OSError):  # what is over the limits is lost then, and the cell says so
                file = stack.enter_context(options.spill.open("ab", buffering=0))
        self._budget = Budget(limits=options.limits, spill=Spill(file, options.limits.spill_bytes))
        self._reception = Reception(self._budget, mask=options.mask, hear=options.hear)
        self._outputs: dict[int, CellOutputs] = {}

    def run(self, kernel_name: str) -> None:
        """Run all cells; `outcome` says how it ended. Only an interrupt leaves as an exception."""
        options = self._options
        kernel = Kernel(
            kernel_name=kernel_name,
            environment=options.environment,
            folder=options.folder,
            largest_bytes=2 * options.limits.cell_bytes + 1_000_000,  # more than this is not kept in any case
            mask=options.mask,
        )
        try:
            limit = min(options.start_timeout_seconds, options.step_timeout_seconds or math.inf)
            kernel.start(timeout_seconds=limit)
            self._usage = Usage(kernel.process_id, memory_limit_bytes=options.memory_limit_bytes)
            self.notebook.metadata["language_info"] = kernel.language_info
            for index, cell in enumerate(self.notebook.cells):
                self._reached = index
                self._run_cell(kernel, cell, index)
            self._end(Verdict.SUCCEEDED)
        except _Stop:
            pass
        except KernelDied as death:
            self._end_dead(death)
        except PlatformFailed as error:
            self._end(Verdict.FAILED, type(error).__name__, str(error))
        except KeyboardInterrupt:
            self._hear_out(kernel)
            raise
        finally:
            if self._usage is not None:
                self._usage.close()
            try:
                kernel.stop()
            except KeyboardInterrupt:  # nothing of it may stay behind
                kernel.stop()
                raise
            self._measure()

    def break_off(self, error: BaseException) -> None:
        """Say that something came from outside of the notebook: this process was told to stop, or is at its end."""
        if isinstance(error, Stopped) and error.verdict is Verdict.CANCELLED:
            self._end(Verdict.CANCELLED, "Cancelled", str(error))
        elif isinstance(error, KeyboardInterrupt):
            self._end(Verdict.INTERRUPTED, "Interrupted", "the run was told to stop")
        else:
            self._end(Verdict.FAILED, type(error).__name__, str(error))
        self._measure()

    def finish(self) -> None:
        """Write how it ended into the notebook, and that to its file. Once more does no harm.

        Raises:
            PlatformFailed: The file cannot be written.
        """
        self._reception.complete()
        self._take_over()
        times = {"start_time": self._started_at.isoformat(), "end_time": self._now()}
        mark(self.notebook, self.outcome, reached=self._reached, times=times, names=self._options.names)
        if self._journal is not None:
            if self._current is not None:
                self._write_down(self._current)
            self._journal.end(dict(self.notebook.metadata))
        if self._saver is not None:
            try:
                self._saver.save(self.notebook)
            except PlatformFailed as error:
                raise PlatformFailed(f"{error}; it had ended as {self.outcome.verdict.value!r}") from error

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
        note(cell, start_time=self._now(), status="running")
        if self._journal is not None:
            self._journal.begin(index, seconds=self._seconds())
        request = kernel.execute(cell.source, stop_on_error=RAISES_TAG not in tags)
        self._request, self._unsaved = request, True
        self._outputs[index] = outputs = self._reception.expect(request, index)
        reply: dict[str, Any] = {}  # Any: JSON
        try:
            reply = self._await_cell(kernel, cell, outputs)
        finally:
            self._reception.complete()
            self._take_over()
            used = {
                "peak_bytes": self._usage.end_cell(),
                "cpu_seconds": round(max(0.0, self._usage.cpu_seconds() - cpu), 3),
            }
            cell.metadata["rasen"] = as_node(used)
            note(cell, end_time=self._now(), duration=round(time.monotonic() - begun, 6))
            self._tell(outputs)
        failed = reply.get("status") != "ok" and RAISES_TAG not in tags
        if failed and not exits_well(reply):
            self._end_with(reply)
            raise _Stop
        note(cell, status="completed")
        self._current = None
        self._write_down(index)
        self._save_if_due()
        if failed or asks_to_exit(reply):
            self._end(Verdict.SUCCEEDED)
            raise _Stop

    def _await_cell(
        self, kernel: Kernel, cell: nbformat.NotebookNode, outputs: CellOutputs
    ) -> dict[str, Any]:  # Any: JSON
        """Handle messages until the cell has ended; return the content of its reply."""
        reply: dict[str, Any] | None = None
        idle = False
        now = time.monotonic()
        deadline = self._deadline(now)
        told = heard = now
        while reply is None or not idle:
            for message in kernel.poll(max(0.0, min(_POLL_SECONDS, deadline - now))):
                heard = time.monotonic()
                if message.channel == "shell" and message.parent == self._request:
                    reply = reply_of(message)
                elif message.channel == "iopub":
                    idle = self._handle(message, cell) or idle
            now = time.monotonic()
            if now >= deadline:
                self._time_out(kernel, cell, outputs)
            if reply is not None and now - heard > _LATE_SECONDS:
                break
            if now - told > _TELL_SECONDS:
                told = now
                self._tell(outputs)
                self._save_if_due()
        cell.execution_count = reply.get("execution_count", cell.execution_count)
        return reply

    def _handle(self, message: Message, cell: nbformat.NotebookNode) -> bool:
        """Take an iopub message; return whether it says that the current cell has ended."""
        if message.parent == self._request:
            if message.kind == "status":
                return bool(message.content.get("execution_state") == "idle")
            if message.kind == "execute_input":
                cell.execution_count = message.content.get("execution_count")
        self._reception.take(message)
        return False

    def _take_over(self) -> None:
        """Put into the notebook what cells have shown, those included whose turn was earlier."""
        touched, self._budget.touched = self._budget.touched, set()
        for index in touched:
            cell = self.notebook.cells[index]
            cell.outputs = as_node(self._outputs[index].render())
            if index != self._current and self._journal is not None:
                self._write_down(index)

    def _save_if_due(self) -> None:
        """Let readers see how far it is, when there is something new: a silent cell that runs is news too, once."""
        if self._saver is not None and (self._unsaved or self._budget.touched) and self._saver.due:
            self._take_over()
            self._unsaved = False
            self._saver.save_if_due(self.notebook)

    def _write_down(self, index: int) -> None:
        if self._journal is not None:
            written = self._journal.cell(index, self.notebook.cells[index], seconds=self._seconds())
            if self._saver is not None:
                self._saver.grow(written)

    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _now(self) -> str:
        return (self._started_at + timedelta(seconds=self._seconds())).isoformat()

    def _deadline(self, now: float) -> float:
        options = self._options
        of_step = self._begun + options.step_timeout_seconds if options.step_timeout_seconds else math.inf
        of_cell = now + options.cell_timeout_seconds if options.cell_timeout_seconds else math.inf
        return min(of_step, of_cell)

    def _time_out(self, kernel: Kernel, cell: nbformat.NotebookNode, outputs: CellOutputs) -> None:
        """Interrupt a cell that has run too long, so that its traceback shows where it was, and stop."""
        options = self._options
        of_step = options.step_timeout_seconds is not None and (
            time.monotonic() - self._begun >= options.step_timeout_seconds
        )
        limit = options.step_timeout_seconds if of_step else options.cell_timeout_seconds
        name, what = ("StepTimeout", "step") if of_step else ("CellTimeout", "cell")
        message = f"the {what} ran longer than its limit of {limit:g} s"
        kernel.interrupt()
        self._listen(kernel, _INTERRUPT_SECONDS, cell)
        outputs.add_error(name, message)
        self._end(Verdict.TIMED_OUT, name, message)
        raise _Stop

    def _hear_out(self, kernel: Kernel) -> None:
        """Interrupt the cell that runs and take what it still has to show; this process was told to stop."""
        if self._current is None or self._usage is None:
            return
        kernel.interrupt()
        self._listen(kernel, _STOP_SECONDS, self.notebook.cells[self._current])

    def _listen(self, kernel: Kernel, seconds: float, cell: nbformat.NotebookNode) -> None:
        """Take what the kernel still says, until the cell has ended or the time is over."""
        until = time.monotonic() + seconds
        with suppress(KernelDied):
            while (left := until - time.monotonic()) > 0:
                ended = False
                for message in kernel.poll(min(_POLL_SECONDS, left)):
                    ended = (message.channel == "iopub" and self._handle(message, cell)) or ended
                if ended:
                    break

    def _end_with(self, error: dict[str, Any]) -> None:  # Any: JSON
        name, value = str(error.get("ename", "")), str(error.get("evalue", ""))
        verdict = verdict_of_error(name, oom_killed=self._usage is not None and self._usage.oom_killed)
        self._end(verdict, name, value, "\n".join(map(str, error.get("traceback", ()))))

    def _end_dead(self, death: KernelDied) -> None:
        usage = self._usage
        memory = usage.died_of_memory(death.signal_number, death.last_words) if usage is not None else None
        if memory is not None:
            self._end(Verdict.OUT_OF_MEMORY, "OutOfMemory", memory, death.last_words)
        else:
            self._end(Verdict.KERNEL_DIED, "KernelDied", death.how, death.last_words)

    def _end(self, verdict: Verdict, name: str = "", message: str = "", traceback: str = "") -> None:
        mask = self._options.mask
        if mask is not None:
            name, message, traceback = (mask_text(mask, text) for text in (name, message, traceback))
        self.outcome = Outcome(
            verdict=verdict,
            error_name=name[:MESSAGE_MAX_CHARACTERS],
            error_message=message[:MESSAGE_MAX_CHARACTERS],
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
                last_line=outputs.last_line(most_characters=_LAST_LINE_CHARACTERS),
            )
        )
