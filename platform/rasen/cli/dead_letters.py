"""`rasen dead-letters`: events that the deploy function could not answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, show_time
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.deploy.dead_letters import DeadLetter
    from rasen.store import Store

Letters = Annotated[
    list[str] | None, typer.Argument(help="ids of letters, or enough of their beginnings", metavar="[ID]…")
]
All = Annotated[bool, typer.Option("--all", help="every letter")]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    letters = typer.Typer(help="List, replay and discard events that the deploy function could not answer.")
    letters.callback(invoke_without_command=True)(list_letters)
    letters.command("replay")(replay)
    letters.command("discard")(discard)
    app.add_typer(letters, name="dead-letters")


def list_letters(context: typer.Context, *, as_json: JsonFlag = False) -> None:
    """List the events that the deploy function could not answer, oldest first; `replay` sends them again."""
    if context.invoked_subcommand is not None:
        return
    from rasen.deploy.dead_letters import list_dead_letters
    from rasen.store import open_store

    letters = list(list_dead_letters(open_store(load_settings())))
    if as_json:
        print_json(letters)
        return
    out = console()
    for letter in letters:
        about = letter.subject or letter.type or "no type"
        times = f", {letter.times} times" if letter.times > 1 else ""
        out.print(
            f"[bold]{letter.id}[/bold]  [red]{letter.kind}[/red]  {escape(about)}  "
            f"[dim]{show_time(letter.last_at)}{times}[/dim]",
            soft_wrap=True,
        )
        out.print(f"  {escape(letter.reason)}", soft_wrap=True)
    if not letters:
        out.print("there are no dead letters")


def replay(letters: Letters = None, *, every: All = False, as_json: JsonFlag = False) -> None:
    """Send events to the deploy function once more; a letter whose event is answered is gone."""
    from rasen.deploy.dead_letters import Replayed, replay_dead_letter
    from rasen.errors import InvalidInput
    from rasen.store import open_store

    settings = load_settings()
    store = open_store(settings)
    outcomes: list[Replayed] = []
    for letter in _chosen(store, letters, every=every):
        try:
            outcomes.append(
                replay_dead_letter(store, letter, host=settings.host, port=settings.function_port)
            )
        except InvalidInput as error:
            outcomes.append(Replayed(letter=letter.id, answered=False, reason=str(error)))
    if as_json:
        print_json(outcomes)
    else:
        for outcome in outcomes:
            colour = "green" if outcome.answered else "red"
            console().print(f"{outcome.letter}  [{colour}]{escape(outcome.reason)}[/]", soft_wrap=True)
    if not all(outcome.answered for outcome in outcomes):
        raise typer.Exit(1)


def discard(letters: Letters = None, *, every: All = False) -> None:
    """Remove letters without answering their events."""
    from rasen.deploy.dead_letters import discard_dead_letter
    from rasen.store import open_store

    store = open_store(load_settings())
    for letter in _chosen(store, letters, every=every):
        discard_dead_letter(store, letter.id)
        console().print(f"{letter.id}  discarded")


def _chosen(store: Store, beginnings: list[str] | None, *, every: bool) -> list[DeadLetter]:
    from rasen.deploy.dead_letters import list_dead_letters
    from rasen.errors import InvalidInput, NotFound

    if every == bool(beginnings):
        raise InvalidInput("name letters, or give --all; `rasen dead-letters` lists them")
    letters = list(list_dead_letters(store))
    if every:
        return letters
    chosen: list[DeadLetter] = []
    for beginning in beginnings or ():
        found = [letter for letter in letters if letter.id.startswith(beginning)]
        if len(found) != 1:
            count = "no letter begins" if not found else f"{len(found)} letters begin"
            raise NotFound(f"{count} with {beginning!r}; `rasen dead-letters` lists them")
        chosen += found
    return chosen
