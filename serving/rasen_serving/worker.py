"""One worker process: a FastAPI app under uvicorn, and a conversation with the supervisor.

The worker decides nothing. It loads what it is told to, says whether it can, switches when told to, and beats once a
second from the event loop that also answers requests: a beat that stops is the proof that nobody is being answered.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import uvicorn

from rasen.errors import DigestMismatch, RasenError
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen_serving.app import create_app
from rasen_serving.board import Board
from rasen_serving.callers import Callers
from rasen_serving.connections import Guard, GuardedProtocol, allow_connections, guarded
from rasen_serving.fast_lane import FastLaneProtocol
from rasen_serving.live import load
from rasen_serving.log import PredictionLog
from rasen_serving.messages import (
    MESSAGE_MAX_BYTES,
    TO_WORKER,
    Beat,
    Drain,
    Evict,
    Forget,
    FromWorker,
    Learned,
    Prepare,
    Prepared,
    Refused,
    Revision,
    Serve,
    Situation,
    Switch,
    Wanted,
    encode,
)
from rasen_serving.orphans import die_with
from rasen_serving.rehearsal import rehearse
from rasen_serving.replica import spool_folder
from rasen_serving.service import Service

if TYPE_CHECKING:
    from rasen_serving.grpc_server import GrpcServer

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
FAREWELL_SECONDS = 0.3
"""While draining, for so long answers still come with `Connection: close`, so that busy clients leave by themselves."""

_FINISH_SECONDS = 7


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: when to stop is the supervisor's decision."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What is the same in every worker, made before the fork, so that its memory is shared."""

    settings: Settings
    service: Service
    guard: Guard
    config: uvicorn.Config


def make_kit(settings: Settings) -> Kit:
    """Build the app and rehearse a prediction."""
    service = Service(settings)
    guard = Guard(settings, count=service.count_refusal)
    config = uvicorn.Config(
        create_app(service),
        http=guarded(FastLaneProtocol, guard, service=service)
        if settings.fast_lane
        else guarded(GuardedProtocol, guard),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_FINISH_SECONDS,
    )
    config.load()
    rehearse()
    return Kit(settings=settings, service=service, guard=guard, config=config)


