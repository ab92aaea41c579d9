"""The process of `rasen serve` that answers no prediction: it owns the sockets, the workers and the truth about both.

It imports neither pandas nor FastAPI, so it is small, starts at once, and nothing an analyst wrote ever runs in it.
The listening socket is bound before anything is imported: a port in use is told at once, and connections that come
while the workers are starting wait instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from datetime import UTC, datetime

from rasen.errors import PlatformFailed, StoreError
from rasen.settings_model import Settings
from rasen.store import Store, open_store
from rasen.tracking.keys import replica_key
from rasen_serving.access_watch import AccessWatch, check_access
from rasen_serving.admin import Reply, Route, as_json, start_admin
from rasen_serving.bandit import Bandits
from rasen_serving.callers import Callers
from rasen_serving.exposition import CONTENT_TYPE, expose
from rasen_serving.fleet import Fleet, Nursery, Worker
from rasen_serving.grpc_port import hold_grpc_port
from rasen_serving.messages import Drain, Serve, Situation
from rasen_serving.nursery import NurseryProcess
from rasen_serving.orphans import adopt_orphans
from rasen_serving.replica import replica_name
from rasen_serving.report import build_report
from rasen_serving.residency import Residency
from rasen_serving.revisions import Revisions
from rasen_serving.spool import Spool
from rasen_serving.switching import Switching
from rasen_serving.trust_watch import TrustWatch

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0

_FIRST_LOOK_SECONDS = 12.0
_DRAIN_SECONDS = 8.0
_END_SECONDS = 9.0
"""Draining and the last shipping take no longer than this together; what was not shipped is at the next start."""

_PATIENCE_SECONDS = 2.0
"""Who asks to stop again after so long means at once; sooner, it is Ctrl-C reaching parent and child alike."""

_RESTART_MAX_SECONDS = 5.0
_BACKLOG = 2048


class Supervisor:
    """Runs the workers until it is told to stop."""

    def __init__(self, settings: Settings, *, nursery: NurseryProcess | None = None) -> None:
        """Bind the ports; `nursery` has been started before, to import meanwhile.

        Raises:
            InvalidInput: Everybody could ask from other machines, or tokens could not be checked.
            PlatformFailed: One is in use.
        """
        check_access(settings)
        self._settings = settings
        self._listener = bind(settings.host, settings.serving_port, setting="RASEN_SERVING_PORT")
        self._admin_listener = bind(settings.host, settings.admin_port, setting="RASEN_ADMIN_PORT")
        self._grpc_holder = hold_grpc_port(settings)
        self._store: Store = open_store(settings, patient=False)  # it polls
        self._replica = replica_name(settings)
        self._started_at = datetime.now(tz=UTC)
        self._spool = Spool(settings)
        self._nursery = Nursery(settings, self._listener, started=nursery)
        self._fleet = Fleet(settings, self._nursery, spool=self._spool.folder)
        self._switching = Switching(
            Revisions(self._store, settings),
            self._fleet,
            Residency(max_bytes=settings.models_max_bytes, eager=settings.eager_endpoints),
            changed=self._tell_situation,
        )
        self._bandits = Bandits()
        self._fleet.rewarded = lambda told: self._bandits.take(told.endpoint, told.rewards)
        self._access = AccessWatch(self._store, settings)
        self._trust = TrustWatch(self._store, settings)
        unread = "" if "open" in settings.access else "who may ask has not been read yet"
        self._callers = Callers(keys=[], jwks="", unread=unread)
        self._situation = Situation(ready=False, reason="starting", waiting={}, log_open=True)
        self._restarts = 0
        self._stopped_at = 0.0
        self._stopping = asyncio.Event()
        self._hint = asyncio.Event()
        self._looked = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            PlatformFailed: The workers' libraries cannot be imported.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        host, port, admin_port = (
            self._settings.host,
            self._settings.serving_port,
            self._settings.admin_port,
        )
        logger.info("http://%s:%d (see /docs), admin routes on port %d; importing", host, port, admin_port)
        adopt_orphans()
        self._spool.adopt()
        admin = await start_admin(self._admin_listener, self._routes())
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._begin(tasks)
            await self._stopping.wait()
        finally:
            for task in tasks:
                task.cancel()
            await self._drain()
            admin.close()

    async def _begin(self, tasks: list[asyncio.Task[None]]) -> None:
        """Start everything; a stop during the start is heeded at once."""
        starting = asyncio.create_task(self._nursery.start())
        stopping = asyncio.create_task(self._stopping.wait())
        tasks += [starting, stopping]  # type: ignore[list-item]  # only cancelled there
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if self._stopping.is_set():
            return
        starting.result()
        tasks.append(asyncio.create_task(self._watch()))
        tasks.append(asyncio.create_task(self._keep_house()))
        tasks.append(asyncio.create_task(self._report()))
        tasks += [asyncio.create_task(self._keep_worker()) for _ in range(self._settings.serving_workers)]

    def _stop(self) -> None:
        if not self._stopping.is_set():
            self._stopped_at = time.monotonic()
        elif time.monotonic() - self._stopped_at > _PATIENCE_SECONDS:
            for worker in list(self._fleet.workers):
                worker.kill("the supervisor was told to stop twice")
        self._stopping.set()

    async def _watch(self) -> None:
        """Follow the ledger: every second, and at once when hinted at."""
        thorough_at = 0.0
        while True:
            hinted = self._hint.is_set()
            self._hint.clear()
            thorough = hinted or time.monotonic() >= thorough_at
            if thorough:
                thorough_at = time.monotonic() + self._settings.reconcile_seconds
            await self._look_at_access(thorough=thorough)
            try:
                await self._switching.look(thorough=thorough)
                if thorough:
                    lives = {name: one.live for name, one in self._switching.endpoints.items() if one.live}
                    await asyncio.to_thread(self._trust.look, lives)
                if not self._looked.is_set():
                    await self._switching.settled(timeout_seconds=_FIRST_LOOK_SECONDS)
            except Exception:
                # Whatever is wrong with one look, what is live goes on answering.
                logger.exception("looking at the store failed")
            self._looked.set()
            self._tell_situation()
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._hint.wait()
            except TimeoutError:
                pass

    async def _look_at_access(self, *, thorough: bool) -> None:
        """Tell the workers who may ask, when it has changed."""
        if "open" in self._settings.access:
            return
        try:
            callers = await asyncio.to_thread(self._access.look, thorough=thorough)
        except Exception:
            # Whatever is wrong with one look, who was let in still is.
            logger.exception("looking at the API keys failed")
            return
        if callers != self._callers:
            self._callers = callers
            self._fleet.broadcast(callers)

    async def _keep_worker(self) -> None:
        """Keep one worker alive: replace it at once, and ever more slowly when it does not live."""
        pause_seconds = 0.0
        await self._looked.wait()
        while True:
            born_at = time.monotonic()
            try:
                worker = await self._fleet.bear()
                await self._put_to_work(worker)
                await worker.ended.wait()
                logger.warning("worker %d ended (%s); a new one takes its place", worker.pid, worker.how)
            except PlatformFailed as error:
                logger.warning("no worker could be started: %s", error)
            self._restarts += 1
            lived_seconds = time.monotonic() - born_at
            if lived_seconds > _RESTART_MAX_SECONDS:
                pause_seconds = 0.0
            else:
                pause_seconds = min(2 * pause_seconds + 0.05, _RESTART_MAX_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def _put_to_work(self, worker: Worker) -> None:
        if not await self._switching.equip(worker):
            return
        self._tell_situation()
        worker.tell(self._situation)
        for learned in self._bandits.known():
            worker.tell(learned)
        worker.tell(self._callers)
        worker.tell(Serve())
        worker.serving = True
        self._tell_situation()

    async def _keep_house(self) -> None:
        awake_at = time.monotonic()
        while True:
            # Whoever was stopped or starved itself has not heard what the workers said meanwhile: listen first.
            if time.monotonic() - awake_at < 2 * POLL_SECONDS:
                self._fleet.kill_silent()
                self._fleet.replace_leaking()
            for learned in self._bandits.changes(self._switching.revisions):
                self._fleet.broadcast(learned)
            awake_at = time.monotonic()
            try:
                self._spool.measure()
            except OSError as error:
                logger.warning("the spool cannot be measured: %s", error)
            self._tell_situation()
            await asyncio.sleep(POLL_SECONDS)

    async def _report(self) -> None:
        warned = False
        while True:
            report = build_report(
                replica=self._replica,
                started_at=self._started_at,
                fleet=self._fleet,
                switching=self._switching,
                bandits=self._bandits,
                distrusted=self._trust.distrusted,
            )
            try:
                await asyncio.to_thread(self._store.write, replica_key(self._replica), report.to_bytes())
                warned = False
            except (StoreError, OSError) as error:
                if not warned:
                    logger.warning("the replica's report could not be written: %s", error)
                warned = True
            await asyncio.sleep(self._settings.report_seconds)

    def _tell_situation(self) -> None:
        """Tell the workers what they cannot know, when it has changed."""
        reason = self._unready()
        situation = Situation(
            ready=not reason,
            reason=reason,
            waiting={
                name: endpoint.waiting
                for name, endpoint in self._switching.endpoints.items()
                if endpoint.live is None and not endpoint.asleep
            },
            log_open=self._spool.is_open,
            asleep=frozenset(name for name, endpoint in self._switching.endpoints.items() if endpoint.asleep),
        )
        if situation != self._situation:
            if situation.ready != self._situation.ready:
                logger.info("ready" if situation.ready else "not ready: %s", *([reason] if reason else []))
            self._situation = situation
            self._fleet.broadcast(situation)

    def _unready(self) -> str:
        """Return why this server should get no traffic, `""` when it should.

        A refused revision is no reason while an older one answers, nor is one endpoint that never had a usable
        version: taking every replica away for one pipeline's mistake would be an outage of all the others.
        """
        if self._stopping.is_set():
            return "draining"
        if not self._looked.is_set():
            return "the ledger has not been read yet"
        if not self._fleet.serving:
            return "no worker is serving yet"
        if self._callers.unread and not (self._callers.keys or self._callers.jwks):
            return self._callers.unread
        for name, endpoint in self._switching.endpoints.items():
            if endpoint.asleep:
                continue
            if endpoint.live is None and endpoint.newest not in endpoint.refused:
                return f"endpoint {name!r}: {endpoint.waiting}"
        return ""

    def _routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", "/-/reload"): self._reload,
            ("GET", "/-/ready"): self._ready,
            ("GET", "/-/live"): lambda: as_json(200, {"live": True}),
            ("GET", "/metrics"): self._metrics,
        }

    def _reload(self) -> Reply:
        self._hint.set()
        return as_json(202, {"looking": True})

    def _ready(self) -> Reply:
        reason = self._unready()
        endpoints = {
            name: {
                "revision": None if endpoint.revision is None else endpoint.revision.number,
                "model": None if endpoint.revision is None else endpoint.revision.champion.run,
                "ledger": endpoint.newest,
                "refused": {str(number): why for number, why in endpoint.refused.items()},
                "distrusted": self._trust.distrusted.get(name, ""),
            }
            for name, endpoint in sorted(self._switching.endpoints.items())
        }
        return as_json(
            503 if reason else 200,
            {
                "ready": not reason,
                "reason": reason,
                "stale": self._switching.stale,
                "workers": [worker.pid for worker in self._fleet.serving],
                "endpoints": endpoints,
            },
        )

    def _metrics(self) -> Reply:
        body = expose(
            fleet=self._fleet,
            switching=self._switching,
            spool=self._spool,
            restarts=self._restarts,
            distrusted=self._trust.distrusted,
        )
        return Reply(status=200, body=body, content_type=CONTENT_TYPE)

    async def _drain(self) -> None:
        """Let the workers finish what they have begun, then ship what they logged."""
        deadline = time.monotonic() + _END_SECONDS
        self._tell_situation()
        self._listener.close()
        self._nursery.stop()
        workers = list(self._fleet.workers)
        for worker in workers:
            worker.expected_to_end = True
            worker.tell(Drain())
        ends = [asyncio.create_task(worker.ended.wait()) for worker in workers]
        if ends:
            await asyncio.wait(ends, timeout=_DRAIN_SECONDS)
        late = [worker for worker in workers if not worker.ended.is_set()]
        for worker in late:
            worker.kill("it did not finish in time")
        if late:
            await asyncio.wait(ends, timeout=1.0)
        elif self._spool.folder.exists():
            await self._spool.finish(timeout_seconds=deadline - time.monotonic())


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """Return a listening socket.

    Raises:
        PlatformFailed: The address is in use or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PlatformFailed(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what uses the port, or set {setting} to a free one"
        ) from error
    listener.settimeout(0)  # asyncio waits for it
    return listener


def serve(settings: Settings, *, nursery: NurseryProcess | None = None) -> None:
    """Serve predictions until SIGTERM or SIGINT; `nursery` has been started with the same settings.

    Raises:
        PlatformFailed: A port is in use, or the workers cannot be started.
    """
    logging.basicConfig(format="rasen serve: %(message)s", level=logging.INFO)
    asyncio.run(Supervisor(settings, nursery=nursery).run())
