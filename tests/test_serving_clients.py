"""The real clients of every protocol against a running service; and what they sent, replayed in every run of the tests.

The clients need an environment of their own, so calling them is a tier of its own: `make test-clients`. What they send
is recorded in `clients/recorded.json` and held against what they send today, so the replays are never a guess.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.environment import clients_environment, clients_python
from clients.recorder import recording
from rasen.local.processes import free_port
from rasen.settings import load_settings
from rasen.store import open_store
from stand.app import App
from stand.protocol_models import deploy_protocol_models
from stand.serving import Server, new_settings, running_server

SCRIPT = Path(__file__).parent / "clients" / "real_clients.py"
RECORDED = SCRIPT.with_name("recorded.json")
REQUESTS: dict[str, list[dict[str, Any]]] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}

TWO = [14.0, 36.0]
SUMS = [4.5, 5.5]
WIDE = [["short", "long"], [True, False]]
EXPECTED: dict[str, dict[str, Any]] = {
    "triton": {
        "triton live": True,
        "triton ready": True,
        "triton model ready": True,
        "triton model not ready": False,
        "triton server": ["binary_tensor_data"],
        "triton bytes": [TWO, "r-1"],
        "triton json": [TWO, "r-1"],
        "triton matrix bytes": SUMS,
        "triton matrix json": SUMS,
        "triton narrow bytes": SUMS,
        "triton narrow json": SUMS,
        "triton wide bytes": WIDE,
        "triton wide json": WIDE,
        "triton by run": TWO,
        "triton by revision": TWO,
        "triton grpc live": True,
        "triton grpc ready": True,
        "triton grpc model ready": True,
        "triton grpc metadata": "demand",
        "triton grpc": [TWO, "r-1"],
        "triton grpc matrix": SUMS,
    },
    "kserve": {
        "kserve live": True,
        "kserve ready": True,
        "kserve model ready": True,
        "kserve bytes": [TWO, "r-1"],
        "kserve json": [TWO, "r-1"],
        "kserve nullable left out": [["short", "long"], [False, False]],
        "kserve v1 model ready": True,
        "kserve v1 objects": {"predictions": TWO},
        "kserve v1 lists": {"predictions": TWO},
        "kserve grpc live": True,
        "kserve grpc ready": True,
        "kserve grpc model ready": True,
        "kserve grpc": [TWO, "r-1"],
        "kserve grpc listed": [6.0],
    },
    "mlflow": {
        "mlflow version": True,
        "mlflow dataframe": TWO,
        "mlflow params": TWO,
        "mlflow inputs": {"predictions": SUMS},
        "mlflow instances": {"predictions": SUMS},
        "mlflow records": {"predictions": TWO},
        "mlflow columns": {"predictions": TWO},
        "mlflow csv": {"predictions": TWO},
    },
}
TOLD = {
    "triton": {
        "triton unknown model": ["404", "there is no endpoint 'nobody'"],
        "triton unknown version": ["404", "version '77' of 'demand' is not live"],
        "triton grpc unknown model": ["StatusCode.NOT_FOUND", "there is no endpoint 'nobody'"],
    },
    "kserve": {"kserve v1 refused": ["422", "instances[0].origin: 1 is not text"]},
    "mlflow": {"mlflow refused": ["422", "dataframe_records[0].origin: 1 is not text"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(
        tmp_path_factory.mktemp("home"),
        environment="dev",
        serving_workers=1,
        default_endpoint="demand",
        grpc_port=free_port("127.0.0.1"),
    )
    deploy_protocol_models(open_store(settings), settings)
    with running_server(settings) as server:
        yield server


@pytest.mark.clients
@pytest.mark.timeout(600)  # the first run installs the clients
@pytest.mark.parametrize("client", EXPECTED)
def test_a_real_client(server: Server, client: str) -> None:
    with recording(server.settings.serving_port) as (port, recorded):
        done = subprocess.run(
            [clients_python(), SCRIPT, client, f"127.0.0.1:{port}", f"127.0.0.1:{server.settings.grpc_port}"],
            env=clients_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    got.pop("triton metadata", None)  # of the exact form that `test_serving_oip.py` holds
    for name, words in TOLD[client].items():
        told = json.dumps(got.pop(name))
        assert all(word in told for word in words), told
    assert got == EXPECTED[client]
    if client not in REQUESTS:
        everything = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
        RECORDED.write_text(json.dumps(everything | {client: recorded}, indent=1) + "\n")
        pytest.fail(f"what {client} sends was not recorded; now it is, in {RECORDED.name}")
    hint = (
        f"{client} sends something else than is recorded: take it out of {RECORDED.name}, and run this again"
    )
    assert recorded == REQUESTS[client], hint


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    home = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev", default_endpoint="demand")
    store = open_store(home)
    deploy_protocol_models(store, home)
    app = App(store, home)
    app.bring_up()
    return app


@pytest.mark.parametrize("client", EXPECTED)
def test_what_a_real_client_sends_is_answered_as_it_was(app: App, client: str) -> None:
    assert len(REQUESTS[client]) >= 4
    for request in REQUESTS[client]:
        content = base64.b64decode(request["body"])
        answer = app.call("POST", request["path"], content=content, headers=request["headers"])
        assert answer.status_code == request["status"], answer.text
        if answer.status_code == 200:
            assert answer.content == base64.b64decode(request["answer"])
