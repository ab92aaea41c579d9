"""The Open Inference Protocol v2 over HTTP: tensors in JSON and as bytes, metadata, versions, and what is refused."""

import json
import struct
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasen.data.columns import ColumnType
from rasen.model.conversion import as_list, is_array
from rasen.model.request_errors import InvalidRows, TooManyRows
from rasen.model.schema import Column, ModelSchema, Output
from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.asked import Asked
from rasen_serving.batching import Request as BatchedRequest
from rasen_serving.batching import answer as answer_batch
from rasen_serving.live import Predicted
from rasen_serving.messages import Situation
from rasen_serving.oip_datatypes import DATATYPES, write_bytes
from rasen_serving.oip_tensors import Tensor, read_columns
from rasen_serving.wire_oip import OIP
from stand.app import App
from stand.protocol_models import deploy_protocol_models
from stand.versions import linear, publish_version, share_out

HEAD = "inference-header-content-length"
INFER = "/v2/models/demand/infer"
ORIGIN = {"name": "origin", "shape": [2], "datatype": "BYTES", "data": ["JFK", "EWR"]}
HOUR = {"name": "hour", "shape": [2, 1], "datatype": "INT32", "data": [7, 18]}
MATRIX = {"name": "x", "shape": [2, 3], "datatype": "FP64", "data": [1.0, 0.5, 3.0, 2.5, -1.0, 4.0]}
RUNS: dict[str, str] = {}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    home = load_settings(
        home=tmp_path_factory.mktemp("home"), environment="dev", max_body_bytes=4000, max_rows=20
    )
    store = open_store(home)
    RUNS.update(deploy_protocol_models(store, home))
    app = App(store, home)
    app.bring_up()
    return app


def infer(app: App, *inputs: dict[str, Any], path: str = INFER, **more: Any) -> httpx.Response:
    return app.call("POST", path, json={"inputs": list(inputs), **more})


def send_bytes(app: App, head: object, raw: bytes, *, path: str = INFER, **headers: str) -> httpx.Response:
    encoded = json.dumps(head).encode()
    return app.call(
        "POST",
        path,
        content=encoded + raw,
        headers={HEAD: str(len(encoded)), "content-type": "application/octet-stream"} | headers,
    )


def error_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"error"}
    error: str = document["error"]
    return error


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def test_one_tensor_a_column(app: App) -> None:
    answer = infer(app, ORIGIN, HOUR, id="r-1")
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "demand",
        "model_version": RUNS["demand"],
        "parameters": {"source": "model"},
        "outputs": [{"name": "predict", "shape": [2], "datatype": "FP64", "data": [14.0, 36.0]}],
        "id": "r-1",
    }
    assert answer.headers["x-rasen-model"] == RUNS["demand"]


def test_data_may_be_nested_like_the_shape(app: App) -> None:
    answer = infer(app, ORIGIN, HOUR | {"data": [[7], [18]]})
    assert answer.json()["outputs"][0]["data"] == [14.0, 36.0]


@pytest.mark.parametrize("data", [MATRIX["data"], [[1.0, 0.5, 3.0], [2.5, -1.0, 4.0]]])
def test_one_matrix_has_the_columns_in_the_schemas_order(app: App, data: list[Any]) -> None:
    answer = infer(app, MATRIX | {"data": data}, path="/v2/models/matrix/infer")
    assert answer.json()["outputs"][0]["data"] == [4.5, 5.5]


def test_every_column_type_and_several_outputs(app: App) -> None:
    rows = app.call("GET", "/endpoints/wide").json()["example"]["rows"]
    datatypes = {one["name"]: one["datatype"] for one in app.call("GET", "/v2/models/wide").json()["inputs"]}
    inputs = [
        {"name": name, "shape": [2], "datatype": datatype, "data": [row[name] for row in rows]}
        for name, datatype in datatypes.items()
    ]
    outputs = infer(app, *inputs, path="/v2/models/wide/infer").json()["outputs"]
    assert [(one["name"], one["datatype"], one["data"]) for one in outputs] == [
        ("kind", "BYTES", ["short", "long"]),
        ("late", "BOOL", [True, False]),
    ]
    only = infer(app, *inputs, path="/v2/models/wide/infer", outputs=[{"name": "late"}]).json()["outputs"]
    assert [one["name"] for one in only] == ["late"]
    nullable = [one for one in inputs if one["name"] != "delay"]
    assert infer(app, *nullable, path="/v2/models/wide/infer").status_code == 200


