"""A version whose live version changed is held, qualified anew by a run of its own, and that run is decided."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from rasen.batch.execute import Executed, requalify
from rasen.batch.requalify import (
    check_qualifiable,
    file_qualification,
    read_qualification,
    start_qualification,
)
from rasen.batch.request_records import run_of_request
from rasen.batch.requested import waiting_requests
from rasen.cli import build_app
from rasen.errors import DigestMismatch, InvalidInput, NotFound
from rasen.local.requested_runs import RequestedRuns
from rasen.settings import Settings, load_settings
from rasen.store import Store, open_store
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import QUALIFY_STEP, request_key, result_key, run_prefix, tombstone_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Manifest, Request, Start, Verdict
from rasen.tracking.results import read_published_result
from rasen.tracking.signature import load_trust
from stand.deciders import local_decider
from stand.pipelines import write_notebook, write_pipeline
from stand.platform_process import rasen, until
from stand.runs import ignore, run_working_copy

TRAIN = """
import pandas as pd, rasen
rows = pd.DataFrame({"hour": range(24), "origin": ["JFK", "EWR"] * 12, "sold": [9.0 * hour for hour in range(24)]})
rasen.publish(
    lambda frame: frame["hour"] * slope, example=rows[["origin", "hour"]].head(2), evaluation=rows, target="sold"
)
rasen.log_metrics(rmse=1.0)
"""

EXAMPLE = "import pandas as pd\nexample = pd.DataFrame({'origin': ['JFK'], 'hour': [10]})"
GATES = """
deploy:
  gates:
    - {kind: notebook, notebook: judge.ipynb, metric: revenue, direction: maximize, better_than: champion}
