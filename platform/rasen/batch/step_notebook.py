"""A step's notebook: what it is handed, its execution, and how that ended."""

from __future__ import annotations

from contextlib import suppress

from rasen.batch.clean_staging import clean_staging
from rasen.batch.inputs import fetch_models, fetch_tables, newest_release_run, write_context, write_statistics
from rasen.batch.secret_channel import keep_secrets
from rasen.batch.work import Ending, Work
from rasen.errors import PlatformFailed
from rasen.release import unpack_bundle
from rasen.settings import CONTEXT_VARIABLE, child_environment
from rasen.tracking.records import ErrorRecord, Verdict

KERNEL_NAME = "rasen"  # the kernel specification whose kernels are forks of the warm process


def run_notebook(work: Work) -> Ending:
    """Execute the notebook of a step; its output notebook lies in the attempt's folder afterwards.

    Raises:
        InvalidInput: A parameter refers to a secret that is not to be had; no kernel was started.
        PlatformFailed: This machine could not do it.
        StoreError: Something that the step needs could not be fetched.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from rasen.batch.execution import Options
    from rasen.batch.outcome import Outcome

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
    )
    with keep_secrets(work.settings, work.parameters) as keeper:
        options = Options(
            environment=child_environment(**{CONTEXT_VARIABLE: str(context)}, **keeper.environment),
            folder=str(source),
            step_timeout_seconds=spec.timeout_seconds,
            cell_timeout_seconds=spec.cell_timeout_seconds,
            memory_limit_bytes=spec.resources.memory_bytes,
            output=work.folder / "output.ipynb",
            journal=work.folder / "journal.jsonl",
            spill=work.folder / "spilled.txt",
            mask=keeper.mask,
            observe=work.live.observe,
        )
        work.live.mask = keeper.mask
        work.live.watch(work.folder / "output.ipynb")
        work.live.enter("running")
        # papermill's own verdict is not asked: it takes every error output for a failure, expected ones too.
        try:
            with suppress(PapermillExecutionError):
                papermill.execute_notebook(
                    source / spec.notebook,
                    None,
                    parameters=work.parameters,
                    engine_name="rasen",
                    kernel_name=KERNEL_NAME,
                    cwd=source,
                    progress_bar=False,
                    rasen=options,
                )
        finally:
            leak = clean_staging(work.folder / "staging", keeper.mask)
    outcome = Outcome.read(options.output)
    if outcome is None:
        raise PlatformFailed(f"step {work.step!r} left no verdict in its output notebook; see its log")
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
