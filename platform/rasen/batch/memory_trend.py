"""A warning before memory kills: where the peaks of the last runs of a step are heading.

The line through the peaks is the one of Theil and Sen (the median of the slopes between all pairs), because one run
over an unusual period must not move it: https://en.wikipedia.org/wiki/Theil-Sen_estimator
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from rasen.pipeline_schema import Step
from rasen.store import Store
from rasen.tracking.records import Start, StepResult, Verdict
from rasen.tracking.results import newest_attempt

_RUNS = 8  # earlier runs that are looked at
_FEWEST = 4  # peaks, this one included, before one speaks of a trend
_AHEAD = 5  # runs
_NEAR = 0.9  # of the limit


def warn_of_memory(store: Store, start: Start, step: str, spec: Step, result: StepResult) -> str | None:
    """Return what should be said about a step's memory after it succeeded, or `None`."""
    limit = spec.resources.memory_bytes
    if limit is None or result.verdict is not Verdict.SUCCEEDED or not result.peak_bytes:
        return None
    return describe_trend([*_earlier_peaks(store, start, step), result.peak_bytes], limit_bytes=limit)


def describe_trend(peaks: Sequence[int], *, limit_bytes: int) -> str | None:
    """Return a warning when the newest of `peaks` (bytes, oldest first) is near the limit or will soon be over it."""
    newest = peaks[-1]
    if newest >= _NEAR * limit_bytes:
        share = newest / limit_bytes
        return (
            f"its peak of {_show(newest)} is {share:.0%} of its limit of {_show(limit_bytes)}; raise "
            "resources.memory, or read less at once"
        )
    if len(peaks) < _FEWEST:
        return None
    slope = statistics.median(
        (later - earlier) / (j - i)
        for (i, earlier), (j, later) in itertools.combinations(enumerate(peaks), 2)
    )
    if slope <= 0 or newest + _AHEAD * slope <= limit_bytes:
        return None
    runs = max(1, int((limit_bytes - newest) / slope) + 1)
    return (
        f"its peak memory grows by {_show(slope)} a run, now {_show(newest)}; in about {runs} runs it will be over "
        f"its limit of {_show(limit_bytes)}"
    )


def _earlier_peaks(store: Store, start: Start, step: str) -> list[int]:
    """Return the peaks of the step in the newest published runs before this one, oldest first."""
    runs = [name.removesuffix(".json") for name in store.children(f"manifests/{start.pipeline}/")]
    peaks = []
    for run in [run for run in runs if run < start.run][-_RUNS:]:
        attempt = newest_attempt(store, start.pipeline, run, step)
        if attempt is not None and attempt.result is not None and attempt.result.peak_bytes:
            peaks.append(attempt.result.peak_bytes)
    return peaks


def _show(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"
