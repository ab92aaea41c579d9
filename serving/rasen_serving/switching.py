"""From what the ledger names to what every worker answers with.

A new revision is loaded three times before anybody is answered by it. First on trial, in a process of its own: a
pickle that crashes, hangs or eats the memory takes nobody along. Then in each worker, beside the version that is
live. Only when all of them are ready, or ten seconds have passed, are they told to switch; who is late is replaced.
A refusal at any point leaves the old version answering. It is tried again after a minute, then ever more rarely,
because a refusal may have had a passing reason (a key that arrived late, a busy machine).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import msgspec

from rasen.errors import ObjectNotFound, PlatformFailed, RasenError, StoreError, StoreUnavailable
from rasen.model.engine_plan import EnginePlan
from rasen_serving.fleet import PREPARE_SECONDS, Fleet, Worker
from rasen_serving.messages import CHAMPION, Evict, Forget, Prepared, Refused, Revision, Switch, Version
from rasen_serving.quarantine import Quarantine
from rasen_serving.residency import Residency, size_of
from rasen_serving.revisions import Resolved, Revisions
from rasen_serving.suspects import token_of

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""A refused revision is tried again after so long, then after twice as long, up to an hour."""

_RETRY_MAX_SECONDS = 3600.0


@dataclass(kw_only=True)
class Endpoint:
    """One endpoint of the ledger.

    Args:
        newest: Number of its newest ledger record.
        live: What answers, `None` when nothing does.
        refused: Why revisions were refused, by number, since the last one that was not.
        settled: The newest number that went live or was refused, 0 for none.
        settled_at: When that was, monotonic.
        tries: How often the settled number was refused.
        unknown: Why nothing could be said of the newest revision, `""` when something could.
        asleep: It is not in memory until somebody asks for it.
        last_good: What answered before with another champion, `None` when nothing did.
    """

    newest: int
    live: Resolved | None = None
    refused: dict[int, str] = field(default_factory=dict)
    settled: int = 0
    settled_at: float = 0.0
    tries: int = 0
    unknown: str = ""
    asleep: bool = False
    last_good: Resolved | None = None
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def revision(self) -> Revision | None:
        """What answers."""
        return None if self.live is None else self.live.revision

    @property
    def waiting(self) -> str:
        """Why nothing answers."""
        return self.refused.get(self.newest) or self.unknown or f"revision {self.newest} is being loaded"

    def due(self) -> bool:
        """Return whether there is something to try."""
        if self.newest != self.settled:
            return True
        wait_seconds = min(RETRY_SECONDS * 2 ** (self.tries - 1), _RETRY_MAX_SECONDS)
        return self.newest in self.refused and time.monotonic() - self.settled_at > wait_seconds


