"""What happens between a request and its answer, whichever way and in whichever format it came.

The HTTP routes (`app.py`) and the fast lane are thin around `Service.ask`. A request is decoded on the event loop,
joins the others of its turn in the model's batch (`batching.py`), and is answered when that is predicted. What cannot
be decoded fast is read slowly in the prediction thread; health checks and the supervisor are answered meanwhile.
Where the model fails, is late or is stale, the profile that was published beside it answers in its schema. Which of
several versions answers is said by `assignment.py`; for a candidate that fails, the champion answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from rasen.errors import AnswerNotFinite, ModelFailed
from rasen_serving.access import Access
from rasen_serving.assignment import BREAKER, ONLY, OVERRIDE, choose, is_copied
from rasen_serving.batching import Batcher, Outcome, Request
from rasen_serving.counts import Counts
from rasen_serving.deadlines import Deadlines
from rasen_serving.decode import Columns, NotFast
from rasen_serving.live import Arm, Live, Predicted, Versions
from rasen_serving.log import Entry, PredictionLog, inputs_of, is_sampled, outputs_of
from rasen_serving.messages import Rewarded, Situation
from rasen_serving.pending import Pending
from rasen_serving.prediction_thread import PredictionThread
from rasen_serving.refusals import Asleep, OutOfTime, Quarantined, StaleModel, is_fault, status_of
from rasen_serving.segments import About
from rasen_serving.shadow import Copy, Shadows
from rasen_serving.wire import Answer, Given

if TYPE_CHECKING:
    from rasen.settings_model import Settings
    from rasen_serving.asked import Asked

logger = logging.getLogger(__name__)

MODEL, PROFILE = "model", "profile"
QUARANTINED = "quarantined"
RESCUED = "champion"
"""The source under which a candidate's request is counted that the champion answered, because the candidate failed."""

_STUCK_SECONDS = 5.0

_PARKED_SECONDS = 10.0
_MOST_PARKED = 1000
"""So many requests, and for so long, wait for an endpoint that is being loaded."""


