"""One call from a wish to a verdict: find the release, file the request, start, run, finish.

What the command line and the demo do alike; a scheduler composes the same pieces in other processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from rasen.batch.exit_codes import exit_code_of
from rasen.batch.finish import Finished, read_finished
from rasen.batch.queries import open_index
from rasen.batch.requalify import (
    check_qualifiable,
    file_qualification,
    read_qualification,
    start_qualification,
)
from rasen.batch.requested import waiting_requests
from rasen.batch.resume import start_resumed
from rasen.batch.run_events import Observer
from rasen.batch.runner import run_to_end
from rasen.batch.runner_lock import describe_worker, work_on
from rasen.batch.start import explain_request, file_request, read_start, start_run, type_request
from rasen.errors import InvalidInput, NotFound
from rasen.parameter_explanation import Explained
from rasen.parameters import parse_assignments
from rasen.release import Release, current_release, read_release, register_workspace
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.tracking.keys import step_prefix
from rasen.tracking.records import Start, Verdict
from rasen.tracking.results import newest_attempt
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen.versions import environment_digest


@dataclass(frozen=True, kw_only=True)
class Executed:
    """A run that has come to its end."""

    settings: Settings
    store: Store
    pipeline: str
    run: str
    finished: Finished

    @property
    def verdict(self) -> Verdict:
        """How the run ended."""
        return self.finished.verdict

    @property
    def exit_code(self) -> int:
        """The exit code that tells a scheduler whether to try again."""
        return exit_code_of(self.verdict)

    def explanation(self) -> Iterable[str]:
        """Yield what a person wants to know next, as lines."""
        end = self.finished.end
        for judged in self.finished.table_verdicts:
            yield f"gate {judged.gate}: {judged.answer}, {judged.reason}"
        if end is None:
            published = self.finished.manifest
            if published is not None and published.model is not None:
                if not read_start(self.store, self.pipeline, self.run).start.deploy:
                    yield "published a model; the run was started without deployment"
                else:
                    yield "published a model; `rasen deployments` shows what was decided about it"
            return
        if end.error:
            yield f"{end.step}: {end.error}" if end.step else end.error
        if end.step is None:
            return
        attempt = newest_attempt(self.store, self.pipeline, self.run, end.step)
        if attempt is None or attempt.result is None:
            return
        if attempt.result.cell is not None:
            yield f"the failing cell is cell {attempt.result.cell} of the notebook (counted from 0)"
        for name in ("output.ipynb", "log.txt"):
            key = step_prefix(self.pipeline, self.run, end.step, attempt.number) + name
            if any(file.key == key for file in attempt.result.files):
                yield f"{name}: {self.settings.store_dir / key}"

    def report(self) -> dict[str, Any]:  # Any: JSON
        """Return the same for programs."""
        end = self.finished.end
        return {
            "pipeline": self.pipeline,
            "run": self.run,
            "verdict": self.verdict.value,
            "step": end.step if end else None,
            "error": end.error if end else None,
            "published_model": bool(self.finished.manifest and self.finished.manifest.model),
            "exit_code": self.exit_code,
        }


def execute(
    settings: Settings,
    pipeline: str,
    *,
    dev: bool,
    release_id: str | None,
    given: Mapping[str, object],
    typed: Iterable[str],
    deploy: bool,
    request: str | None,
    by: str,
    now: datetime,
    observe: Observer,
    jobs: int | None = None,
) -> Executed:
    """Run a pipeline and return how it ended; `observe` is called as steps begin and end, `jobs` at most at once.

    Raises:
        InvalidInput: Something asked for does not exist or does not fit; nothing was started.
    """
    store = open_store(settings)
    release, start = start_wish(
        settings,
        store,
        pipeline,
        dev=dev,
        release_id=release_id,
        given=given,
        typed=typed,
        deploy=deploy,
        request=request,
        by=by,
        now=now,
    )
    finished = run_to_end(settings, store, release, start, observe, jobs=jobs)
    return Executed(settings=settings, store=store, pipeline=start.pipeline, run=start.run, finished=finished)


def resume(
    settings: Settings,
    beginning: str,
    *,
    folder: Path | None,
    release_id: str | None,
    from_step: str | None,
    deploy: bool | None,
    observe: Observer,
    jobs: int | None = None,
) -> Executed:
    """Resume a run and return how the new run ended.

    Args:
        settings: Where everything lies.
        beginning: The beginning or the end of the run's id.
        folder: A working copy to run the rest with.
        release_id: The release to run the rest with; the run's own by default.
        from_step: Run this step and all that follows again.
        deploy: Whether the model may go live; as in the resumed run by default.
        observe: Called as steps begin and end.
        jobs: How many steps may run at once.

    Raises:
        InvalidInput: It cannot be resumed; the message says what would be right.
    """
    store = open_store(settings)
    found = open_index(settings).find_run(beginning)
    pipeline, run = found.pipeline, found.run
    with ExitStack() as stack:
        try:
            stack.enter_context(work_on(settings, pipeline, run, on_wait=None))
        except Timeout:
            worker = describe_worker(settings, pipeline, run) or "another process"
            ended = read_finished(settings, store, pipeline, run) is not None
            raise InvalidInput(
                f"run {run!r} is being resumed already: {worker} does it"
                if ended
                else f"run {run!r} is still running: {worker} works on it; `rasen cancel {run}` ends it"
            ) from None
        resumed = read_start(store, pipeline, run).start
        if folder is not None:
            release = _working_copy(settings, store, folder, release_id=release_id)
        else:
            release = find_release(settings, store, pipeline, release_id or resumed.release)
        start = start_resumed(settings, store, release, resumed, from_step=from_step, deploy=deploy).start
        finished = run_to_end(settings, store, release, start, observe, jobs=jobs)
    return Executed(settings=settings, store=store, pipeline=pipeline, run=start.run, finished=finished)


def requalify(
    settings: Settings,
    beginning: str,
    *,
    by: str,
    now: datetime,
    observe: Observer,
    jobs: int | None = None,
) -> Executed:
    """Qualify a published version anew and return how the run that does it ended.

    A request for it that nobody works on, such as the deploy function files, is taken up instead of filing another.

    Args:
        settings: Where everything lies.
        beginning: The beginning or the end of the id of the run that published the version, or qualified it anew.
        by: Who wishes it.
        now: The wish's instant, aware.
        observe: Called as steps begin and end.
        jobs: How many steps may run at once.

    Raises:
        InvalidInput: There is no such run, or it has published no model.
        TrustError: Something of it is not what was signed for.
    """
    store = open_store(settings)
    row = open_index(settings).find_run(beginning)
    pipeline = row.pipeline
    version = read_start(store, pipeline, row.run).start.qualifies or row.run
    waiting = [
        name
        for other, name in waiting_requests(settings, store, settled=set())
        if other == pipeline and read_qualification(store, pipeline, name).run == version
    ]
    if not waiting:
        check_qualifiable(settings, store, pipeline, version)
        waiting = [file_qualification(store, pipeline, version, by=by, now=now)]
    release, started = start_qualification(settings, store, pipeline, waiting[0])
    run = started.start.run
    finished = run_to_end(settings, store, release, started.start, observe, jobs=jobs)
    return Executed(settings=settings, store=store, pipeline=pipeline, run=run, finished=finished)


def explain(
    settings: Settings,
    pipeline: str,
    *,
    dev: bool,
    release_id: str | None,
    given: Mapping[str, object],
    typed: Iterable[str],
    now: datetime,
) -> list[Explained]:
    """Return where each parameter of a run would come from; the arguments are those of `execute`. Nothing is started.

    Raises:
        InvalidInput: Something asked for does not exist or does not fit.
    """
    release = _find(settings, open_store(settings), pipeline, dev=dev, release_id=release_id)
    return explain_request(release, given=given, typed=parse_assignments(typed), at=now)


def start_wish(
    settings: Settings,
    store: Store,
    pipeline: str,
    *,
    dev: bool,
    release_id: str | None,
    given: Mapping[str, object],
    typed: Iterable[str],
    deploy: bool,
    request: str | None,
    by: str,
    now: datetime,
) -> tuple[Release, Start]:
    """File the request for a run and start it; return the release and the start record.

    Args:
        settings: Where everything lies.
        store: The store of the settings.
        pipeline: Name of a registered pipeline; with `dev`, the folder of a working copy.
        dev: Run the files of the folder as they are.
        release_id: A release of the pipeline; the current one by default.
        given: Values of parameters from a YAML file.
        typed: Texts `name=value`; they win over `given`.
        deploy: Whether the model may go live.
        request: The caller's own name for this wish; the same name continues the same run.
        by: Who wishes it.
        now: The wish's instant, aware.

    Raises:
        InvalidInput: Something asked for does not exist or does not fit; nothing was written.
    """
    release = _find(settings, store, pipeline, dev=dev, release_id=release_id)
    name = release.pipeline
    parameters = type_request(release, given=given, typed=parse_assignments(typed), at=now)
    request_id, wish = file_request(
        store, name, request=request, parameters=parameters, deploy=deploy, by=by, now=now
    )
    start = start_run(
        store,
        release,
        environment=settings.environment,
        trigger=f"request:{request_id}",
        at=wish.at,
        parameters=wish.parameters,
        deploy=wish.deploy,
        image=environment_digest(),
    ).start
    if start.release != release.release:  # the request was started before, with another release
        release = read_release(
            store, load_trust(settings), name, start.release, environment=settings.environment
        )
    return release, start


def _find(settings: Settings, store: Store, pipeline: str, *, dev: bool, release_id: str | None) -> Release:
    if dev:
        return _working_copy(settings, store, Path(pipeline), release_id=release_id)
    return find_release(settings, store, pipeline, release_id)


def find_release(settings: Settings, store: Store, pipeline: str, release_id: str | None) -> Release:
    """Return a registered pipeline's release after checking its signature.

    Raises:
        NotFound: The pipeline or the release is not registered.
    """
    release = release_id or current_release(store, pipeline)
    return read_release(store, load_trust(settings), pipeline, release, environment=settings.environment)


def _working_copy(settings: Settings, store: Store, folder: Path, *, release_id: str | None) -> Release:
    if release_id is not None:
        raise InvalidInput(
            f"--release {release_id!r} and --dev exclude one another: a working copy is no release"
        )
    if settings.environment != "dev":
        raise InvalidInput(
            f"a working copy runs in the environment 'dev' only, this is {settings.environment!r}; commit and register"
        )
    if not folder.is_dir():
        raise NotFound(f"{str(folder)!r} is no folder; --dev takes the folder that holds pipeline.yaml")
    signer = open_signer(settings, Role.REGISTRAR)
    return register_workspace(folder, store=store, signer=signer, image=environment_digest())
