"""`rasen rollout` and `rasen assign`: where a candidate is on its way, and who is answered by what."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.settings import Settings
    from rasen.tracking.ledger_records import LedgerRecord
    from rasen.tracking.replica_report import VariantReport

Decision = Literal["promote", "abort"]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("rollout")(show_rollout)
    app.command("assign")(assign_keys)


def show_rollout(
    endpoint: Annotated[str, typer.Argument(help="the endpoint")],
    decision: Annotated[
        str | None,
        typer.Argument(
            help="promote: on to the next step; abort: back to the champion", metavar="[promote|abort]"
        ),
    ] = None,
    *,
    as_json: JsonFlag = False,
) -> None:
    """Show an endpoint's rollout, what the replicas counted, and what comes next; or decide about it.

    The deploy function takes the decision and signs the ledger; it must run.
    """
    from rasen.errors import InvalidInput

    settings = load_settings()
    record = _newest(settings, endpoint)
    match decision:
        case "promote" | "abort":
            record = _decide(settings, record, decision)
        case None:
            pass
        case other:
            raise InvalidInput(f"{other!r} is no decision: 'promote' or 'abort'")
    _show(settings, record, as_json=as_json)


def assign_keys(
    endpoint: Annotated[str, typer.Argument(help="the endpoint")],
    keys: Annotated[list[str], typer.Argument(help="routing keys, or request ids of requests without one")],
    *,
    number: Annotated[int | None, typer.Option(min=1, help="ledger record; the newest if absent")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say which version answers which routing key, by arithmetic on the ledger alone."""
    from rasen.deploy.assignment import assign

    record = _newest(load_settings(), endpoint, number=number)
    found = [(key, assign(endpoint, record.state, key)) for key in keys]
    if as_json:
        print_json([{"key": key, "run": each.run, "role": each.role} for key, each in found])
        return
    print_table("", ("key", "role", "run"), [(escape(key), each.role, each.run) for key, each in found])


def _newest(settings: Settings, endpoint: str, *, number: int | None = None) -> LedgerRecord:
    from rasen.deploy.ledger import latest, list_endpoints, read_record
    from rasen.errors import NotFound
    from rasen.store import open_store
    from rasen.suggestion import suggest
    from rasen.tracking.ids import check_name
    from rasen.tracking.signature import load_trust

    check_name("endpoint", endpoint)
    store, trust = open_store(settings), load_trust(settings)
    if number is not None:
        return read_record(store, trust, endpoint, number, environment=settings.environment)
    record = latest(store, trust, endpoint, environment=settings.environment)
    if record is None:
        raise NotFound(
            f"nothing was decided about endpoint {endpoint!r}: {suggest(endpoint, list_endpoints(store))}"
        )
    return record


def _decide(settings: Settings, record: LedgerRecord, decision: Decision) -> LedgerRecord:
    from rasen.deploy.commands import Command, give_command
    from rasen.errors import InvalidInput

    if record.state.rollout is None:
        raise InvalidInput(f"nothing is under way for endpoint {record.endpoint!r}, so nothing to {decision}")
    return give_command(
        settings,
        Command(endpoint=record.endpoint, command=decision, seen=record.number, by=getpass.getuser()),
    )


def _show(settings: Settings, record: LedgerRecord, *, as_json: bool) -> None:
    from rasen.cli.live import waiting_lines
    from rasen.deploy.replicas import Replicas, observe
    from rasen.deploy.rollout import describe_step, judge_step, percent
    from rasen.store import open_store
    from rasen.tracking.keys import deployment_key

    state, rollout = record.state, record.state.rollout
    store = open_store(settings)
    reports = Replicas(store).read()
    seen = judgement = None
    if rollout is not None:
        began = store.stat(deployment_key(record.endpoint, rollout.step_number))
        seen = observe(reports, record.endpoint, rollout, step_at=began.updated_at) if began else None
        judgement = judge_step(rollout, seen) if seen else None
    if as_json:
        print_json(
            {
                "endpoint": record.endpoint,
                "number": record.number,
                "variants": state.variants,
                "rollout": rollout,
                "held": state.held,
                "frozen": state.frozen,
                "seen": seen,
                "next": judgement,
            }
        )
        return
    out = console()
    out.print(f"[bold]{escape(record.endpoint)}[/bold]  ledger {record.number}", soft_wrap=True)
    since = 0 if rollout is None else rollout.step_number
    counted = [
        variant
        for reported in reports
        if (found := reported.report.endpoints.get(record.endpoint)) is not None
        for variant in found.variants
        if variant.revision >= since
    ]
    for each in state.variants:
        mine = [variant for variant in counted if variant.run == each.run]
        out.print(
            f"  {each.role:<10} {percent(each.weight):>7}  {each.run}  {_describe_counts(mine)}",
            soft_wrap=True,
        )
    for line in waiting_lines(record.endpoint, state.held, state.frozen):
        out.print(line, soft_wrap=True)
    if rollout is None or judgement is None:
        out.print("  nothing is under way")
        return
    out.print(f"  {describe_step(rollout)}", soft_wrap=True)
    out.print(f"  next: {judgement.action}: {escape(judgement.reason)}", soft_wrap=True)


def _describe_counts(counted: list[VariantReport]) -> str:
    """Return in words what the replicas counted for one version."""
    from rasen.deploy.rollout import percent

    said = [
        f"{sum(one.requests for one in counted)} requests",
        f"{sum(one.errors for one in counted)} failed",
    ]
    if rewards := sum(one.rewards for one in counted):
        mean = sum(one.reward for one in counted) / rewards
        said.append(f"{rewards} rewards, {mean:.3g} on average")
    shadows = [one.shadow for one in counted if one.shadow is not None]
    if answers := sum(one.answers for one in shadows):
        said.append(f"{percent(sum(one.equal for one in shadows) / answers)} as returned")
        if numbers := sum(one.numbers for one in shadows):
            said.append(f"{sum(one.difference for one in shadows) / numbers:.3g} away on average")
    if dropped := sum(one.dropped for one in shadows):
        said.append(f"{dropped} copies dropped")
    return ", ".join(said)
