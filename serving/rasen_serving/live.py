"""The model versions in one worker: prepared beside the live ones, switched by one assignment.

A request takes the live revision once, at its start, and keeps the version that answers it to its end, so every answer
comes from exactly one version. The revision before stays for a while, so that a rollback need not load anything; after
that nobody refers to its versions any more, and so their memory returns at once, without the garbage collector.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import DigestMismatch, ModelFailed, NotFound
from rasen.model import fallback
from rasen.model.engines import Engines, choose_engines, only_native
from rasen.model.frames import to_values
from rasen.model.loading import assemble, check_digest, differing_versions
from rasen.model.predictions import Predictions, difference, predict, to_json
from rasen.model.schema import ModelSchema
from rasen.suggestion import suggest
from rasen.tracking.records import FileRecord
from rasen_serving.assignment import SHADOW, Chooser
from rasen_serving.breaker import Breaker
from rasen_serving.decode import Columns, RequestDecoder
from rasen_serving.messages import Learned, Revision, Variant, Version
from rasen_serving.refusals import Asleep, NothingLive
from rasen_serving.suspects import token_of, unwatched

if TYPE_CHECKING:
    import pandas as pd

    from rasen_serving.asked import Asked
    from rasen_serving.batching import Batcher

logger = logging.getLogger(__name__)

KEEP_SECONDS = 600.0
"""For so long the revision before stays in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Predicted:
    """What became of one usable request.

    Args:
        columns: The rows that were asked for, by column.
        rows: Their number.
        predictions: One JSON value a row; empty when the model failed.
        failure: What the model did wrong, `None` when it answered.
        batch_rows: Rows of the call of the model that it was part of; 0 for one of its own.
    """

    columns: Columns
    rows: int
    predictions: list[Any]  # Any: JSON values
    failure: ModelFailed | None = None
    batch_rows: int = 0


class Loaded:
    """A version that was verified, loaded, compared with its published example and warmed by it."""

    def __init__(self, version: Version) -> None:
        """Load; `load` below says which errors there are."""
        self.version = version
        paths = {file.key: Path(file.path) for file in version.files.values()}
        found = assemble(
            {
                role: FileRecord(key=file.key, sha256=file.sha256, size_bytes=file.size_bytes)
                for role, file in version.files.items()
            },
            version.schema,
            lambda file: paths[file.key].read_bytes(),
            unpickled=not version.quarantined,
        )
        self.schema: ModelSchema = found.schema
        self.model = found.model
        self.suspects = unwatched()
        self._token = token_of(version.manifest_sha256)
        self.profile = found.profile if fallback.can_answer(found.schema.output) else None
        self.row_wise = version.row_wise
        self.breaker = Breaker()
        self.batcher: Batcher | None = None  # made with the first request, on the event loop
        self.decode = RequestDecoder(self.schema).decode
        values = to_values(self.schema, found.example)
        self.engines: Engines = only_native(self.model, self.schema)
        self.batch_rows = self.quick_rows = 0
        if not version.quarantined:
            self._fit(version, found.example, found.predictions, values)
        self.example_rows = [
            dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)
        ]
        self.example_predictions = to_json(found.predictions)

    def predict(self, columns: Columns) -> list[Any]:  # Any: JSON values
        """Return one JSON value for each row.

        Raises:
            InvalidInput: A value is not of its column's type.
            ModelFailed: The model raised, or answered something that its schema cannot carry.
        """
        self.suspects.enter(self._token)
        try:
            return to_json(self.engines.predict(columns))
        finally:
            self.suspects.leave()

    def predict_profile(self, columns: Columns) -> list[Any]:  # Any: JSON values
        """Return what the version's profile says of each row; only if it has one."""
        assert self.profile is not None
        rows = len(next(iter(columns.values())))
        return to_json(fallback.answer(self.profile, columns, rows=rows, output=self.schema.output))

    def answer(self, asked: Asked, *, max_rows: int) -> Predicted:
        """Answer one request that is to be read slowly; a failing model is part of the answer.

        Raises:
            InvalidInput: The request is not usable.
        """
        columns = asked.wire.read(self, asked, max_rows=max_rows)
        rows = len(next(iter(columns.values())))
        try:
            return Predicted(columns=columns, rows=rows, predictions=self.predict(columns))
        except ModelFailed as failure:
            return Predicted(columns=columns, rows=rows, predictions=[], failure=failure)

    def _fit(
        self, version: Version, example: pd.DataFrame, recorded: Predictions, values: dict[str, list[object]]
    ) -> None:
        """Compare with the published example, and measure what executes the model and in how large batches."""
        self._check(predict(self.model, example, self.schema.output), recorded)
        if not self.row_wise:
            return  # each request is a call of its own, of the model itself
        self.engines = choose_engines(
            version.engines,
            self.model,
            self.schema,
            onnx=_read_graph(version),
            example=values,
            answers=recorded,
            plan=version.plan,
        )
        self.batch_rows, self.quick_rows = self.engines.batch_rows, self.engines.quick_rows

    @staticmethod
    def _check(answers: Predictions, recorded: Predictions) -> None:
        found = difference(answers, recorded)
        if found is not None:
            raise ModelFailed(f"the answers to the published example differ from the published ones: {found}")


