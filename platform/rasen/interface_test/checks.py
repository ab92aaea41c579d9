"""What an interface test consists of: named checks, each with one outcome, and the report of all of them.

A check is planned by its name before anything runs, so that a person sees what is still to come, and pytest can collect
it; it ends exactly once, as passed, failed or skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias, assert_never

from rasen.errors import StepFailed


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "fail"
    SKIPPED = "skip"


class Stage(StrEnum):
    """When a check is made: before a cell runs, by running the notebooks, or on the model that they published."""

    BEFORE = "before"
    RUN = "run"
    MODEL = "model"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A check that is to come; `step` is the step that it is about, if it is about one."""

    name: str
    stage: Stage
    step: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check that has ended.

    Args:
        name: What was checked, unique within a test.
        stage: When.
        outcome: How it ended.
        message: In a sentence: what was found, or why it was skipped.
        seconds: How long it took.
        step: The step that it is about.
        cell: The cell that failed, counted from 0.
        details: More lines for whoever wants to mend it.
        output: Path of the executed notebook, kept when its step failed.
    """

    name: str
    stage: Stage
    outcome: Outcome
    message: str
    seconds: float = 0.0
    step: str | None = None
    cell: int | None = None
    details: tuple[str, ...] = ()
    output: str | None = None


@dataclass(frozen=True, kw_only=True)
class InterfaceReport:
    """All checks of one pipeline or notebook, in the order of the plan.

    Args:
        path: What was tested, as it was asked for.
        pipeline: The pipeline's name.
        checks: The checks.
        seconds: How long the test took.
        notes: What a reader has to know, such as that only one step was run.
        contract: What `deploy.contract` would say of the model that was published, `None` if there is none.
        stopped: Whether it was told to stop.
        kept: The folder in which everything was kept, `None` if it is gone.
    """

    path: str
    pipeline: str
    checks: tuple[Check, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    contract: dict[str, Any] | None = None  # Any: as it stands in pipeline.yaml
    stopped: bool = False
    kept: str | None = None

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    @property
    def passed(self) -> bool:
        """Whether nothing failed and nothing was cut short."""
        return not self.failed and not self.stopped

    @property
    def exit_code(self) -> int:
        """The exit code of a command that made this test alone."""
        if self.stopped:
            return 130
        return StepFailed.exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the report as JSON."""
        return {**asdict(self), "passed": self.passed, "exit_code": self.exit_code}


@dataclass(frozen=True, kw_only=True)
class TestBegan:
    """A test begins; these checks will be made."""

    path: str
    pipeline: str
    planned: tuple[Planned, ...]
    notes: tuple[str, ...] = ()

    __test__ = False  # no test of pytest's


@dataclass(frozen=True, kw_only=True)
class CheckBegan:
    """A check that takes a while has begun; `step` is the step that it is about, if it is about one."""

    name: str
    step: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """Where a running notebook is; `cell` counts from 0 in the executed notebook."""

    step: str
    cell: int
    cells: int
    seconds: float
    last_line: str


@dataclass(frozen=True, kw_only=True)
class CheckEnded:
    """A check has ended."""

    check: Check


@dataclass(frozen=True, kw_only=True)
class TestEnded:
    """The test is over."""

    report: InterfaceReport

    __test__ = False  # no test of pytest's


TestEvent: TypeAlias = TestBegan | CheckBegan | StepProgress | CheckEnded | TestEnded
Observer: TypeAlias = Callable[[TestEvent], None]


def ignore(_event: TestEvent) -> None:
    """Take no notice of what happens."""


def event_to_json(event: TestEvent) -> dict[str, Any]:  # Any: JSON
    """Return an event as one JSON object, its kind under `event`; what it is about stands under `check` and `step`."""
    match event:
        case TestBegan():
            return {"event": "test_started", **asdict(event)}
        case CheckBegan():
            return {"event": "check_started", "check": event.name, "step": event.step}
        case StepProgress():
            return {"event": "progress", "check": f"step {event.step}", **asdict(event)}
        case CheckEnded():
            told = asdict(event.check)
            return {"event": "check_ended", "check": told.pop("name"), **told}
        case TestEnded():
            return {"event": "report", **event.report.to_json()}
        case _:
            assert_never(event)