def test_bytes_in_and_out(app: App) -> None:
    raw = texts("JFK", "EWR") + np.array([7, 18], "<i4").tobytes()
    sizes = (14, 8)
    inputs = [
        {key: value for key, value in tensor.items() if key != "data"}
        | {"parameters": {"binary_data_size": size}}
        for tensor, size in zip((ORIGIN, HOUR), sizes, strict=True)
    ]
    head = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    for kind in ("application/octet-stream", ""):  # Triton's client names none
        answer = send_bytes(app, head, raw, **{"content-type": kind})
        assert answer.status_code == 200, answer.text
        length = int(answer.headers[HEAD])
        assert answer.headers["content-type"] == "application/octet-stream"
        assert json.loads(answer.content[:length])["outputs"] == [
            {
                "name": "predict",
                "shape": [2],
                "datatype": "FP64",
                "parameters": {"binary_data_size": 16},
            }
        ]
        assert np.frombuffer(answer.content[length:], "<f8").tolist() == [14.0, 36.0]
    mixed = send_bytes(app, {"inputs": [inputs[0], HOUR]}, raw[:14])
    assert mixed.json()["outputs"][0]["data"] == [14.0, 36.0]


def test_texts_and_bools_as_bytes_out(app: App) -> None:
    rows = app.call("GET", "/endpoints/wide").json()["example"]["rows"]
    inputs = [
        {"name": name, "shape": [2], "datatype": datatype, "data": [row[name] for row in rows]}
        for name, datatype in (("kind", "BYTES"), ("seats", "UINT8"), ("day", "BYTES"), ("at", "BYTES"))
    ] + [{"name": "first", "shape": [2], "datatype": "BOOL", "data": [True, False]}]
    outputs = [{"name": "late", "parameters": {"binary_data": True}}, {"name": "kind"}]
    answer = infer(app, *inputs, path="/v2/models/wide/infer", outputs=outputs)
    length = int(answer.headers[HEAD])
    late, kind = json.loads(answer.content[:length])["outputs"]
    assert late["parameters"] == {"binary_data_size": 2}
    assert kind["data"] == ["short", "long"]
    assert answer.content[length:] == b"\0\0"
    everything = infer(app, *inputs, path="/v2/models/wide/infer", parameters={"binary_data_output": True})
    assert everything.content.endswith(texts("short", "long") + b"\0\0")


