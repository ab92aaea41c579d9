"""`rasen tokens`: who may ask the control API."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_time
from rasen.errors import InvalidInput
from rasen.settings import load_settings

_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}
_HIDDEN = {"sha256", "format"}


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    tokens = typer.Typer(help="List, create and revoke tokens of the control API.")
    tokens.callback(invoke_without_command=True)(list_tokens)
    tokens.command("create")(create)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="tokens")


def list_tokens(context: typer.Context, *, as_json: JsonFlag = False) -> None:
    """List the tokens of the control API; `create` and `revoke` change them."""
    if context.invoked_subcommand is not None:
        return
    from rasen.store import open_store
    from rasen.tracking.api_tokens import read_tokens
    from rasen.tracking.signature import load_trust

    settings = load_settings()
    tokens, refused = read_tokens(
        open_store(settings), load_trust(settings), environment=settings.environment
    )
    now = datetime.now(tz=UTC)
    if as_json:
        listed = [
            one.token.model_dump(mode="json", exclude=_HIDDEN) | {"state": one.state(now)} for one in tokens
        ]
        print_json({"tokens": listed, "refused": refused})
        return
    rows = [
        (
            one.token.id,
            escape(one.token.name),
            "reads" if one.token.read_only else "reads, runs, cancels",
            show_time(one.token.expires_at) or "[dim]never[/dim]",
            f"[{_COLOURS[one.state(now)]}]{one.state(now)}[/]",
            f"{show_time(one.token.created_at)} by {escape(one.token.created_by)}",
        )
        for one in tokens
    ]
    if rows:
        print_table("", ("id", "name", "may", "expires", "state", "created"), rows)
    else:
        console().print("there are no tokens; `rasen tokens create NAME` makes one")
    for token_id, reason in refused.items():
        console().print(f"[red]not believed:[/red] {token_id}: {escape(reason)}", soft_wrap=True)


def create(
    name: Annotated[str, typer.Argument(help="who or what will use it, such as `ci`: its runs are by that")],
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="it starts and cancels nothing")] = False,
    expires: Annotated[
        str, typer.Option(help="how long it is valid, such as 90d; for ever if left out", show_default=False)
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Make a token of the control API and print it: this once, it is stored nowhere."""
    from rasen.pipeline_values import parse_duration
    from rasen.store import open_store
    from rasen.tracking.api_tokens import create_token
    from rasen.tracking.signature import Role, open_signer

    settings = load_settings()
    try:
        lifetime = parse_duration(expires) if expires else None
    except ValueError as error:
        raise InvalidInput(f"--expires: {error}") from None
    token, text = create_token(
        open_store(settings),
        open_signer(settings, Role.CONTROL),
        name=name,
        environment=settings.environment,
        by=getpass.getuser(),
        now=datetime.now(tz=UTC),
        read_only=read_only,
        lifetime=lifetime,
    )
    if as_json:
        print_json(token.model_dump(mode="json", exclude=_HIDDEN) | {"token": text})
        return
    print(text)  # noqa: T201  # the answer itself, alone on standard output, so that a script can take it
    Console(stderr=True, highlight=False).print(
        f"[dim]shown this once; id {token.id}, expires {show_time(token.expires_at) or 'never'}[/dim]"
    )


def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="id of the token, as `rasen tokens` lists it")
    ],
    *,
    as_json: JsonFlag = False,
) -> None:
    """Have a token of the control API refused, within two seconds wherever the store is reached."""
    from rasen.store import open_store
    from rasen.tracking.api_tokens import revoke_token
    from rasen.tracking.signature import Role, open_signer

    settings = load_settings()
    first = revoke_token(
        open_store(settings),
        open_signer(settings, Role.CONTROL),
        token_id,
        by=getpass.getuser(),
        now=datetime.now(tz=UTC),
    )
    if as_json:
        print_json({"id": token_id, "state": "revoked", "changed": first})
    else:
        console().print(f"{token_id}: revoked" if first else f"{token_id}: was revoked already")
