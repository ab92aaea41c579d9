"""What happens between a request's bytes and the answer's, whichever way the bytes came.

The HTTP routes (`app.py`) are thin around this. A request is decoded on the event loop, joins the others of its turn in
the model's batch (`batching.py`), and is encoded when that is predicted. What cannot be decoded fast is read slowly in
the prediction thread, so that health checks and the supervisor's questions are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rasen_serving.batching import Batcher, Outcome, Request
from rasen_serving.counts import Counts
from rasen_serving.decode import Columns, NotFast
from rasen_serving.live import Loaded, Predicted, Versions
from rasen_serving.log import Entry, PredictionLog
from rasen_serving.messages import Situation
from rasen_serving.prediction_thread import PredictionThread
from rasen_serving.refusals import WrongContentType, body_of, headers_of, status_of
from rasen_serving.segments import About

logger = logging.getLogger(__name__)

SOURCE = "model"
_REASON = "only"
"""Why this variant answered: there is one. Variants with weights come with rollouts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A response before it is HTTP."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


_ENCODER = msgspec.json.Encoder()


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a good answer."""

    predictions: list[Any]  # Any: JSON values of the endpoint's output type
    source: str
    model: str
    request_id: str


class Service:
    """Answers for the endpoints of one worker."""

    def __init__(self, *, max_rows: int, max_waiting: int) -> None:
        self.versions = Versions()
        self.counts = Counts()
        self.log: PredictionLog | None = None  # a worker's own; the rest is made before the worker is forked
        self.situation = Situation(ready=False, reason="starting", waiting={}, log_open=True)
        self.draining = False
        self.thread = PredictionThread()
        self._max_rows = max_rows
        self._max_waiting = max_waiting
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
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(answer: Answer) -> None:
            if not answered.done():  # the caller has hung up meanwhile
                answered.set_result(answer)

        self.ask(endpoint, request_id, content_type, await read_body(), done)
        return await answered

    def ask(
        self,
        endpoint: str,
        request_id: str,
        content_type: str,
        body: bytes,
        done: Callable[[Answer], None],
    ) -> None:
        """Have a request answered; `done` is called with the answer, on the loop, possibly before this returns.

        The one way into the model, whichever way the bytes came.
        """
        started = time.perf_counter()
        arrived = time.time()
        loaded: Loaded | None = None

        def finish(outcome: Outcome) -> None:
            done(self._finish(loaded, outcome, endpoint, request_id, arrived, started, asked=body))

        try:
            loaded = self.versions.take(endpoint)
            if content_type != "application/json":
                _check_content_type(content_type)
            columns: Columns | None = None
            rows = 0
            try:
                columns = loaded.decode(body)
                rows = len(next(iter(columns.values())))
                if rows > self._max_rows:
                    columns, rows = None, 0
            except NotFast:
                pass
            request = Request(loaded=loaded, body=body, columns=columns, rows=rows, done=finish)
            batcher = loaded.batcher
            if batcher is None:
                batcher = loaded.batcher = Batcher(
                    self.thread, max_rows=self._max_rows, max_waiting=self._max_waiting
                )
            batcher.add(request)
        except Exception as error:  # noqa: BLE001  # the boundary: every request gets an answer in one shape
            finish(error)

    def _finish(
        self,
        loaded: Loaded | None,
        outcome: Outcome,
        endpoint: str,
        request_id: str,
        arrived: float,
        started: float,
        *,
        asked: bytes,
    ) -> Answer:
        predicted = outcome if isinstance(outcome, Predicted) else None
        error = predicted.failure if predicted is not None else outcome
        if predicted is not None and predicted.failure is None and loaded is not None:
            body = _ENCODER.encode(
                Success(
                    predictions=predicted.predictions,
                    source=SOURCE,
                    model=loaded.revision.run,
                    request_id=request_id,
                )
            )
            answer = Answer(status=200, body=body, headers=loaded.headers)
        else:
            assert isinstance(error, Exception)  # what is no answer is an error
            answer = Answer(
                status=status_of(error),
                body=body_of(error, request_id=request_id),
                headers=headers_of(error) | ({} if loaded is None else loaded.headers),
            )
            if answer.status == 500:
                self._complain(endpoint, request_id, error)
        seconds = time.perf_counter() - started
        self._account(loaded, predicted, answer, endpoint, request_id, arrived, seconds, asked=asked)
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
        *,
        asked: bytes,
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
        if loaded is None or revision is None or predicted is None or self.log is None:
            return  # nothing was predicted: counted, not logged
        self.log.add(
            Entry(
                about=About(
                    endpoint=endpoint,
                    revision=revision.number,
                    model=revision.run,
                    engine=loaded.engine.name,
                    variant=revision.role,
                    reason=_REASON,
                    source=source,
                    status=answer.status,
                    data_version=revision.trained_until or "",
                ),
                request_id=request_id,
                at=arrived,
                latency_us=round(seconds * 1e6),
                rows=predicted.rows,
                batch_rows=predicted.batch_rows or predicted.rows,
                inputs=asked,
                outputs=answer.body if source else b"",
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


def _check_content_type(value: str) -> None:
    kind, _, options = value.partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise WrongContentType(
            f"the content type {value[:100]!r} is not read here; send JSON in UTF-8, 'Content-Type: application/json'"
        )