class Service:
    """Answers for the endpoints of one worker."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.access = Access(settings)
        self.versions = Versions()
        self.counts = Counts()
        self.log: PredictionLog | None = None  # a worker's own; the rest is made before the worker is forked
        self.situation = Situation(ready=False, reason="starting", waiting={}, log_open=True)
        self.draining = False
        self.thread = PredictionThread()
        self.tell: Callable[[Rewarded], None] = _tell_nobody  # a worker's own comes with its conversation
        self.at_work = 0
        self.shadows = Shadows(
            is_idle=lambda: self.at_work == 0 and self.thread.busy_seconds == 0,
            counts=self.counts,
            log=lambda: self.log,
            max_rows=settings.max_rows,
        )
        self.want: Callable[[str], None] = lambda endpoint: None  # a worker asks its supervisor
        self._deadlines = Deadlines()
        self._parked: dict[str, list[Pending]] = {}
        self._complained: dict[str, float] = {}

    def accept_situation(self, situation: Situation) -> None:
        """Take over what the supervisor says."""
        self.situation = situation
        self.versions.waiting = situation.waiting
        self.versions.asleep = situation.asleep
        for endpoint in [name for name in self._parked if name not in situation.asleep]:
            self.resume(endpoint)
        if self.log is not None:
            self.log.is_open = situation.log_open

    def count_refusal(self, error: Exception) -> None:
        """Count a request that was refused before it was known what it asks."""
        self.counts.add(
            endpoint="",
            model="",
            role="",
            revision=0,
            status=status_of(error),
            source="",
            reason="",
            rows=0,
            seconds=0.0,
        )

    def address_of(self, host: str) -> str:
        """Return the caller's address as far as it is to be kept."""
        return host if self.settings.log_addresses else ""

    async def answer(self, asked: Asked) -> Answer:
        """Return the answer to a prediction request; whatever goes wrong becomes part of the answer."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(answer: Answer) -> None:
            if not answered.done():  # the caller has hung up meanwhile
                answered.set_result(answer)

        self.ask(asked, done)
        return await answered

    def ask(self, asked: Asked, done: Callable[[Answer], None]) -> None:
        """Have a request answered; `done` is called with the answer, on the loop, possibly before this returns.

        The one way into the model, whichever way the bytes came.
        """
        self.at_work += 1
        pending = Pending(self, asked, done)
        try:
            pending.key_id = self.access.admit(asked.endpoint, asked.authorization)
        except Exception as error:  # noqa: BLE001  # the boundary: every request gets an answer in one shape
            pending.finish(error)
            return
        self._ask(pending)

    def resume(self, endpoint: str) -> None:
        """Go on with the requests that have waited for an endpoint, now that it is live or cannot be."""
        for pending in self._parked.pop(endpoint, []):
            if not pending.answered:
                self._ask(pending)

    def _ask(self, pending: Pending) -> None:
        asked = pending.asked
        try:
            live = pending.live = self.versions.take(asked.endpoint)
            if live.chooser is None and not asked.variant:
                arm, pending.reason = live.champion, ONLY
            else:
                arm, pending.reason = choose(live, asked, may_override=self.settings.variant_override)
            pending.arm = arm
            self._ask_model(pending, arm)
            if live.budget_seconds:
                self._deadlines.add(pending, budget_seconds=live.budget_seconds)
        except Asleep as error:
            self._park(pending, error)
        except Exception as error:  # noqa: BLE001  # the boundary: every request gets an answer in one shape
            pending.finish(error)

    def _ask_model(self, pending: Pending, arm: Arm) -> None:
        """Have one variant predict."""
        asked, loaded = pending.asked, arm.loaded
        rows = 0
        try:
            columns: Columns | None = asked.wire.decode(loaded, asked)
            assert columns is not None
            rows = len(next(iter(columns.values())))
            if rows > self.settings.max_rows:
                columns, rows = None, 0
        except NotFast:
            columns = None
        pending.columns = columns
        if loaded.version.quarantined:
            raise Quarantined(loaded.version.quarantined)
        if pending.arrived >= arm.stale_at:
            raise StaleModel(
                f"the model's newest training row, {loaded.version.trained_until}, is older than declared"
            )
        batcher = loaded.batcher
        if batcher is None:
            batcher = loaded.batcher = Batcher(
                self.thread, max_rows=self.settings.max_rows, max_waiting=self.settings.max_waiting_rows
            )
        batcher.add(Request(loaded=loaded, asked=asked, columns=columns, rows=rows, done=pending.finish))

    def rescue(self, pending: Pending, outcome: Outcome) -> bool:
        """Have the champion answer what a candidate failed at; return whether it was asked.

        Who has waited for a candidate in vain does not wait again: the profile answers.
        """
        arm, live = pending.arm, pending.live
        if arm is None or live is None or arm is live.champion:
            return False
        error = outcome.failure if isinstance(outcome, Predicted) else outcome
        failed = isinstance(error, ModelFailed)
        if failed or error is None:
            arm.loaded.breaker.note(failed=failed)
        if not failed or isinstance(error, OutOfTime) or pending.reason == OVERRIDE:
            return False
        assert error is not None  # it failed
        self._complain(pending.asked.endpoint, pending.asked.request_id, error)
        pending.failed, pending.arm = arm, live.champion
        pending.reason = f"rescue: {_why(error)}"
        try:
            self._ask_model(pending, live.champion)
        except Exception as another:  # noqa: BLE001  # the boundary, as in `ask`
            pending.finish(another)
        return True

    def _park(self, pending: Pending, error: Asleep) -> None:
        """Have a request wait until its endpoint is loaded, for a while."""
        endpoint = pending.asked.endpoint
        parked = self._parked.setdefault(endpoint, [])
        if len(parked) >= _MOST_PARKED:
            pending.finish(error)
            return
        if not parked:
            self.want(endpoint)
            asyncio.get_running_loop().call_later(_PARKED_SECONDS, self._give_up, parked, error)
        parked.append(pending)

    def _give_up(self, parked: list[Pending], error: Asleep) -> None:
        for pending in parked:
            pending.finish(error)
        if parked and self._parked.get(parked[0].endpoint) is parked:
            del self._parked[parked[0].endpoint]

    def finish(self, pending: Pending, outcome: Outcome) -> None:
        """Answer a request; what the model failed at, the profile answers."""
        asked, live, arm = pending.asked, pending.live, pending.arm
        self.at_work -= 1
        predicted = outcome if isinstance(outcome, Predicted) else None
        error = predicted.failure if predicted is not None else outcome
        fell_back = ""
        try:
            if isinstance(error, ModelFailed):
                fell_back = self._fall_back(pending, error)
                predicted = self._ask_profile(pending, predicted, fell_back)
                error = error if predicted is None or predicted.failure is not None else None
            if error is not None or predicted is None or arm is None:
                assert isinstance(error, Exception)  # what is no answer is an error
                answer = asked.wire.refuse(error, asked)
            else:
                answer = asked.wire.encode(
                    Given(
                        predictions=predicted.predictions,
                        source=PROFILE if fell_back else MODEL,
                        loaded=arm.loaded,
                        columns=predicted.columns,
                        rows=predicted.rows,
                    ),
                    asked,
                )
        except Exception as another:  # noqa: BLE001  # the same boundary
            error, predicted = another, None
            answer = asked.wire.refuse(another, asked)
        source = "" if error is not None else PROFILE if fell_back else MODEL
        if arm is not None and live is not None:
            answer.headers.update(arm.headers)
            if live.chooser is not None:
                answer.headers["X-Rasen-Reason"] = pending.reason
            if source == PROFILE:
                answer.headers["X-Rasen-Source"] = PROFILE
        if error is not None and is_fault(error):
            self._complain(asked.endpoint, asked.request_id, error)
        self._account(pending, predicted, answer, source, fell_back)
        pending.done(answer)
        if live is not None and live.shadows and source == MODEL:
            assert predicted is not None  # a model has answered
            self._copy(live, asked, predicted, pending.key_id)

    def _copy(self, live: Live, asked: Asked, predicted: Predicted, key_id: str) -> None:
        """Offer a request that was answered to the shadows."""
        for arm in live.shadows:
            if is_copied(asked.endpoint, live.salt, arm.weight, asked):
                self.shadows.offer(
                    Copy(
                        arm=arm,
                        revision=live.revision.number,
                        asked=asked,
                        predicted=predicted,
                        log_policy=live.revision.log,
                        key_id=key_id,
                    )
                )

    def stuck_shadow(self) -> str:
        """Return the digest of the manifest of a shadow that does not come back, `""` when there is none."""
        arm = self.shadows.computing
        if arm is None or self.shadows.busy_seconds < _STUCK_SECONDS:
            return ""
        return arm.loaded.version.manifest_sha256

    def _fall_back(self, pending: Pending, error: ModelFailed) -> str:
        """Return why the profile is asked, `""` when it may not be or there is none."""
        assert pending.live is not None  # a model was asked
        assert pending.arm is not None
        why = _why(error)
        if pending.arm.loaded.profile is None:
            return ""
        if why not in pending.live.falls_back and why != QUARANTINED:
            return ""
        if why not in ("stale", QUARANTINED):  # such were told once, not with each request
            self._complain(pending.asked.endpoint, pending.asked.request_id, error)
        return why

    def _ask_profile(self, pending: Pending, predicted: Predicted | None, why: str) -> Predicted | None:
        """Return the profile's answer when there is a reason to ask it, else what there was."""
        if not why or pending.arm is None:
            return predicted
        loaded = pending.arm.loaded
        columns = predicted.columns if predicted is not None else pending.columns
        if columns is None:
            columns = pending.asked.wire.read(loaded, pending.asked, max_rows=self.settings.max_rows)
        return Predicted(
            columns=columns,
            rows=len(next(iter(columns.values()))),
            predictions=loaded.predict_profile(columns),
        )

    def _account(
        self, pending: Pending, predicted: Predicted | None, answer: Answer, source: str, fell_back: str
    ) -> None:
        asked, live, arm = pending.asked, pending.live, pending.arm
        seconds = time.perf_counter() - pending.started
        known = live is not None or self.versions.knows(asked.endpoint)
        counted = pending.failed or arm
        self.counts.add(
            endpoint=asked.endpoint if known else "",
            model="" if counted is None else counted.loaded.version.run,
            role="" if counted is None else counted.role,
            revision=0 if live is None or arm is None else live.revision.number,
            status=answer.status,
            source=RESCUED if pending.failed is not None and source == MODEL else source,
            reason=fell_back or (BREAKER if pending.reason == BREAKER else ""),
            rows=0 if predicted is None else predicted.rows,
            seconds=seconds,
        )
        if live is None or arm is None or predicted is None or self.log is None:
            return  # nothing was predicted: counted, not logged
        policy = live.revision.log
        if policy.sample < 1.0 and not is_sampled(asked.request_id, policy.sample):
            self.log.leave_out(predicted.rows)
            return
        version = arm.loaded.version
        batch_rows = predicted.batch_rows or predicted.rows
        self.log.add(
            Entry(
                about=About(
                    endpoint=asked.endpoint,
                    revision=live.revision.number,
                    model=version.run,
                    engine=arm.loaded.engines.for_rows(batch_rows).name if source == MODEL else source,
                    variant=arm.role,
                    reason=f"fallback: {fell_back}" if fell_back else pending.reason,
                    source=source,
                    status=answer.status,
                    data_version=version.trained_until or "",
                ),
                request_id=asked.request_id,
                at=pending.arrived,
                latency_us=round(seconds * 1e6),
                rows=predicted.rows,
                batch_rows=batch_rows,
                inputs=inputs_of(asked, predicted.columns, exclude=policy.exclude),
                outputs=outputs_of(asked, answer, predicted.predictions) if source else b"",
                key_id=pending.key_id,
                address=asked.address,
                traceparent=asked.traceparent,
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


def _why(error: Exception) -> str:
    """Return in a word what a model did wrong."""
    match error:
        case OutOfTime():
            return "timeout"
        case StaleModel():
            return "stale"
        case Quarantined():
            return QUARANTINED
        case AnswerNotFinite():
            return "nan"
        case _:
            return "error"


def _tell_nobody(rewarded: Rewarded) -> None:
    """Drop what only a worker can pass on."""
