"""What happens while a run is worked on, for whoever watches: the command line's views, the demo, tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rasen.tracking.records import StepResult


@dataclass(frozen=True, kw_only=True)
class RunBegan:
    """A run is about to be worked on by this process; `needs` holds every step with those that it needs."""

    pipeline: str
    run: str
    needs: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class StepReused:
    """A step is not run: the result of another run counts."""

    step: str
    run: str
    result: StepResult


@dataclass(frozen=True, kw_only=True)
class StepBegan:
    """A step's process was started, or found at work."""

    step: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class StepLost:
    """The process of an attempt is gone and left no result; the next attempt follows, if one is left."""

    step: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class StepRetried:
    """An attempt ended, and the step is tried again after a pause."""

    step: str
    result: StepResult
    wait_seconds: float


@dataclass(frozen=True, kw_only=True)
class StepSkipped:
    """A step was not run, because one that it needs did not succeed."""

    step: str


@dataclass(frozen=True, kw_only=True)
class StepEnded:
    """A step has the result that counts."""

    step: str
    result: StepResult


@dataclass(frozen=True, kw_only=True)
class RunWarned:
    """Something that a person should know, though it stops nothing; `step` is `None` when it is about the whole run."""

    step: str | None
    message: str


@dataclass(frozen=True, kw_only=True)
class RunStopping:
    """The run was told to end: its steps are being stopped."""

    reason: str


RunEvent = (
    RunBegan
    | StepReused
    | StepBegan
    | StepLost
    | StepRetried
    | StepSkipped
    | StepEnded
    | RunWarned
    | RunStopping
)
Observer = Callable[[RunEvent], None]