def test_server_and_models_say_what_they_are(app: App) -> None:
    assert app.call("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
    assert app.call("GET", "/v2/health/live").json() == {"live": True}
    assert app.call("GET", "/v2/health/ready").json() == {"ready": True}
    assert app.call("GET", "/v2/models").json() == {"models": ["demand", "matrix", "moody", "wide"]}
    assert app.call("GET", "/v2/models/demand").json() == {
        "name": "demand",
        "versions": [RUNS["demand"]],
        "platform": "rasen",
        "inputs": [
            {"name": "origin", "datatype": "BYTES", "shape": [-1]},
            {"name": "hour", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
    }
    assert app.call("GET", "/v2/models/demand/ready").json() == {"name": "demand", "ready": True}


def test_not_ready_is_a_503(app: App) -> None:
    app.service.accept_situation(
        Situation(ready=False, reason="x", waiting={"young": "it is being loaded"}, log_open=True)
    )
    try:
        assert app.call("GET", "/v2/health/ready").status_code == 503
        assert "it is being loaded" in error_of(app.call("GET", "/v2/models/young/ready"), 503)
        assert "it is being loaded" in error_of(infer(app, ORIGIN, path="/v2/models/young/infer"), 503)
    finally:
        app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))


def test_an_endpoint_that_sleeps_is_ready_and_woken_by_whoever_asks_for_more(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(app.service, "want", wanted.append)
    app.service.accept_situation(
        Situation(ready=True, reason="", waiting={}, log_open=True, asleep=frozenset({"sleepy"}))
    )
    try:
        assert app.call("GET", "/v2/models/sleepy/ready").status_code == 200
        assert app.call("GET", "/v1/models/sleepy").status_code == 200
        assert wanted == []
        assert "is being loaded" in error_of(app.call("GET", "/v2/models/sleepy"), 503)
        assert wanted == ["sleepy"]
    finally:
        app.service.accept_situation(Situation(ready=True, reason="", waiting={}, log_open=True))


def test_a_version_is_a_live_run_or_the_live_revision(app: App) -> None:
    for version in (RUNS["demand"], "1"):
        path = f"/v2/models/demand/versions/{version}"
        assert infer(app, ORIGIN, HOUR, path=f"{path}/infer").status_code == 200
        assert app.call("GET", path).status_code == 200
        assert app.call("GET", f"{path}/ready").status_code == 200
    for path in ("/v2/models/demand/versions/7", "/v2/models/demand/versions/7/ready"):
        assert f"live are revision 1 and its runs '{RUNS['demand']}'" in error_of(app.call("GET", path), 404)
    refused = infer(app, ORIGIN, HOUR, path="/v2/models/demand/versions/7/infer")
    assert "version '7' of 'demand' is not live" in error_of(refused, 404)


def test_a_run_in_the_path_is_the_variant_that_answers(tmp_path: Path) -> None:
    home = load_settings(home=tmp_path, environment="dev", variant_override=False)
    store = open_store(home)
    one, two, three = (
        publish_version(store, home, number=number, model=linear(number)) for number in (1, 2, 3)
    )
    share_out(
        store,
        home,
        {one: ("champion", 0.5), two: ("challenger", 0.5), three: ("shadow", 0.0)},
        endpoint="demand",
    )
    app = App(store, home)
    app.bring_up()
    assert app.call("GET", "/v2/models/demand").json()["versions"] == [one.run, two.run]
    for version, slope in ((one.run, 1), (two.run, 2)):
        for _ in range(8):
            path = f"/v2/models/demand/versions/{version}/infer"
            answer = infer(app, ORIGIN, HOUR, path=path).json()
            assert answer["model_version"] == version
            assert answer["outputs"][0]["data"] == [7.0 * slope, 18.0 * slope]
    for _ in range(8):  # the header is not listened to here
        either = app.call(
            "POST",
            "/v2/models/demand/versions/1/infer",
            json={"inputs": [ORIGIN, HOUR]},
            headers={"x-rasen-variant": three.run},
        )
        assert either.json()["model_version"] in (one.run, two.run)
    hidden = infer(app, ORIGIN, HOUR, path=f"/v2/models/demand/versions/{three.run}/infer")
    assert "is not live" in error_of(hidden, 404)


def test_errors_of_other_paths_have_the_protocols_shape(app: App) -> None:
    assert "'demand', 'matrix'" in error_of(app.call("GET", "/v2/models/nobody"), 404)
    assert "'demand', 'matrix'" in error_of(infer(app, ORIGIN, path="/v2/models/nobody/infer"), 404)
    assert error_of(app.call("GET", "/v2/nothing"), 404)
    assert "takes POST" in error_of(app.call("GET", INFER), 405)


def test_a_model_that_fails_says_nothing_of_why(app: App) -> None:
    hour = HOUR | {"data": [101, 101]}
    answer = infer(app, ORIGIN, hour, path="/v2/models/moody/infer")
    assert "secret" not in error_of(answer, 503)


MATRIX_RAW = np.array(MATRIX["data"]).tobytes()

WRONG: dict[str, tuple[tuple[dict[str, Any], ...], str]] = {
    "no inputs": ((), "inputs: must hold one tensor a column"),
    "unknown name": ((ORIGIN, HOUR | {"name": "hours"}), "unknown tensor 'hours'; did you mean 'hour'?"),
    "missing": ((ORIGIN,), "inputs: tensor 'hour' is missing"),
    "twice": ((ORIGIN, ORIGIN, HOUR), "inputs[1].name: 'origin' is given twice"),
    "no shape": ((ORIGIN, HOUR | {"shape": None}), "inputs[1].shape: None is no shape"),
    "negative": ((ORIGIN, HOUR | {"shape": [-1]}), "inputs[1].shape: [-1] is no shape"),
    "boolean": ((ORIGIN, HOUR | {"shape": [True]}), "inputs[1].shape: [True] is no shape"),
    "three dimensions": ((ORIGIN, HOUR | {"shape": [2, 1, 1]}), "the shape [2, 1, 1] must be [n] or [n, 1]"),
    "two columns": ((ORIGIN, HOUR | {"shape": [1, 2]}), "the shape [1, 2] must be [n] or [n, 1]"),
    "no rows": (
        (ORIGIN | {"shape": [0], "data": []}, HOUR | {"shape": [0], "data": []}),
        "inputs[0].shape: has no rows; there must be at least one",
    ),
    "other lengths": ((ORIGIN, HOUR | {"shape": [1], "data": [7]}), "has 1 rows, the longest tensor has 2"),
    "unknown datatype": ((ORIGIN, HOUR | {"datatype": "BF16"}), "'BF16' is no datatype that is read here"),
    "float for whole": (
        (ORIGIN, HOUR | {"datatype": "FP64"}),
        "FP64 does not fit column 'hour', which is int64 and takes INT64",
    ),
    "text for number": ((ORIGIN, HOUR | {"datatype": "BYTES"}), "BYTES does not fit column 'hour'"),
    "number for text": ((ORIGIN | {"datatype": "INT8"}, HOUR), "INT8 does not fit column 'origin'"),
    "too few values": ((ORIGIN, HOUR | {"data": [7]}), "has 1 values; the shape [2, 1] asks for 2"),
    "no data": ((ORIGIN, HOUR | {"data": None}), "inputs[1].data: must be a list of 2 values"),
    "other nesting": ((ORIGIN, HOUR | {"data": [[7, 8], [9]]}), "inputs[1].data[0]: must be a list of 1"),
    "mixed nesting": ((ORIGIN, HOUR | {"data": [[7], 8]}), "inputs[1].data[1]: must be a list of 1"),
    "a text in it": ((ORIGIN, HOUR | {"data": [7, "8"]}), "inputs[1].data[1]: '8' is not INT32"),
    "a bool in it": ((ORIGIN, HOUR | {"data": [7, True]}), "inputs[1].data[1]: True is not INT32"),
    "null": ((ORIGIN, HOUR | {"data": [7, None]}), "inputs[1].data[1]: null is not accepted"),
    "out of range": (
        (ORIGIN, HOUR | {"datatype": "UINT8", "data": [7, 256]}),
        "inputs[1].data[1]: 256 does not fit into UINT8",
    ),
    "beyond int64": (
        (ORIGIN, HOUR | {"datatype": "UINT64", "data": [7, 2**63]}),
        "a value does not fit into int64",
    ),
    "unknown key": ((ORIGIN, HOUR | {"rows": 1}), "inputs[1].rows: unknown key"),
    "no name": (({"shape": [1]}, HOUR), "inputs[0].name: must be text"),
    "shared memory": (
        (ORIGIN, HOUR | {"parameters": {"shared_memory_region": "r"}}),
        "inputs[1].parameters.shared_memory_region: shared memory is not read here",
    ),
    "bytes that are not there": (
        (ORIGIN, HOUR | {"data": None, "parameters": {"binary_data_size": 8}}),
        "8 must be a number of bytes, at most the 0 that are left",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_tensor_that_does_not_fit_is_named_with_what_would_be_right(app: App, name: str) -> None:
    inputs, told = WRONG[name]
    assert told in error_of(infer(app, *inputs), 422)


def test_all_that_is_wrong_is_told_at_once(app: App) -> None:
    wide = {"name": "seats", "shape": [1], "datatype": "UINT64", "data": [2**63]}
    error = error_of(infer(app, wide, ORIGIN, path="/v2/models/wide/infer"), 422)
    for told in ("unknown tensor 'origin'", "tensor 'kind' is missing", "inputs[0].data[0]: "):
        assert told in error


def test_a_matrix_must_fit_every_column(app: App) -> None:
    path = "/v2/models/matrix/infer"
    error = error_of(infer(app, MATRIX | {"shape": [3, 2]}, path=path), 422)
    assert (
        "the shape [3, 2] of 'x', which is no column's name, must be [n, 3], or one tensor a column" in error
    )
    error = error_of(infer(app, MATRIX, path=INFER), 422)
    assert "must be [n, 2], or one tensor a column" in error
    mixed = MATRIX | {"shape": [1, 2], "data": [1, 2], "datatype": "INT64"}
    assert "does not fit column 'origin'" in error_of(infer(app, mixed, path=INFER), 422)


def test_a_value_that_the_column_refuses_is_named_by_its_place(app: App) -> None:
    huge = MATRIX | {"data": [1.0, 0.5, 3.0, 2.5, 1e39, 4.0], "datatype": "FP32"}
    assert "inputs[0].data[4]: inf is not a finite number" in error_of(
        infer(app, huge, path="/v2/models/matrix/infer"), 422
    )
    nan = np.array([1.0, 0.5, 3.0, 2.5, float("nan"), 4.0]).tobytes()
    head = {
        "inputs": [
            {"name": "x", "shape": [2, 3], "datatype": "FP64", "parameters": {"binary_data_size": len(nan)}}
        ]
    }
    answer = send_bytes(app, head, nan, path="/v2/models/matrix/infer")
    assert "inputs[0].data[4]: nan is not a finite number" in error_of(answer, 422)


BROKEN_BYTES: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "too few": (
        {"shape": [2, 3], "datatype": "FP64", "size": 40},
        MATRIX_RAW[:40],
        "6 values of FP64 have 48",
    ),
    "too many": ({"shape": [1, 3], "datatype": "FP64", "size": 48}, MATRIX_RAW, "3 values of FP64 have 24"),
    "overlong": (
        {"shape": [2, 3], "datatype": "FP64", "size": 49},
        MATRIX_RAW,
        "at most the 48 that are left",
    ),
    "negative": (
        {"shape": [2, 3], "datatype": "FP64", "size": -1},
        MATRIX_RAW,
        "-1 must be a number of bytes",
    ),
    "a text": ({"shape": [2, 3], "datatype": "FP64", "size": "48"}, MATRIX_RAW, "'48' must be a number"),
    "unclaimed": ({"shape": [2, 3], "datatype": "FP64", "size": 48}, MATRIX_RAW + b"x", "1 of the 49 bytes"),
}


@pytest.mark.parametrize("name", BROKEN_BYTES)
def test_bytes_must_be_as_many_as_the_shape_says(app: App, name: str) -> None:
    about, raw, told = BROKEN_BYTES[name]
    tensor = {
        "name": "x",
        "shape": about["shape"],
        "datatype": about["datatype"],
        "parameters": {"binary_data_size": about["size"]},
    }
    answer = send_bytes(app, {"inputs": [tensor]}, raw, path="/v2/models/matrix/infer")
    assert told in error_of(answer, 422)


@pytest.mark.parametrize("length", ["", "x", "-1", "1e3", "99999", "9" * 30, "٣"])
def test_the_heads_length_must_be_one(app: App, length: str) -> None:
    answer = app.call(
        "POST", INFER, content=b"{}", headers={HEAD: length.encode(), "content-type": "application/json"}
    )
    assert error_of(answer, 400 if length else 422)


def test_what_is_no_json_and_what_has_another_type(app: App) -> None:
    for content in (b"", b"{", b'{"inputs":[],"inputs":[]}', b'{"inputs":[NaN]}', b"\xff", b"[" * 2000):
        answer = app.call("POST", INFER, content=content, headers={"content-type": "application/json"})
        assert error_of(answer, 400)
    plain = app.call("POST", INFER, content=b"{}", headers={"content-type": "text/plain"})
    assert "text/plain" in error_of(plain, 415)
    packed = app.call("POST", INFER, content=b"{}", headers={"content-encoding": "gzip"})
    assert "'gzip' is not read here" in error_of(packed, 415)
    assert error_of(app.call("POST", INFER, content=b" " * 4001), 413)


def test_too_many_rows_are_a_413(app: App) -> None:
    origin = ORIGIN | {"shape": [21], "data": ["JFK"] * 21}
    hour = HOUR | {"shape": [21], "data": [7] * 21}
    assert "21 rows; at most 20" in error_of(infer(app, origin, hour), 413)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"outputs": [{"name": "predicted"}]}, "unknown output 'predicted'; did you mean 'predict'?"),
        ({"outputs": {}}, ""),
        ({"outputs": "predict"}, "outputs: must be a list"),
        ({"outputs": [{}]}, "outputs[0]: must be an object"),
        (
            {"outputs": [{"name": "predict", "parameters": {"classification": 2}}]},
            "classification and shared memory are not offered",
        ),
        ({"id": 7}, "id: 7 must be text"),
        ({"parameters": [1]}, "parameters: must be an object"),
        ({"output": []}, "output: unknown key"),
        ({"parameters": {"sequence_id": 1, "priority": 3, "content_type": "pd"}}, ""),
        ({"model_name": "demand"}, ""),
    ],
)
def test_what_stands_beside_the_inputs(app: App, more: dict[str, Any], told: str) -> None:
    answer = infer(app, ORIGIN, HOUR, **more)
    if told:
        assert told in error_of(answer, 422)
    else:
        assert answer.status_code == 200


