"""Rollouts: how a candidate takes over from the champion, as arithmetic on the ledger's state.

Nothing here reads or writes anything. A rollout is a part of the state; a step of it is judged from what the replicas
counted since the record that began the step, and every judgement gives its reason with the numbers.

What was not seen yet is taken to be good, so two errors in the first ten requests end a rollout that allows one in a
hundred, and one error in the first ten does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, assert_never

from rasen.pipeline_deploy import AB, Bandit, Canary, Rollout, Shadow
from rasen.pipeline_values import parse_duration
from rasen.tracking.ledger_records import EndpointState, RolloutState, Variant

DEFAULT_REQUESTS = 100
"""So many requests the candidate must have answered where nothing else is stated."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the replicas say of a candidate since a step of its rollout began.

    Args:
        requests: Requests that it was to answer.
        errors: Of these, how many it failed.
        buckets: How many took at most so many seconds, cumulated; the key `inf` counts all.
        watched_seconds: From the step's record to the newest report of a replica that serves it, in store time.
        replicas: How many replicas serve it.
        refusals: Why replicas cannot serve it, by their names.
    """

    requests: int = 0
    errors: int = 0
    buckets: Mapping[float, int] = field(default_factory=dict)
    watched_seconds: float = 0.0
    replicas: int = 0
    refusals: Mapping[str, str] = field(default_factory=dict)

    def slower_than(self, seconds: float) -> float:
        """Return how many requests took longer, in proportion within the histogram's bucket."""
        bounds = [(0.0, 0), *sorted(self.buckets.items())]
        for (low, below), (high, up_to) in pairwise(bounds):
            if seconds < high:
                inside = 0.0 if high == float("inf") else (seconds - low) / (high - low)
                return self.requests - (below + (up_to - below) * inside)
        return 0.0

    def percentile_seconds(self, share: float) -> float:
        """Return the latency that so many requests do not exceed, in proportion within the histogram's bucket."""
        wanted = self.requests * share
        for (low, below), (high, up_to) in pairwise([(0.0, 0), *sorted(self.buckets.items())]):
            if up_to >= wanted > below:
                return (
                    low if high == float("inf") else low + (high - low) * (wanted - below) / (up_to - below)
                )
        return 0.0


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be done with a rollout now, and why."""

    action: Literal["wait", "promote", "hold", "abort"]
    reason: str


def begin(plan: Rollout, *, run: str, number: int) -> RolloutState:
    """Return the state of a rollout that ledger record `number` begins."""
    steps: list[float]
    match plan:
        case Canary():
            steps = list(plan.steps)
        case AB() | Shadow():
            steps = [plan.share]
        case Bandit():
            steps = [0.5]
        case _:
            assert_never(plan)
    watch_seconds = None if plan.watch is None else parse_duration(plan.watch).total_seconds()
    if watch_seconds is None and plan.requests is not None:
        watch_seconds = 0.0  # the requests alone say when it ends
    limit_ms = plan.abort_on.p99_ms
    return RolloutState(
        kind=plan.kind,
        run=run,
        salt=number,
        step_number=number,
        steps=steps,
        watch_seconds=watch_seconds,
        requests=plan.requests or DEFAULT_REQUESTS,
        then="promote" if isinstance(plan, Canary | Shadow) else "hold",
        error_rate=plan.abort_on.error_rate,
        p99_seconds=None if limit_ms is None else limit_ms / 1000,
        floor=plan.floor if isinstance(plan, Bandit) else 0.0,
    )


def champion_of(state: EndpointState) -> Variant | None:
    """Return the version that answers unless something else was decided, `None` before the first."""
    return next((variant for variant in state.variants if variant.role == "champion"), None)


def candidate_of(state: EndpointState) -> Variant | None:
    """Return the version on its way, `None` without a rollout."""
    if state.rollout is None:
        return None
    return next((variant for variant in state.variants if variant.run == state.rollout.run), None)


def share(state: EndpointState, candidate: Variant, rollout: RolloutState) -> EndpointState:
    """Return the state in which champion and candidate share the requests as the rollout's step says.

    Weights of champion and challenger sum to 1; a shadow's stands beside them and says how many requests are copied.
    """
    champion = champion_of(state)
    assert champion is not None  # a rollout begins beside a champion
    part = rollout.steps[rollout.step]
    role: Literal["shadow", "challenger"] = "shadow" if rollout.kind == "shadow" else "challenger"
    rest = 1.0 if role == "shadow" else 1.0 - part
    variants = [
        champion.model_copy(update={"weight": rest}),
        candidate.model_copy(update={"role": role, "weight": part}),
    ]
    return state.model_copy(update={"variants": variants, "rollout": rollout})


def crown(state: EndpointState, candidate: Variant) -> EndpointState:
    """Return the state in which the candidate has all requests, and nothing is under way."""
    champion = candidate.model_copy(update={"role": "champion", "weight": 1.0})
    return state.model_copy(update={"variants": [champion], "rollout": None})


def advance(state: EndpointState, *, number: int) -> EndpointState:
    """Return the state after the rollout's present step, which ledger record `number` begins."""
    rollout, candidate = state.rollout, candidate_of(state)
    assert rollout is not None  # whoever calls has seen it
    assert candidate is not None
    if rollout.step + 1 == len(rollout.steps):
        return crown(state, candidate)
    step = rollout.model_copy(update={"step": rollout.step + 1, "step_number": number})
    return share(state, candidate, step)