class Switching:
    """Brings every endpoint to its newest revision, and every worker to what is live."""

    def __init__(
        self, revisions: Revisions, fleet: Fleet, residency: Residency, *, changed: Callable[[], None]
    ) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.stale = ""
        self._revisions = revisions
        self._fleet = fleet
        self._residency = residency
        self._plans: dict[str, EnginePlan | None] = {}  # of the versions that were tried, by identity
        self._changed = changed
        self._settling: dict[str, asyncio.Task[None]] = {}
        self._reading = asyncio.Lock()  # `Revisions` is used by one thread at a time
        self._trials = asyncio.Semaphore(2)
        self._retrials = asyncio.Semaphore(1)  # what was refused before does not delay what is new
        self._catching_up: set[asyncio.Task[bool]] = set()
        self.quarantine = Quarantine()
        self._stepping_back: set[asyncio.Task[None]] = set()
        fleet.blame = self._blame
        fleet.want = self._wake
        fleet.note_use = residency.note_use

    @property
    def revisions(self) -> list[Revision]:
        """What answers, of each endpoint that has something."""
        return [endpoint.revision for endpoint in self.endpoints.values() if endpoint.revision is not None]

    async def look(self, *, thorough: bool) -> None:
        """See what the store has that is new, and begin to bring it up."""
        known = {name: endpoint.newest for name, endpoint in self.endpoints.items()}
        async with self._reading:
            if (
                not known
            ):  # a start: a store that knows less than this disk is not the one that was served from
                known = await asyncio.to_thread(self._revisions.kept)
            found = await asyncio.to_thread(self._revisions.look, known, thorough=thorough)
        if found.stale != self.stale:
            logger.warning(
                "%s", f"the store is not usable: {found.stale}" if found.stale else "the store is back"
            )
        self.stale = found.stale
        sleepers = set() if self.endpoints else self._residency.sleepers(found.newest)
        for name, number in found.newest.items():
            endpoint = self.endpoints.setdefault(name, Endpoint(newest=number, asleep=name in sleepers))
            endpoint.newest = max(endpoint.newest, number)
            if endpoint.due() and not endpoint.asleep:
                self._begin_settling(name, endpoint)

    def _begin_settling(self, name: str, endpoint: Endpoint) -> None:
        if name not in self._settling:
            settling = self._settling[name] = asyncio.create_task(self._settle(name, endpoint))
            settling.add_done_callback(partial(self._end_settling, name))

    def _wake(self, name: str) -> None:
        """Load an endpoint, because somebody asks for it."""
        endpoint = self.endpoints.get(name)
        if endpoint is not None and endpoint.asleep:
            self._residency.note_use([name])
            self._begin_settling(name, endpoint)

    def _make_room(self, loaded: str) -> None:
        """Let endpoints go that have not been asked for, until those in memory fit."""
        lives = {name: one.revision for name, one in self.endpoints.items() if one.revision is not None}
        sizes = {name: size_of(revision) for name, revision in lives.items()}
        for name in self._residency.surplus(sizes, keep=loaded):
            endpoint = self.endpoints[name]
            if name in self._settling:
                continue
            endpoint.asleep, endpoint.live, endpoint.last_good = True, None, None
            self._changed()  # the workers hear that it sleeps before they let it go
            for worker in self._fleet.workers:
                if worker.revisions.pop(name, None) is not None:
                    worker.tell(Evict(endpoint=name))
            logger.info("%s sleeps until somebody asks for it", name)

    def _end_settling(self, name: str, settling: asyncio.Task[None]) -> None:
        del self._settling[name]
        if self.endpoints[name].live is None:
            self.endpoints[
                name
            ].asleep = False  # it was to be loaded and could not be, which is another thing
        if not settling.cancelled() and settling.exception() is not None:
            logger.error("bringing up %s failed", name, exc_info=settling.exception())
        self._changed()

    async def settled(self, *, timeout_seconds: float) -> None:
        """Wait until everything that was begun has ended, but not for ever."""
        if self._settling:
            await asyncio.wait(list(self._settling.values()), timeout=timeout_seconds)

    async def equip(self, worker: Worker) -> bool:
        """Bring one worker to what is live now; return whether it is fit to serve."""
        hopeless: set[tuple[str, int]] = set()
        while missing := self._missing(worker, hopeless):
            for live in missing:
                revision = live.revision
                outcome = await worker.prepare(revision)
                if isinstance(outcome, Refused) and outcome.damaged:
                    outcome = await self._prepare_afresh(worker, revision)
                match outcome:
                    case Prepared():
                        self._switch(worker, revision)
                    case Refused():
                        hopeless.add((revision.endpoint, revision.number))
                        logger.error(
                            "worker %d cannot load what is live: %s revision %d: %s",
                            *(worker.pid, revision.endpoint, revision.number, outcome.reason),
                        )
                    case None:
                        worker.kill(f"it was late with {revision.endpoint} revision {revision.number}")
                        return False
        return True

    def _missing(self, worker: Worker, hopeless: set[tuple[str, int]]) -> list[Resolved]:
        return [
            endpoint.live
            for name, endpoint in self.endpoints.items()
            if endpoint.live is not None
            and worker.revisions.get(name) != endpoint.live.revision.number
            and (name, endpoint.live.revision.number) not in hopeless
        ]

    async def _prepare_afresh(self, worker: Worker, revision: Revision) -> Prepared | Refused | None:
        """Fetch again what was damaged on this disk."""
        try:
            async with self._reading:
                await asyncio.to_thread(self._revisions.discard_files, revision)
                await asyncio.to_thread(self._revisions.resolve, revision.endpoint, revision.number)
        except (RasenError, OSError) as error:
            return Refused(endpoint=revision.endpoint, number=revision.number, reason=str(error))
        return await worker.prepare(revision)

    async def _settle(self, name: str, endpoint: Endpoint) -> None:
        """Bring one endpoint to its newest revision, or find out why not."""
        number = endpoint.newest
        began = time.monotonic()
        try:
            async with self._reading:
                resolved = await asyncio.to_thread(self._revisions.resolve, name, number)
            reason = await self._bring_up(endpoint, resolved)
            endpoint.unknown = ""
        except (StoreUnavailable, PlatformFailed) as error:
            endpoint.unknown = str(error)
            logger.warning("%s revision %d: nothing known yet: %s", name, number, error)
        except (RasenError, OSError) as error:
            if isinstance(error, ObjectNotFound) and self.stale:
                endpoint.unknown = str(error)
            else:
                self._settled(endpoint, number, refusal=str(error))
        else:
            self._settled(endpoint, number, refusal=reason)
            if not reason:
                await self._keep(resolved)
                logger.info(
                    "%s revision %d is live: model %s, %.2f s after it was seen",
                    *(name, number, resolved.revision.champion.run, time.monotonic() - began),
                )
        if number in endpoint.refused:
            logger.error("%s revision %d was refused: %s", name, number, endpoint.refused[number])
        if endpoint.live is None:
            await self._fall_back(name, endpoint)

    def _settled(self, endpoint: Endpoint, number: int, *, refusal: str) -> None:
        endpoint.tries = endpoint.tries + 1 if number == endpoint.settled else 1
        endpoint.settled, endpoint.settled_at = number, time.monotonic()
        if refusal:
            endpoint.refused[number] = refusal
        else:
            endpoint.refused.clear()

    async def _fall_back(self, name: str, endpoint: Endpoint) -> None:
        """After a restart: an endpoint that has answered once goes on answering."""
        try:
            async with self._reading:
                resolved = await asyncio.to_thread(self._revisions.resolve_kept, name)
            if reason := await self._bring_up(endpoint, resolved):
                logger.error("%s: the kept revision was refused: %s", name, reason)
                return
        except (RasenError, OSError) as error:
            logger.info("%s: no kept revision: %s", name, error)
            return
        number = resolved.revision.number
        logger.warning("%s: revision %d, kept on this disk, answers", name, number)
        if number == endpoint.newest:
            self._settled(endpoint, number, refusal="")

    async def _bring_up(self, endpoint: Endpoint, resolved: Resolved) -> str:
        """Make a revision live in all workers; return why not, `""` when it is.

        Raises:
            PlatformFailed: There was no process to try it in.
        """
        async with endpoint.changing:
            tried = await self._try_all(endpoint, resolved)
            return tried if isinstance(tried, str) else await self._make_live(endpoint, tried)

    async def _try_all(self, endpoint: Endpoint, resolved: Resolved) -> Resolved | str:
        """Try each version that is new here; return what can go live, or why the champion cannot."""
        revision = resolved.revision
        present = frozenset() if endpoint.revision is None else endpoint.revision.identities
        for variant in revision.variants:
            if variant.version.identity in present:
                continue
            reason = self.quarantine.reason(variant.version)
            if not reason and variant.version.identity not in self._plans:
                async with self._retrials if revision.number in endpoint.refused else self._trials:
                    reason = await self._try(msgspec.structs.replace(revision, variants=[variant]))
            if reason and variant.role == CHAMPION:
                return reason
            if reason:  # the champion answers for it
                resolved = resolved.without(variant, reason)
        return resolved

    async def _make_live(self, endpoint: Endpoint, resolved: Resolved) -> str:
        """Have all workers prepare a revision and switch to it; return why not, `""` when they did."""
        resolved = resolved.planned(self._plans)
        revision = resolved.revision
        asked = self._fleet.serving
        outcomes = await asyncio.gather(*(worker.prepare(revision) for worker in asked))
        ready = [
            worker for worker, outcome in zip(asked, outcomes, strict=True) if isinstance(outcome, Prepared)
        ]
        reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Refused)]
        for worker, outcome in zip(asked, outcomes, strict=True):
            if outcome is None:
                worker.kill(f"it was late with {revision.endpoint} revision {revision.number}")
        if reasons or (asked and not ready):
            for worker in ready:
                worker.tell(Forget(endpoint=revision.endpoint, number=revision.number))
            return reasons[0] if reasons else f"no worker had it ready within {PREPARE_SECONDS:.0f} s"
        replaced, endpoint.live, endpoint.asleep = endpoint.live, resolved, False
        if replaced is not None and replaced.revision.champion.identity != revision.champion.identity:
            endpoint.last_good = None if replaced.revision.champion.quarantined else replaced
        for worker in ready:
            self._switch(worker, revision)
        self._make_room(revision.endpoint)
        for worker in self._fleet.serving:  # who began to serve in the meantime
            if worker not in ready:
                task = asyncio.create_task(self.equip(worker))
                self._catching_up.add(task)
                task.add_done_callback(self._catching_up.discard)
        return ""

    def _switch(self, worker: Worker, revision: Revision) -> None:
        worker.tell(Switch(endpoint=revision.endpoint, number=revision.number))
        worker.revisions[revision.endpoint] = revision.number

    async def _keep(self, resolved: Resolved) -> None:
        name = resolved.revision.endpoint
        held = (self.endpoints[name].live, self.endpoints[name].last_good)
        live = [kept.revision for kept in held if kept is not None]
        try:
            async with self._reading:
                await asyncio.to_thread(self._revisions.keep, resolved, held=live)
        except (StoreError, OSError) as error:
            logger.warning("what a start without the store needs could not be kept: %s", error)

    def _blame(self, suspects: set[int], how: str) -> None:
        """Take versions out of service that have ended or hung their process again."""
        lives = [one.revision for one in self.endpoints.values() if one.revision is not None]
        versions = {variant.version.identity: variant.version for live in lives for variant in live.variants}
        for version in versions.values():
            if token_of(version.manifest_sha256) not in suspects:
                continue
            if not self.quarantine.note_death(version, how):
                continue
            for name, endpoint in self.endpoints.items():
                if endpoint.revision is not None and version.identity in endpoint.revision.identities:
                    task = asyncio.create_task(self._step_back(name, endpoint, version))
                    self._stepping_back.add(task)
                    task.add_done_callback(self._stepping_back.discard)

    async def _step_back(self, name: str, endpoint: Endpoint, version: Version) -> None:
        """Have the last good version answer instead of one in quarantine; when there is none, the profile."""
        live = endpoint.live
        assert live is not None  # it was executed
        reason = self.quarantine.reason(version)
        revision = live.revision
        if version.identity != revision.champion.identity:
            culprit = next(one for one in revision.variants if one.version.identity == version.identity)
            following = live.without(culprit, reason)
        else:
            endpoint.refused[revision.number] = reason
            last = endpoint.last_good
            if last is not None and not self.quarantine.reason(last.revision.champion):
                following = last
            else:
                following = live.profile_only(reason)
        logger.error("%s: %s; %s answers", name, reason, following.describe())
        try:
            if problem := await self._bring_up(endpoint, following):
                logger.error("%s: nothing could take its place: %s", name, problem)
        except PlatformFailed:
            logger.exception("%s: nothing could take its place", name)
        self._changed()

    async def _try(self, revision: Revision) -> str:
        """Load a revision in a process of its own; return what is wrong with it."""
        worker = await self._fleet.bear()
        worker.expected_to_end = True
        outcome = await worker.prepare(revision)
        late = outcome is None and not worker.ended.is_set()
        worker.kill("")
        await worker.ended.wait()
        match outcome:
            case Prepared():
                self._plans |= {one: outcome.plans.get(one) for one in revision.identities}
                return ""
            case Refused():
                return outcome.reason
            case None if late:
                return f"it was not loaded within {PREPARE_SECONDS:.0f} s"
            case None:
                return f"a process that loaded it came to an end: {worker.how}"
