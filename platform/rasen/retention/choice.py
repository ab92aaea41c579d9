"""Which runs are kept, and why: a rule over facts, without a store and without a clock of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from rasen.retention.facts import RunFacts, RunKey


def choose_kept(
    facts: Iterable[RunFacts], wanted: Mapping[RunKey, Iterable[str]], *, now: datetime, young: timedelta
) -> dict[RunKey, tuple[str, ...]]:
    """Return the runs that are kept, each with all its reasons.

    A run is kept for its own sake, or because a kept run needs its data, however long the chain. The champion that a
    version was compared with is kept too, but only where that version is kept for another reason than this one:
    otherwise each champion would keep the one before it, and nothing would ever go.

    Args:
        facts: All runs whose files are still there.
        wanted: Runs that somebody or something wants kept, with the reasons.
        now: What the store's clock says.
        young: How long every run is kept after its last record.
    """
    known = {one.key: one for one in facts}
    reasons: dict[RunKey, list[str]] = defaultdict(list)
    for key, one in known.items():
        if not one.ended:
            reasons[key].append("it has no end yet")
        elif now - one.settled_at < young:
            reasons[key].append(f"younger than {young.total_seconds() / 86_400:g} days")
    for key, why in wanted.items():
        if key in known:
            reasons[key] += why
    _follow(known, reasons, list(reasons))
    by_run: dict[str, list[RunKey]] = defaultdict(list)
    for key in known:
        by_run[key[1]].append(key)
    compared: list[RunKey] = []
    for key in list(reasons):
        champion = known[key].champion
        for other in by_run.get(champion or "", ()):
            if other not in reasons:
                compared.append(other)
            if other != key:
                reasons[other].append(f"the champion that run {key[1]} was compared with")
    _follow(known, reasons, compared)
    return {key: tuple(dict.fromkeys(why)) for key, why in reasons.items()}


def _follow(known: Mapping[RunKey, RunFacts], reasons: dict[RunKey, list[str]], begin: list[RunKey]) -> None:
    """Keep what the kept runs `begin` need, and what that needs in turn."""
    pending = list(begin)
    done: set[RunKey] = set()
    while pending:
        key = pending.pop()
        if key in done:
            continue
        done.add(key)
        for other, why in known[key].names.items():
            if other in known and other != key:
                reasons[other].append(why)
                pending.append(other)