def withdraw(state: EndpointState) -> EndpointState:
    """Return the state in which the champion has all requests again."""
    champion = champion_of(state)
    return state if champion is None else crown(state, champion)


def wait_for_person(state: EndpointState) -> EndpointState:
    """Return the state in which the end of the rollout's last step was recorded."""
    assert state.rollout is not None  # whoever calls has seen it
    return state.model_copy(update={"rollout": state.rollout.model_copy(update={"waits": True})})


def judge_step(rollout: RolloutState, seen: Seen) -> Judgement:
    """Say what is to be done with a rollout after what was seen of its present step."""
    if seen.refusals:
        replica, reason = min(seen.refusals.items())
        return Judgement(action="abort", reason=f"replica {replica!r} cannot serve {rollout.run}: {reason}")
    basis = max(seen.requests, rollout.requests)
    if rollout.error_rate is not None and seen.errors > rollout.error_rate * basis:
        return Judgement(
            action="abort",
            reason=(
                f"{seen.errors} of {seen.requests} requests failed; {percent(rollout.error_rate)} of "
                f"{basis} are allowed, {rollout.error_rate * basis:.3g}"
            ),
        )
    if rollout.p99_seconds is not None and (slow := seen.slower_than(rollout.p99_seconds)) > 0.01 * basis:
        return Judgement(
            action="abort",
            reason=(
                f"about {slow:.0f} of {seen.requests} requests took longer than {milliseconds(rollout.p99_seconds)}, "
                f"the limit of the 99th percentile, which is about {milliseconds(seen.percentile_seconds(0.99))}"
            ),
        )
    progress = describe_progress(rollout, seen)
    if rollout.waits or rollout.watch_seconds is None:
        return Judgement(action="wait", reason=f"until somebody decides; {progress}")
    if seen.watched_seconds < rollout.watch_seconds or seen.requests < rollout.requests:
        return Judgement(action="wait", reason=progress)
    if rollout.then == "hold":
        return Judgement(
            action="hold", reason=f"the planned end is reached, a person decides now; {progress}"
        )
    return Judgement(action="promote", reason=progress)


def describe_progress(rollout: RolloutState, seen: Seen) -> str:
    """Return in words how far a step is."""
    of_watch = "" if rollout.watch_seconds is None else f" of {duration(rollout.watch_seconds)}"
    slow = f", 99th percentile about {milliseconds(seen.percentile_seconds(0.99))}" if seen.requests else ""
    return (
        f"watched {duration(seen.watched_seconds)}{of_watch}, {seen.requests} requests of at least "
        f"{rollout.requests}, {seen.errors} failed{slow}, {seen.replicas} replicas"
    )


def describe_step(rollout: RolloutState) -> str:
    """Return in words what the candidate gets at the present step."""
    part = percent(rollout.steps[rollout.step])
    match rollout.kind:
        case "canary":
            return f"canary, step {rollout.step + 1} of {len(rollout.steps)}: {part} of the requests"
        case "ab":
            return f"A/B: {part} of the requests"
        case "shadow":
            return f"shadow: copies of {part} of the requests"
        case "bandit":
            return f"bandit: as its rewards say, at least {percent(rollout.floor)} of the requests"
        case _:
            assert_never(rollout.kind)


def percent(fraction: float) -> str:
    """Return a share as people write it."""
    return f"{100 * fraction:.3g} %"


def milliseconds(seconds: float) -> str:
    """Return a latency as people write it."""
    return f"{1000 * seconds:.3g} ms"


def duration(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
