"""The workers as the supervisor sees them: born, asked, listened to, replaced.

Each worker has a socket pair. The end of that conversation is the sign of its death, whatever killed it; its silence
for five seconds, or a model call of that length, gets it killed. What it had counted until then is kept, and its
unfinished log segments are closed, so nothing of the dead is missing from the totals but its last second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from rasen.errors import PlatformFailed
from rasen.settings import platform_environment
from rasen.settings_model import Settings
from rasen_serving.board import Board, LogRows, make_board, settle
from rasen_serving.comparison import merged
from rasen_serving.counts import added_up
from rasen_serving.messages import (
    FROM_WORKER,
    MESSAGE_MAX_BYTES,
    Beat,
    Compared,
    Drain,
    FromWorker,
    Prepare,
    Prepared,
    Refused,
    Revision,
    Rewarded,
    Series,
    ToWorker,
    Wanted,
    encode,
)
from rasen_serving.nursery import COLD, PID, THREADLESS, WARM, NurseryProcess, start_nursery
from rasen_serving.orphans import KILLED, memory_of, reap
from rasen_serving.segments import close_segments
from rasen_serving.suspects import token_of

logger = logging.getLogger(__name__)

SILENCE_SECONDS = 5.0
"""A worker whose event loop or prediction thread is silent for so long is killed."""

LEAK_SECONDS = 60.0
"""A worker that holds a released model for so long is drained and replaced."""

PREPARE_SECONDS = 10.0
"""A worker that has not prepared a revision after so long is late."""


@dataclass(eq=False, kw_only=True)
class Worker:
    """One worker process.

    Args:
        pid: Its process.
        writer: To it.
        reader: From it.
        board: Its log counters.
        heard_at: When it last said anything, monotonic.
        serving: Whether it accepts connections.
        series: What it has counted.
        models: How many models it holds.
        expected: How many of them something refers to.
        waiting_rows: How many rows wait for them.
        leaking_since: Since when it holds more than that, monotonic; `None` when it does not.
        compared: What was found of shadows.
        stuck: Digest of the manifest of a shadow that does not come back in it, `""` when there is none.
        revisions: What is live in it: endpoint → number.
        expected_to_end: Its end is no accident.
        hung: It was killed because it did not come back.
        want: Called when somebody asks it for an endpoint that sleeps.
        note_use: Called with the endpoints that it was asked for.
        rewarded: Called with the rewards that somebody told it.
    """

    pid: int
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    board: Board
    heard_at: float
    serving: bool = False
    series: list[Series] = field(default_factory=list)
    models: int = 0
    expected: int = 0
    waiting_rows: int = 0
    leaking_since: float | None = None
    compared: list[Compared] = field(default_factory=list)
    stuck: str = ""
    revisions: dict[str, int] = field(default_factory=dict)
    expected_to_end: bool = False
    hung: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    how: str = ""
    want: Callable[[str], None]
    note_use: Callable[[list[str]], None]
    rewarded: Callable[[Rewarded], None]
    _questions: dict[tuple[str, int], asyncio.Future[Prepared | Refused]] = field(default_factory=dict)

    def tell(self, message: ToWorker) -> None:
        """Send a message; a worker that has just died does not hear it."""
        if not self.ended.is_set():
            self.writer.write(encode(message))

    async def prepare(self, revision: Revision) -> Prepared | Refused | None:
        """Have a revision prepared; return what the worker says, or `None` when it is late or dead."""
        place = (revision.endpoint, revision.number)
        question = self._questions[place] = asyncio.get_running_loop().create_future()
        self.tell(Prepare(revision=revision))
        ended = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait(
                {question, ended}, timeout=PREPARE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            return question.result() if question.done() else None
        finally:
            ended.cancel()
            del self._questions[place]

    def hear(self, message: FromWorker) -> None:
        """Take in what the worker says."""
        self.heard_at = time.monotonic()
        match message:
            case Prepared() | Refused():
                question = self._questions.get((message.endpoint, message.number))
                if question is not None and not question.done():
                    question.set_result(message)
            case Wanted():
                self.want(message.endpoint)
            case Rewarded():
                self.rewarded(message)
            case Beat():
                self.note_use(message.used)
                self.models, self.expected = message.models, message.expected
                self.waiting_rows = message.waiting_rows
                if self.models <= self.expected:
                    self.leaking_since = None
                elif self.leaking_since is None:
                    self.leaking_since = self.heard_at
                self.compared, self.stuck = message.compared, message.stuck
                if message.series is not None:
                    self.series = message.series
                if message.busy_seconds >= SILENCE_SECONDS:
                    self.hung = True
                    self.kill(f"a prediction has been running for {message.busy_seconds:.1f} s")

    def kill(self, why: str) -> None:
        """End the process at once."""
        if not self.ended.is_set():
            self.how = self.how or why
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    @property
    def silent_seconds(self) -> float:
        """How long the worker has said nothing."""
        return time.monotonic() - self.heard_at


class Nursery:
    """Where workers come from: a process that has everything imported, or, if it cannot fork, fresh interpreters."""

    def __init__(
        self, settings: Settings, listener: socket.socket, *, started: NurseryProcess | None = None
    ) -> None:
        self._listener = listener
        self._environment = platform_environment(settings)
        self._process = started
        self._warm = False
        self._cold = False
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the process, if it has not been, and wait until everything is imported.

        Raises:
            PlatformFailed: It ended instead.
        """
        nursery = self._process = self._process or start_nursery(self._environment)
        nursery.control.settimeout(0)  # asyncio waits for it
        answer = await asyncio.get_running_loop().sock_recv(nursery.control, len(WARM))
        if answer == WARM:
            self._warm = True
        elif answer == COLD:
            logger.warning(
                "the nursery has several threads, so workers are started without it and take longer"
            )
            self._cold = True
            self.stop()
        else:
            status = await asyncio.to_thread(nursery.process.wait)
            self.stop()
            raise PlatformFailed(f"the process that imports the models' libraries ended with status {status}")

    async def bear(self, channel: socket.socket, board: int) -> int:
        """Return the process id of a new worker that talks over `channel`.

        Raises:
            PlatformFailed: There is no way to start one.
        """
        async with self._lock:
            for _ in range(2):  # a nursery that has died is found out by asking it
                if not self._cold and not self._warm:
                    await self.start()
                if self._cold:
                    return self._bear_cold(channel, board)
                pid = await self._ask(channel, board)
                if pid is not None:
                    return pid
                logger.warning("the nursery is gone; starting another")
                self.stop()
            raise PlatformFailed("the process that forks the workers ends as soon as it is asked to")

    async def _ask(self, channel: socket.socket, board: int) -> int | None:
        assert self._process is not None
        control = self._process.control
        descriptors = [self._listener.fileno(), channel.fileno(), board]
        try:
            socket.send_fds(control, [PID.pack(os.getpid())], descriptors)
            answer = await asyncio.get_running_loop().sock_recv(control, PID.size)
        except OSError:
            return None
        return PID.unpack(answer)[0] if len(answer) == PID.size else None

    def _bear_cold(self, channel: socket.socket, board: int) -> int:
        descriptors = (self._listener.fileno(), channel.fileno(), board)
        process = subprocess.Popen(
            [sys.executable, "-m", "rasen_serving.worker", *map(str, descriptors), str(os.getpid())],
            pass_fds=descriptors,
            env=self._environment | THREADLESS,
            stdin=subprocess.DEVNULL,
        )
        process.returncode = 0  # reaped with the other workers, not by the subprocess module
        return process.pid

    def stop(self) -> None:
        """Let the process go."""
        if self._process is not None:
            self._process.stop()
            self._process = None
            self._warm = False


