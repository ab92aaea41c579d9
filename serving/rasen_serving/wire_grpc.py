"""The Open Inference Protocol v2 in protobuf messages: the tensors of `wire_oip.py` in another envelope.

Values stand in the field of their datatype, or as bytes beside the tensors; an answer takes the way of its request,
because Triton's client reads nothing but bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from rasen.model.judge import refuse_any
from rasen.model.request_errors import FieldProblem, MalformedBody
from rasen.model.schema import Output
from rasen.suggestion import suggest
from rasen_serving import open_inference_pb2 as messages
from rasen_serving.asked import Asked
from rasen_serving.decode import Columns, NotFast
from rasen_serving.live import Loaded
from rasen_serving.oip_datatypes import DATATYPES, datatype_of, outputs_of, write_bytes
from rasen_serving.oip_tensors import Tensor, read_columns
from rasen_serving.refusals import headers_of, status_of, text_of
from rasen_serving.small_requests import read_small
from rasen_serving.wire import Answer, Given
from rasen_serving.wire_oip import FAST_BINARY_BYTES, OipNotes, check_version, wanted_outputs

Message = Any  # protobuf's classes are made at run time

# Where a datatype's values stand when they are no bytes; FP16 has no such place.
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@dataclass(kw_only=True, slots=True)
class GrpcNotes(OipNotes):
    """What is known of a request besides its bytes: the message that they are."""

    message: Message


class GrpcFormat:
    """Reads and writes protobuf messages."""

    name = "oip-grpc"

    def decode(self, loaded: Loaded, asked: Asked) -> Columns:
        """Return the columns of a request that is not large, and for a version that is live."""
        check_version(loaded, asked)
        if len(asked.body) > FAST_BINARY_BYTES:
            raise NotFast
        return read_small(_read, loaded, asked)

    def read(self, loaded: Loaded, asked: Asked, *, max_rows: int) -> Columns:
        """Return the columns of any request."""
        return _read(loaded, asked, max_rows=max_rows, check_values=True)

    def encode(self, given: Given, asked: Asked) -> Answer:
        """Write a good answer."""
        notes = grpc_notes_of(asked)
        response = messages.ModelInferResponse(
            model_name=asked.endpoint, model_version=given.loaded.version.run, id=notes.message.id
        )
        response.parameters["source"].string_param = given.source
        for name, kind, values in wanted_outputs(given, notes):
            datatype = datatype_of(kind)
            tensor = response.outputs.add(name=name, datatype=datatype, shape=[given.rows])
            if notes.message.raw_input_contents:
                response.raw_output_contents.append(write_bytes(values, kind))
            else:
                listed = [value.encode() for value in values] if datatype == "BYTES" else values
                getattr(tensor.contents, _FIELDS[datatype]).extend(listed)
        return Answer(status=200, body=response.SerializeToString(), media_type="application/grpc")

    def refuse(self, error: Exception, asked: Asked) -> Answer:
        """Write an error: its text, for the status of the call."""
        return Answer(
            status=status_of(error),
            body=text_of(error, request_id=asked.request_id).encode(),
            headers=headers_of(error),
            media_type="application/grpc",
        )


GRPC = GrpcFormat()


def parse_message(kind: Message, body: bytes) -> Message:
    """Return the message of a kind that some bytes are.

    Raises:
        MalformedBody: They are none.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        raise MalformedBody(f"the {len(body)} bytes are no {kind.DESCRIPTOR.name}") from None


def grpc_notes_of(asked: Asked) -> GrpcNotes:
    """Return the notes of a request of this format."""
    assert isinstance(asked.about, GrpcNotes)  # the server of this format makes them
    return asked.about


def _read(loaded: Loaded, asked: Asked, *, max_rows: int, check_values: bool) -> Columns:
    tensors: list[Tensor] = []
    refuse_any(loaded.schema, _read_request(loaded.schema.output, grpc_notes_of(asked), tensors))
    return read_columns(loaded.schema, tensors, max_rows=max_rows, check_values=check_values)


def _read_request(output: Output, notes: GrpcNotes, tensors: list[Tensor]) -> Iterator[FieldProblem]:
    """Fill `tensors`, note the outputs, and yield what is wrong."""
    message = notes.message
    known = outputs_of(output)
    notes.outputs = {one.name: True for one in message.outputs} or None
    for index, one in enumerate(message.outputs):
        if one.name not in known:
            problem = f"unknown output {one.name!r}; {suggest(one.name, known)}"
            yield FieldProblem(path=("outputs", index, "name"), problem=problem)
        if {"classification", "shared_memory_region"} & one.parameters.keys():
            problem = "classification and shared memory are not offered here"
            yield FieldProblem(path=("outputs", index, "parameters"), problem=problem)
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        problem = f"has {len(raw)} entries; there are {len(message.inputs)} inputs, and one for each, or none"
        yield FieldProblem(path=("raw_input_contents",), problem=problem)
        return
    for index, tensor in enumerate(message.inputs):
        if "shared_memory_region" in tensor.parameters:
            problem = "shared memory is not read here; send the values"
            yield FieldProblem(path=("inputs", index, "parameters"), problem=problem)
            continue
        filled = [field.name for field, _ in tensor.contents.ListFields()]
        if raw and filled:
            problem = f"{filled[0]} and raw_input_contents hold values; one of them must"
            yield FieldProblem(path=("inputs", index, "contents"), problem=problem)
            continue
        data: list[object] | None = None
        if not raw and tensor.datatype in DATATYPES:
            try:
                data = _listed(tensor, filled)
            except ValueError as error:
                yield FieldProblem(path=("inputs", index, "contents"), problem=str(error))
                continue
        tensors.append(
            Tensor(
                name=tensor.name,
                datatype=tensor.datatype,
                shape=list(tensor.shape),
                data=data,
                raw=raw[index] if raw else None,
            )
        )


def _listed(tensor: Message, filled: list[str]) -> list[object]:
    """Return the values that stand in the field of the tensor's datatype."""
    field = _FIELDS.get(tensor.datatype)
    if field is None:
        raise ValueError(f"{tensor.datatype} is sent as bytes, in raw_input_contents")
    if filled not in ([], [field]):
        raise ValueError(f"{tensor.datatype} values stand in {field}, not in {', '.join(filled)}")
    values: list[object] = list(getattr(tensor.contents, field))
    if tensor.datatype != "BYTES":
        return values
    try:
        return [value.decode() for value in tensor.contents.bytes_contents]
    except UnicodeDecodeError as error:
        raise ValueError(f"a text is not UTF-8: byte {error.start} does not fit") from None
