"""Running a release on this machine: start, then each step in a process of its own, then finish.

The same three commands are what Airflow and Argo compose in a cluster. This runner keeps nothing in memory that counts:
killed at any instant and called again with the same trigger, it finds what was done and goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from rasen.batch.claims import is_alive, read_claim
from rasen.batch.finish import Finished, finish_run, read_finished
from rasen.batch.run_events import Observer, StepBegan, StepEnded, StepSkipped
from rasen.batch.step_logs import log_path
from rasen.batch.tables import publish_tables
from rasen.errors import StepFailed
from rasen.pipeline_graph import topological_order
from rasen.release import Release
from rasen.settings import Settings, platform_environment
from rasen.store import Store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import Start, StepResult, Verdict
from rasen.tracking.results import newest_attempt

_ATTEMPTS = 3  # of a step whose process was lost; a step that ended by itself is never repeated
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05


def run_to_end(
    settings: Settings, store: Store, release: Release, start: Start, observe: Observer
) -> Finished:
    """Bring a started run to its end and return how it ended.

    Raises:
        KeyboardInterrupt: It was cancelled; the run's end says so.
    """
    done = read_finished(settings, store, start.pipeline, start.run)
    if done is not None:
        return done
    verdicts: dict[str, Verdict] = {}
    try:
        published = False
        for step in topological_order(release.spec):
            if any(verdicts[need] is not Verdict.SUCCEEDED for need in release.spec.steps[step].needs):
                verdicts[step] = Verdict.SKIPPED
                observe(StepSkipped(step=step))
                continue
            result = _run_step(settings, store, start, step, observe)
            verdicts[step] = result.verdict
            published = published or result.model is not None
        if published and all(verdict is Verdict.SUCCEEDED for verdict in verdicts.values()):
            _run_step(settings, store, start, QUALIFY_STEP, observe)
    except KeyboardInterrupt:
        finish_run(settings, store, start.pipeline, start.run, cancelled=True)
        raise
    finished = finish_run(settings, store, start.pipeline, start.run)
    publish_tables(settings, store, start.pipeline)
    return finished


def _run_step(settings: Settings, store: Store, start: Start, step: str, observe: Observer) -> StepResult:
    """Return the step's result, from an earlier call if there is one, else by running it.

    Raises:
        StepFailed: Its process was lost more often than is tried.
    """
    for _ in range(_ATTEMPTS):
        attempt = newest_attempt(store, start.pipeline, start.run, step)
        if attempt is not None and attempt.result is None:
            observe(StepBegan(step=step, attempt=attempt.number))
            _await_claimant(store, start, step, attempt.number)
            attempt = newest_attempt(store, start.pipeline, start.run, step)
        if attempt is None or attempt.result is None:
            number = attempt.number + 1 if attempt is not None else 1
            observe(StepBegan(step=step, attempt=number))
            _run_process(settings, start, step, number)
            attempt = newest_attempt(store, start.pipeline, start.run, step)
        if attempt is not None and attempt.result is not None:
            observe(StepEnded(step=step, result=attempt.result))
            return attempt.result
    raise StepFailed(
        f"the process of step {step!r} was lost {_ATTEMPTS} times without a result; its log: "
        f"{log_path(settings, start.pipeline, start.run, step, 1).parent}",
        step,
    )


def _await_claimant(store: Store, start: Start, step: str, attempt: int) -> None:
    """Wait while another process works on the attempt; return when it has a result or is gone."""
    while True:
        claim = read_claim(store, start.pipeline, start.run, step, attempt)
        if claim is None or not is_alive(claim):
            return
        time.sleep(_POLL_SECONDS)
        found = newest_attempt(store, start.pipeline, start.run, step)
        if found is None or found.number != attempt or found.result is not None:
            return


def _run_process(settings: Settings, start: Start, step: str, attempt: int) -> None:
    """Run one attempt in a process group of its own and wait for it; an interrupt stops it first."""
    log = log_path(settings, start.pipeline, start.run, step, attempt)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "rasen.batch.step", start.pipeline, start.run, step, str(attempt)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=platform_environment(settings),
            start_new_session=True,
        )
    try:
        process.wait()
    except BaseException:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever the step's process left behind