SCHEMA = ModelSchema(
    inputs=(
        Column(name="flag", type=ColumnType.BOOL),
        Column(name="whole", type=ColumnType.INT64, dtype="Int64", nullable=True),
        Column(name="number", type=ColumnType.FLOAT64, dtype="float64", nullable=True),
        Column(name="text", type=ColumnType.STRING, dtype="str"),
    ),
    output=Output(kind="scalar", type=ColumnType.FLOAT64),
)
_KIND = {"BOOL": "flag", "BYTES": "text", "FP16": "number", "FP32": "number", "FP64": "number"}


@given(data=st.data(), datatype=st.sampled_from(sorted(DATATYPES)), rows=st.integers(1, 5))
def test_bytes_and_json_are_the_same_columns(data: st.DataObject, datatype: str, rows: int) -> None:
    about = DATATYPES[datatype]
    one: st.SearchStrategy[Any]
    if datatype == "BOOL":
        one = st.booleans()
    elif datatype == "BYTES":
        one = st.text(max_size=5)
    elif datatype.startswith("FP"):
        one = st.floats(width=int(datatype[2:]), allow_nan=False, allow_infinity=False)  # type: ignore[arg-type] # one of three
    else:
        one = st.integers(about.low, min(about.high, 2**63 - 1))
    values = data.draw(st.lists(one, min_size=rows, max_size=rows))
    raw = np.array(values, about.code).tobytes() if about.code else write_bytes(values, ColumnType.STRING)
    name = _KIND.get(datatype, "whole")
    schema = ModelSchema(
        inputs=tuple(column for column in SCHEMA.inputs if column.name == name), output=SCHEMA.output
    )
    for shape in ([rows], [rows, 1]):
        listed = Tensor(name=name, datatype=datatype, shape=shape, data=values)
        packed = Tensor(name=name, datatype=datatype, shape=shape, raw=raw)
        first, second = (
            read_columns(schema, [tensor], max_rows=10, check_values=True) for tensor in (listed, packed)
        )
        assert as_list(first[name]) == as_list(second[name]) == values


