"""The real clients of each protocol, one call after the other; what each got goes to standard output as JSON.

Run in the environment of `requirements.lock` beside this file, never in ours: `python real_clients.py
triton|kserve|mlflow HOST:PORT GRPC_HOST:PORT`. The endpoints are those of `stand/protocol_models.py`.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

Call = tuple[str, Any]  # a name, and what came of it as JSON

DEMAND = pd.DataFrame({"origin": ["JFK", "EWR"], "hour": [7, 18]})
MATRIX = np.array([[1.0, 0.5, 3.0], [2.5, -1.0, 4.0]])


def triton_http(address: str) -> Iterator[Call]:
    """Triton's HTTP client: health, metadata, tensors as bytes and in JSON, versions, and a refusal."""
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(address)
    yield "triton live", client.is_server_live()
    yield "triton ready", client.is_server_ready()
    yield "triton model ready", client.is_model_ready("demand")
    yield "triton model not ready", client.is_model_ready("nobody")
    yield "triton server", client.get_server_metadata()["extensions"]
    yield "triton metadata", client.get_model_metadata("demand")
    for binary in (True, False):
        how = "bytes" if binary else "json"
        inputs = _tensors(InferInput, binary_data=binary)
        outputs = [InferRequestedOutput("predict", binary_data=binary)]
        result = client.infer("demand", inputs, outputs=outputs, request_id="r-1")
        yield f"triton {how}", [result.as_numpy("predict").tolist(), result.get_response()["id"]]
        matrix = InferInput("matrix", list(MATRIX.shape), "FP64")
        matrix.set_data_from_numpy(MATRIX, binary_data=binary)
        yield f"triton matrix {how}", client.infer("matrix", [matrix]).as_numpy("predict").tolist()
        narrow = InferInput("matrix", list(MATRIX.shape), "FP32")
        narrow.set_data_from_numpy(MATRIX.astype("float32"), binary_data=binary)
        yield f"triton narrow {how}", client.infer("matrix", [narrow]).as_numpy("predict").tolist()
        wide = client.infer("wide", _wide(InferInput, binary_data=binary))
        yield (
            f"triton wide {how}",
            [
                [text.decode() for text in wide.as_numpy("kind").tolist()],
                wide.as_numpy("late").tolist(),
            ],
        )
    run = client.get_model_metadata("demand")["versions"][0]
    by_run = client.infer("demand", _tensors(InferInput, binary_data=True), model_version=run)
    yield "triton by run", by_run.as_numpy("predict").tolist()
    by_number = client.infer("demand", _tensors(InferInput, binary_data=True), model_version="1")
    yield "triton by revision", by_number.as_numpy("predict").tolist()
    for name, options in (("unknown model", ("nobody", "")), ("unknown version", ("demand", "77"))):
        try:
            client.infer(options[0], _tensors(InferInput, binary_data=True), model_version=options[1])
        except InferenceServerException as error:
            yield f"triton {name}", [error.status(), error.message()]
    client.close()


def triton_grpc(address: str) -> Iterator[Call]:
    """Triton's gRPC client."""
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(address)
    yield "triton grpc live", client.is_server_live()
    yield "triton grpc ready", client.is_server_ready()
    yield "triton grpc model ready", client.is_model_ready("demand")
    yield "triton grpc metadata", client.get_model_metadata("demand", as_json=True)["name"]
    result = client.infer("demand", _tensors(InferInput), request_id="r-1")
    yield "triton grpc", [result.as_numpy("predict").tolist(), result.get_response().id]
    matrix = InferInput("matrix", list(MATRIX.shape), "FP64")
    matrix.set_data_from_numpy(MATRIX)
    yield "triton grpc matrix", client.infer("matrix", [matrix]).as_numpy("predict").tolist()
    try:
        client.infer("nobody", _tensors(InferInput))
    except InferenceServerException as error:
        yield "triton grpc unknown model", [error.status(), error.message()]
    client.close()


def _tensors(kind: Any, **options: bool) -> list[Any]:
    origin = kind("origin", [2], "BYTES")
    origin.set_data_from_numpy(np.array(["JFK", "EWR"], dtype=object), **options)
    hour = kind("hour", [2, 1], "INT32")
    hour.set_data_from_numpy(np.array([[7], [18]], dtype="int32"), **options)
    return [origin, hour]


def _wide(kind: Any, **options: bool) -> list[Any]:
    inputs = []
    for name, datatype, values in (
        ("kind", "BYTES", np.array(["short", "long"], dtype=object)),
        ("delay", "FP64", np.array([20.5, 3.0])),
        ("seats", "INT64", np.array([180, 70])),
        ("day", "BYTES", np.array(["2013-01-31", "2013-02-01"], dtype=object)),
        ("at", "BYTES", np.array(["2013-01-31T06:00:00Z", "2013-02-01T06:00:00Z"], dtype=object)),
        ("first", "BOOL", np.array([True, False])),
    ):
        tensor = kind(name, [2], datatype)
        tensor.set_data_from_numpy(values, **options)
        inputs.append(tensor)
    return inputs