class Fleet:
    """All workers, the trial ones included."""

    def __init__(self, settings: Settings, nursery: Nursery, *, spool: Path) -> None:
        self.workers: list[Worker] = []
        self._nursery = nursery
        self._settings = settings
        self._spool = spool
        self._retired: list[list[Series]] = []
        self._retired_compared: list[Compared] = []
        self._retired_rows = LogRows()
        self.lost_rows = 0
        self._listening: set[asyncio.Task[None]] = set()
        self.want: Callable[[str], None] = lambda endpoint: None
        self.note_use: Callable[[list[str]], None] = lambda endpoints: None
        self.blame: Callable[[set[int], str], None] = lambda suspects, how: None
        self.rewarded: Callable[[Rewarded], None] = lambda told: None

    @property
    def serving(self) -> list[Worker]:
        """The workers that accept connections."""
        return [worker for worker in self.workers if worker.serving and not worker.ended.is_set()]

    async def bear(self, *, on_end: Callable[[Worker], None] | None = None) -> Worker:
        """Start a worker; `on_end` is called when it has ended, whatever the reason.

        Raises:
            PlatformFailed: It could not be started.
        """
        ours, theirs = socket.socketpair()
        board = make_board()
        try:
            pid = await self._nursery.bear(theirs, board)
            reader, writer = await asyncio.open_connection(sock=ours, limit=MESSAGE_MAX_BYTES)
            worker = Worker(
                pid=pid,
                reader=reader,
                writer=writer,
                board=Board(board),
                heard_at=time.monotonic(),
                want=self.want,
                note_use=self.note_use,
                rewarded=self.rewarded,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(board)
        self.workers.append(worker)
        listening = asyncio.create_task(self._listen(worker, on_end))
        self._listening.add(listening)
        listening.add_done_callback(self._listening.discard)
        return worker

    def broadcast(self, message: ToWorker) -> None:
        """Tell every worker."""
        for worker in self.workers:
            worker.tell(message)

    def kill_silent(self) -> None:
        """Kill the workers that say nothing any more."""
        for worker in self.workers:
            if worker.silent_seconds > SILENCE_SECONDS:
                worker.hung = True
                worker.kill(f"it was silent for {worker.silent_seconds:.1f} s")

    def replace_leaking(self) -> None:
        """Drain a worker in which a released model does not die, a shadow does not come back, or memory grows."""
        for worker in self.serving:
            since = worker.leaking_since
            if worker.stuck:
                worker.how = "a shadow did not come back"
                self.blame({token_of(worker.stuck)}, worker.how)
            elif since is not None and time.monotonic() - since > LEAK_SECONDS:
                worker.how = f"it held {worker.models} models, {worker.expected} were in use"
            elif (taken := memory_of(worker.pid)) > self._settings.worker_max_bytes:
                most = self._settings.worker_max_bytes
                worker.how = (
                    f"it took {taken >> 20} MB, at most {most >> 20} MB are allowed (RASEN_WORKER_MAX_BYTES)"
                )
            else:
                continue
            worker.serving = False
            worker.expected_to_end = True
            worker.tell(Drain())
            return  # one at a time

    def compared(self) -> list[Compared]:
        """Return what was found of shadows, in all workers that live or have lived."""
        return merged([self._retired_compared, *(worker.compared for worker in self.workers)])

    def totals(self) -> list[list[Series]]:
        """Return the counts of all workers that live or have lived."""
        return [*self._retired, *(worker.series for worker in self.workers)]

    def log_rows(self) -> LogRows:
        """Return the log counters of all workers that live or have lived."""
        return sum((worker.board.read() for worker in self.workers), start=self._retired_rows)

    async def _listen(self, worker: Worker, on_end: Callable[[Worker], None] | None) -> None:
        try:
            while line := await worker.reader.readline():
                worker.hear(FROM_WORKER.decode(line))
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            worker.kill(f"it said something unintelligible: {error!r}")
        await self._bury(worker)
        if on_end is not None:
            on_end(worker)

    async def _bury(self, worker: Worker) -> None:
        """Reap a worker that has hung up, and keep what it counted."""
        if not worker.expected_to_end:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)  # it may have closed the socket only
        status = await asyncio.to_thread(reap, worker.pid)
        worker.how = f"{worker.how}: {status}" if worker.how else status
        worker.ended.set()
        worker.writer.close()
        found_open = 0
        try:
            found_open = await asyncio.to_thread(close_segments, self._spool, pid=worker.pid)
        except OSError as error:
            logger.warning("the log of worker %d stays open until the next start: %s", worker.pid, error)
        self.workers.remove(worker)
        rows = settle(worker.board.read(), found_open=found_open)
        suspects = worker.board.suspects.read()
        worker.board.close()
        # Who was killed by somebody else may have been in the middle of any model.
        if suspects and not worker.expected_to_end and (worker.hung or status != KILLED):
            self.blame(suspects, worker.how)
        self.lost_rows += max(0, rows.pending)
        self._retired_rows += rows
        self._retired = [added_up([*self._retired, worker.series])]
        self._retired_compared = merged([self._retired_compared, worker.compared])
