"""Restoring: what comes back is what was published, byte for byte, and nothing is ever left half."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rasen.batch.execute import Executed, resume, start_wish
from rasen.batch.restore import Progress, restore_run
from rasen.batch.start import read_start, step_parameters, type_request
from rasen.errors import InvalidInput, NotFound, TrustError
from rasen.model.loading import unpickle
from rasen.release import read_release
from rasen.strict_yaml import parse_yaml
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import bundle_key, manifest_key, release_key
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Verdict
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen.tracking.tombstones import write_tombstone
from stand.past_runs import TRAIN, PastRuns
from stand.runs import ignore


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> PastRuns:
    made = PastRuns(tmp_path_factory.mktemp("past"))
    made.write()
    return made


@pytest.fixture(scope="module")
def good(past: PastRuns) -> Executed:
    executed = past.run("slope=3.0")
    assert executed.verdict is Verdict.SUCCEEDED, list(executed.explanation())
    return executed


@pytest.fixture(scope="module")
def failed(past: PastRuns, good: Executed) -> Executed:
    past.write(train=[TRAIN, "raise RuntimeError('not today')"])
    executed = past.run()
    past.write()
    assert executed.verdict is Verdict.FAILED
    return executed


def load(path: Path) -> Any:  # Any: JSON
    return json.loads(path.read_bytes())


def test_a_run_comes_back_whole(past: PastRuns, good: Executed, tmp_path: Path) -> None:
    seen: list[Progress] = []
    restored = restore_run(past.settings, good.run, tmp_path / "back", observe=seen.append)
    folder = restored.folder
    assert restored.verified
    assert list(tmp_path.iterdir()) == [folder], "no other folder is left"
    assert folder.stat().st_mode & 0o777 == 0o755

    # The release's files are those of the working copy, the output notebooks those of the run.
    names = {"pipeline.yaml", "features.ipynb", "train.ipynb", "kinds.csv"}
    assert {path.name for path in (folder / "notebooks").iterdir()} == names
    for name in names:
        assert (folder / "notebooks" / name).read_bytes() == (past.folder / name).read_bytes()
    assert load(folder / "output" / "train.ipynb")["metadata"]["rasen"]["verdict"] == "succeeded"

    # Tables: what was read, under the names that the notebook gave, and what was saved.
    tables = {(table["kind"], table["name"][:5]): table for table in load(folder / "tables.json")}
    assert len(pd.read_parquet(folder / "tables/features/read/rides.parquet")) == 55
    assert tables["read", "rides"]["parameters"] == {"least": 5.0}
    assert len(pd.read_parquet(folder / "tables/features/saved/features.parquet")) == 55
    unnamed = next(table for table in tables.values() if table["sql"] == "SELECT COUNT(*) AS n FROM rides")
    assert pd.read_parquet(folder / unnamed["path"]).n.tolist() == [60]

    # Every file is the one that the manifest names.
    manifest = good.finished.manifest
    assert manifest is not None
    back = {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}
    assert {file.sha256 for file in manifest.files} <= back
    assert (
        seen[-1].total_bytes
        == restored.size_bytes
        == sum(file.size_bytes for file in {file.key: file for file in manifest.files}.values())
    )

    # The README's lines load the model.
    lines = (folder / "README.txt").read_text().splitlines()
    sha256 = next(line for line in lines if "unpickle(data" in line).split('"')[1]
    model: Any = unpickle((folder / "model" / "model.cloudpickle").read_bytes(), sha256=sha256)
    assert model.predict(pd.DataFrame({"x": [2.0]})).tolist() == [6.0]
    assert {metric["name"] for metric in load(folder / "metrics.json")} >= {"rmse"}
    assert f"pandas=={manifest.versions['pandas']}" in (folder / "requirements.txt").read_text()
    assert load(folder / "run.json")["verified"] is True


def test_the_parameters_file_gives_the_same_values_again(
    past: PastRuns, good: Executed, tmp_path: Path
) -> None:
    folder = restore_run(past.settings, good.run, tmp_path / "back", only="notebooks").folder
    given = parse_yaml((folder / "parameters.yaml").read_text()).data
    store = good.store
    start = read_start(store, "rides", good.run).start
    release = read_release(store, load_trust(past.settings), "rides", start.release, environment="dev")
    assert given == dict(step_parameters(release, start)["train"].values)
    assert given["slope"] == 3.0
    assert given["day"].startswith(f"{instant_of(good.run):%Y-%m-%d}"), "@scheduled is an instant now"
    assert type_request(release, given=given, typed={}, at=instant_of(good.run)) == given
    # And the folder is one that `rasen run --dev` takes.
    again, _ = start_wish(
        past.settings, store, str(folder / "notebooks"), dev=True, release_id=None, given=given, typed=(),
        deploy=False, request=None, by="tests", now=instant_of(good.run),
    )  # fmt: skip
    assert again.bundle.content_sha256 == release.bundle.content_sha256


@pytest.mark.parametrize(
    ("only", "there", "absent"),
    [("model", "model", "tables"), ("tables", "tables", "model"), ("notebooks", "notebooks", "model")],
)
def test_one_part_may_be_asked_for(
    past: PastRuns, good: Executed, tmp_path: Path, only: Any, there: str, absent: str
) -> None:
    folder = restore_run(past.settings, good.run, tmp_path / "back", only=only).folder
    assert any((folder / there).iterdir())
    assert not (folder / absent).exists()
    assert f"  {absent}/" not in (folder / "README.txt").read_text()


def test_a_folder_that_holds_something_is_left_alone(past: PastRuns, good: Executed, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InvalidInput, match="is not empty"):
        restore_run(past.settings, good.run, tmp_path)
    with pytest.raises(InvalidInput, match="is no folder"):
        restore_run(past.settings, good.run, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert restore_run(past.settings, good.run, tmp_path / "empty", only="model").files


def test_a_folder_that_is_filled_meanwhile_is_left_alone(
    past: PastRuns, good: Executed, tmp_path: Path
) -> None:
    target = tmp_path / "back"

    def fill(_: Progress) -> None:
        target.mkdir(exist_ok=True)
        (target / "mine").write_text("precious")

    with pytest.raises(InvalidInput, match="is not empty"):
        restore_run(past.settings, good.run, target, observe=fill)
    assert [path.name for path in target.iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["back"]


def test_what_a_killed_restoration_left_goes_with_the_next(
    past: PastRuns, good: Executed, tmp_path: Path
) -> None:
    dead, alive = tmp_path / ".back.part-4194999-x", tmp_path / f".back.part-{os.getpid()}-y"
    dead.mkdir()
    alive.mkdir()
    restore_run(past.settings, good.run, tmp_path / "back", only="model")
    assert not dead.exists()
    assert alive.exists()


def test_a_failed_run_comes_back_unverified(past: PastRuns, failed: Executed, tmp_path: Path) -> None:
    restored = restore_run(past.settings, failed.run, tmp_path / "back")
    folder = restored.folder
    assert not restored.verified
    assert "UNVERIFIED" in (folder / "README.txt").read_text()
    assert not (folder / "manifest.json").exists()
    assert load(folder / "run.json")["error"].startswith("RuntimeError")
    assert len(pd.read_parquet(folder / "tables/features/saved/features.parquet")) == 55
    assert (folder / "model" / "model.cloudpickle").is_file(), "the step had published before it failed"
    assert "not today" in (folder / "output" / "train.ipynb").read_text()


def test_a_byte_that_is_not_the_published_one_stops_all(
    past: PastRuns, good: Executed, tmp_path: Path
) -> None:
    store = good.store
    manifest = read_manifest(store, load_trust(past.settings), "rides", good.run, environment="dev").manifest
    assert manifest.model is not None
    victims = [
        manifest.model.files["model"].key,
        next(file.key for file in manifest.files if file.key.endswith(".parquet")),
        f"starts/rides/{good.run}.json",
        f"runs/rides/{good.run}/train/1/result.json",
        bundle_key("rides", manifest.release),
        release_key("rides", manifest.release),
        manifest_key("rides", good.run),
    ]
    for key in victims:
        whole = store.read(key)
        try:
            store.write(key, whole + b"\n")
            with pytest.raises((TrustError, NotFound)):
                restore_run(past.settings, good.run, tmp_path / "back")
        finally:
            store.write(key, whole)
        assert list(tmp_path.iterdir()) == [], key
    whole = store.read(victims[0])
    store.delete(victims[0])
    with pytest.raises(NotFound, match="something of it is gone"):
        restore_run(past.settings, good.run, tmp_path / "back", only="model")
    store.write(victims[0], whole)
    assert list(tmp_path.iterdir()) == []


def test_runs_that_are_not_there_are_refused(past: PastRuns, good: Executed, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no run begins with 'nothing'"):
        restore_run(past.settings, "nothing", tmp_path / "back")
    _, start = start_wish(
        past.settings, good.store, str(past.folder), dev=True, release_id=None, given={}, typed=(),
        deploy=False, request=None, by="tests", now=instant_of(good.run),
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="has not ended"):
        restore_run(past.settings, start.run, tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_to_be_removed_is_refused(past: PastRuns, tmp_path: Path) -> None:
    past.write(train=["x = 1"])
    doomed = past.run()
    past.write()
    signer = open_signer(past.settings, Role.CONTROL)
    assert write_tombstone(doomed.store, signer, pipeline="rides", run=doomed.run, reason="old", by="tests")
    with pytest.raises(InvalidInput, match="rasen gc --undo"):
        restore_run(past.settings, doomed.run, tmp_path / "back")
    with pytest.raises(InvalidInput, match="rasen gc --undo"):
        resume(
            past.settings,
            doomed.run,
            folder=None,
            release_id=None,
            from_step="train",
            deploy=None,
            observe=ignore,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_model_has_none_to_restore(past: PastRuns, tmp_path: Path) -> None:
    past.write(train=["x = 1"])
    bare = past.run()
    past.write()
    with pytest.raises(NotFound, match="published no model"):
        restore_run(past.settings, bare.run, tmp_path / "back", only="model")
    restored = restore_run(past.settings, bare.run, tmp_path / "back")
    assert not (restored.folder / "model").exists()
