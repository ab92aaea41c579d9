"""Requests that wait for somebody to run them, and the process that runs one: `python -m rasen.batch.requested`.

The run's id follows from the request, and what was done is in the store. So whoever finds a request may work on it,
again and again: a run that has ended is left alone, one that was killed goes on, and of two workers one waits.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

from rasen.batch.cancellation import is_attended
from rasen.batch.executor import machine_cpus
from rasen.batch.finish import Finished, read_finished
from rasen.batch.platform_runs import Place, refuse_platform_run, start_platform_run
from rasen.batch.requalify import read_qualification, start_qualification
from rasen.batch.request_records import run_of_request
from rasen.batch.run_events import RunEvent, RunWarned, StepEnded, StepLost
from rasen.batch.runner import run_to_end
from rasen.errors import InvalidInput, RasenError, StoreError, TrustError
from rasen.settings import Settings, load_settings
from rasen.store import Store, open_store
from rasen.tracking.keys import QUALIFY_REQUEST_PREFIX, RUN_REQUEST_PREFIX
from rasen.tracking.records import Start

_log = logging.getLogger(__name__)


def waiting_requests(settings: Settings, store: Store, *, settled: set[Place]) -> Iterator[Place]:
    """Yield the requests for a qualification whose run has not ended and that nobody works on, oldest names first.

    Args:
        settings: Where everything lies.
        store: The store of the settings.
        settled: What need not be looked at any more; it is added to.
    """
    for pipeline in store.children("requests/"):
        for key in store.children(f"requests/{pipeline}/"):
            place = (pipeline, key.removesuffix(".json"))
            if not key.startswith(QUALIFY_REQUEST_PREFIX) or place in settled:
                continue
            try:
                run = run_of_request(place[1], read_qualification(store, *place))
                if read_finished(settings, store, pipeline, run) is None:
                    if not is_attended(settings, store, pipeline, run):
                        yield place
                    continue
            except StoreError:
                raise
            except RasenError as error:
                _log.error("request %s of %s cannot be worked on: %s", place[1], pipeline, error)
            settled.add(place)


def work_on_request(settings: Settings, store: Store, pipeline: str, name: str) -> tuple[Start, Finished]:
    """Start the run of a request, or find it, and bring it to its end.

    Raises:
        InvalidInput: It cannot be run; nothing was started.
        TrustError: Something that it needs cannot be trusted.
    """
    if not name.startswith(RUN_REQUEST_PREFIX):
        release, started = start_qualification(settings, store, pipeline, name)
        return started.start, run_to_end(settings, store, release, started.start, _tell, jobs=1)
    release, started = start_platform_run(settings, store, pipeline, name)
    jobs = max(1, machine_cpus() // settings.requested_runs)
    return started.start, run_to_end(settings, store, release, started.start, _tell, jobs=jobs)


def _tell(event: RunEvent) -> None:
    match event:
        case StepEnded(step=step, result=result):
            error = f": {result.error.name}: {result.error.message}" if result.error else ""
            _say(f"{step} {result.verdict.value}{error}")
        case StepLost(step=step, attempt=attempt):
            _say(f"attempt {attempt} of {step} was lost")
        case RunWarned(message=message):
            _say(message)
        case _:
            pass


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # this process's log


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m rasen.batch.requested PIPELINE REQUEST`; return 0 when the run has ended, whatever its verdict."""
    pipeline, name = arguments if arguments is not None else sys.argv[1:]
    settings = load_settings()
    try:
        start, finished = work_on_request(settings, open_store(settings), pipeline, name)
    except RasenError as error:
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, InvalidInput | TrustError) and name.startswith(RUN_REQUEST_PREFIX):
            refuse_platform_run(open_store(settings), pipeline, name, f"it cannot be run: {reason}")
        _say(f"request {name} of {pipeline} cannot be run: {reason}")
        return error.exit_code
    told = f": {finished.end.error}" if finished.end is not None and finished.end.error else ""
    _say(f"request {name} of {pipeline} became run {start.run}: {finished.verdict.value}{told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
