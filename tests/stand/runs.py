"""Runs of a working copy, as `rasen run --dev` makes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rasen.batch.execute import Executed, execute, start_wish
from rasen.batch.run_events import Observer, RunEvent
from rasen.release import Release
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.records import Start


def ignore(_event: RunEvent) -> None:
    """Take no notice."""


def run_working_copy(
    settings: Settings,
    folder: Path,
    *typed: str,
    request: str | None = None,
    observe: Observer = ignore,
    jobs: int | None = None,
    deploy: bool = False,
) -> Executed:
    """Run a folder as it is and return how that ended."""
    return execute(
        settings,
        str(folder),
        dev=True,
        release_id=None,
        given={},
        typed=typed,
        deploy=deploy,
        request=request,
        by="tests",
        now=datetime.now(tz=UTC),
        observe=observe,
        jobs=jobs,
    )


def start_working_copy(
    settings: Settings, store: Store, folder: Path, *, request: str | None = None, now: datetime | None = None
) -> tuple[Release, Start]:
    """Start a run of a folder as it is; nothing of it is executed yet."""
    return start_wish(
        settings,
        store,
        str(folder),
        dev=True,
        release_id=None,
        given={},
        typed=(),
        deploy=False,
        request=request,
        by="tests",
        now=now or datetime.now(tz=UTC),
    )
