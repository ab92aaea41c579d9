"""A notebook of a release under batch: what it is handed, its execution, and how that ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.batch.clean_staging import clean_staging
from rasen.batch.inputs import fetch_models, fetch_tables, newest_release_run, write_context, write_statistics
from rasen.batch.secret_channel import keep_secrets
from rasen.batch.work import Ending, Work
from rasen.errors import PlatformFailed
from rasen.release import unpack_bundle
from rasen.settings import CONTEXT_VARIABLE, child_environment
from rasen.tracking.records import ErrorRecord, Verdict

if TYPE_CHECKING:
    from rasen.batch.outcome import Outcome

KERNEL_NAME = "rasen"  # the kernel specification whose kernels are forks of the warm process


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One notebook to execute, with a context that was written for it.

    Args:
        notebook: The notebook.
        folder: Where the release's files are unpacked: the kernel's working directory.
        context: The file that tells the SDK in the kernel where its folders are.
        staging: The folder for what it leaves, as the context says.
        output: Where the executed notebook goes.
        journal: Where its progress is noted while it runs.
        spill: Where outputs over the limit go.
        parameters: What it is given.
        timeout_seconds: How long it may run; `None` is any time.
        cell_timeout_seconds: How long one of its cells may run.
        memory_limit_bytes: The most memory that it may take.
    """

    notebook: Path
    folder: Path
    context: Path
    staging: Path
    output: Path
    journal: Path
    spill: Path
    parameters: dict[str, Any]  # Any: JSON
    timeout_seconds: float | None = None
    cell_timeout_seconds: float | None = None
    memory_limit_bytes: int | None = None


def execute_in_context(work: Work, asked: Asked) -> tuple[Outcome, str]:
    """Execute a notebook of the run's release; return how it ended, and why nothing that it saved was kept, if so.

    Raises:
        InvalidInput: A parameter refers to a secret that is not to be had; no kernel was started.
        PlatformFailed: This machine could not do it.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from rasen.batch.execution import Options
    from rasen.batch.outcome import Outcome

    with keep_secrets(work.settings, asked.parameters) as keeper:
        options = Options(
            environment=child_environment(**{CONTEXT_VARIABLE: str(asked.context)}, **keeper.environment),
            folder=str(asked.folder),
            step_timeout_seconds=asked.timeout_seconds,
            cell_timeout_seconds=asked.cell_timeout_seconds,
            memory_limit_bytes=asked.memory_limit_bytes,
            output=asked.output,
            journal=asked.journal,
            spill=asked.spill,
            mask=keeper.mask,
            observe=work.live.observe,
        )
        work.live.mask = keeper.mask
        work.live.watch(asked.output)
        work.live.enter("running")
        # papermill's own verdict is not asked: it takes every error output for a failure, expected ones too.
        try:
            with suppress(PapermillExecutionError):
                papermill.execute_notebook(
                    asked.notebook,
                    None,
                    parameters=asked.parameters,
                    engine_name="rasen",
                    kernel_name=KERNEL_NAME,
                    cwd=asked.folder,
                    progress_bar=False,
                    rasen=options,
                )
        finally:
            leak = clean_staging(asked.staging, keeper.mask)
    outcome = Outcome.read(asked.output)
    if outcome is None:
        raise PlatformFailed(
            f"{asked.notebook.name!r} of step {work.step!r} left no verdict in its output notebook; see its log"
        )
    return outcome, leak


def run_notebook(work: Work) -> Ending:
    """Execute the notebook of a step; its output notebook lies in the attempt's folder afterwards.

    Raises:
        InvalidInput: A parameter refers to a secret that is not to be had; no kernel was started.
        PlatformFailed: This machine could not do it.
        StoreError: Something that the step needs could not be fetched.
    """
    spec = work.release.spec.steps[work.step]
    inputs = work.folder / "inputs"
    source = work.folder / "work"
    unpack_bundle(work.store, work.release, source)
    environment = work.settings.environment
    fetch_tables(work.store, [work.result_of(need) for need in spec.needs], inputs / "tables")
    fetch_models(work.store, work.trust, spec.models, inputs / "models", environment=environment)
    good = newest_release_run(work.store, work.trust, work.pipeline, before=work.run, environment=environment)
    write_statistics(work.store, good, work.step, inputs / "statistics.json")
    (inputs / "trust.json").write_bytes(work.trust.to_bytes())
    context = work.folder / "context.json"
    write_context(
        context,
        work.settings,
        run=work.run,
        pipeline=work.pipeline,
        step=work.step,
        parameters=work.parameters,
        folder=work.folder,
        recorded=work.settings.recorded_dir / work.step if work.start.repeats is not None else None,
        most_rows=work.most_rows,
    )
    asked = Asked(
        notebook=source / spec.notebook,
        folder=source,
        context=context,
        staging=work.folder / "staging",
        output=work.folder / "output.ipynb",
        journal=work.folder / "journal.jsonl",
        spill=work.folder / "spilled.txt",
        parameters=work.parameters,
        timeout_seconds=spec.timeout_seconds,
        cell_timeout_seconds=spec.cell_timeout_seconds,
        memory_limit_bytes=spec.resources.memory_bytes,
    )
    outcome, leak = execute_in_context(work, asked)
    error = None
    if outcome.verdict is not Verdict.SUCCEEDED:
        error = ErrorRecord(
            name=outcome.error_name, message=outcome.error_message, traceback=outcome.traceback
        )
    elif leak:
        return Ending(
            verdict=Verdict.FAILED,
            error=ErrorRecord(name="SecretSaved", message=leak),
            peak_bytes=outcome.peak_bytes,
            cpu_seconds=outcome.cpu_seconds,
        )
    return Ending(
        verdict=outcome.verdict,
        cell=outcome.cell,
        error=error,
        peak_bytes=outcome.peak_bytes,
        cpu_seconds=outcome.cpu_seconds,
    )
