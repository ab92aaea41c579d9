"""What there is to decide: published runs that no ledger has an answer to yet, and for which endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import assert_never

from rasen.deploy import ledger
from rasen.deploy.candidate import Candidate, NothingToDecide, Unverified
from rasen.deploy.memory import Memory
from rasen.deploy.next_state import is_settled
from rasen.errors import InvalidInput, TrustError
from rasen.release import current_release, read_release
from rasen.store import Stat
from rasen.tracking.ids import check_run_id
from rasen.tracking.records import UnreadableRecord


def list_undecided(
    pipeline: str, *, memory: Callable[[], Memory], look_again: Callable[[], bool]
) -> list[tuple[Candidate | Unverified, str]]:
    """Return what is to be decided of a pipeline and for which endpoint, oldest run first.

    Reads from the newest back to the first that is decided everywhere: in the ledger of the endpoint that the run
    names, and of those whose owners invite the pipeline. Where it is new, its newest run enters and no older one.

    Args:
        pipeline: Whose runs.
        memory: Returns what is remembered now.
        look_again: Reads the trusted keys and returns whether they have changed; what was remembered is then forgotten.
    """
    heads = memory().heads
    pending: list[tuple[Candidate | Unverified, str]] = []
    invitations = {endpoint for endpoint, state in heads.survey() if pipeline in state.challengers}
    welcome(memory())
    at_home = True
    for run, stat in _manifests(memory(), pipeline):
        found = memory().open(pipeline, run, stat)
        if isinstance(found, Unverified) and look_again():
            # Signed with a key that became trusted after this call began: the first run of a new machine does that.
            found = memory().open(pipeline, run, stat)
            heads = memory().heads
        match found:
            case NothingToDecide():
                continue
            case Unverified():
                endpoint = _endpoint_of(memory(), found, stat.key)
                if endpoint is not None and at_home and not is_settled(heads.head(endpoint).state, found):
                    pending.append((found, endpoint))
            case Candidate() if found.start.judged_at is not None:
                if _is_candidate_of(memory(), found, found.start.judged_at):
                    pending.append((found, found.start.judged_at))
            case Candidate():
                invitations.discard(found.endpoint)
                at_home = at_home and not is_settled(heads.head(found.endpoint).state, found)
                if at_home:
                    pending.append((found, found.endpoint))
                pending += [(found, endpoint) for endpoint in _accept(invitations, memory(), found)]
                if not at_home and not invitations:
                    memory().floors[pipeline] = run
                    break
            case _:
                assert_never(found)
    return pending[::-1]


def _accept(invitations: set[str], memory: Memory, found: Candidate) -> list[str]:
    """Return where a version is to be decided that is invited there, and take from `invitations` what is answered."""
    undecided = []
    for endpoint in sorted(invitations):
        state = memory.heads.head(endpoint).state
        known_there = found.pipeline in state.claims
        if not is_settled(state, found):
            undecided.append(endpoint)
        if is_settled(state, found) or not known_there:
            invitations.discard(endpoint)
    return undecided


def _is_candidate_of(memory: Memory, found: Candidate, endpoint: str) -> bool:
    """Return whether a version that was qualified for an endpoint that invited it is to be decided there."""
    state = memory.heads.head(endpoint).state
    return found.pipeline in state.challengers and not is_settled(state, found)


def welcome(memory: Memory) -> None:
    """Have what pipelines have published looked at again that are invited somewhere now."""
    for pipeline in memory.heads.invited:
        memory.floors.pop(pipeline, None)
        memory.reconciled.pop(pipeline, None)
    memory.heads.invited.clear()


def _manifests(memory: Memory, pipeline: str) -> Iterator[tuple[str, Stat]]:
    """Yield the pipeline's published runs after one that is known to be decided, newest first."""
    prefix = f"manifests/{pipeline}/"
    floor = memory.floors.get(pipeline)
    stats = list(memory.store.list(prefix, after=f"{prefix}{floor}.json" if floor else ""))
    for stat in reversed(stats):
        run = stat.key.removeprefix(prefix).removesuffix(".json")
        try:
            check_run_id(run)
        except InvalidInput:
            memory.complain(f"{stat.key!r} is ignored: it is not named after a run")
            continue
        yield run, stat


def _endpoint_of(memory: Memory, forgery: Unverified, key: str) -> str | None:
    """Return the endpoint in whose ledger a forgery in a pipeline's name is refused, `None` for a stranger.

    The one that the pipeline owns; before its first decision, the one that a release of it names.
    """
    pipeline = forgery.pipeline
    for endpoint in ledger.list_endpoints(memory.store):
        if _owner(memory, endpoint) == pipeline:
            return endpoint
    releases = memory.store.children(f"releases/{pipeline}/")
    with suppress(InvalidInput, UnreadableRecord):
        releases.insert(0, current_release(memory.store, pipeline))
    for release in releases:
        with suppress(TrustError, UnreadableRecord, InvalidInput):
            return read_release(
                memory.store, memory.trust, pipeline, release, environment=memory.environment
            ).spec.endpoint
    memory.complain(
        f"{key!r} is not decided, and no release or ledger of {pipeline!r} says for which endpoint to refuse it: "
        f"{forgery.reason}"
    )
    return None


def _owner(memory: Memory, endpoint: str) -> str | None:
    try:
        return memory.heads.head(endpoint).state.pipeline
    except (TrustError, UnreadableRecord):
        return None
