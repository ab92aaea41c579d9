"""What happens between a request's bytes and the answer's, whichever way the bytes came.

The HTTP routes (`app.py`) are thin around this. Everything that costs time (decoding, the model, encoding) runs in
one thread, so that health checks and the supervisor's questions are answered while a model computes; one thread and
not several, because models are seldom made for being called twice at once, and the lock of the interpreter would make
them wait for one another anyway.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rasen.errors import ModelFailed
from rasen_serving.counts import Counts
from rasen_serving.live import Loaded, Predicted, Versions
from rasen_serving.log import Entry, PredictionLog
from rasen_serving.messages import Revision, Situation
from rasen_serving.refusals import WrongContentType, body_of, status_of

logger = logging.getLogger(__name__)

SOURCE = "model"
ENGINE = "native"
_REASON = "only"
"""Why this variant answered: there is one. Variants with weights come with rollouts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A response before it is HTTP."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a good answer."""

    predictions: list[Any]  # Any: JSON values of the endpoint's output type
    source: str
    model: str
    request_id: str


class PredictionThread:
    """The one thread in which models run."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the present call has been running; 0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    async def run(self, call: Callable[[], Predicted]) -> Predicted:
        """Run a call when its turn comes."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._timed, call)

    def _timed(self, call: Callable[[], Predicted]) -> Predicted:
        self._since = time.monotonic()
        try:
            return call()
        except Exception:
            raise
        except BaseException as error:  # KeyboardInterrupt from a model must not end the event loop
            raise ModelFailed(f"the model raised {type(error).__name__}") from error
        finally:
            self._since = None


class Service:
    """Answers for the endpoints of one worker."""

    def __init__(self, *, max_rows: int) -> None:
        self.versions = Versions()
        self.counts = Counts()
        self.log: PredictionLog | None = None  # a worker's own; the rest is made before the worker is forked
        self.situation = Situation(ready=False, reason="starting", waiting={}, log_open=True)
        self.draining = False
        self.thread = PredictionThread()
        self._max_rows = max_rows
        self._complained: dict[str, float] = {}

    def accept_situation(self, situation: Situation) -> None:
        """Take over what the supervisor says."""
        self.situation = situation
        self.versions.waiting = situation.waiting
        if self.log is not None:
            self.log.is_open = situation.log_open

    async def predict(
        self, endpoint: str, *, request_id: str, content_type: str, read_body: Callable[[], Awaitable[bytes]]
    ) -> Answer:
        """Answer a prediction request; whatever goes wrong becomes part of the answer.

        Args:
            endpoint: As it stands in the path.
            request_id: Given by the caller, or made up for it.
            content_type: The header's value, `""` when there is none.
            read_body: Reads the body, or raises `BodyTooLarge`.
        """
        arrived, started = time.time(), time.perf_counter()
        loaded: Loaded | None = None
        predicted: Predicted | None = None
        try:
            loaded = self.versions.take(endpoint)
            _check_content_type(content_type)
            body = await read_body()
            arrived, started = time.time(), time.perf_counter()
            chosen = loaded
            predicted = await self.thread.run(lambda: chosen.answer(body, max_rows=self._max_rows))
            if predicted.failure is not None:
                raise predicted.failure
            answer = Answer(
                status=200,
                body=msgspec.json.encode(
                    Success(
                        predictions=predicted.predictions,
                        source=SOURCE,
                        model=loaded.revision.run,
                        request_id=request_id,
                    )
                ),
                headers=_named(loaded.revision),
            )
        except Exception as error:  # noqa: BLE001  # the boundary: every request gets an answer in one shape
            answer = Answer(
                status=status_of(error),
                body=body_of(error, request_id=request_id),
                headers={} if loaded is None else _named(loaded.revision),
            )
            if answer.status == 500:
                self._complain(endpoint, request_id, error)
        seconds = time.perf_counter() - started
        self._account(loaded, predicted, answer, endpoint, request_id, arrived, seconds)
        return answer

    def _account(
        self,
        loaded: Loaded | None,
        predicted: Predicted | None,
        answer: Answer,
        endpoint: str,
        request_id: str,
        arrived: float,
        seconds: float,
    ) -> None:
        known = loaded is not None or endpoint in self.versions.waiting
        revision = None if loaded is None else loaded.revision
        source = SOURCE if answer.status == 200 else ""
        self.counts.add(
            endpoint=endpoint if known else "",
            model="" if revision is None else revision.run,
            role="" if revision is None else revision.role,
            status=answer.status,
            source=source,
            rows=0 if predicted is None else predicted.rows,
            seconds=seconds,
        )
        if revision is None or predicted is None or self.log is None:
            return  # nothing was predicted: counted, not logged
        self.log.add(
            Entry(
                request_id=request_id,
                at=arrived,
                endpoint=endpoint,
                revision=revision.number,
                model=revision.run,
                engine=ENGINE,
                variant=revision.role,
                reason=_REASON,
                source=source,
                status=answer.status,
                latency_us=round(seconds * 1e6),
                rows=predicted.rows,
                inputs=predicted.columns,
                outputs=predicted.predictions,
            )
        )

    def _complain(self, endpoint: str, request_id: str, error: Exception) -> None:
        """Tell the operator, the whole story at most once a second an endpoint."""
        now = time.monotonic()
        if now - self._complained.get(endpoint, -1.0) < 1.0:
            logger.error("request %s to %r failed: %s", request_id, endpoint, error)
            return
        self._complained[endpoint] = now
        story = "".join(traceback.format_exception(error))
        logger.error("request %s to %r failed:\n%s", request_id, endpoint, story)


def _named(revision: Revision) -> dict[str, str]:
    return {"X-Rasen-Model": revision.run, "X-Rasen-Revision": str(revision.number)}


def _check_content_type(value: str) -> None:
    kind, _, options = value.partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise WrongContentType(
            f"the content type {value[:100]!r} is not read here; send JSON in UTF-8, 'Content-Type: application/json'"
        )