def _read_graph(version: Version) -> bytes | None:
    """Return the model as ONNX, if it was published as such; the very bytes that were checked are executed."""
    file = version.files.get("onnx")
    if file is None:
        return None
    data = Path(file.path).read_bytes()
    check_digest(data, sha256=file.sha256, what="the ONNX graph")
    return data


class Arm:
    """One variant of a live revision: what its requests get."""

    __slots__ = ("headers", "loaded", "role", "same_inputs", "stale_at", "weight")

    def __init__(self, variant: Variant, loaded: Loaded, revision: Revision) -> None:
        self.same_inputs = True  # as the champion's, so that its columns need not be read again
        self.loaded = loaded
        self.role = variant.role
        self.weight = variant.weight
        self.headers = {"X-Rasen-Model": variant.version.run, "X-Rasen-Revision": str(revision.number)}
        if len(revision.variants) > 1:
            self.headers["X-Rasen-Variant"] = variant.role
        self.stale_at = _stale_at(variant.version, revision)


class Live:
    """A revision of an endpoint with its versions loaded."""

    def __init__(self, revision: Revision, loaded: Mapping[str, Loaded]) -> None:
        self.revision = revision
        self.arms = [
            Arm(variant, loaded[variant.version.identity], revision) for variant in revision.variants
        ]
        self.champion = self.arms[0]
        for arm in self.arms:
            arm.same_inputs = arm.loaded.schema.names == self.champion.loaded.schema.names
        self.shadows = [arm for arm in self.arms if arm.role == SHADOW]
        rollout = revision.rollout or {}
        self.salt: int = rollout.get("salt", 0)
        self.chooser: Chooser | None = None
        if len(self.arms) > 1 + len(self.shadows):
            bandit = rollout.get("kind") == "bandit"
            self.chooser = Chooser(revision.endpoint, self.arms, salt=self.salt, bandit=bandit)
        self.used = False  # since the last beat
        self.falls_back = frozenset(revision.fallback.on)
        self.budget_seconds = revision.fallback.timeout_seconds if "timeout" in self.falls_back else 0.0
        names = self.champion.loaded.schema.names
        for name in revision.log.exclude:
            if name not in names:
                logger.warning(
                    "%s: no column %r is there to be kept out of the prediction log; %s",
                    *(revision.endpoint, name, suggest(name, names)),
                )

    @property
    def loaded(self) -> dict[str, Loaded]:
        """The versions, by their identity."""
        return {arm.loaded.version.identity: arm.loaded for arm in self.arms}


def load(revision: Revision, present: Mapping[str, Loaded] | None = None) -> Live:
    """Load, check and warm what a revision needs beside the versions that are `present`, by their identity.

    Raises:
        DigestMismatch: The cached bytes are not the verified ones; nothing was unpickled.
        ModelFailed: The model cannot be rebuilt here, raises, or answers its example differently.
        InvalidInput: Schema or example are of a format that this version does not read.
    """
    loaded = dict(present or {})
    for variant in revision.variants:
        if variant.version.identity not in loaded:
            loaded[variant.version.identity] = _load(variant.version)
    return Live(revision, loaded)


def _load(version: Version) -> Loaded:
    try:
        return Loaded(version)
    except FileNotFoundError as error:
        raise DigestMismatch(f"the cached file {error.filename!r} is gone") from None
    except ModelFailed as error:
        differing = differing_versions(version.versions)
        raise ModelFailed(f"{error}{f' ({differing})' if differing else ''}") from error


def _stale_at(version: Version, revision: Revision) -> float:
    """Return the Unix time from which on the version is stale; infinity when it never will be."""
    after = revision.fallback.stale_after_seconds
    if after is None or "stale" not in revision.fallback.on:
        return math.inf
    try:
        newest = datetime.fromisoformat(version.trained_until or "")
    except ValueError:
        logger.warning(
            "%s: run %s does not say how new its training rows are (%r), so it is never stale",
            *(revision.endpoint, version.run, version.trained_until),
        )
        return math.inf
    return (newest if newest.tzinfo else newest.replace(tzinfo=UTC)).timestamp() + after