"""
JUDGES = "import rasen\nrasen.log_metrics(revenue=float(rasen.load_model('shop').predict(example)[0]))"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(home=tmp_path_factory.mktemp("requests") / "home")


@pytest.fixture(scope="module")
def store(settings: Settings) -> Store:
    return open_store(settings)


@pytest.fixture(scope="module")
def runs(settings: Settings) -> tuple[Executed, Executed]:
    """Two published runs that nobody has decided: when the second was qualified, nothing was live."""
    folder = write_pipeline(
        settings.home.parent / "shop", {"train": [TRAIN]}, parameters="slope: float = 2.0", more=GATES
    )
    write_notebook(folder / "judge.ipynb", [EXAMPLE, JUDGES])
    first, second = (run_working_copy(settings, folder, f"slope={slope}", deploy=True) for slope in (2, 5))
    assert (first.verdict, second.verdict) == (Verdict.SUCCEEDED, Verdict.SUCCEEDED)
    return first, second


def decide(settings: Settings) -> list[LedgerRecord]:
    return local_decider(settings.home, open_store(settings)).decide("shop")  # type: ignore[arg-type] # a directory


def published(settings: Settings, run: str) -> Manifest:
    store = open_store(settings)
    return read_manifest(store, load_trust(settings), "shop", run, environment="dev").manifest


def wait_for(runs: RequestedRuns, told: list[str], words: str) -> None:
    def said() -> bool:
        runs.poll()
        return any(words in line for line in told)

    until(said, seconds=120.0)


def test_a_champion_that_changed_ends_in_a_run_that_is_deployed(
    settings: Settings, store: Store, runs: tuple[Executed, Executed]
) -> None:
    first, second = (one.run for one in runs)
    deployed, held = decide(settings)
    assert (deployed.action, deployed.run) == ("deploy", first)
    assert (held.action, held.run) == ("hold", second)
    assert held.state.held is not None
    ((pipeline, name),) = waiting_requests(settings, store, settled=set())
    assert (pipeline, name) == ("shop", held.state.held.requested)
    request = read_qualification(store, "shop", name)
    assert request.run == second
    run = run_of_request(name, request)
    assert run > second

    # `rasen up` begins to work on it, is killed, and the next one goes on.
    told: list[str] = []
    requested = RequestedRuns(settings, store, tell=told.append)
    requested.look()
    assert told[0].startswith(f"working on request {name} of shop; its log: ")
    until(lambda: store.children(run_prefix("shop", run)) == [QUALIFY_STEP], seconds=120.0)
    requested.stop()
    assert store.children("manifests/shop/") == [f"{first}.json", f"{second}.json"]
    requested = RequestedRuns(settings, store, tell=told.append)

    def begun() -> bool:  # the step's process that was killed lets go of its claim when it is gone
        requested.look()
        return len(told) == 2

    until(begun, seconds=60.0)
    wait_for(requested, told, f"request {name} of shop became run {run}: succeeded")
    assert list(waiting_requests(settings, store, settled=set())) == []

    manifest, before = published(settings, run), published(settings, second)
    assert manifest.model is not None
    assert before.model is not None
    assert manifest.model.files == before.model.files
    assert manifest.model.trained_until == before.model.trained_until
    assert (before.model.qualification.champion, manifest.model.qualification.champion) == (None, first)
    assert manifest.steps["train"].reused_from == second
    assert store.children(run_prefix("shop", run)) == [QUALIFY_STEP], "no notebook of a step was executed"
    found = read_published_result(store, manifest, QUALIFY_STEP).qualification
    assert found is not None
    assert found["champion"] == {"run": first, "evaluated": True, "reason": ""}
    assert found["notebooks"]["judge.ipynb"]["candidate"]["metrics"] == {"revenue": 50.0}
    assert found["notebooks"]["judge.ipynb"]["champion"]["metrics"] == {"revenue": 20.0}

    (record,) = decide(settings)
    assert (record.action, record.run) == ("deploy", run)
    assert record.state.held is None
    assert [variant.run for variant in record.state.variants] == [run]
    shown = rasen(settings, "show", run).stdout
    assert f"qualifies run {second} again" in shown
    assert "gates/judge-champion.ipynb" in shown
    assert f"compared with {first}" in shown
    assert "judge.ipynb with the champion: revenue 20" in shown


def test_asked_for_by_hand(settings: Settings, store: Store, runs: tuple[Executed, Executed]) -> None:
    _, second = runs
    now = datetime.now(tz=UTC)
    executed = requalify(settings, second.run, by="ada", now=now, observe=ignore)
    assert executed.verdict is Verdict.SUCCEEDED
    manifest = published(settings, executed.run)
    start = Start.from_bytes(store.read(f"starts/shop/{executed.run}.json"))
    assert (start.qualifies, start.resumes, start.reuses) == (second.run, None, {"train": second.run})
    assert start.trigger.startswith("request:qualify-")
    assert manifest.steps["train"].reused_from == second.run
    assert instant_of(executed.run) >= now - timedelta(seconds=1)
    # A version that was qualified anew is still the version that its first run published.
    again = requalify(settings, executed.run, by="ada", now=now, observe=ignore)
    assert Start.from_bytes(store.read(f"starts/shop/{again.run}.json")).qualifies == second.run
    assert again.run > executed.run


def test_what_cannot_be_qualified_is_said(
    settings: Settings, store: Store, runs: tuple[Executed, Executed]
) -> None:
    first, second = runs
    unknown = first.run[:-12] + "000000000000"
    with pytest.raises(InvalidInput, match="has published nothing; there is no version to qualify"):
        check_qualifiable(settings, store, "shop", unknown)
    with pytest.raises(NotFound, match="has no request 'qualify-1'"):
        read_qualification(store, "shop", "qualify-1")
    store.write(request_key("shop", "qualify-2"), Request(at=datetime.now(tz=UTC), by="eve").to_bytes())
    with pytest.raises(InvalidInput, match="is one of kind 'run' for run None; no 'qualify'"):
        start_qualification(settings, store, "shop", "qualify-2")
    assert list(waiting_requests(settings, store, settled=set())) == [], "it is logged, and nobody is held up"
    store.write(tombstone_key("shop", second.run), b"{}")
    try:
        with pytest.raises(InvalidInput, match="is going to be removed"):
            check_qualifiable(settings, store, "shop", second.run)
    finally:
        store.delete(tombstone_key("shop", second.run))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("shop", "--qualify", "1"), "--qualify '1' names a run; leave the pipeline and --resume out"),
        (("--qualify", "1", "-p", "slope=3"), "--qualify RUN takes everything from the run"),
        (("--qualify", "1", "--no-deploy"), "--qualify RUN takes everything from the run"),
        (
            ("--dev", "shop", "--request", "qualify-1"),
            "names that begin with 'qualify-' are wishes to qualify a version",
        ),
    ],
)
def test_the_command_refuses_what_does_not_go_together(
    settings: Settings,
    runs: tuple[Executed, Executed],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    problem: str,
) -> None:
    del runs  # the folder is there
    monkeypatch.setenv("RASEN_HOME", str(settings.home))
    monkeypatch.chdir(settings.home.parent)
    refused = CliRunner().invoke(build_app(), ["run", *arguments]).exception
    assert isinstance(refused, InvalidInput)
    assert problem in str(refused)


def test_the_command_qualifies(
    settings: Settings, runs: tuple[Executed, Executed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RASEN_HOME", str(settings.home))
    done = CliRunner().invoke(build_app(), ["run", "--qualify", runs[1].run, "--json"])
    said = json.loads(done.stdout)
    assert (said["verdict"], said["published_model"]) == ("succeeded", True)
    assert published(settings, said["run"]).steps["train"].reused_from == runs[1].run


def test_results_that_were_put_in_afterwards_are_not_taken_over(
    settings: Settings, store: Store, runs: tuple[Executed, Executed]
) -> None:
    _, second = runs
    key = result_key("shop", second.run, "train", 2)  # an attempt that the manifest knows nothing of
    store.write(
        key, store.read(result_key("shop", second.run, "train", 1)).replace(b'"attempt":1', b'"attempt":2')
    )
    name = file_qualification(store, "shop", second.run, by="eve", now=datetime.now(tz=UTC))
    started = store.children("starts/shop/")
    try:
        with pytest.raises(
            DigestMismatch, match="the result of step 'train' is not the one that the manifest"
        ):
            start_qualification(settings, store, "shop", name)
        assert started == store.children("starts/shop/"), "nothing was started"
        # The platform tries it once, tells it, and goes on to the next.
        told: list[str] = []
        requested = RequestedRuns(settings, store, tell=told.append)
        requested.look()
        wait_for(requested, told, "DigestMismatch: the result of step 'train'")
        requested.look()
        assert len(told) == 2
    finally:
        store.delete(key)
        store.delete(request_key("shop", name))
