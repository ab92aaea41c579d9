"""The Open Inference Protocol v2 over HTTP: tensors in JSON, or as bytes behind a JSON head ("binary tensor data").

The head's length stands in a header, the bytes follow it in the order of the tensors; an answer is laid out the same
way for whoever asks for it. Triton's and KServe's clients send both forms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rasen.data.columns import ColumnType
from rasen.errors import NotFound
from rasen.model.judge import parse, refuse_any
from rasen.model.request_errors import FieldProblem, MalformedBody
from rasen.model.schema import ModelSchema, Output
from rasen.suggestion import suggest
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns, NotFast
from rasen_serving.live import Loaded, Versions
from rasen_serving.oip_datatypes import datatype_of, outputs_of, write_bytes
from rasen_serving.oip_metadata import find_version
from rasen_serving.oip_tensors import Tensor, read_columns
from rasen_serving.refusals import headers_of, status_of, text_of
from rasen_serving.small_requests import FAST_BYTES, read_small
from rasen_serving.wire import Answer, Given
from rasen_serving.wire_own import JSON, check_json

BINARY = "application/octet-stream"
HEAD_LENGTH = "Inference-Header-Content-Length"

WANTED = '{"inputs": [{"name", "shape", "datatype", "data"}, …]}'

FAST_BINARY_BYTES = 1 << 18
"""As `small_requests.FAST_BYTES`, for what is mostly numbers that nobody looks at."""

_ENCODER = msgspec.json.Encoder()


@dataclass(kw_only=True, slots=True)
class OipNotes:
    """What is known of a request besides its tensors.

    Args:
        versions: What is live.
        version: The version that the path names, `""` when it names none.
        head_length: The header's value, `""` when there is none.
        id: The caller's id for the request; found when it is read, like the rest.
        outputs: The outputs that are asked for, by name, and whether as bytes; `None` is all of them.
        all_binary: Whether outputs are sent as bytes of which nothing else was said.
    """

    versions: Versions
    version: str = ""
    head_length: str = ""
    id: str | None = None
    outputs: dict[str, bool] | None = None
    all_binary: bool = False


class OipFormat:
    """Reads and writes the Open Inference Protocol."""

    name = "oip"

    def decode(self, loaded: Loaded, asked: Asked) -> Columns:
        """Return the columns of a request that is not large, and for a version that is live."""
        check_version(loaded, asked)
        if len(asked.body) > FAST_BINARY_BYTES or len(split_body(asked)[0]) > FAST_BYTES:
            raise NotFast
        return read_small(_read, loaded, asked)

    def read(self, loaded: Loaded, asked: Asked, *, max_rows: int) -> Columns:
        """Return the columns of any request."""
        return _read(loaded, asked, max_rows=max_rows, check_values=True)

    def encode(self, given: Given, asked: Asked) -> Answer:
        """Write a good answer."""
        notes = notes_of(asked)
        outputs: list[dict[str, Any]] = []  # Any: JSON
        behind: list[bytes] = []
        for name, kind, values in wanted_outputs(given, notes):
            tensor: dict[str, Any] = {  # Any: JSON
                "name": name,
                "shape": [given.rows],
                "datatype": datatype_of(kind),
            }
            if is_binary(notes, name):
                behind.append(write_bytes(values, kind))
                tensor["parameters"] = {"binary_data_size": len(behind[-1])}
            else:
                tensor["data"] = values
            outputs.append(tensor)
        document: dict[str, Any] = {  # Any: JSON
            "model_name": asked.endpoint,
            "model_version": given.loaded.version.run,
            "parameters": {"source": given.source},
            "outputs": outputs,
        }
        if notes.id is not None:
            document["id"] = notes.id
        head = _ENCODER.encode(document)
        if not behind:
            return Answer(status=200, body=head)
        return Answer(
            status=200,
            body=b"".join([head, *behind]),
            headers={HEAD_LENGTH: str(len(head))},
            media_type=BINARY,
        )

    def refuse(self, error: Exception, asked: Asked) -> Answer:
        """Write an error."""
        return refuse_in_one_text(error, request_id=asked.request_id)


OIP = OipFormat()


def refuse_in_one_text(error: Exception, *, request_id: str) -> Answer:
    """Write an error as the Open Inference Protocol and KServe have it: `{"error": "…"}`."""
    return Answer(
        status=status_of(error),
        body=_ENCODER.encode({"error": text_of(error, request_id=request_id)}),
        headers=headers_of(error),
    )


def notes_of(asked: Asked) -> OipNotes:
    """Return the notes of a request of this protocol."""
    assert isinstance(asked.about, OipNotes)  # the routes of this protocol make them
    return asked.about


def choose_variant(asked: Asked) -> Asked:
    """Return the request with the variant that its version names, if there are several to choose from."""
    notes = notes_of(asked)
    live = notes.versions.live.get(asked.endpoint)
    if live is None or len(live.arms) < 2:
        return asked  # where nothing is chosen, nobody needs to be allowed to choose
    try:
        run = find_version(live, notes.version)
    except NotFound:
        return asked  # it is refused when it is known that he may ask
    return replace(asked, variant=run, pinned=True) if run else asked


def check_version(loaded: Loaded, asked: Asked) -> None:
    """See to it that the version that was asked for is the one that answers.

    Raises:
        NotFound: It is not live, or another one was chosen.
    """
    notes = notes_of(asked)
    if notes.version:
        run = find_version(notes.versions.take(asked.endpoint), notes.version)
        if run and loaded.version.run != run:
            raise NotFound(
                f"version {run!r} of {asked.endpoint!r} does not answer; {loaded.version.run!r} does"
            )


def wanted_outputs(
    given: Given, notes: OipNotes
) -> Iterator[tuple[str, ColumnType, list[Any]]]:  # Any: JSON values
    """Yield name, type and values of each output that was asked for."""
    output = given.loaded.schema.output
    kinds = outputs_of(output)
    for name in kinds if notes.outputs is None else notes.outputs:
        scalar = output.kind == "scalar"
        yield name, kinds[name], given.predictions if scalar else [row[name] for row in given.predictions]


def is_binary(notes: OipNotes, name: str) -> bool:
    """Return whether an output is to be sent as bytes."""
    return notes.all_binary if notes.outputs is None else notes.outputs[name]


def split_body(asked: Asked) -> tuple[bytes, bytes]:
    """Return the JSON head and the bytes behind it.

    Raises:
        WrongContentType: The body is neither JSON nor a JSON head with bytes.
        MalformedBody: The head's length is none.
    """
    notes = notes_of(asked)
    kind = asked.content_type
    if kind not in ("", JSON) and kind.partition(";")[0].strip().lower() != BINARY:
        check_json(kind)  # Triton's client names no type
    if not notes.head_length:
        return asked.body, b""
    length = notes.head_length
    if not (length.isascii() and length.isdecimal() and len(length) < 20) or int(length) > len(asked.body):
        raise MalformedBody(
            f"{HEAD_LENGTH} is {length[:100]!r}; it must be the number of bytes of the JSON head, at most the "
            f"{len(asked.body)} of the whole body"
        )
    return asked.body[: int(length)], asked.body[int(length) :]


def _read(loaded: Loaded, asked: Asked, *, max_rows: int, check_values: bool) -> Columns:
    head, raw = split_body(asked)
    document = parse(head, wanted=WANTED)
    tensors: list[Tensor] = []
    refuse_any(loaded.schema, _read_request(loaded.schema, document, raw, tensors, notes_of(asked)))
    return read_columns(loaded.schema, tensors, max_rows=max_rows, check_values=check_values)


def _read_request(
    schema: ModelSchema, document: object, raw: bytes, tensors: list[Tensor], notes: OipNotes
) -> Iterator[FieldProblem]:
    """Fill `tensors` and `notes`, and yield what is wrong."""
    if not isinstance(document, dict):
        yield FieldProblem(path=(), problem=f"must be an object: {WANTED}")
        return
    for key in document:
        if key not in ("id", "parameters", "inputs", "outputs", "model_name", "model_version"):
            yield FieldProblem(
                path=(key,), problem="unknown key; known: 'id', 'parameters', 'inputs', 'outputs'"
            )
    given_id = document.get("id")
    if given_id is not None and not isinstance(given_id, str):
        yield FieldProblem(path=("id",), problem=f"{given_id!r:.100} must be text")
    else:
        notes.id = given_id
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict):
        yield FieldProblem(path=("parameters",), problem="must be an object")
        parameters = {}
    notes.all_binary = parameters.get("binary_data_output") is True
    yield from _read_outputs(schema.output, document.get("outputs"), notes)
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        yield FieldProblem(path=("inputs",), problem="must be a list of tensors")
        return
    start = 0
    behind = memoryview(raw)  # whose slices cost nothing, however many tensors there are
    for index, tensor in enumerate(inputs):
        problem, size = _read_tensor(tensor, index, behind[start:], tensors)
        start += size
        if problem is not None:
            yield problem
    if start < len(raw):
        yield FieldProblem(
            path=("inputs",),
            problem=f"{len(raw) - start} of the {len(raw)} bytes behind the head belong to no tensor; each says its "
            "parameters.binary_data_size",
        )


def _read_tensor(
    tensor: object, index: int, raw: memoryview, tensors: list[Tensor]
) -> tuple[FieldProblem | None, int]:
    """Append a tensor; return what is wrong with it, and how many of the bytes are its own."""
    path = ("inputs", index)
    if not isinstance(tensor, dict):
        return FieldProblem(path=path, problem="must be an object with name, shape and datatype"), 0
    for key in ("name", "datatype"):
        if not isinstance(tensor.get(key), str):
            return FieldProblem(path=(*path, key), problem="must be text"), 0
    for key in tensor:
        if key not in ("name", "shape", "datatype", "parameters", "data"):
            known = "'name', 'shape', 'datatype', 'parameters', 'data'"
            return FieldProblem(path=(*path, key), problem=f"unknown key; known: {known}"), 0
    parameters = tensor.get("parameters") or {}
    if not isinstance(parameters, dict):
        return FieldProblem(path=(*path, "parameters"), problem="must be an object"), 0
    if "shared_memory_region" in parameters:
        problem = "shared memory is not read here; send the values"
        return FieldProblem(path=(*path, "parameters", "shared_memory_region"), problem=problem), 0
    size = parameters.get("binary_data_size")
    data = tensor.get("data")
    own: bytes | None = None
    if size is not None:
        place = (*path, "parameters", "binary_data_size")
        if type(size) is not int or not 0 <= size <= len(raw):
            problem = f"{size!r:.100} must be a number of bytes, at most the {len(raw)} that are left"
            return FieldProblem(path=place, problem=problem), 0
        if data is not None:
            return FieldProblem(path=place, problem="a tensor has data or bytes, not both"), size
        own = bytes(raw[:size])
    tensors.append(
        Tensor(
            name=tensor["name"],
            datatype=tensor["datatype"],
            shape=tensor.get("shape"),
            data=data,
            raw=own,
        )
    )
    return None, len(own or b"")


def _read_outputs(output: Output, outputs: object, notes: OipNotes) -> Iterator[FieldProblem]:
    """Note which outputs are asked for, and yield what is wrong."""
    if not outputs:  # absent, null or none: all of them
        return
    if not isinstance(outputs, list):
        yield FieldProblem(path=("outputs",), problem="must be a list of objects with a name")
        return
    known = outputs_of(output)
    wanted: dict[str, bool] = {}
    for index, one in enumerate(outputs):
        name = one.get("name") if isinstance(one, dict) else None
        parameters = (one.get("parameters") or {}) if isinstance(one, dict) else {}
        if not isinstance(name, str) or not isinstance(parameters, Mapping):
            yield FieldProblem(path=("outputs", index), problem='must be an object like {"name": "predict"}')
        elif name not in known:
            problem = f"unknown output {name!r}; {suggest(name, known)}"
            yield FieldProblem(path=("outputs", index, "name"), problem=problem)
        elif {"classification", "shared_memory_region"} & parameters.keys():
            problem = "classification and shared memory are not offered here"
            yield FieldProblem(path=("outputs", index, "parameters"), problem=problem)
        else:
            wanted[name] = parameters.get("binary_data", notes.all_binary) is True
    notes.outputs = wanted