async def kserve_http(address: str) -> list[Call]:
    """KServe's REST client, with both protocols."""
    import httpx
    from kserve import InferenceRESTClient, InferInput, InferRequest
    from kserve.inference_client import RESTConfig

    url = f"http://{address}"
    calls: list[Call] = []
    second = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    calls.append(("kserve live", await second.is_server_live(url)))
    calls.append(("kserve ready", await second.is_server_ready(url)))
    calls.append(("kserve model ready", await second.is_model_ready(url, "demand")))
    for binary in (True, False):
        request = InferRequest(
            model_name="demand", infer_inputs=_tensors(InferInput, binary_data=binary), request_id="r-1"
        )
        answer = await second.infer(url, request, model_name="demand")
        how = "bytes" if binary else "json"
        calls.append((f"kserve {how}", [answer.outputs[0].as_numpy().tolist(), answer.id]))
    missing = InferRequest(
        model_name="wide",
        infer_inputs=[one for one in _wide(InferInput, binary_data=False) if one.name != "delay"],
        request_id="r-2",
    )
    answer = await second.infer(url, missing, model_name="wide")
    calls.append(("kserve nullable left out", [output.data for output in answer.outputs]))
    first = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    calls.append(("kserve v1 model ready", await first.is_model_ready(url, "demand")))
    for name, instances in (
        ("objects", DEMAND.to_dict(orient="records")),
        ("lists", DEMAND.to_numpy().tolist()),
    ):
        calls.append(
            (f"kserve v1 {name}", await first.infer(url, {"instances": instances}, model_name="demand"))
        )
    try:
        await first.infer(url, {"instances": [{"origin": 1}]}, model_name="demand")
    except httpx.HTTPStatusError as error:
        calls.append(("kserve v1 refused", [error.response.status_code, str(error)]))
    await first.close()
    await second.close()
    return calls


async def kserve_grpc(address: str) -> list[Call]:
    """KServe's gRPC client."""
    from kserve import InferenceGRPCClient, InferInput, InferRequest

    async with InferenceGRPCClient(address, retries=0) as client:
        request = InferRequest(
            model_name="demand", infer_inputs=_tensors(InferInput, binary_data=True), request_id="r-1"
        )
        answer = await client.infer(request)
        listed = InferRequest(
            model_name="matrix", infer_inputs=[InferInput("x", [1, 3], "FP64", data=[1.0, 2.0, 3.0])]
        )
        return [
            ("kserve grpc live", await client.is_server_live()),
            ("kserve grpc ready", await client.is_server_ready()),
            ("kserve grpc model ready", await client.is_model_ready("demand")),
            ("kserve grpc", [answer.outputs[0].as_numpy().tolist(), answer.id]),
            ("kserve grpc listed", (await client.infer(listed)).outputs[0].as_numpy().tolist()),
        ]


def mlflow(address: str) -> Iterator[Call]:
    """MLflow's scoring client, its deployments client, and its payload builders."""
    import requests
    from mlflow.deployments import get_deploy_client
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    from mlflow.utils.proto_json_utils import dump_input_data

    host, port = address.split(":")
    client = ScoringServerClient(host, int(port))
    client.ping()
    yield "mlflow version", bool(client.get_version())
    yield "mlflow dataframe", client.invoke(DEMAND)["predictions"]
    yield "mlflow params", client.invoke(DEMAND, params={})["predictions"]
    # Built by MLflow, sent by hand: its scoring client cannot send these.
    url = f"http://{address}/endpoints/matrix/invocations"
    for name, body in (
        ("inputs", dump_input_data(MATRIX)),
        ("instances", dump_input_data(MATRIX, inputs_key="instances")),
    ):
        answer = requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=20)
        yield f"mlflow {name}", answer.json()
    deployed = get_deploy_client(f"http://{address}")
    records = {"dataframe_records": DEMAND.to_dict(orient="records")}
    yield "mlflow records", deployed.predict(endpoint="demand", inputs=records)
    columns = {"inputs": DEMAND.to_dict(orient="list")}
    yield "mlflow columns", deployed.predict(endpoint="demand", inputs=columns)
    csv = requests.post(
        f"http://{address}/invocations",
        data=DEMAND.to_csv(index=False),
        headers={"Content-Type": "text/csv"},
        timeout=20,
    )
    yield "mlflow csv", csv.json()
    try:
        deployed.predict(endpoint="demand", inputs={"dataframe_records": [{"origin": 1}]})
    except (MlflowException, requests.HTTPError) as error:
        yield "mlflow refused", str(error)


def main() -> None:
    """Call everything that one client can; two of them cannot be in one process, for both bring the same messages."""
    client, http, grpc = sys.argv[1:]
    match client:
        case "triton":
            calls = [*triton_http(http), *triton_grpc(grpc)]
        case "kserve":
            calls = [*asyncio.run(kserve_http(http)), *asyncio.run(kserve_grpc(grpc))]
        case _:
            calls = [*mlflow(http)]
    json.dump(dict(calls), sys.stdout)


if __name__ == "__main__":
    main()
