"""Whom a command asks: this machine, or the control API of another (`--server`, `RASEN_SERVER`). Decided here only."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.api.client import ControlClient
    from rasen.batch.catalogue import ListedRelease
    from rasen.batch.comparison import Comparison
    from rasen.batch.ledger_queries import DecisionDetails, LiveEndpoint
    from rasen.batch.run_lists import ListedRuns
    from rasen.batch.run_states import RunState
    from rasen.settings import Settings
    from rasen.tracking.index_rows import DeploymentRow, Problem

ServerOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="ask the control API there instead of this machine; RASEN_SERVER says it for good, RASEN_TOKEN the token",
        show_default=False,
    ),
]
_Record = TypeVar("_Record")


class Control(Protocol):
    """What commands that only look ask for; the answers are the same from here and from elsewhere."""

    @property
    def store_dir(self) -> Path | None:
        """Where the files of runs lie, if that is on this machine."""

    def runs(self, *, limit: int, metrics: Iterable[str], **wanted: str | None) -> ListedRuns:
        """Return the newest runs that are asked for; `wanted` are the texts of the options."""

    def run(self, beginning: str) -> RunState:
        """Return everything that is known of a run."""

    def compare(self, left: str, right: str) -> Comparison:
        """Return what differs between two runs."""

    def releases(self, pipeline: str | None) -> list[ListedRelease]:
        """Return the current release of every pipeline, or all of one."""

    def deployments(
        self,
        endpoint: str | None,
        *,
        action: str | None,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> tuple[list[DeploymentRow], list[Problem]]:
        """Return what was decided, newest first, and what of the ledgers cannot be read."""

    def decision(self, endpoint: str, number: int) -> DecisionDetails:
        """Return one record of a ledger in full."""

    def live(self, endpoint: str | None, *, at: datetime | None) -> list[LiveEndpoint]:
        """Return what is live, or was at an instant."""


class LocalControl:
    """Asks the store and the index of this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.store_dir: Path | None = settings.store_dir

    def runs(self, *, limit: int, metrics: Iterable[str], **wanted: str | None) -> ListedRuns:
        """See `Control`."""
        from rasen.batch.run_lists import list_runs, run_filter

        now = datetime.now(tz=UTC)
        asked = run_filter(now=now, metrics=metrics, **wanted)
        return list_runs(self._settings, asked, limit=limit)

    def run(self, beginning: str) -> RunState:
        """See `Control`."""
        from rasen.batch.run_states import describe_run_state

        return describe_run_state(self._settings, beginning)

    def compare(self, left: str, right: str) -> Comparison:
        """See `Control`."""
        from rasen.batch.comparison import compare_runs
        from rasen.batch.light_validation import import_validation

        import_validation()  # the code of two releases is compared as scripts, for which nbformat is imported
        return compare_runs(self._settings, left, right)

    def releases(self, pipeline: str | None) -> list[ListedRelease]:
        """See `Control`."""
        from rasen.batch.catalogue import list_releases
        from rasen.store import open_store

        return list_releases(open_store(self._settings), pipeline)

    def deployments(
        self,
        endpoint: str | None,
        *,
        action: str | None,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> tuple[list[DeploymentRow], list[Problem]]:
        """See `Control`."""
        from rasen.batch.ledger_queries import list_decisions

        return list_decisions(self._settings, endpoint, action=action, since=since, until=until, limit=limit)

    def decision(self, endpoint: str, number: int) -> DecisionDetails:
        """See `Control`."""
        from rasen.batch.ledger_queries import describe_decision

        return describe_decision(self._settings, endpoint, number)

    def live(self, endpoint: str | None, *, at: datetime | None) -> list[LiveEndpoint]:
        """See `Control`."""
        from rasen.batch.ledger_queries import describe_live

        return describe_live(self._settings, endpoint, at=at)


class RemoteControl:
    """Asks a control API, and makes the records of its answers."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self.store_dir: Path | None = None

    def runs(self, *, limit: int, metrics: Iterable[str], **wanted: str | None) -> ListedRuns:
        """See `Control`."""
        from rasen.batch.run_lists import ListedRuns, run_filter

        # Times are read here, in the zone of who typed them, and what is wrong is said before anything is sent.
        asked = run_filter(now=datetime.now(tz=UTC), metrics=list(metrics), **wanted)
        said = wanted | {
            "since": asked.since.isoformat() if asked.since is not None else None,
            "until": asked.until.isoformat() if asked.until is not None else None,
        }
        return _record(ListedRuns, self._client.runs(limit=limit, metric=list(metrics) or None, **said))

    def run(self, beginning: str) -> RunState:
        """See `Control`."""
        from rasen.batch.run_states import RunState

        return _record(RunState, self._client.run(beginning))

    def compare(self, left: str, right: str) -> Comparison:
        """See `Control`."""
        from rasen.batch.comparison import Comparison

        return _record(Comparison, self._client.compare(left, right))

    def releases(self, pipeline: str | None) -> list[ListedRelease]:
        """See `Control`."""
        from rasen.batch.catalogue import ListedRelease

        return [_record(ListedRelease, one) for one in self._client.releases(pipeline)]

    def deployments(
        self,
        endpoint: str | None,
        *,
        action: str | None,
        since: datetime | None,
        until: datetime | None,
        limit: int,
    ) -> tuple[list[DeploymentRow], list[Problem]]:
        """See `Control`."""
        from rasen.tracking.index_rows import DeploymentRow, Problem

        found = self._client.deployments(
            endpoint=endpoint,
            action=action,
            since=since.isoformat() if since is not None else None,
            until=until.isoformat() if until is not None else None,
            limit=limit,
        )
        rows = [_record(DeploymentRow, one) for one in found["deployments"]]
        return rows, [_record(Problem, one) for one in found["problems"]]

    def decision(self, endpoint: str, number: int) -> DecisionDetails:
        """See `Control`."""
        from rasen.batch.ledger_queries import DecisionDetails

        return _record(DecisionDetails, self._client.deployment(endpoint, number))

    def live(self, endpoint: str | None, *, at: datetime | None) -> list[LiveEndpoint]:
        """See `Control`."""
        from rasen.batch.ledger_queries import LiveEndpoint

        when = at.isoformat() if at is not None else None
        if endpoint is not None:
            return [_record(LiveEndpoint, self._client.endpoint(endpoint, at=when))]
        return [_record(LiveEndpoint, one) for one in self._client.endpoints(at=when)]


def open_control(server: str | None) -> Control:
    """Return whom a command asks.

    Raises:
        InvalidInput: The address of the server is none.
    """
    client = open_client(server)
    return RemoteControl(client) if client is not None else LocalControl(load_settings())


def open_client(server: str | None) -> ControlClient | None:
    """Return a client of the control API that a command shall ask, `None` when it is this machine's own business.

    Raises:
        InvalidInput: The address of the server is none.
    """
    settings = load_settings()
    address = server or settings.server
    if not address:
        return None
    from rasen.api.client import connect

    return connect(settings, address)


def _record(kind: type[_Record], data: Any) -> _Record:  # Any: JSON
    """Return the record that an answer holds; fields of a newer server are left out."""
    from pydantic import TypeAdapter, ValidationError

    from rasen.errors import ServiceUnavailable

    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ServiceUnavailable(
            f"the control API answered with what is no {kind.__name__}: {'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}; is it of another version?"
        ) from None
