"""One attempt of one step, in a process of its own: the second of the three commands start, step, finish.

The order is what makes it safe to kill at any instant: claim, run, upload every file, then `result.json`, create-only
and last. Without that file the attempt never happened. This process holds no signing key and unpickles nothing.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

from rasen.batch.claims import create_claim
from rasen.batch.qualify import qualify
from rasen.batch.start import read_start, step_parameters
from rasen.batch.step_notebook import run_notebook
from rasen.batch.step_result import write_result
from rasen.batch.stopping import Stopped, raise_when_stopped
from rasen.batch.work import Ending, Work, attempt_folder
from rasen.errors import RasenError, StoreError
from rasen.release import read_release
from rasen.settings import Settings, load_settings
from rasen.store import Store, open_store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import ErrorRecord, Verdict
from rasen.tracking.signature import load_trust

_NOT_CLAIMED = 3  # exit code: another process works on this attempt


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m rasen.batch.step PIPELINE RUN STEP ATTEMPT`; return the exit code.

    0 says that a result was written, whatever its verdict; 3 that somebody else works on this attempt.
    """
    pipeline, run, step, attempt = arguments if arguments is not None else sys.argv[1:]
    raise_when_stopped()
    settings = load_settings()
    try:
        return (
            0 if run_step(settings, open_store(settings), pipeline, run, step, int(attempt)) else _NOT_CLAIMED
        )
    except RasenError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code


def run_step(settings: Settings, store: Store, pipeline: str, run: str, step: str, attempt: int) -> bool:
    """Run one attempt of a step and write its result; return whether this process had the claim.

    Raises:
        TrustError: The release cannot be trusted; nothing was run.
        StoreError: The store failed; there is no result.
    """
    start = read_start(store, pipeline, run).start
    trust = load_trust(settings)
    release = read_release(store, trust, pipeline, start.release, environment=settings.environment)
    if not create_claim(store, pipeline, run, step, attempt):
        return False
    folder = attempt_folder(settings, pipeline, run, step, attempt)
    shutil.rmtree(folder, ignore_errors=True)
    parameters = {} if step == QUALIFY_STEP else dict(step_parameters(release, start)[step].values)
    work = Work(
        settings=settings,
        store=store,
        trust=trust,
        release=release,
        start=start,
        step=step,
        attempt=attempt,
        parameters=parameters,
        folder=folder,
    )
    begun = time.monotonic()
    try:
        (folder / "staging").mkdir(parents=True)
        (folder / "inputs").mkdir()
        ending = _attempt(work, qualify if step == QUALIFY_STEP else run_notebook)
        write_result(work, ending, seconds=time.monotonic() - begun)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _attempt(work: Work, execute: Callable[[Work], Ending]) -> Ending:
    try:
        return execute(work)
    except Stopped as stopped:
        name = "Cancelled" if stopped.verdict is Verdict.CANCELLED else "Interrupted"
        return Ending(verdict=stopped.verdict, error=ErrorRecord(name=name, message=str(stopped)))
    except StoreError:
        raise
    except RasenError as error:
        return Ending(
            verdict=Verdict.FAILED, error=ErrorRecord(name=type(error).__name__, message=str(error))
        )


if __name__ == "__main__":
    sys.exit(main())
