"""The model versions in one worker: prepared beside the live ones, switched by one assignment.

A request takes the live version once, at its start, and keeps that object to its end, so every answer comes from
exactly one version. The old one is not told to go: nobody refers to it any more once its last request is answered,
and so its memory returns at once, without the garbage collector.
"""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import DigestMismatch, ModelFailed, NotFound
from rasen.model.engines import Engine, choose_engine, fit_batch_rows, fit_quick_rows
from rasen.model.frames import to_values
from rasen.model.loading import assemble, differing_versions
from rasen.model.predictions import Predictions, difference, predict, to_json
from rasen.model.schema import ModelSchema
from rasen.tracking.records import FileRecord
from rasen_serving.decode import Columns, RequestDecoder
from rasen_serving.judge import judge
from rasen_serving.messages import Revision
from rasen_serving.refusals import NothingLive

if TYPE_CHECKING:
    import pandas as pd

    from rasen_serving.batching import Batcher


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

    def __init__(self, revision: Revision) -> None:
        """Load; `load` below says which errors there are."""
        self.revision = revision
        paths = {file.key: Path(file.path) for file in revision.files.values()}
        version = assemble(
            {
                role: FileRecord(key=file.key, sha256=file.sha256, size_bytes=file.size_bytes)
                for role, file in revision.files.items()
            },
            revision.schema,
            lambda file: paths[file.key].read_bytes(),
        )
        self.schema: ModelSchema = version.schema
        self.model = version.model
        self.engine: Engine = choose_engine(revision.engine, self.model, self.schema)
        self.row_wise = revision.row_wise
        self.headers = _headers(revision)
        self.batcher: Batcher | None = None  # made with the first request, on the event loop
        self.decode = RequestDecoder(self.schema).decode
        self._warm(version.example, version.predictions)
        values = to_values(self.schema, version.example)
        self.batch_rows = fit_batch_rows(self.engine, values) if self.row_wise else 0
        self.quick_rows = fit_quick_rows(self.engine, values, most=self.batch_rows)
        if self.quick_rows:
            self.batch_rows = self.quick_rows  # the loop's turn is dearer than what a larger batch would save
        self.example_rows = [
            dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)
        ]
        self.example_predictions = to_json(version.predictions)

    def renumbered(self, revision: Revision) -> Loaded:
        """Return the same version under another revision of its endpoint."""
        twin = copy.copy(self)
        twin.revision = revision
        twin.headers = _headers(revision)
        return twin

    def predict(self, columns: Columns) -> list[Any]:  # Any: JSON values
        """Return one JSON value for each row.

        Raises:
            InvalidInput: A value is not of its column's type.
            ModelFailed: The model raised, or answered something that its schema cannot carry.
        """
        return to_json(self.engine.predict(columns))

    def answer(self, body: bytes, *, max_rows: int) -> Predicted:
        """Answer the body of one request that is to be read slowly; a failing model is part of the answer.

        Raises:
            MalformedBody, InvalidRows, TooManyRows: The request is not usable.
        """
        columns = judge(self.schema, body, max_rows=max_rows)
        rows = len(next(iter(columns.values())))
        try:
            return Predicted(columns=columns, rows=rows, predictions=self.predict(columns))
        except ModelFailed as failure:
            return Predicted(columns=columns, rows=rows, predictions=[], failure=failure)

    def _warm(self, example: pd.DataFrame, recorded: Predictions) -> None:
        native = predict(self.model, example, self.schema.output)
        for answers in (native, self.engine.predict(to_values(self.schema, example))):
            found = difference(answers, recorded)
            if found is not None:
                raise ModelFailed(
                    f"the answers to the published example differ from the published ones: {found}"
                )


def load(revision: Revision) -> Loaded:
    """Load, check and warm a revision.

    Raises:
        DigestMismatch: The cached bytes are not the verified ones; nothing was unpickled.
        ModelFailed: The model cannot be rebuilt here, raises, or answers its example differently.
        InvalidInput: Schema or example are of a format that this version does not read.
    """
    try:
        return Loaded(revision)
    except FileNotFoundError as error:
        raise DigestMismatch(f"the cached file {error.filename!r} is gone") from None
    except ModelFailed as error:
        differing = differing_versions(revision.versions)
        raise ModelFailed(f"{error}{f' ({differing})' if differing else ''}") from error


def _headers(revision: Revision) -> dict[str, str]:
    return {"X-Rasen-Model": revision.run, "X-Rasen-Revision": str(revision.number)}


class Versions:
    """What is live, what is prepared, and what is known without being live."""

    def __init__(self) -> None:
        self.live: dict[str, Loaded] = {}
        self.waiting: dict[str, str] = {}
        self._prepared: dict[tuple[str, int], Loaded] = {}
        self._models: list[weakref.ref[Any]] = []  # Any: whatever an analyst published

    @property
    def in_memory(self) -> int:
        """How many models exist, the ones in use by unfinished requests included."""
        self._models = [model for model in self._models if model() is not None]
        return len(self._models)

    @property
    def names(self) -> list[str]:
        """All endpoints of the ledger, sorted."""
        return sorted(self.live.keys() | self.waiting.keys())

    def take(self, endpoint: str) -> Loaded:
        """Return the version that answers for the endpoint now.

        Raises:
            NothingLive: The endpoint is known and has none.
            NotFound: There is no such endpoint.
        """
        loaded = self.live.get(endpoint)
        if loaded is not None:
            return loaded
        if endpoint in self.waiting:
            raise NothingLive(f"nothing is live for endpoint {endpoint!r} yet: {self.waiting[endpoint]}")
        known = ", ".join(map(repr, self.names)) or "none yet"
        raise NotFound(f"there is no endpoint {endpoint[:100]!r}; endpoints: {known}")

    def same(self, revision: Revision) -> Loaded | None:
        """Return the live version when the revision names the same manifest, so that only its number is new."""
        present = self.live.get(revision.endpoint)
        if present is None or present.revision.manifest_sha256 != revision.manifest_sha256:
            return None
        return present

    def keep(self, loaded: Loaded) -> None:
        """Keep a loaded version until the supervisor says what becomes of it."""
        # An object that cannot be referred to weakly is counted by what holds it.
        watched = loaded.model if hasattr(loaded.model, "__weakref__") else loaded
        if all(model() is not watched for model in self._models):
            self._models.append(weakref.ref(watched))
        self._prepared[loaded.revision.endpoint, loaded.revision.number] = loaded

    def switch(self, endpoint: str, number: int) -> None:
        """Let a prepared revision answer from now on."""
        self.live[endpoint] = self._prepared.pop((endpoint, number))

    def forget(self, endpoint: str, number: int) -> None:
        """Let a prepared version go."""
        self._prepared.pop((endpoint, number), None)
