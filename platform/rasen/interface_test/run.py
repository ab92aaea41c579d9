"""`run_interface_test`: the whole test of one pipeline or notebook, from its files to the report.

What can be known before a cell runs is checked first, and if something of it fails, nothing is trained. Whatever
happens, each planned check ends exactly once, and the temporary home is gone.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rasen.batch.stopping import Stopped
from rasen.errors import InvalidInput, NotebookError, PipelineError, PlatformFailed
from rasen.interface_test.before import (
    Found,
    certain_faults,
    check_lint,
    failed,
    passed,
    read_sources,
    skipped,
)
from rasen.interface_test.checks import (
    Check,
    CheckBegan,
    CheckEnded,
    InterfaceReport,
    Observer,
    Outcome,
    Planned,
    Stage,
    TestBegan,
    TestEnded,
    TestEvent,
    ignore,
)
from rasen.interface_test.home import TestHome, open_home
from rasen.interface_test.plan import FILES, QUALIFICATION, Plan, make_plan
from rasen.interface_test.published import check_tables, contract_of, gate_outputs, model_checks
from rasen.interface_test.serving_check import try_model
from rasen.interface_test.steps import Ran, judge_step, judge_unstarted, keep_output, run_sample
from rasen.interface_test.subject import Subject, find_subjects, write_lone_pipeline
from rasen.linter import Linter, installed_linter
from rasen.pipeline_graph import needed_by
from rasen.release import Release
from rasen.settings import Settings
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import Start, StepResult, Verdict

_ALONE = Planned(name=FILES, stage=Stage.BEFORE)  # the plan of what cannot be planned
_UNTRIED = (Verdict.TIMED_OUT, Verdict.OUT_OF_MEMORY, Verdict.KERNEL_DIED)
"""Ends of the qualification after which the model is not executed once more."""


def run_interface_test(
    settings: Settings,
    path: str | Subject,
    *,
    observe: Observer = ignore,
    lint: bool = True,
    linter: Linter | None = None,
    keep_going: bool = False,
    keep: bool = False,
    jobs: int | None = None,
) -> InterfaceReport:
    """Test a pipeline, a step's notebook, or a notebook that belongs to no pipeline; return the report.

    Args:
        settings: The user's platform: its warehouse is read, what is live in it is looked at, nothing is written
            but the notebooks of steps that failed.
        path: A pipeline's name or folder, or a notebook; it must stand for one pipeline.
        observe: Called with each event, also from another thread, never from two at once.
        lint: Whether the linter is asked too.
        linter: Who lints; by default the linter that is installed.
        keep_going: Run the notebooks although a check before them failed.
        keep: Leave the temporary home where it is; the report names it.
        jobs: How many steps may run at once.

    Raises:
        InvalidInput: There is no such thing, or the environment is not `dev`.
        PlatformFailed: This machine could not do it.
    """
    test = _Test(settings, _one(path), observe, keep_going=keep_going, jobs=jobs)
    test.lint = _choose_linter(linter) if lint else None
    return test.run(keep=keep)


def plan_checks(subject: Subject, *, lint: bool = True) -> tuple[Planned, ...]:
    """Return the checks that a test of a pipeline's folder would make, from its files alone."""
    try:
        return _make_plan(subject.folder, subject, lint=lint)[0].planned
    except PipelineError:
        return (_ALONE,)


def _one(path: str | Subject) -> Subject:
    if isinstance(path, Subject):
        return path
    subjects = find_subjects(path)
    if len(subjects) > 1:
        names = ", ".join(repr(subject.path) for subject in subjects)
        raise InvalidInput(f"{path!r} holds {len(subjects)} pipelines, test them one by one: {names}")
    return subjects[0]


def _choose_linter(linter: Linter | None) -> Linter | str:
    """Return the linter, or why there is none."""
    if linter is not None:
        return linter
    try:
        return installed_linter()
    except PlatformFailed as error:
        return str(error)


def _make_plan(folder: Path, subject: Subject, *, lint: bool) -> tuple[Plan, Mapping[str, Found]]:
    sources = read_sources(folder)
    plan = make_plan(
        sources.pipeline,
        step=subject.step,
        calls=sources.calls,
        helpers=sources.helpers,
        gate_calls=sources.gate_calls,
        lint=lint,
    )
    return plan, sources.parameters


