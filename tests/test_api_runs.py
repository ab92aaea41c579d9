"""Asking the control API for runs: what is filed, what is refused, what waits and in which order."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rasen.batch import platform_runs
from rasen.batch.finish import read_finished
from rasen.batch.platform_runs import open_runs
from rasen.batch.queries import open_index
from rasen.batch.request_records import run_of_request
from rasen.batch.requested import main as work_on_request
from rasen.errors import InvalidInput
from rasen.local.requested_runs import RequestedRuns
from rasen.release import register
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import current_key, release_key, request_key, start_key
from rasen.tracking.records import Request, Verdict
from rasen.tracking.signature import Role, open_signer
from stand.control import ControlHome, encode, write_shop
from stand.pipeline_folder import make_repository


@pytest.fixture
def home(tmp_path: Path) -> ControlHome:
    return ControlHome(tmp_path / "home")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_shop(tmp_path)


def error(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


def register_demand(home: ControlHome, folder: Path) -> str:
    top = make_repository(folder, "demand")
    signer = open_signer(home.settings, Role.REGISTRAR)
    return register(top / "notebooks" / "demand", store=home.store, signer=signer, image="i").release.release


def test_a_working_copy_becomes_a_request_that_says_what_it_is_of(home: ControlHome, shop: Path) -> None:
    before = datetime.now(tz=UTC).replace(microsecond=0)
    ordered = home.order(
        shop,
        parameters={"price": 3},
        typed={"title": "007"},
        base_commit="2dd1e2778822",
        changed=["train.ipynb"],
        request="mine",
    )
    assert (ordered["pipeline"], ordered["request"], ordered["state"], ordered["place"]) == (
        *("shop", "mine", "waiting"),
        1,
    )
    key = request_key("shop", "run-mine")
    request = Request.from_bytes(home.store.read(key))
    assert ordered["run"] == run_of_request("run-mine", request)
    assert instant_of(ordered["run"]) >= before
    assert request.parameters == {"price": 3.0, "title": "007"}, "typed by the notebook's annotations"
    assert (request.release, request.deploy) == (ordered["release"], False)
    assert ordered["release"].startswith("dev-")
    shown = home.ask("GET", f"/v1/runs/{ordered['run']}").json()
    assert (shown["state"], shown["place"], shown["start"]) == ("waiting", 1, None)
    assert (shown["commit"], shown["changed"], shown["by"]) == (
        *("2dd1e2778822", ["train.ipynb"]),
        request.by,
    )
    assert home.store.stat(start_key("shop", ordered["run"])) is None, "the API starts nothing"


def test_asking_again_by_name_finds_the_same_run_whatever_it_says(home: ControlHome, shop: Path) -> None:
    first = home.order(shop, request="again", parameters={"price": 3})
    second = home.order(shop, request="again", parameters={"price": 4})
    assert second == first
    assert home.order(shop)["run"] != first["run"]
    (other,) = [one for one in open_runs(home.store, settled=set()) if one.request == "again"]
    assert other.parameters == {"price": 3.0}


def test_runs_wait_in_the_order_of_their_wishes_and_are_listed_so(home: ControlHome, shop: Path) -> None:
    ordered = [home.order(shop, request=name)["run"] for name in ("zebra", "ant", "mole")]
    listed = home.ask("GET", "/v1/runs").json()
    assert [(one["run"], one["place"]) for one in listed["waiting"]] == [
        (run, place) for place, run in enumerate(ordered, start=1)
    ]
    assert listed["runs"] == []
    assert home.ask("GET", "/v1/runs?verdict=failed").json()["waiting"] == []
    assert home.ask("GET", "/v1/runs?pipeline=other").json()["waiting"] == []
    assert home.ask("GET", f"/v1/runs/{ordered[2].rpartition('-')[2]}").json()["place"] == 3


def test_of_many_requests_only_those_are_read_that_the_index_does_not_know(
    home: ControlHome, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = home.order(shop, request="ended")
    waiting = home.order(shop, request="waits")
    home.ask("POST", f"/v1/runs/{ended['run']}/cancel")
    RequestedRuns(home.settings.model_copy(update={"requested_runs": 0}), home.store, tell=print).look()
    index = open_index(home.settings)
    assert index.answered_requests("run-") == {("shop", "run-ended")}
    assert index.answered_requests("qualify-") == set()
    monkeypatch.setattr(platform_runs, "_READ_ONE_BY_ONE", 1)
    settled: set[tuple[str, str]] = set()
    answered: list[str] = []

    def ask() -> set[tuple[str, str]]:
        answered.append("asked")
        return index.answered_requests("run-")

    (found,) = open_runs(home.store, settled=settled, answered=ask)
    assert (found.run, found.place, answered) == (waiting["run"], 1, ["asked"])
    assert settled == {("shop", "run-ended")}


def test_a_run_that_waits_is_cancelled_before_it_begins(home: ControlHome, shop: Path) -> None:
    first, second = home.order(shop), home.order(shop)
    asked = home.ask("POST", f"/v1/runs/{first['run']}/cancel")
    assert (asked.status_code, asked.json()["first"]) == (202, True)
    assert home.ask("POST", f"/v1/runs/{first['run']}/cancel").json()["first"] is False
    assert home.ask("GET", f"/v1/runs/{first['run']}").json()["state"] == "cancelling"
    told: list[str] = []
    # No room for a run, so what was cancelled does not wait for one.
    requested = RequestedRuns(
        home.settings.model_copy(update={"requested_runs": 0}), home.store, tell=told.append
    )
    requested.look()
    assert told == [f"run {first['run']} of shop was cancelled before it began"]
    shown = home.ask("GET", f"/v1/runs/{first['run']}").json()
    assert (shown["state"], shown["verdict"], shown["error"]) == ("cancelled", "cancelled", "cancelled")
    refused = home.ask("POST", f"/v1/runs/{first['run']}/cancel")
    assert (refused.status_code, error(refused)["code"]) == (409, "conflict")
    (waiting,) = home.ask("GET", "/v1/runs").json()["waiting"]
    assert (waiting["run"], waiting["place"]) == (second["run"], 1)


def test_a_request_that_cannot_be_run_ends_with_the_reason(
    home: ControlHome, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = home.order(shop, request="lost")
    home.store.delete(release_key("shop", ordered["release"]))
    monkeypatch.setenv("RASEN_HOME", str(home.settings.home))
    assert work_on_request(["shop", "run-lost"]) == InvalidInput.exit_code
    shown = home.ask("GET", f"/v1/runs/{ordered['run']}").json()
    assert (shown["state"], shown["start"], shown["release"]) == ("failed", None, ordered["release"])
    assert f"has no release '{ordered['release']}'" in shown["error"]
    assert open_runs(home.store, settled=set()) == []
    ended = read_finished(home.settings, home.store, "shop", ordered["run"])
    assert ended is not None
    assert ended.verdict is Verdict.FAILED
    assert home.ask("GET", f"/v1/runs/{ordered['run']}/logs").json()["verdict"] == "failed"
    missing = home.ask("GET", f"/v1/runs/{ordered['run']}/steps/train/notebook")
    assert missing.status_code == 404


def test_a_registered_pipeline_runs_by_name(home: ControlHome, tmp_path: Path) -> None:
    release = register_demand(home, tmp_path / "repository")
    ordered = home.ask("POST", "/v1/runs", json={"pipeline": "demand", "parameters": {"max_depth": 3}})
    assert ordered.status_code == 202
    request = Request.from_bytes(home.store.read(request_key("demand", f"run-{ordered.json()['request']}")))
    assert (request.release, request.deploy, request.parameters) == (release, True, {"max_depth": 3})
    older = home.ask("POST", "/v1/runs", json={"pipeline": "demand", "release": "1-000000000000"})
    assert (older.status_code, error(older)["code"]) == (404, "not_found")
    misspelt = home.ask("POST", "/v1/runs", json={"pipeline": "demond"})
    assert misspelt.status_code == 404
    assert "did you mean 'demand'?" in error(misspelt)["message"]
    form = home.ask("GET", "/v1/pipelines/demand").json()
    assert (form["release"], form["files"]) == (release, ["pipeline.yaml", "train.ipynb"])
    ((parameter,),) = [step["parameters"] for step in form["steps"]]
    assert (parameter["name"], parameter["annotation"], parameter["default"], parameter["value"]) == (
        *("max_depth", "int"),
        *(6, 6),
    )
    assert parameter["json_schema"] == {"type": "integer"}
    # The pipeline goes while its form is open.
    home.store.delete(current_key("demand"))
    gone = home.ask("POST", "/v1/runs", json={"pipeline": "demand", "release": release})
    assert gone.status_code == 404
    assert "no pipeline 'demand' is registered" in error(gone)["message"]


@pytest.mark.parametrize(
    ("change", "status", "code", "words"),
    [
        ({"parameters": {"prise": 3}}, 422, "invalid_parameter", "did you mean 'price'?"),
        ({"parameters": {"price": "cheap"}}, 422, "invalid_parameter", "'price'"),
        ({"parameters": {"price": None}}, 422, "invalid_parameter", "'price'"),
        ({"typed": {"price": "cheap"}}, 422, "invalid_parameter", "'price'"),
        ({"request": "../up"}, 422, "invalid_request", "not as described"),
        ({"request": "a/b"}, 422, "invalid_request", "not as described"),
        ({"base_commit": "HEAD"}, 422, "invalid_request", "not as described"),
        ({"pipeline": "shop"}, 422, "invalid_request", "not as described"),
        ({"release": "412-ab"}, 422, "invalid_request", "not as described"),
        ({"colour": "red"}, 422, "invalid_request", "not as described"),
        ({"files": {}}, 422, "invalid_pipeline", "there is no 'pipeline.yaml'"),
        ({"files": {"pipeline.yaml": "%%%"}}, 422, "invalid_pipeline", "is no base64"),
        ({"files": {"pipeline.yaml": ""}}, 422, "invalid_pipeline", "pipeline.yaml"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_with_a_sentence_and_files_nothing(
    home: ControlHome, shop: Path, change: dict[str, Any], status: int, code: str, words: str
) -> None:
    body = {"folder": "shop", "files": encode(shop), **change}
    refused = home.ask("POST", "/v1/runs", json=body)
    assert (refused.status_code, error(refused)["code"]) == (status, code)
    assert words in error(refused)["message"]
    assert home.store.children("requests/") == []


@pytest.mark.parametrize(
    "path",
    [
        *("../evil.py", "/etc/evil.py", "a/../../evil.py", "..\\evil.py", "./evil.py", "a//b.py", "a/"),
        *(".git/hooks/x", "sub/.GIT/config", "new\nline.py", "x" * 300 + ".py", "", "train.ipynb/x.py"),
    ],
)
def test_no_path_leads_out_of_the_folder(home: ControlHome, shop: Path, path: str) -> None:
    files = encode(shop) | {path: base64.b64encode(b"print(1)").decode()}
    answer = home.ask("POST", "/v1/runs", json={"folder": "shop", "files": files})
    if path == ".git/hooks/x":  # what git leaves behind is left out, as when a folder is read
        assert answer.status_code == 202
        release = answer.json()["release"]
        assert home.ask("GET", f"/v1/releases/shop/{release}/files/{path}").status_code == 404
        return
    assert (answer.status_code, error(answer)["code"]) == (422, "invalid_pipeline")
    assert home.store.children("releases/") == []


def test_a_working_copy_runs_in_dev_only(tmp_path: Path, shop: Path) -> None:
    staging = ControlHome(tmp_path / "staging", environment="staging")
    refused = staging.ask("POST", "/v1/runs", json={"folder": "shop", "files": encode(shop)})
    assert refused.status_code == 422
    assert "runs in the environment 'dev' only, this is 'staging'" in error(refused)["message"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    small = ControlHome(tmp_path / "home", api_max_body_bytes=2_000)
    for headers in ({}, {"Content-Length": "5"}):  # said, and found while reading
        refused = small.ask("POST", "/v1/runs", content=b"[" + b"1," * 2_000, headers=headers)
        assert (refused.status_code, error(refused)["code"]) == (413, "body_too_large")
        assert "RASEN_API_MAX_BODY_BYTES" in error(refused)["message"]
    malformed = small.ask("POST", "/v1/runs", content=b"{", headers={"Content-Type": "application/json"})
    assert (malformed.status_code, error(malformed)["code"]) == (400, "malformed")


def test_files_of_a_release_are_handed_out_and_nothing_else(home: ControlHome, shop: Path) -> None:
    release = home.order(shop)["release"]
    place = f"/v1/releases/shop/{release}/files"
    found = home.ask("GET", f"{place}/pipeline.yaml")
    assert found.content == (shop / "pipeline.yaml").read_bytes()
    assert found.headers["Content-Disposition"] == "attachment"
    for path in ("nothing.py", "..%2F..%2Frelease.json", "%2e%2e/release.json", "bundle.tar.gz"):
        assert home.ask("GET", f"{place}/{path}").status_code == 404
    assert home.ask("GET", "/v1/releases/shop/..%2f/files/pipeline.yaml").status_code == 404
    assert home.ask("GET", f"/v1/releases/Shop/{release}/files/pipeline.yaml").status_code == 422


def test_what_does_not_exist_is_said_with_the_nearest(home: ControlHome, shop: Path) -> None:
    home.order(shop)
    unknown = home.ask("GET", "/v1/runs/20260131T041000000Z-0123456789ab")
    assert (unknown.status_code, error(unknown)["code"]) == (404, "not_found")
    assert home.ask("GET", "/v1/nothing").status_code == 404
    wrong = home.ask("DELETE", "/v1/runs")
    assert (wrong.status_code, error(wrong)["code"]) == (405, "method_not_allowed")
    assert home.ask("GET", "/v1/runs?verdict=fine").status_code == 422
    assert home.ask("GET", "/v1/runs?metric=rmse").status_code == 422
    assert home.ask("GET", "/v1/endpoints/none").status_code == 404
    assert json.loads(home.ask("GET", "/v1/releases").text) == {"releases": []}