class Versions:
    """What is live, what is prepared, and what is known without being live."""

    def __init__(self) -> None:
        self.live: dict[str, Live] = {}
        self.waiting: dict[str, str] = {}
        self.asleep: frozenset[str] = frozenset()
        self.suspects = unwatched()  # a worker's own come with its board
        self._prepared: dict[tuple[str, int], Live] = {}
        self._learned: dict[str, Learned] = {}
        self._previous: dict[str, tuple[Live, float]] = {}
        self._models: list[weakref.ref[Any]] = []  # Any: whatever an analyst published

    @property
    def in_memory(self) -> int:
        """How many models exist, the ones in use by unfinished requests included."""
        self._models = [model for model in self._models if model() is not None]
        return len(self._models)

    @property
    def expected(self) -> int:
        """How many models there should be: those that something here refers to."""
        held = [*self.live.values(), *self._prepared.values(), *(live for live, _ in self._previous.values())]
        return len(
            {id(arm.loaded) for live in held for arm in live.arms if not arm.loaded.version.quarantined}
        )

    @property
    def waiting_rows(self) -> int:
        """How many rows wait for the models that are live."""
        batchers = [arm.loaded.batcher for live in self.live.values() for arm in live.arms]
        return sum(batcher.waiting_rows for batcher in batchers if batcher is not None)

    @property
    def names(self) -> list[str]:
        """All endpoints of the ledger, sorted."""
        return sorted(self.live.keys() | self.waiting.keys() | self.asleep)

    def knows(self, endpoint: str) -> bool:
        """Return whether the ledger has such an endpoint."""
        return endpoint in self.live or endpoint in self.waiting or endpoint in self.asleep

    def take(self, endpoint: str) -> Live:
        """Return the revision that answers for the endpoint now.

        Raises:
            Asleep: It is to be loaded first.
            NothingLive: The endpoint is known and has none.
            NotFound: There is no such endpoint.
        """
        live = self.live.get(endpoint)
        if live is not None:
            live.used = True
            return live
        if endpoint in self.asleep:
            raise Asleep(f"endpoint {endpoint!r} is being loaded; try again in a moment")
        if endpoint in self.waiting:
            raise NothingLive(f"nothing is live for endpoint {endpoint!r} yet: {self.waiting[endpoint]}")
        known = ", ".join(map(repr, self.names)) or "none yet"
        raise NotFound(f"there is no endpoint {endpoint[:100]!r}; endpoints: {known}")

    def loaded(self, endpoint: str) -> dict[str, Loaded]:
        """Return the endpoint's versions that are in memory, live or kept, by their identity."""
        previous, live = self._previous.get(endpoint), self.live.get(endpoint)
        return (previous[0].loaded if previous else {}) | (live.loaded if live else {})

    def keep(self, live: Live) -> None:
        """Keep a loaded revision until the supervisor says what becomes of it."""
        for arm in live.arms:
            arm.loaded.suspects = self.suspects
            if arm.loaded.version.quarantined:
                continue
            # An object that cannot be referred to weakly is counted by what holds it.
            watched = arm.loaded.model if hasattr(arm.loaded.model, "__weakref__") else arm.loaded
            if all(model() is not watched for model in self._models):
                self._models.append(weakref.ref(watched))
        self._prepared[live.revision.endpoint, live.revision.number] = live

    def switch(self, endpoint: str, number: int) -> None:
        """Let a prepared revision answer from now on; the one before is kept for a while."""
        replaced = self.live.get(endpoint)
        self.live[endpoint] = self._prepared.pop((endpoint, number))
        if replaced is not None and replaced.revision.identities - self.live[endpoint].revision.identities:
            self._previous[endpoint] = (replaced, time.monotonic() + KEEP_SECONDS)
        if endpoint in self._learned:
            self.learn(self._learned[endpoint])

    def learn(self, learned: Learned) -> None:
        """Let a bandit share the requests out as it has learned to."""
        self._learned[learned.endpoint] = learned
        live = self.live.get(learned.endpoint)
        chooser = None if live is None else live.chooser
        if chooser is not None and chooser.bandit and chooser.salt == learned.salt:
            chooser.learn(learned.weights)

    def evict(self, endpoint: str) -> None:
        """Let an endpoint go from memory."""
        self.live.pop(endpoint, None)
        self._previous.pop(endpoint, None)

    def take_used(self) -> list[str]:
        """Return which endpoints were asked for since the last call."""
        used = [name for name, live in self.live.items() if live.used]
        for name in used:
            self.live[name].used = False
        return used

    def forget(self, endpoint: str, number: int) -> None:
        """Let a prepared revision go."""
        self._prepared.pop((endpoint, number), None)

    def release(self) -> None:
        """Let go what was kept long enough."""
        now = time.monotonic()
        self._previous = {name: kept for name, kept in self._previous.items() if now < kept[1]}
