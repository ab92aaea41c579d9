"""Loading a published model: the only module of Rasen that unpickles.

A pickle is code, and no scanner tells good from bad (`facts/reliability.md`), so the answer is provenance: bytes are
unpickled only when their SHA-256 is the one somebody vouches for, and the very bytes that were checked are the ones
unpickled, not a second read of the file. Who vouches is the caller's business: the signed manifest for
`load_version`, the batch step's own upload for the qualification.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rasen.errors import DigestMismatch, InvalidInput, ModelFailed, NotFound
from rasen.model.frames import conform, to_frame
from rasen.model.predictions import Predictions, from_json, predict
from rasen.model.profile import Profile
from rasen.model.schema import ModelSchema
from rasen.store import Store
from rasen.tracking.manifest import VerifiedManifest, read_manifest
from rasen.tracking.records import FileRecord
from rasen.tracking.signature import TrustStore
from rasen.versions import compare_versions

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that may be called, with what was published beside it.

    Args:
        model: What the notebook published: anything with `predict`, or a function.
        schema: The contract.
        example: The example rows, as the model gets them.
        predictions: What the model answered to the example when it was published.
        profile: The baseline, `None` when none was published.
        manifest: The verified manifest that names it, `None` before there is one (qualification).
    """

    model: object
    schema: ModelSchema
    example: pd.DataFrame
    predictions: Predictions
    profile: Profile | None = None
    manifest: VerifiedManifest | None = None

    @property
    def run(self) -> str | None:
        """The run that published the model, which is the version's id."""
        return None if self.manifest is None else self.manifest.manifest.run

    def predict(self, frame: pd.DataFrame) -> np.ndarray | pd.DataFrame:
        """Return one prediction a row, in the rows' order: an array, or a DataFrame with the rows' index.

        Args:
            frame: At least the columns that the model was published with, in any order.

        Raises:
            InvalidInput: A column is missing or of another type than the model was published with.
            ModelFailed: The model raised, or answered something that is not one finite value a row.
        """
        import pandas as pd

        answers = predict(self.model, conform(self.schema, frame), self.schema.output)
        if isinstance(answers, dict):
            return pd.DataFrame(answers, index=frame.index)
        return answers


def unpickle(data: bytes, *, sha256: str) -> object:
    """Return the object in `data`, after checking that these very bytes are the ones vouched for.

    Args:
        data: A model as `rasen.publish` wrote it.
        sha256: Hexadecimal digest from a verified manifest.

    Raises:
        DigestMismatch: They are not; nothing was unpickled.
        ModelFailed: The object cannot be rebuilt here: a library is missing or too different.
    """
    check_digest(data, sha256=sha256, what="the model")
    try:
        return pickle.loads(data)  # noqa: S301  # the one place, behind the digest
    except (Exception, SystemExit) as error:  # the boundary to analysts' code
        raise ModelFailed(f"the model cannot be loaded here: {type(error).__name__}: {error}") from error


def check_digest(data: bytes, *, sha256: str, what: str) -> None:
    """Check bytes that came from a store, a cache or a folder.

    Raises:
        DigestMismatch: They are not the ones vouched for.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DigestMismatch(
            f"{what} is not the one that was published: {len(data)} bytes with sha256 {found[:12]}…, "
            f"expected {sha256[:12]}…"
        )


def assemble(
    files: Mapping[str, FileRecord],
    schema: Mapping[str, Any],  # Any: JSON
    read: Callable[[FileRecord], bytes],
    *,
    manifest: VerifiedManifest | None = None,
    unpickled: bool = True,
) -> LoadedModel:
    """Load a model from its files, wherever they lie; each is checked before it is parsed.

    Args:
        files: By role: `model`, `example`, and `profile` when there is one.
        schema: The schema as JSON.
        read: Returns a file's bytes.
        manifest: The manifest that vouches for the digests in `files`.
        unpickled: Whether the model itself is wanted; without it `model` is `None`.

    Raises:
        DigestMismatch: Some bytes are not the ones vouched for.
        InvalidInput: The schema, the example or the profile is not of a format that this version reads.
        ModelFailed: The model cannot be rebuilt here.
    """
    missing = {"model", "example"} - files.keys()
    if missing:
        raise InvalidInput(f"a published model needs the file {min(missing)!r}; there are {sorted(files)!r}")
    contract = ModelSchema.from_dict(schema)
    example, predictions = parse_example(_checked(files["example"], read, "the example"), contract)
    profile = None
    if "profile" in files:
        profile = Profile.from_dict(_parse(_checked(files["profile"], read, "the profile"), "the profile"))
    return LoadedModel(
        model=unpickle(read(files["model"]), sha256=files["model"].sha256) if unpickled else None,
        schema=contract,
        example=example,
        predictions=predictions,
        profile=profile,
        manifest=manifest,
    )


def load_version(
    store: Store, trust: TrustStore, *, pipeline: str, run: str, manifest_sha256: str, environment: str
) -> LoadedModel:
    """Load the model version that a run published, after verifying all that leads to it.

    Args:
        store: Where manifest and files lie.
        trust: The public keys that are trusted here.
        pipeline: The pipeline of the run.
        run: The run, which is the version's id.
        manifest_sha256: Digest of the manifest's payload, from a verified ledger record.
        environment: The environment that the manifest must have been signed for.

    Raises:
        TrustError: Something is not what was signed; nothing was unpickled.
        ObjectNotFound: The manifest or a file is gone.
        NotFound: The run published no model.
        ModelFailed: The model cannot be rebuilt here; the message says which libraries differ.
    """
    verified = read_manifest(store, trust, pipeline, run, environment=environment)
    if verified.sha256 != manifest_sha256:
        raise DigestMismatch(
            f"the manifest of run {run!r} has sha256 {verified.sha256[:12]}…, the ledger names {manifest_sha256[:12]}…"
        )
    published = verified.manifest.model
    if published is None:
        raise NotFound(f"run {run!r} of {pipeline!r} published no model")
    try:
        return assemble(
            published.files, published.schema_, lambda file: store.read(file.key), manifest=verified
        )
    except ModelFailed as error:
        differing = differing_versions(verified.manifest.versions)
        raise ModelFailed(f"{error}{f' ({differing})' if differing else ''}") from error


def differing_versions(recorded: Mapping[str, str]) -> str:
    """Say which libraries are of another version here than `recorded`, empty when none is."""
    return "; ".join(map(str, compare_versions(recorded)))


def parse_example(data: bytes, schema: ModelSchema) -> tuple[pd.DataFrame, Predictions]:
    """Return the example rows as the model gets them, and the answers recorded for them.

    Raises:
        InvalidInput: It is not an example of this schema.
    """
    document = _parse(data, "the example")
    columns, predictions = document.get("columns"), document.get("predictions")
    if not isinstance(columns, dict) or not isinstance(predictions, list):
        raise InvalidInput("the example needs columns (an object) and predictions (a list)")
    return to_frame(schema, columns), from_json(predictions, schema.output)


def _checked(file: FileRecord, read: Callable[[FileRecord], bytes], what: str) -> bytes:
    data = read(file)
    check_digest(data, sha256=file.sha256, what=what)
    return data


def _parse(data: bytes, what: str) -> dict[str, Any]:  # Any: JSON
    try:
        document = json.loads(data)
    except ValueError as error:
        raise InvalidInput(f"{what} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidInput(f"{what} must be an object")
    return document
