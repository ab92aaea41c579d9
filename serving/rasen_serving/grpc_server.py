"""The gRPC server of a worker: the Open Inference Protocol's six calls around `Service.ask`.

It runs on the worker's own event loop. Nothing of gRPC is imported before the fork, and nothing at all unless
`RASEN_GRPC_PORT` says so: the library starts threads of its own and costs every worker 15 MB.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from rasen.errors import NotFound, RasenError
from rasen_serving import open_inference_pb2 as messages
from rasen_serving.asked import authorization_of, make_asked, note_headers, request_id_of
from rasen_serving.oip_metadata import (
    EXTENSIONS,
    SERVER_NAME,
    TensorMetadata,
    check_ready,
    describe_model,
    find_live,
    find_version,
    is_ready,
    server_version,
)
from rasen_serving.refusals import NothingLive, status_of, text_of
from rasen_serving.wire_grpc import GRPC, GrpcNotes, Message, parse_message
from rasen_serving.wire_oip import choose_variant

if TYPE_CHECKING:
    from rasen_serving.access import Known
    from rasen_serving.service import Service
    from rasen_serving.wire import Answer

SERVICE = "inference.GRPCInferenceService"
OPEN_CALLS = frozenset({"ServerLive", "ServerReady"})
"""What anybody may call: health, as over HTTP."""

_ENVELOPE_BYTES = 4096  # names and shapes, beside the values that the limit is about
_DETAILS_MAX_LENGTH = 2000  # they travel in a header
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}

Context = Any  # grpc.aio.ServicerContext; the library ships no types
Call = Callable[[bytes, Context], Awaitable[bytes]]


class GrpcServer:
    """Answers calls until it is stopped."""

    def __init__(self, service: Service, *, host: str, port: int) -> None:
        self._service = service
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", service.settings.max_body_bytes + _ENVELOPE_BYTES),
                ("grpc.max_send_message_length", -1),
            ],
            maximum_concurrent_rpcs=service.settings.max_connections,
        )
        calls: dict[str, Call] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        # Without functions that read and write messages: what cannot be read is the caller's mistake, not INTERNAL.
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(self._guarded(name, call))
            for name, call in calls.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port: int = self._server.add_insecure_port(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        )

    async def start(self) -> None:
        """Accept connections."""
        await self._server.start()

    async def stop(self, *, seconds: float) -> None:
        """Accept no more calls, and give those at work some time."""
        await self._server.stop(seconds)

    def _guarded(self, name: str, call: Call) -> Call:
        """Return a call that nobody unknown gets into, and whose refusals become the status of gRPC."""

        async def guarded(body: bytes, context: Context) -> bytes:
            try:
                if name not in OPEN_CALLS:
                    self._identify(context)
                return await call(body, context)
            except RasenError as error:
                await _abort(context, status_of(error), text_of(error, request_id=""))
                raise  # never: an abort raises

        return guarded

    def _identify(self, context: Context) -> Known:
        try:
            return self._service.access.identify(authorization_of(_noted(context)))
        except RasenError as error:
            self._service.count_refusal(error)
            raise

    def _check_may_ask(self, context: Context, endpoint: str) -> None:
        caller = self._identify(context)
        caller.take()
        caller.check_may_ask(endpoint)

    async def _server_live(self, body: bytes, context: Context) -> bytes:
        return _written(messages.ServerLiveResponse(live=True))

    async def _server_ready(self, body: bytes, context: Context) -> bytes:
        return _written(messages.ServerReadyResponse(ready=is_ready(self._service)))

    async def _server_metadata(self, body: bytes, context: Context) -> bytes:
        return _written(
            messages.ServerMetadataResponse(
                name=SERVER_NAME, version=server_version(), extensions=list(EXTENSIONS)
            )
        )

    async def _model_ready(self, body: bytes, context: Context) -> bytes:
        asked = parse_message(messages.ModelReadyRequest, body)
        self._check_may_ask(context, asked.name)
        try:
            check_ready(self._service, asked.name, asked.version)
        except (NothingLive, NotFound):
            return _written(messages.ModelReadyResponse(ready=False))
        return _written(messages.ModelReadyResponse(ready=True))

    async def _model_metadata(self, body: bytes, context: Context) -> bytes:
        asked = parse_message(messages.ModelMetadataRequest, body)
        self._check_may_ask(context, asked.name)
        live = find_live(self._service, asked.name)
        find_version(live, asked.version)
        found = describe_model(live)
        return _written(
            messages.ModelMetadataResponse(
                name=found.name,
                versions=found.versions,
                platform=found.platform,
                inputs=[_tensor(one) for one in found.inputs],
                outputs=[_tensor(one) for one in found.outputs],
            )
        )

    async def _model_infer(self, body: bytes, context: Context) -> bytes:
        noted = _noted(context)
        request_id = request_id_of(noted)
        await context.send_initial_metadata((("x-request-id", request_id.decode()),))
        message = parse_message(messages.ModelInferRequest, body)
        asked = make_asked(
            noted,
            endpoint=message.model_name,
            request_id=request_id.decode(),
            body=body,
            wire=GRPC,
            address=self._service.address_of(_host(context.peer())),
            about=GrpcNotes(message=message, versions=self._service.versions, version=message.model_version),
        )
        if message.model_version:
            asked = choose_variant(asked)
        answer: Answer = await self._service.answer(asked)
        headers = tuple((name.lower(), value) for name, value in answer.headers.items())
        context.set_trailing_metadata(headers)
        if answer.status != 200:
            await _abort(context, answer.status, answer.body.decode())
        return answer.body


def _noted(context: Context) -> dict[bytes, bytes]:
    """Return what stands in the metadata as it would in headers."""
    return note_headers(
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in context.invocation_metadata() or ()
    )


async def _abort(context: Context, status: int, text: str) -> None:
    await context.abort(_CODES.get(status, grpc.StatusCode.UNKNOWN), text[:_DETAILS_MAX_LENGTH])


def _written(message: Message) -> bytes:
    written: bytes = message.SerializeToString()
    return written


def _tensor(found: TensorMetadata) -> Message:
    return messages.ModelMetadataResponse.TensorMetadata(
        name=found.name, datatype=found.datatype, shape=found.shape
    )


def _host(peer: str) -> str:
    """Return the address in `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    family, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0].removeprefix("%5B").removesuffix("%5D").strip("[]")
    return host if family in ("ipv4", "ipv6") else ""
