"""What one attempt of a step works with, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasen.batch.live import LiveWriter
from rasen.errors import PlatformFailed
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import step_prefix
from rasen.tracking.records import ErrorRecord, Start, StepResult, Verdict
from rasen.tracking.results import counted_attempt
from rasen.tracking.signature import TrustStore


@dataclass(frozen=True, kw_only=True)
class Work:
    """Everything that an attempt needs to know; `folder` is its own, and gone when it ends."""

    settings: Settings
    store: Store
    trust: TrustStore
    release: Release
    start: Start
    step: str
    attempt: int
    parameters: dict[str, Any]  # Any: JSON
    folder: Path
    live: LiveWriter

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return str(self.release.pipeline)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.start.run

    @property
    def prefix(self) -> str:
        """Where in the store the attempt's files lie."""
        return step_prefix(self.pipeline, self.run, self.step, self.attempt)

    @property
    def most_rows(self) -> int | None:
        """The most rows that a read gives: all but in an interface test."""
        sample = self.release.spec.sample
        return sample.rows if self.start.sample and sample is not None else None

    def result_of(self, step: str) -> StepResult:
        """Return the result of another step that counts for this run.

        Raises:
            PlatformFailed: It has none.
        """
        attempt = counted_attempt(self.store, self.start, step)
        if attempt is None or attempt.result is None:
            raise PlatformFailed(
                f"step {step!r} of run {self.run!r} has no result, but step {self.step!r} needs it now"
            )
        return attempt.result


def attempt_folder(settings: Settings, pipeline: str, run: str, step: str, attempt: int) -> Path:
    """Return the working folder of an attempt; it is there only while the attempt lasts."""
    return settings.scratch_dir / f"{pipeline}-{run}-{step}-{attempt}"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the notebook, or the qualification, ended."""

    verdict: Verdict
    cell: int | None = None
    error: ErrorRecord | None = None
    peak_bytes: int = 0
    cpu_seconds: float = 0.0
    qualification: dict[str, Any] | None = None  # Any: JSON