class Worker:
    """The conversation, and what it changes."""

    def __init__(self, kit: Kit, *, listener: socket.socket, channel: socket.socket, board: Board) -> None:
        self._listener = listener
        self._channel = channel
        self._service = kit.service
        self._versions = kit.service.versions
        self._counts = kit.service.counts
        self._log = self._service.log = PredictionLog(
            spool_folder(kit.settings), board, segment_seconds=kit.settings.prediction_log_seconds
        )
        self._versions.suspects = board.suspects
        self._service.want = lambda endpoint: self._say(Wanted(endpoint=endpoint))
        self._server = _Server(kit.config)
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: asyncio.Task[None] | None = None
        self._calls: GrpcServer | None = None
        if kit.settings.grpc_port:
            # Here, in the fork, because gRPC is not to be forked; and early, because importing it takes a while.
            importlib.import_module("rasen_serving.grpc_server")

    async def run(self) -> None:
        """Talk with the supervisor until it says `Drain`; end at once when it is gone."""
        reader, self._writer = await asyncio.open_connection(sock=self._channel, limit=MESSAGE_MAX_BYTES)
        self._service.tell = self._say
        beating = asyncio.create_task(self._beat())
        while line := await reader.readline():
            message = TO_WORKER.decode(line)
            if isinstance(message, Drain):
                await self._drain()
                beating.cancel()
                return
            self._obey(message)
        os._exit(1)  # the supervisor is gone, and with it whoever would replace a worker that goes wrong

    def _obey(
        self, message: Prepare | Switch | Forget | Evict | Serve | Situation | Learned | Callers
    ) -> None:
        match message:
            case Prepare():
                task = asyncio.create_task(self._prepare(message.revision))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Switch():
                self._versions.switch(message.endpoint, message.number)
                self._service.resume(message.endpoint)
            case Evict():
                self._versions.evict(message.endpoint)
            case Forget():
                self._versions.forget(message.endpoint, message.number)
            case Serve():
                # What was loaded so far stays: the collector need not look at it again.
                gc.collect()
                gc.freeze()
                self._serving = asyncio.create_task(self._serve())
                self._serving.add_done_callback(_end_if_failed)
            case Situation():
                self._service.accept_situation(message)
            case Learned():
                self._versions.learn(message)
            case Callers():
                self._service.access.accept(message)
            case _:
                assert_never(message)

    async def _prepare(self, revision: Revision) -> None:
        endpoint, number = revision.endpoint, revision.number
        try:
            present = self._versions.loaded(endpoint)
            if revision.identities <= present.keys():
                live = load(revision, present)
            else:
                live = await asyncio.get_running_loop().run_in_executor(self._loader, load, revision, present)
            self._versions.keep(live)
            plans = {identity: loaded.engines.plan for identity, loaded in live.loaded.items()}
            self._say(Prepared(endpoint=endpoint, number=number, plans=plans))
        except RasenError as error:
            self._say(
                Refused(
                    endpoint=endpoint,
                    number=number,
                    reason=str(error),
                    damaged=isinstance(error, DigestMismatch),
                )
            )
        except Exception as error:  # noqa: BLE001  # the boundary: a model's own code ran
            self._say(Refused(endpoint=endpoint, number=number, reason=f"{type(error).__name__}: {error}"))

    async def _serve(self) -> None:
        settings = self._service.settings
        if settings.grpc_port:  # first, so that a worker that answers /readyz answers calls, too
            from rasen_serving.grpc_server import GrpcServer

            self._calls = GrpcServer(self._service, host=settings.host, port=settings.grpc_port)
            await self._calls.start()
        await self._server.serve(sockets=[self._listener])

    async def _beat(self) -> None:
        while True:
            self._versions.release()
            series = self._counts.series() if self._counts.changed else None
            self._counts.changed = False
            self._say(
                Beat(
                    busy_seconds=self._service.thread.busy_seconds,
                    series=series,
                    models=self._versions.in_memory,
                    expected=self._versions.expected,
                    compared=self._service.shadows.comparisons.all(),
                    stuck=self._service.stuck_shadow(),
                    used=self._versions.take_used(),
                    waiting_rows=self._versions.waiting_rows,
                )
            )
            await asyncio.sleep(BEAT_SECONDS)

    async def _drain(self) -> None:
        self._service.draining = True
        if self._serving is not None:
            await asyncio.sleep(FAREWELL_SECONDS)
            self._server.should_exit = True
            if self._calls is not None:
                await self._calls.stop(seconds=_FINISH_SECONDS)
            await self._serving
        self._service.shadows.close()
        await self._log.close()
        self._counts.changed = True
        self._say(
            Beat(
                busy_seconds=0.0,
                series=self._counts.series(),
                models=0,
                expected=0,
                compared=self._service.shadows.comparisons.all(),
            )
        )
        await self._writer.drain()
        self._writer.close()

    def _say(self, message: FromWorker) -> None:
        self._writer.write(encode(message))


def run_worker(kit: Kit, *, listener: socket.socket, channel: int, board: int, supervisor: int) -> None:
    """Be a worker until drained.

    Args:
        kit: What was made before the fork.
        listener: The socket that all workers accept from.
        channel: Descriptor of the socket to the supervisor.
        board: Descriptor of the shared counters.
        supervisor: The supervisor's process id; this process ends with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with(supervisor)
    logging.basicConfig(format=f"rasen serve: worker {os.getpid()}: %(message)s", force=True)
    kit.guard.max_connections = allow_connections(kit.guard.max_connections)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        worker = Worker(kit, listener=listener, channel=socket.socket(fileno=channel), board=Board(board))
        os.close(board)
        runner.run(worker.run())


def _end_if_failed(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and serving.exception() is not None:
        logger.error("the server failed", exc_info=serving.exception())
        os._exit(1)


def _loop_factory() -> type[asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.Loop


def main() -> None:
    """Be a cold worker: one that imports for itself, because the nursery cannot fork."""
    listener, channel, board, supervisor = map(int, sys.argv[1:])
    run_worker(
        make_kit(load_settings()),
        listener=socket.socket(fileno=listener),
        channel=channel,
        board=board,
        supervisor=supervisor,
    )


if __name__ == "__main__":
    main()