class _Test:
    """One test at work."""

    lint: Linter | str | None = None  # a text says why there is none, `None` that none is wanted

    def __init__(
        self, settings: Settings, subject: Subject, observe: Observer, *, keep_going: bool, jobs: int | None
    ) -> None:
        self._settings = settings
        self._subject = subject
        self._observer = observe
        self._keep_going = keep_going
        self._jobs = jobs
        self._lock = threading.Lock()
        self._pipeline = subject.title
        self._planned: dict[str, Planned] = {}
        self._ended: dict[str, Check] = {}
        self._contract: dict[str, object] | None = None
        self._stopped = False

    def run(self, *, keep: bool) -> InterfaceReport:
        """Make the test."""
        begun = time.monotonic()
        with open_home(self._settings, keep=keep) as home:
            try:
                with _interruptible():
                    self._go(home)
            except KeyboardInterrupt:
                self._stopped = True
            kept = str(home.settings.home) if keep else None
        for name in self._planned:
            self._end(name, skipped("the test was stopped" if self._stopped else "it could not be made"))
        report = InterfaceReport(
            path=self._subject.path,
            pipeline=self._pipeline,
            checks=tuple(self._ended[name] for name in self._planned),
            seconds=round(time.monotonic() - begun, 3),
            notes=self._subject.notes,
            contract=self._contract,
            stopped=self._stopped,
            kept=kept,
        )
        self._observe(TestEnded(report=report))
        return report

    def _observe(self, event: TestEvent) -> None:
        with self._lock:
            self._observer(event)

    def _begin(self, planned: tuple[Planned, ...]) -> None:
        self._planned = {each.name: each for each in planned}
        self._observe(
            TestBegan(
                path=self._subject.path,
                pipeline=self._pipeline,
                planned=tuple(self._planned.values()),
                notes=self._subject.notes,
            )
        )

    def _end(
        self,
        name: str,
        found: Found,
        *,
        seconds: float = 0.0,
        cell: int | None = None,
        output: str | None = None,
    ) -> None:
        """End a check that is planned and has not ended; the first word about it counts."""
        planned = self._planned.get(name)
        if planned is None or name in self._ended:
            return
        check = Check(
            name=name,
            stage=planned.stage,
            outcome=found.outcome,
            message=found.message,
            seconds=round(seconds, 3),
            step=planned.step,
            cell=cell,
            details=found.details,
            output=output,
        )
        self._ended[name] = check
        self._observe(CheckEnded(check=check))

    def _go(self, home: TestHome) -> None:
        folder = self._subject.folder
        if self._subject.lone is not None:
            folder = write_lone_pipeline(self._subject.lone, home.settings.home / "lone")
        try:
            plan, parameters = _make_plan(folder, self._subject, lint=self.lint is not None)
        except PipelineError as error:
            self._begin((_ALONE,))
            self._end(FILES, failed(str(error)))
            return
        self._pipeline = plan.spec.name
        self._begin(plan.planned)
        for name, found in parameters.items():
            self._end(f"parameters {name}", found)
        missing = _missing_models(home, plan)
        prepared = self._prepare(home, folder, plan, missing)
        self._ask_linter(folder)
        for name, found in certain_faults(plan):
            self._end(name, found)
        failures = [check for check in self._ended.values() if check.outcome is Outcome.FAILED]
        if prepared is None or (failures and not self._keep_going):
            self._skip_rest(f"nothing was run: {failures[0].name!r} failed before" if failures else "")
            return
        for step, why in missing.items():
            self._end(f"step {step}", skipped(why))
        release, start = prepared
        if release.spec.steps:
            self._run(home, folder, plan, release, start)
        else:
            self._skip_rest("no step could be run")

    def _prepare(
        self, home: TestHome, folder: Path, plan: Plan, missing: Mapping[str, str]
    ) -> tuple[Release, Start] | None:
        """Register the files in the home of the test and start a run there; `None` when they cannot be."""
        begun = time.monotonic()
        spec = plan.spec
        spec = spec.model_copy(
            update={"steps": {name: step for name, step in spec.steps.items() if name not in missing}}
        )
        try:
            prepared = home.begin(home.register(folder), spec)
        except (InvalidInput, NotebookError) as error:
            bad = [check for check in self._ended.values() if check.outcome is Outcome.FAILED]
            if bad and isinstance(error, NotebookError):
                self._end(FILES, skipped(f"{bad[0].name!r} failed"))
            else:
                self._end(FILES, failed(str(error)), seconds=time.monotonic() - begun)
            return None
        sample = plan.spec.sample
        said = "all rows and the pipeline's own parameters: no `sample` is declared"
        if sample is not None:
            changed = ", ".join(f"{name}={value!r}" for name, value in sample.parameters.items())
            rows = "all rows" if sample.rows is None else f"at most {sample.rows:,} rows a read"
            said = f"{rows}{f', {changed}' if changed else ''}"
        self._end(FILES, passed(f"the sample is {said}"), seconds=time.monotonic() - begun)
        return prepared

    def _ask_linter(self, folder: Path) -> None:
        for name in list(self._planned):
            notebook = name.removeprefix("lint ")
            if notebook == name or self.lint is None:
                continue
            begun = time.monotonic()
            found = (
                skipped(self.lint) if isinstance(self.lint, str) else check_lint(self.lint, folder / notebook)
            )
            self._end(name, found, seconds=time.monotonic() - begun)

    def _run(self, home: TestHome, folder: Path, plan: Plan, release: Release, start: Start) -> None:
        def began(step: str) -> None:
            name = QUALIFICATION if step == QUALIFY_STEP else f"step {step}"
            self._observe(CheckBegan(name=name, step=self._planned[name].step))

        def ended(step: str, result: StepResult) -> None:
            if result.verdict is Verdict.CANCELLED:
                return  # the test is being stopped, and says so of all that is left
            good = result.verdict is Verdict.SUCCEEDED
            output = None if good else keep_output(home, start, step, result)
            if step != QUALIFY_STEP:
                found = judge_step(folder, release, step, result)
                self._end(f"step {step}", found, seconds=result.seconds, cell=result.cell, output=output)

        ran = run_sample(
            home, release, start, jobs=self._jobs, observe=self._observe, began=began, ended=ended
        )
        self._stopped = ran.stopped
        for step in release.spec.steps:
            if step not in ran.results and not ran.stopped:
                self._end(f"step {step}", judge_unstarted(ran, release, step))
        if ran.stopped:
            return
        for name, found in check_tables(plan, ran):
            self._end(name, found)
        self._check_model(home, plan, ran, start)

    def _check_model(self, home: TestHome, plan: Plan, ran: Ran, start: Start) -> None:
        qualified, executed = ran.results.get(QUALIFY_STEP), gate_outputs(plan, ran)
        for name, found in model_checks(plan, ran, self._settings):
            seconds = qualified.seconds if name == QUALIFICATION and qualified is not None else 0.0
            output = None
            if found.outcome is Outcome.FAILED and name in executed and qualified is not None:
                output = keep_output(home, start, QUALIFY_STEP, qualified, name=executed[name])
            self._end(name, found, seconds=seconds, output=output)
        models = [model for step in ran.models if (model := ran.results[step].model) is not None]
        if len(models) != 1:
            self._skip_rest("no model was published" if not models else "more than one model was published")
            return
        self._contract = contract_of(models[0])
        if qualified is not None and qualified.verdict in _UNTRIED:
            self._skip_rest(
                f"the model is not executed again: its qualification ended as {qualified.verdict}"
            )
            return
        for name, found, seconds in try_model(home, models[0], plan.spec.deploy.qualification):
            self._end(name, found, seconds=seconds)

    def _skip_rest(self, why: str) -> None:
        for name in self._planned:
            self._end(name, skipped(why))


def _missing_models(home: TestHome, plan: Plan) -> dict[str, str]:
    """Copy the live models that steps load; return the steps that cannot run for want of one, each with the reason."""
    problems = {
        endpoint: home.copy_live(endpoint)
        for endpoint in sorted({name for step in plan.spec.steps.values() for name in step.models})
    }
    missing: dict[str, str] = {}
    for name, step in plan.spec.steps.items():
        for endpoint in step.models:
            if problems[endpoint]:
                missing[name] = (
                    f"{problems[endpoint]}; it loads that model: run and deploy the pipeline that publishes it, then "
                    "test again"
                )
    for name in list(missing):
        for other in needed_by(plan.spec, name):
            missing.setdefault(other, f"it needs step {name!r}, which was skipped")
    return missing


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have SIGTERM end the test like Ctrl-C does, so that its home is removed and its processes end with it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped(Verdict.INTERRUPTED)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
