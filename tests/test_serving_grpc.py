"""The Open Inference Protocol over gRPC: its six calls, both ways to send values, and what is refused how."""

import asyncio
import importlib.util
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasen.errors import PlatformFailed
from rasen.local.processes import free_port
from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving import open_inference_pb2 as messages
from rasen_serving.access import Access
from rasen_serving.grpc_port import hold_grpc_port
from rasen_serving.grpc_server import SERVICE, GrpcServer
from rasen_serving.messages import Situation
from rasen_serving.oip_datatypes import DATATYPES
from stand.app import App
from stand.protocol_models import deploy_protocol_models, only_caller
from stand.repository import ROOT
from stand.serving import new_settings, running_server

Message = Any  # protobuf's classes are made at run time
RUNS: dict[str, str] = {}
REFUSED = grpc.StatusCode.INVALID_ARGUMENT


class Caller:
    """A client of the calls."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)

    def call(self, name: str, request: Message | bytes, **metadata: str) -> Message:
        kind = getattr(messages, f"{name}Response")
        method = self.channel.unary_unary(f"/{SERVICE}/{name}", response_deserializer=kind.FromString)
        body = request if isinstance(request, bytes) else request.SerializeToString()
        self.answer, self.about = method.with_call(
            body,
            timeout=20,
            wait_for_ready=True,
            metadata=tuple((key.replace("_", "-"), value) for key, value in metadata.items()),
        )
        return self.answer

    def refusal(self, name: str, request: Message | bytes, **metadata: str) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(name, request, **metadata)
        error: Any = caught.value  # grpc: an error is a call as well
        return error.code(), error.details()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    home = load_settings(
        home=tmp_path_factory.mktemp("home"), environment="dev", max_body_bytes=20_000, max_rows=50
    )
    store = open_store(home)
    RUNS.update(deploy_protocol_models(store, home))
    app = App(store, home)
    app.bring_up()
    return app


@pytest.fixture(scope="module")
def caller(app: App) -> Iterator[Caller]:
    """Serve from a loop in a thread, and yield a client."""
    ready, stop = threading.Event(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = GrpcServer(app.service, host="127.0.0.1", port=0)
        await server.start()
        ports.append(server.port)
        ready.set()
        await asyncio.to_thread(stop.wait)
        await server.stop(seconds=1)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(20)
    caller = Caller(f"127.0.0.1:{ports[0]}")
    yield caller
    caller.channel.close()
    stop.set()
    thread.join()


def origin(*values: str) -> Message:
    tensor = messages.ModelInferRequest.InferInputTensor(name="origin", datatype="BYTES", shape=[len(values)])
    tensor.contents.bytes_contents.extend(value.encode() for value in values)
    return tensor


def hour(*values: int, datatype: str = "INT32", field: str = "int_contents") -> Message:
    tensor = messages.ModelInferRequest.InferInputTensor(
        name="hour", datatype=datatype, shape=[len(values), 1]
    )
    getattr(tensor.contents, field).extend(values)
    return tensor


def request(*inputs: Message, model: str = "demand", **more: Any) -> Message:
    return messages.ModelInferRequest(model_name=model, inputs=inputs, **more)


def test_values_in_the_field_of_their_datatype(caller: Caller) -> None:
    answer = caller.call(
        "ModelInfer", request(origin("JFK", "EWR"), hour(7, 18), id="r-1"), x_request_id="mine"
    )
    assert (answer.model_name, answer.model_version, answer.id) == ("demand", RUNS["demand"], "r-1")
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("predict", "FP64", [2])
    assert list(output.contents.fp64_contents) == [14.0, 36.0]
    assert answer.parameters["source"].string_param == "model"
    assert dict(caller.about.initial_metadata())["x-request-id"] == "mine"
    assert dict(caller.about.trailing_metadata())["x-rasen-model"] == RUNS["demand"]


def test_values_as_bytes(caller: Caller) -> None:
    matrix = messages.ModelInferRequest.InferInputTensor(name="x", datatype="FP64", shape=[1, 3])
    raw = b"".join(value.to_bytes(8, "little") for value in (0x3FF0 << 48, 0x4000 << 48, 0x4008 << 48))
    answer = caller.call("ModelInfer", request(matrix, model="matrix", raw_input_contents=[raw]))
    assert answer.raw_output_contents == [(0x4018 << 48).to_bytes(8, "little")]
    assert not answer.outputs[0].HasField("contents")


def test_texts_and_bools_out(caller: Caller) -> None:
    tensors = []
    for name, datatype, field, values in (
        ("kind", "BYTES", "bytes_contents", [b"short"]),
        ("delay", "FP32", "fp32_contents", [20.5]),
        ("seats", "UINT64", "uint64_contents", [180]),
        ("day", "BYTES", "bytes_contents", [b"2013-01-31"]),
        ("at", "BYTES", "bytes_contents", [b"2013-01-31T06:00:00Z"]),
        ("first", "BOOL", "bool_contents", [True]),
    ):
        tensor = messages.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=[1])
        getattr(tensor.contents, field).extend(values)
        tensors.append(tensor)
    kind, late = caller.call("ModelInfer", request(*tensors, model="wide")).outputs
    assert (list(kind.contents.bytes_contents), list(late.contents.bool_contents)) == ([b"short"], [True])
    wanted = messages.ModelInferRequest.InferRequestedOutputTensor(name="late")
    (only,) = caller.call("ModelInfer", request(*tensors, model="wide", outputs=[wanted])).outputs
    assert only.name == "late"


def test_server_and_models_say_what_they_are(caller: Caller) -> None:
    assert caller.call("ServerLive", messages.ServerLiveRequest()).live
    assert caller.call("ServerReady", messages.ServerReadyRequest()).ready
    server = caller.call("ServerMetadata", messages.ServerMetadataRequest())
    assert (server.name, list(server.extensions)) == ("rasen", ["binary_tensor_data"])
    found = caller.call("ModelMetadata", messages.ModelMetadataRequest(name="demand"))
    assert (found.name, list(found.versions)) == ("demand", [RUNS["demand"]])
    assert [(one.name, one.datatype, list(one.shape)) for one in (*found.inputs, *found.outputs)] == [
        ("origin", "BYTES", [-1]),
        ("hour", "INT64", [-1]),
        ("predict", "FP64", [-1]),
    ]
    for name, version, ready in (("demand", "", True), ("demand", "7", False), ("nobody", "", False)):
        asked = messages.ModelReadyRequest(name=name, version=version)
        assert caller.call("ModelReady", asked).ready is ready
    code, details = caller.refusal("ModelMetadata", messages.ModelMetadataRequest(name="nobody"))
    assert (code, "endpoints: 'demand'" in details) == (grpc.StatusCode.NOT_FOUND, True)


def test_a_version_is_a_live_run_or_the_live_revision(caller: Caller) -> None:
    for version in (RUNS["demand"], "1"):
        caller.call("ModelInfer", request(origin("JFK"), hour(7), model_version=version))
    code, details = caller.refusal("ModelInfer", request(origin("JFK"), hour(7), model_version="7"))
    assert code is grpc.StatusCode.NOT_FOUND
    assert "version '7' of 'demand' is not live" in details


def test_nothing_live_and_a_failing_model_are_unavailable(app: App, caller: Caller) -> None:
    app.service.accept_situation(
        Situation(ready=False, reason="x", waiting={"young": "it is being loaded"}, log_open=True)
    )
    try:
        code, details = caller.refusal("ModelInfer", request(origin("JFK"), hour(7), model="young"))
        assert (code, "it is being loaded" in details) == (grpc.StatusCode.UNAVAILABLE, True)
        assert not caller.call("ServerReady", messages.ServerReadyRequest()).ready
    finally:
        app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))
    code, details = caller.refusal("ModelInfer", request(origin("JFK"), hour(101), model="moody"))
    assert (code, "secret" in details) == (grpc.StatusCode.UNAVAILABLE, False)


def test_nobody_unknown_is_let_in(
    app: App, caller: Caller, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "rasen_test.secret"
    access = Access(load_settings(home=tmp_path_factory.mktemp("home"), access="keys"))
    access.accept(only_caller(key, "demand"))
    monkeypatch.setattr(app.service, "access", access)
    mine = {"authorization": f"Bearer {key}"}
    asked = {
        "ModelInfer": request(origin("JFK"), hour(7)),
        "ModelMetadata": messages.ModelMetadataRequest(name="demand"),
        "ModelReady": messages.ModelReadyRequest(name="demand"),
    }
    for name, message in asked.items():
        assert caller.refusal(name, message)[0] is grpc.StatusCode.UNAUTHENTICATED
        assert caller.refusal(name, b"\xff")[0] is grpc.StatusCode.UNAUTHENTICATED
        caller.call(name, message, **mine)
        caller.call(name, message, x_api_key=key)
    for name, message in (
        ("ModelInfer", request(origin("JFK"), hour(7), model="wide", model_version="7")),
        ("ModelMetadata", messages.ModelMetadataRequest(name="wide")),
        ("ModelReady", messages.ModelReadyRequest(name="wide")),
    ):
        assert caller.refusal(name, message, **mine)[0] is grpc.StatusCode.PERMISSION_DENIED
    assert caller.refusal("ServerMetadata", b"")[0] is grpc.StatusCode.UNAUTHENTICATED
    assert caller.call("ServerLive", b"").live
    assert caller.call("ServerReady", b"").ready


_SHARED = {"shared_memory_region": messages.InferParameter(string_param="r")}
WRONG: dict[str, tuple[Message, str]] = {
    "no inputs": (request(), "inputs: must hold one tensor a column"),
    "missing": (request(origin("JFK")), "tensor 'hour' is missing"),
    "other field": (
        request(origin("JFK"), hour(7, datatype="INT64")),
        "inputs[1].contents: INT64 values stand in int64_contents, not in int_contents",
    ),
    "no field": (
        request(origin("JFK"), hour(7, datatype="FP16")),
        "FP16 is sent as bytes, in raw_input_contents",
    ),
    "too few": (
        request(origin("JFK", "EWR"), hour(7)),
        "has 1 rows, the longest tensor has 2",
    ),
    "unknown datatype": (request(origin("JFK"), hour(7, datatype="BF16")), "'BF16' is no datatype"),
    "out of range": (
        request(origin("JFK"), hour(300, datatype="INT8")),
        "inputs[1].data[0]: 300 does not fit into INT8",
    ),
    "not for all": (
        request(origin("JFK"), hour(7), raw_input_contents=[b""]),
        "raw_input_contents: has 1 entries; there are 2 inputs",
    ),
    "both": (
        request(origin("JFK"), hour(7), raw_input_contents=[b"", b""]),
        "bytes_contents and raw_input_contents hold values",
    ),
    "unknown output": (
        request(
            origin("JFK"),
            hour(7),
            outputs=[messages.ModelInferRequest.InferRequestedOutputTensor(name="predicted")],
        ),
        "unknown output 'predicted'; did you mean 'predict'?",
    ),
    "shared output": (
        request(
            origin("JFK"),
            hour(7),
            outputs=[
                messages.ModelInferRequest.InferRequestedOutputTensor(name="predict", parameters=_SHARED)
            ],
        ),
        "classification and shared memory are not offered",
    ),
    "shared input": (
        request(
            messages.ModelInferRequest.InferInputTensor(name="origin", datatype="BYTES", parameters=_SHARED)
        ),
        "shared memory is not read here",
    ),
    "too many rows": (request(origin(*["JFK"] * 51), hour(*[7] * 51)), "51 rows; at most 50"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_an_invalid_argument_that_is_named(caller: Caller, name: str) -> None:
    asked, told = WRONG[name]
    code, details = caller.refusal("ModelInfer", asked)
    assert code is REFUSED
    assert told in details


def test_bytes_that_are_no_message_or_no_text(caller: Caller) -> None:
    for call in ("ModelInfer", "ModelMetadata", "ModelReady"):
        code, details = caller.refusal(call, b"\xff\xff\xff")
        assert (code, f"the 3 bytes are no {call}Request" in details) == (REFUSED, True)
    latin = origin("x")
    latin.contents.bytes_contents[0] = b"\xe9"
    code, details = caller.refusal("ModelInfer", request(latin, hour(7)))
    assert (code, "a text is not UTF-8: byte 0" in details) == (REFUSED, True)


def test_a_large_message_is_read_in_the_thread_and_a_larger_one_refused(caller: Caller) -> None:
    text = "x" * 15_000
    assert caller.call("ModelInfer", request(origin(text), hour(7))).outputs
    code, _ = caller.refusal("ModelInfer", request(origin(text * 3), hour(7)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


_NAME = st.sampled_from(["origin", "hour", "x", ""])
_CONTENTS = st.builds(
    messages.InferTensorContents,
    bytes_contents=st.lists(st.binary(max_size=3), max_size=2),
    int_contents=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2),
    fp64_contents=st.lists(st.floats(), max_size=2),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.builds(
        messages.ModelInferRequest,
        model_name=st.sampled_from(["demand", "matrix", "wide"]),
        id=st.text(max_size=3),
        inputs=st.lists(
            st.builds(
                messages.ModelInferRequest.InferInputTensor,
                name=_NAME,
                datatype=st.sampled_from([*DATATYPES, "BF16", ""]),
                shape=st.lists(st.integers(-1, 3), max_size=3),
                contents=_CONTENTS,
            ),
            max_size=3,
        ),
        raw_input_contents=st.lists(st.binary(max_size=16), max_size=3),
    )
)
def test_no_message_is_an_internal_error(caller: Caller, asked: Message) -> None:
    try:
        caller.call("ModelInfer", asked)
    except grpc.RpcError as error:
        found: Any = error  # as above
        assert found.code() is REFUSED, found


def test_the_module_is_made_of_the_file_beside_it() -> None:
    text = (ROOT / "serving" / "rasen_serving" / "open_inference.proto").read_text()
    text = re.sub(r"//.*", "", text)
    names: list[str] = []
    stated: set[tuple[str, str, int]] = set()
    for line in text.splitlines():
        if found := re.match(r"\s*(message|oneof|service) (\w+) \{\s*$", line):
            names.append("" if found[1] == "oneof" else found[2])
        elif field := re.match(r"\s*(?:repeated )?(?:map<[^>]+>|\w+) (\w+) = (\d+);", line):
            stated.add((".".join(filter(None, names)), field[1], int(field[2])))
        if line.strip() == "}":
            names.pop()

    def fields(kind: Any) -> Iterator[tuple[str, str, int]]:  # Any: a descriptor
        if kind.GetOptions().map_entry:
            return
        for field in kind.fields:
            yield kind.full_name.removeprefix("inference."), field.name, field.number
        for nested in kind.nested_types:
            yield from fields(nested)

    made = {field for kind in messages.DESCRIPTOR.message_types_by_name.values() for field in fields(kind)}
    assert made == stated
    calls = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    assert [call.name for call in calls] == re.findall(r"rpc (\w+)\(", text)


def test_the_port_is_held_for_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port("127.0.0.1")
    holder = hold_grpc_port(load_settings(grpc_port=port))
    assert holder is not None
    with holder, socket.socket() as worker, socket.socket() as another:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", port))
        with pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", port))
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(PlatformFailed, match="set RASEN_GRPC_PORT to a free one"):
        hold_grpc_port(load_settings(grpc_port=taken.getsockname()[1]))
    assert hold_grpc_port(load_settings()) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PlatformFailed, match=r"install 'rasen\[grpc\]'"):
        hold_grpc_port(load_settings(grpc_port=port))


def test_all_workers_answer_and_finish_what_they_have_begun(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = new_settings(tmp_path_factory.mktemp("home"), environment="dev", grpc_port=free_port("127.0.0.1"))
    deploy_protocol_models(open_store(home), home, "demand")
    with running_server(home) as server:
        caller = Caller(f"127.0.0.1:{home.grpc_port}")
        for _ in range(5):
            answer = caller.call("ModelInfer", request(origin("JFK"), hour(7)))
            assert list(answer.outputs[0].contents.fp64_contents) == [14.0]
        caller.channel.close()
        assert server.stop() == 0
        assert "Traceback" not in server.log()
