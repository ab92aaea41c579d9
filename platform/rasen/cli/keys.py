"""`rasen keys`: who may ask the prediction service."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_time
from rasen.errors import InvalidInput
from rasen.settings import load_settings

_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    keys = typer.Typer(help="List, create and revoke the API keys of the prediction service.")
    keys.callback(invoke_without_command=True)(list_keys)
    keys.command("create")(create)
    keys.command("revoke")(revoke)
    app.add_typer(keys, name="keys")


def list_keys(context: typer.Context, *, as_json: JsonFlag = False) -> None:
    """List the API keys of the prediction service; `create` and `revoke` change them."""
    if context.invoked_subcommand is not None:
        return
    from rasen.store import open_store
    from rasen.tracking.access_keys import read_keys
    from rasen.tracking.signature import load_trust

    settings = load_settings()
    keys, refused = read_keys(open_store(settings), load_trust(settings), environment=settings.environment)
    now = datetime.now(tz=UTC)
    if as_json:
        listed = [
            one.key.model_dump(mode="json", exclude={"sha256", "format"}) | {"state": one.state(now)}
            for one in keys
        ]
        print_json({"keys": listed, "refused": refused})
        return
    rows = [
        (
            one.key.id,
            escape(one.key.name),
            escape(", ".join(one.key.endpoints)) or "[dim]all[/dim]",
            one.key.rate or "[dim]no limit[/dim]",
            show_time(one.key.expires_at) or "[dim]never[/dim]",
            f"[{_COLOURS[one.state(now)]}]{one.state(now)}[/]",
            f"{show_time(one.key.created_at)} by {escape(one.key.created_by)}",
        )
        for one in keys
    ]
    if rows:
        print_table("", ("id", "name", "endpoints", "rate", "expires", "state", "created"), rows)
    else:
        console().print("there are no keys; `rasen keys create NAME` makes one")
    for key_id, reason in refused.items():
        console().print(f"[red]not believed:[/red] {key_id}: {escape(reason)}", soft_wrap=True)


def create(
    name: Annotated[str, typer.Argument(help="who or what will use it, such as `checkout`")],
    *,
    endpoints: Annotated[
        str,
        typer.Option(help="only these endpoints, separated by commas; all if left out", show_default=False),
    ] = "",
    expires: Annotated[
        str, typer.Option(help="how long it is valid, such as 90d; for ever if left out", show_default=False)
    ] = "",
    rate: Annotated[
        str, typer.Option(help="most requests, such as 1000/minute; no limit if left out", show_default=False)
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Make an API key and print it: this once, it is stored nowhere."""
    from rasen.deploy.ledger import list_endpoints
    from rasen.store import open_store
    from rasen.tracking.access_keys import create_key
    from rasen.tracking.signature import Role, open_signer

    settings = load_settings()
    store = open_store(settings)
    key, text = create_key(
        store,
        open_signer(settings, Role.CONTROL),
        name=name,
        environment=settings.environment,
        by=getpass.getuser(),
        now=datetime.now(tz=UTC),
        endpoints=endpoints.replace(",", " ").split(),
        lifetime=_lifetime(expires),
        rate=rate,
    )
    if as_json:
        print_json(key.model_dump(mode="json", exclude={"sha256", "format"}) | {"key": text})
        return
    print(text)  # noqa: T201  # the answer itself, alone on standard output, so that a script can take it
    notes = Console(stderr=True, highlight=False)
    notes.print(f"[dim]shown this once; id {key.id}, expires {show_time(key.expires_at) or 'never'}[/dim]")
    unknown = sorted(set(key.endpoints) - set(list_endpoints(store)))
    if unknown:
        notes.print(f"[yellow]no endpoint yet:[/yellow] {escape(', '.join(unknown))}")


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="id of the key, as `rasen keys` lists it")],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Have an API key refused, within a second wherever the store is reached."""
    from rasen.store import open_store
    from rasen.tracking.access_keys import revoke_key
    from rasen.tracking.signature import Role, open_signer

    settings = load_settings()
    first = revoke_key(
        open_store(settings),
        open_signer(settings, Role.CONTROL),
        key_id,
        by=getpass.getuser(),
        now=datetime.now(tz=UTC),
    )
    if as_json:
        print_json({"id": key_id, "state": "revoked", "changed": first})
    else:
        console().print(f"{key_id}: revoked" if first else f"{key_id}: was revoked already")


def _lifetime(text: str) -> timedelta | None:
    from rasen.pipeline_values import parse_duration

    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise InvalidInput(f"--expires: {error}") from None