def test_nan_in_bytes_is_null_where_null_may_be() -> None:
    raw = np.array([1.5, float("nan")]).tobytes()
    schema = ModelSchema(inputs=(SCHEMA.inputs[2],), output=SCHEMA.output)
    tensor = Tensor(name="number", datatype="FP64", shape=[2], raw=raw)
    assert read_columns(schema, [tensor], max_rows=10, check_values=True) == {"number": [1.5, None]}
    listed = Tensor(name="number", datatype="FP32", shape=[2], data=[1.5, None])
    assert read_columns(schema, [listed], max_rows=10, check_values=True) == {"number": [1.5, None]}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (texts("a")[:3], "ends within the length of text 0"),
        (texts("abc")[:-1], "text 0 has 3 bytes; 2 are left"),
        (texts("a", "b"), "has 5 bytes behind its 1 texts"),
        (b"", "has 0 texts; the shape asks for 1"),
        (b"\x01\0\0\0\xff", "is not UTF-8"),
        (b"\xff\xff\xff\xffa", "has 4294967295 bytes"),
    ],
)
def test_texts_stand_behind_their_lengths(raw: bytes, told: str) -> None:
    schema = ModelSchema(inputs=(SCHEMA.inputs[3],), output=SCHEMA.output)
    with pytest.raises(InvalidRows) as caught:
        read_columns(
            schema,
            [Tensor(name="text", datatype="BYTES", shape=[1], raw=raw)],
            max_rows=10,
            check_values=True,
        )
    assert told in caught.value.fields[0].problem


