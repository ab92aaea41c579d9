"""What the watches find in the store: incidents that begin or happen again, and incidents that are over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from rasen.notify.message import Content
from rasen.pipeline_alerts import Alerts


@dataclass(frozen=True, kw_only=True)
class Happened:
    """Something worth telling.

    Args:
        key: Of the incident: while it is open, the same key is the same incident.
        at: When, by the store's clock.
        describe: Returns what there is to say, and what the pipeline itself says of whom to tell. Called only when it
            is going to be told.
        mark: Where in the order of things it was: the run, or the number in the ledger. Only compared with its like.
        lasting: It goes on until something ends it; else it is over at once, and nobody is told that it is.
        over: It is over although it is only seen now; the sentence that says why.
    """

    key: str
    at: datetime
    describe: Callable[[], tuple[Content, Alerts | None]]
    mark: str = ""
    lasting: bool = True
    over: str = ""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What ends incidents.

    Args:
        key: Of the incident, or with a `/` at its end the beginning of several.
        at: When, by the store's clock.
        why: The sentence that says so.
        mark: Only incidents whose last mark is lower; all when empty.
    """

    key: str
    at: datetime
    why: str
    mark: str = ""


Change = Happened | Ended


@dataclass(kw_only=True)
class Findings:
    """What one look has found; kept in one transaction, so that nothing is told twice or never.

    Args:
        changes: In the order in which they happened.
        seen: Objects that need not be looked at again: folder and name.
        positions: Where reading goes on, by name.
    """

    changes: list[Change] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    positions: dict[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.changes or self.seen or self.positions)
