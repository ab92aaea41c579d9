"""What the steps of a run have printed and left, for the routes that hand it out."""

from __future__ import annotations

from itertools import islice

from rasen.api.bodies import LogAnswer, LogLine
from rasen.api.desk import Desk
from rasen.batch.finish import read_finished
from rasen.batch.log_reading import LogReader
from rasen.batch.plain_text import without_colours
from rasen.batch.queries import attempts_of, steps_of, trusted_release
from rasen.batch.run_states import locate_run
from rasen.batch.start import read_start
from rasen.errors import NotFound, ObjectNotFound
from rasen.suggestion import suggest
from rasen.tracking.keys import live_notebook_key, step_prefix


def read_lines(
    desk: Desk, run: str, *, step: str | None, attempt: int | None, offset: int, limit: int
) -> LogAnswer:
    """Return lines of a run's steps from an offset on, in the order in which `rasen logs` prints them.

    Raises:
        NotFound: There is no such run, step or attempt.
    """
    place = locate_run(desk.settings, desk.store, run, settled=desk.settled)
    if place.waiting is not None or place.refused is not None:
        verdict = place.refused.verdict.value if place.refused is not None else None
        return LogAnswer(pipeline=place.pipeline, run=place.run, lines=[], offset=0, verdict=verdict)
    finished = read_finished(desk.settings, desk.store, place.pipeline, place.run)
    start = read_start(desk.store, place.pipeline, place.run).start
    reader = LogReader(settings=desk.settings, store=desk.store, start=start, step=step, attempt=attempt)
    lines = [
        LogLine(
            step=one.step,
            attempt=one.attempt,
            cell=one.line.cell,
            kind=one.line.kind,
            text=without_colours(one.line.text),
        )
        for one in islice(reader.read_new(), offset, offset + limit)
    ]
    over = finished is not None and len(lines) < limit
    return LogAnswer(
        pipeline=place.pipeline,
        run=place.run,
        lines=lines,
        offset=offset + len(lines),
        verdict=finished.verdict.value if finished is not None and over else None,
    )


def read_output(desk: Desk, run: str, step: str) -> tuple[str, bytes]:
    """Return a file name for the output notebook of a step, and its bytes.

    Raises:
        NotFound: There is no such run or step, or it has none yet.
    """
    place = locate_run(desk.settings, desk.store, run, settled=desk.settled)
    if place.waiting is None and place.refused is None:
        start = read_start(desk.store, place.pipeline, place.run).start
        known = steps_of(desk.store, start, trusted_release(desk.settings, desk.store, start))
        if step not in known:
            raise NotFound(f"run {place.run!r} has no step {step!r}: {suggest(step, known)}")
        attempts = attempts_of(desk.store, start, step)
        source = start.reuses.get(step, place.run)
        keys = [live_notebook_key(place.pipeline, place.run, step)]
        if attempts:
            keys.insert(0, step_prefix(place.pipeline, source, step, attempts[-1].number) + "output.ipynb")
        for key in keys:
            try:
                return f"{place.pipeline}-{step}-{source}.ipynb", desk.store.read(key)
            except ObjectNotFound:
                continue
    raise NotFound(f"step {step!r} of run {place.run!r} has no output notebook yet")