def test_bools_as_bytes_are_0_or_1() -> None:
    schema = ModelSchema(inputs=(SCHEMA.inputs[0],), output=SCHEMA.output)
    with pytest.raises(InvalidRows) as caught:
        read_columns(
            schema,
            [Tensor(name="flag", datatype="BOOL", shape=[1], raw=b"\x02")],
            max_rows=10,
            check_values=True,
        )
    assert "holds the byte 2" in caught.value.fields[0].problem


_PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just([]), st.just({})
)
_TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.sampled_from(["flag", "whole", "number", "text", "x"]), _PLAIN),
        "datatype": st.one_of(st.sampled_from([*DATATYPES, "BF16"]), _PLAIN),
        "shape": st.one_of(st.lists(st.integers(-1, 4), max_size=3), st.lists(_PLAIN, max_size=2), _PLAIN),
        "data": st.one_of(
            st.lists(_PLAIN, max_size=5), st.lists(st.lists(_PLAIN, max_size=2), max_size=3), _PLAIN
        ),
    },
)


@given(
    tensors=st.lists(
        st.builds(
            Tensor,
            name=st.sampled_from(["flag", "whole", "number", "text", "x"]),
            datatype=st.sampled_from([*DATATYPES, "BF16"]),
            shape=st.one_of(st.lists(st.integers(-1, 4), max_size=3), _PLAIN),
            data=st.one_of(
                st.lists(_PLAIN, max_size=5), st.lists(st.lists(_PLAIN, max_size=2), max_size=3), _PLAIN
            ),
            raw=st.one_of(st.none(), st.binary(max_size=16)),
        ),
        max_size=4,
    )
)
def test_whatever_the_tensors_are_they_are_columns_or_refused(tensors: list[Tensor]) -> None:
    """The reading without a look at the values accepts no form that the one with it would not."""
    try:
        columns = read_columns(SCHEMA, tensors, max_rows=3, check_values=False)
    except (InvalidRows, TooManyRows) as error:
        with pytest.raises(type(error)):
            read_columns(SCHEMA, tensors, max_rows=3, check_values=True)
        return
    assert list(columns) == list(SCHEMA.names)
    assert len({len(values) for values in columns.values()}) == 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.one_of(
        _PLAIN,
        st.fixed_dictionaries(
            {"inputs": st.one_of(st.lists(_TENSOR, max_size=3), _PLAIN)},
            optional={"id": _PLAIN, "parameters": _PLAIN, "outputs": _PLAIN},
        ),
    ),
    raw=st.binary(max_size=10),
    endpoint=st.sampled_from(["demand", "wide", "matrix"]),
    shift=st.integers(-3, 3),
)
def test_no_request_is_answered_with_a_5xx(
    app: App, document: object, raw: bytes, endpoint: str, shift: int
) -> None:
    body = json.dumps(document).encode()
    answer = app.call(
        "POST",
        f"/v2/models/{endpoint}/infer",
        content=body + raw,
        headers={HEAD: str(len(body) + shift)},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert error_of(answer, answer.status_code)


@pytest.mark.parametrize("kinds", [("<f8", "<f8"), ("<f8", "<f4"), ("<f8", ""), ("", "")])
def test_requests_of_one_turn_share_a_call_whether_their_numbers_are_arrays_or_not(
    app: App, monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, str]
) -> None:
    loaded = app.service.versions.take("matrix").champion.loaded
    predict = loaded.predict
    calls: list[Any] = []

    def watched(columns: Any) -> Any:
        calls.append(columns["a"])
        return predict(columns)

    monkeypatch.setattr(loaded, "predict", watched)
    batch = []
    for kind in kinds:
        columns: dict[str, Any] = {"a": [1.0, 2.5], "b": [0.5, -1.0], "c": [3.0, 4.0]}
        if kind:
            columns = {name: np.array(values, kind) for name, values in columns.items()}
        asked = Asked(endpoint="matrix", request_id="r", content_type="", body=b"", wire=OIP)
        batch.append(
            BatchedRequest(loaded=loaded, asked=asked, columns=columns, rows=2, done=lambda outcome: None)
        )
    outcomes = answer_batch(loaded, batch, max_rows=20)
    assert [outcome.predictions for outcome in outcomes if isinstance(outcome, Predicted)] == [[4.5, 5.5]] * 2
    (together,) = calls
    assert len(together) == 4
    assert is_array(together) == (kinds == ("<f8", "<f8"))
