"""The papermill engine `rasen`: executes a notebook and says in it, cell by cell, what really happened.

It is reached through papermill's own entry point, so `papermill --engine rasen` works for anybody. It differs from
papermill's engine where that one misleads (facts: notebook_execution): a kernel that died, a time-out and an interrupt
are errors in the notebook, cells that were never reached say so, and the notebook is not rewritten after each cell.
The messages between kernel and client go over IPC sockets, because TCP ports clash when many runs start at once.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, cast

import nbformat
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.engines import Engine
from traitlets import default

from rasen.errors import ValidationFailed
from rasen.tracking.records import Verdict

_TRACEBACK_MAX_CHARACTERS = 20_000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an executed notebook ended; kept in the notebook's own metadata under `rasen`."""

    verdict: Verdict
    cell: int | None = None
    error_name: str = ""
    error_message: str = ""
    traceback: str = ""
    seconds: float = 0.0


def read_outcome(path: Path) -> Outcome | None:
    """Return the outcome that the engine left in an output notebook, or `None` when it never got there."""
    try:
        found = json.loads(path.read_bytes())["metadata"]["rasen"]
        return Outcome(**{**found, "verdict": Verdict(found["verdict"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


class IpcKernelManager(AsyncKernelManager):
    """A kernel manager that talks over Unix sockets in a private folder: no port, nobody else's to clash with."""

    @default("transport")
    def _transport_default(self) -> str:
        return "ipc"


class RasenEngine(Engine):  # type: ignore[misc] # papermill ships no types
    """Executes notebooks for papermill."""

    @classmethod
    def execute_notebook(
        cls,
        nb: nbformat.NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        **options: Any,  # Any: papermill hands on whatever its caller gave
    ) -> nbformat.NotebookNode:
        """Execute `nb` in place and return it; `output_path` is written once, at the end, whatever happens.

        Options of our own: `environment` (the kernel's environment variables), `step_timeout_seconds` (of the whole
        notebook). `execution_timeout` is papermill's limit for a cell, in seconds.
        """
        execution = _Execution(
            nb,
            kernel_name=kernel_name,
            environment=options.get("environment"),
            cell_timeout_seconds=options.get("execution_timeout"),
            step_timeout_seconds=options.get("step_timeout_seconds"),
            start_timeout_seconds=options.get("start_timeout", 60),
        )
        try:
            asyncio.run(execution.run())
        finally:
            execution.mark()
            if output_path is not None:
                _save(nb, Path(output_path))
        return nb


class _Execution:
    """One notebook on its way through a kernel."""

    verdict_of_error: ClassVar[dict[str, Verdict]] = {ValidationFailed.__name__: Verdict.VALIDATION_FAILED}

    def __init__(
        self,
        notebook: nbformat.NotebookNode,
        *,
        kernel_name: str,
        environment: Mapping[str, str] | None,
        cell_timeout_seconds: float | None,
        step_timeout_seconds: float | None,
        start_timeout_seconds: float,
    ) -> None:
        self.notebook = notebook
        self.environment = environment
        self.step_timeout_seconds = step_timeout_seconds
        self.outcome = Outcome(
            verdict=Verdict.INTERRUPTED, error_name="Interrupted", error_message="never started"
        )
        self.current: int | None = None
        self.started_at = datetime.now(tz=UTC)
        self._begun = time.monotonic()
        self._cell_begun = self._begun
        self.client = NotebookClient(
            notebook,
            kernel_name=kernel_name,
            timeout=cell_timeout_seconds,
            startup_timeout=start_timeout_seconds,
            kernel_manager_class=IpcKernelManager,
            shutdown_kernel="immediate",
            record_timing=False,
        )

    async def run(self) -> None:
        """Run all cells; `outcome` says how it ended. Only an interrupt leaves as an exception."""
        sockets = Path(tempfile.mkdtemp(prefix="rasen-"))
        manager = cast("IpcKernelManager", self.client.create_kernel_manager())
        manager.connection_file = str(sockets / "kernel.json")
        limit = asyncio.timeout(self.step_timeout_seconds)
        options: dict[str, Any] = {}  # Any: whatever the kernel manager takes
        if self.environment is not None:
            options["env"] = dict(self.environment)
        try:
            async with limit, self.client.async_setup_kernel(**options):
                for index, cell in enumerate(self.notebook.cells):
                    await self._execute_cell(cell, index)
            self._end(Verdict.SUCCEEDED)
        except CellExecutionError as error:
            verdict = self.verdict_of_error.get(error.ename, Verdict.FAILED)
            self._end(verdict, error.ename, error.evalue, error.traceback)
        except CellTimeoutError:
            self._end(Verdict.TIMED_OUT, "CellTimeout", f"the cell ran longer than {self.client.timeout} s")
        except (TimeoutError, DeadKernelError, RuntimeError) as error:
            if limit.expired():  # a wait that is cut off may end in any of these
                message = f"the step ran longer than {self.step_timeout_seconds} s"
                self._end(Verdict.TIMED_OUT, "StepTimeout", message)
            else:
                self._end(Verdict.KERNEL_DIED, "KernelDied", f"the kernel died: {error}")
        finally:
            await self._stop_kernel(manager)
            shutil.rmtree(sockets, ignore_errors=True)

    async def _execute_cell(self, cell: nbformat.NotebookNode, index: int) -> None:
        self.current = index
        self._cell_begun = time.monotonic()
        began_at = datetime.now(tz=UTC)
        timing = cell.metadata.setdefault("papermill", {})
        timing.update(exception=None, start_time=began_at.isoformat(), status="running")
        await self.client.async_execute_cell(cell, index)
        seconds = round(time.monotonic() - self._cell_begun, 6)
        timing.update(end_time=datetime.now(tz=UTC).isoformat(), duration=seconds, status="completed")

    async def _stop_kernel(self, manager: AsyncKernelManager) -> None:
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)
        await ensure_async(manager.cleanup_resources())

    def _end(self, verdict: Verdict, name: str = "", message: str = "", traceback: str = "") -> None:
        self.outcome = Outcome(
            verdict=verdict,
            cell=None if verdict is Verdict.SUCCEEDED else self.current,
            error_name=name,
            error_message=message,
            traceback=traceback[-_TRACEBACK_MAX_CHARACTERS:],
            seconds=round(time.monotonic() - self._begun, 3),
        )

    def mark(self) -> None:
        """Write the outcome into the notebook: its metadata, the cell at fault, the cells never reached."""
        outcome = self.outcome
        self.notebook.metadata["rasen"] = {
            "verdict": outcome.verdict.value,
            "cell": self._cell_of_author(outcome.cell),
            "error_name": outcome.error_name,
            "error_message": outcome.error_message,
            "traceback": outcome.traceback,
            "seconds": outcome.seconds,
        }
        papermill = self.notebook.metadata.setdefault("papermill", {})
        papermill.update(
            start_time=self.started_at.isoformat(),
            end_time=datetime.now(tz=UTC).isoformat(),
            duration=outcome.seconds,
            exception=outcome.verdict is not Verdict.SUCCEEDED,
        )
        if outcome.verdict is Verdict.SUCCEEDED:
            return
        at_fault = outcome.cell if outcome.cell is not None else -1
        for index, cell in enumerate(self.notebook.cells):
            timing = cell.metadata.setdefault("papermill", {})
            if index == at_fault:
                timing.update(exception=True, status="failed", end_time=datetime.now(tz=UTC).isoformat())
                self._show_error(cell)
            elif index > at_fault:
                timing.update(exception=None, status="not reached")

    def _cell_of_author(self, index: int | None) -> int | None:
        """Return a cell's index in the notebook as it was written, without the cell that papermill injected."""
        if index is None:
            return None
        before = self.notebook.cells[:index]
        return index - sum("injected-parameters" in cell.metadata.get("tags", ()) for cell in before)

    def _show_error(self, cell: nbformat.NotebookNode) -> None:
        # papermill looks for an error output; a kernel that died or was interrupted has left none.
        if cell.cell_type != "code" or any(output.output_type == "error" for output in cell.outputs):
            return
        cell.outputs.append(
            nbformat.from_dict(  # type: ignore[no-untyped-call] # nbformat annotates little
                {
                    "output_type": "error",
                    "ename": self.outcome.error_name,
                    "evalue": self.outcome.error_message,
                    "traceback": [f"{self.outcome.error_name}: {self.outcome.error_message}"],
                }
            )
        )


def _save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook so that a reader sees the old file or the whole new one."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(nbformat.writes(notebook), encoding="utf-8")  # type: ignore[no-untyped-call] # as above
    part.replace(path)
