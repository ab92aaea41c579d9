"""Nothing is unpickled before its bytes are the ones somebody vouches for."""

import ast
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rasen
from rasen.errors import (
    DigestMismatch,
    InvalidInput,
    KeyRefused,
    ModelFailed,
    NotFound,
    ObjectNotFound,
    SignatureInvalid,
    TrustError,
)
from rasen.model.loading import LoadedModel, differing_versions, load_version, unpickle
from rasen.model.profile import build_profile
from rasen.store import MemoryStore
from rasen.tracking.keys import manifest_key
from rasen.versions import serving_versions
from stand.live_models import RUN, LivePlatform
from stand.published import Trap

EXAMPLE = pd.DataFrame({"origin": ["JFK", "LGA"], "hour": [7, 8]})
MODEL_KEY = f"runs/demand/{RUN}/train/1/model/model.cloudpickle"


def doubled(frame: pd.DataFrame) -> Any:
    return frame["hour"].to_numpy() * 2.0


@pytest.fixture
def platform(tmp_path: Path) -> LivePlatform:
    return LivePlatform(MemoryStore(), tmp_path)


def load(platform: LivePlatform, manifest_sha256: str, **changes: Any) -> LoadedModel:
    return load_version(
        platform.store,
        platform.trust,
        **{
            "pipeline": "demand",
            "run": RUN,
            "manifest_sha256": manifest_sha256,
            "environment": "dev",
            **changes,
        },
    )


def test_a_published_model_comes_back_with_everything_beside_it(platform: LivePlatform) -> None:
    frame = EXAMPLE.assign(departures=[1.0, 3.0])
    profile = build_profile(frame, by=["origin"], target="departures")
    loaded = load(platform, platform.publish(doubled, EXAMPLE, profile=profile))
    assert loaded.run == RUN
    assert loaded.profile == profile
    pd.testing.assert_frame_equal(loaded.example, EXAMPLE)
    assert isinstance(loaded.predictions, np.ndarray)
    assert loaded.predictions.tolist() == [14.0, 16.0]
    reordered = pd.DataFrame({"more": [0], "hour": [5], "origin": ["SFO"]}, index=[3])
    answer = loaded.predict(reordered)
    assert isinstance(answer, np.ndarray)
    assert answer.tolist() == [10.0]


def test_an_answer_of_columns_keeps_the_index(platform: LivePlatform) -> None:
    def interval(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"low": frame["hour"] - 1.0, "high": frame["hour"] + 1.0})

    loaded = load(platform, platform.publish(interval, EXAMPLE))
    rows = EXAMPLE.set_axis(["x", "y"])
    expected = pd.DataFrame({"low": [6.0, 7.0], "high": [8.0, 9.0]}, index=["x", "y"])
    answer = loaded.predict(rows)
    assert isinstance(answer, pd.DataFrame)
    pd.testing.assert_frame_equal(answer, expected)
    with pytest.raises(InvalidInput, match="'hour' is string"):
        loaded.predict(EXAMPLE.assign(hour="7"))


def test_bytes_nobody_vouches_for_are_not_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    data = pickle.dumps(Trap(mark))
    digest = hashlib.sha256(data).hexdigest()
    for damaged in (data + b"\0", data[:-1], b"", bytes([data[0] ^ 1]) + data[1:]):
        with pytest.raises(DigestMismatch, match="the model is not the one"):
            unpickle(damaged, sha256=digest)
    assert not mark.exists()
    unpickle(data, sha256=digest)
    assert mark.exists()


@pytest.mark.parametrize("role", ["model.cloudpickle", "example.json", "profile.json"])
def test_every_file_is_checked_before_the_model_is_touched(
    platform: LivePlatform, tmp_path: Path, role: str
) -> None:
    profile = build_profile(EXAMPLE.assign(y=1.0), by=["origin"], target="y")
    manifest = platform.publish(doubled, EXAMPLE, profile=profile)
    mark = tmp_path / "mark"
    key = MODEL_KEY.replace("model.cloudpickle", role)
    platform.store.write(key, pickle.dumps(Trap(mark)))
    with pytest.raises(DigestMismatch):
        load(platform, manifest)
    assert not mark.exists()


def test_what_leads_to_the_model_is_verified(platform: LivePlatform, tmp_path: Path) -> None:
    manifest = platform.publish(doubled, EXAMPLE)
    with pytest.raises(DigestMismatch, match="the ledger names 00000"):
        load(platform, "0" * 64)
    stranger = LivePlatform(MemoryStore(), tmp_path)
    stranger.publish(doubled, EXAMPLE)
    key = manifest_key("demand", RUN)
    genuine = platform.store.read(key)
    platform.store.write(key, genuine.replace(b'"dev"', b'"DEV"'))
    with pytest.raises(SignatureInvalid):
        load(platform, manifest)
    platform.store.write(key, stranger.store.read(key))
    with pytest.raises(KeyRefused):
        load(platform, manifest)
    platform.store.write(key, genuine)
    with pytest.raises(TrustError):
        load(platform, manifest, environment="prod")
    platform.store.delete(MODEL_KEY)
    with pytest.raises(ObjectNotFound):
        load(platform, manifest)


def test_a_run_without_a_model(platform: LivePlatform) -> None:
    from rasen.tracking.manifest import read_manifest, write_manifest

    platform.publish(doubled, EXAMPLE)
    verified = read_manifest(platform.store, platform.trust, "demand", RUN, environment="dev")
    platform.store.delete(manifest_key("demand", RUN))
    bare = write_manifest(
        platform.store, verified.manifest.model_copy(update={"model": None}), platform.control
    )
    with pytest.raises(NotFound, match="published no model"):
        load(platform, bare)


def test_a_model_that_cannot_be_rebuilt_says_which_libraries_differ(platform: LivePlatform) -> None:
    class Breaks:
        def predict(self, frame: pd.DataFrame) -> Any:
            return doubled(frame)

        def __setstate__(self, state: object) -> None:
            raise ImportError("no module named elsewhere")

        def __getstate__(self) -> dict[str, int]:
            return {"a": 1}

    versions = {**serving_versions(), "pandas": "1.0"}
    manifest = platform.publish(Breaks(), EXAMPLE, versions=versions)
    with pytest.raises(ModelFailed, match=r"ImportError: no module named elsewhere .pandas was 1.0, is "):
        load(platform, manifest)


def test_differing_versions_speaks_only_of_what_differs() -> None:
    assert differing_versions(serving_versions()) == ""
    assert differing_versions({"unknown": "1"}) == ""
    assert differing_versions({"numpy": "1.0"}).startswith("numpy was 1.0, is ")


def test_no_other_module_unpickles() -> None:
    package = Path(rasen.__file__).parent
    unpickling = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.split(".")[0] for name in names} & {"pickle", "joblib", "dill", "shelve", "marshal"}:
                unpickling.add(str(path.relative_to(package)))
            if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("cloudpickle.load"):
                unpickling.add(str(path.relative_to(package)))
    assert unpickling == {"model/loading.py"}
