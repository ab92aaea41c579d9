"""`rasen snippets`: cells to begin with, Rasen's own and a team's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from rasen.cli.output import JsonFlag, console, print_json, print_table
from rasen.errors import InvalidInput
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.snippets import Snippet, SnippetLibrary

_Name = Annotated[str, typer.Argument(help="name of the snippet, as `rasen snippets` lists it")]


class _Group(TyperGroup):
    """Takes words that are no command for what is searched: `rasen snippets plot drift`."""

    def parse_args(
        self, ctx: Any, args: list[str]
    ) -> list[str]:  # Any: typer keeps click under a private name
        """Put `list` before what names no command."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        remaining: list[str] = super().parse_args(ctx, args)
        return remaining


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    snippets = typer.Typer(
        cls=_Group,
        help="Find cells to begin with, and print them filled in: `rasen snippets [WORDS]…` searches.",
    )
    snippets.command("list")(list_snippets)
    snippets.command("show")(show_snippet)
    snippets.command("render")(render_snippet)
    snippets.command("check")(check_snippets)
    snippets.command("update")(update_snippets)
    snippets.command("new")(new_snippet)
    app.add_typer(snippets, name="snippets")


def list_snippets(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="words that must occur; all snippets if left out", show_default=False),
    ] = None,
    *,
    tag: Annotated[list[str] | None, typer.Option(help="only those with this tag; may be repeated")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List or search the snippets, the best first; the same as `rasen snippets [WORDS]…`."""
    from rasen.snippets import search_snippets

    library = _library()
    found = search_snippets(library.snippets, words or (), tags=tag or ())
    if as_json:
        print_json(
            {
                "snippets": [_document(snippet) for snippet in found],
                "problems": [{"source": each.source, "message": each.message} for each in library.problems],
            }
        )
        return
    rows = [
        (
            escape(snippet.name),
            escape(snippet.title),
            escape(", ".join(snippet.tags)),
            escape(snippet.source)
            + (f" [dim]for {escape(snippet.overrides)}'s[/dim]" if snippet.overrides else ""),
        )
        for snippet in found
        if snippet.problem is None
    ]
    if rows:
        print_table("", ("name", "title", "tags", "from"), rows)
    else:
        console().print("no snippet has all of these words; `rasen snippets` lists them all")
    for snippet in found:
        if snippet.problem is not None:
            console().print(f"[red]broken:[/red] {escape(str(snippet.problem))}", soft_wrap=True)
    _tell_problems(library)


def show_snippet(name: _Name, *, as_json: JsonFlag = False) -> None:
    """Show what a snippet does, its placeholders and its cell."""
    library = _library()
    snippet = library.find(name)
    if as_json:
        print_json(_document(snippet))
        return
    say = console().print
    say(f"[bold]{escape(snippet.title)}[/bold]  [dim]{snippet.name}, from {escape(snippet.source)}[/dim]")
    if snippet.overrides:
        say(f"[dim]stands before the snippet of the same name from {escape(snippet.overrides)}[/dim]")
    say(escape(snippet.description) + "\n")
    kinds = ", ".join((snippet.cell_type, *(f"tag {tag}" for tag in snippet.cell_tags)))
    say(f"[dim]cell: {escape(kinds)}; tags: {escape(', '.join(snippet.tags))}[/dim]\n")
    if snippet.placeholders:
        rows = [
            (
                each.name,
                escape(each.default),
                each.type.value,
                escape(each.description + (f" ({' | '.join(each.choices)})" if each.choices else "")),
            )
            for each in snippet.placeholders
        ]
        print_table("", ("placeholder", "default", "type", "what it is"), rows)
        say("")
    print(snippet.body)  # noqa: T201  # the cell itself: nothing may break its lines
    _tell_problems(library)


def render_snippet(
    name: _Name,
    *,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter", "-p", metavar="NAME=VALUE", help="value of a placeholder; may be repeated"
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the cell of a snippet, its placeholders filled in; with --json also where the values stand."""
    from rasen.snippets import render_with_spans

    values: dict[str, str] = {}
    for text in parameter or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"-p {text!r} must be NAME=VALUE, such as -p rows=flights")
        values[key.strip()] = value
    snippet = _library().find(name)
    rendered = render_with_spans(snippet, values)
    if as_json:
        print_json(
            {
                "text": rendered.text,
                "cell": {"type": snippet.cell_type, "tags": snippet.cell_tags},
                "spans": [{"name": each, "start": start, "end": end} for each, start, end in rendered.spans],
            }
        )
        return
    print(rendered.text)  # noqa: T201  # the answer itself, so that it can be piped


def check_snippets(
    folder: Annotated[
        Path, typer.Argument(help="folder of the snippets", exists=True, file_okay=False, show_default=True)
    ] = Path("snippets"),
    *,
    as_json: JsonFlag = False,
) -> None:
    """Check a team's snippets: front matter, placeholders, valid Python, lint; exit code 2 if one is wrong."""
    from rasen.snippets import check_folder

    check = check_folder(folder)
    if as_json:
        problems = [
            {"file": each.file, "line": each.line, "message": each.message} for each in check.problems
        ]
        print_json({"checked": check.checked, "problems": problems, "unlinted": check.unlinted})
    else:
        for problem in check.problems:
            console().print(escape(str(problem)), soft_wrap=True)
        found = _count(len(check.problems), "problem")
        wrong = f"[red]{found}[/red]" if check.problems else "[green]no problem[/green]"
        console().print(f"{_count(check.checked, 'snippet')}: {wrong}")
        if check.unlinted:
            console().print(f"[yellow]not linted:[/yellow] {escape(check.unlinted)}", soft_wrap=True)
    if check.problems:
        raise typer.Exit(InvalidInput.exit_code)


def update_snippets(*, as_json: JsonFlag = False) -> None:
    """Fetch the newest state of every repository of snippets; exit code 75 if one cannot be reached."""
    from rasen.snippets import update_sources

    refreshed, problems = update_sources(load_settings(), start=Path.cwd())
    if as_json:
        repositories = [
            {
                "source": each.source,
                "commit": each.copy.commit if each.copy else None,
                "fetched_at": each.copy.fetched_at if each.copy else None,
                "changed": each.changed,
                "problem": each.problem,
            }
            for each in refreshed
        ]
        print_json(
            {
                "repositories": repositories,
                "problems": [{"source": each.source, "message": each.message} for each in problems],
            }
        )
    else:
        for each in refreshed:
            commit = each.copy.commit[:12] if each.copy else "no copy"
            state = "new" if each.changed else "as before"
            told = f"[red]{escape(each.problem)}[/red]" if each.problem else f"{commit}, {state}"
            console().print(f"{escape(each.source)}: {told}", soft_wrap=True)
        for problem in problems:
            console().print(f"[red]{escape(str(problem))}[/red]", soft_wrap=True)
        if not refreshed and not problems:
            console().print(
                "no repository is named; pyproject.toml: [tool.rasen.snippets] sources = […]", markup=False
            )
    if problems:
        raise typer.Exit(InvalidInput.exit_code)
    if any(each.problem for each in refreshed):
        raise typer.Exit(75)


def new_snippet(
    name: Annotated[str, typer.Argument(help="<verb>_<thing>, such as read_orders")],
    folder: Annotated[Path, typer.Argument(help="where it goes; made if it is not there")] = Path("snippets"),
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="of a markdown cell instead of code")] = False,
) -> None:
    """Write a new snippet to begin with; edit it, then `rasen snippets check` its folder."""
    from rasen.snippets import create_snippet

    path = create_snippet(name, folder, markdown=markdown)
    console().print(escape(str(path)), soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _library() -> SnippetLibrary:
    from rasen.snippets import load_library

    return load_library(load_settings(), start=Path.cwd())


def _tell_problems(library: SnippetLibrary) -> None:
    notes = Console(stderr=True, highlight=False)
    for problem in library.problems:
        notes.print(f"[yellow]not read:[/yellow] {escape(str(problem))}", soft_wrap=True)


def _document(snippet: Snippet) -> dict[str, object]:
    """Return a snippet as JSON has it."""
    return {
        "name": snippet.name,
        "title": snippet.title,
        "description": snippet.description,
        "tags": snippet.tags,
        "source": snippet.source,
        "path": str(snippet.path),
        "overrides": snippet.overrides,
        "cell": {"type": snippet.cell_type, "tags": snippet.cell_tags},
        "placeholders": [
            {
                "name": each.name,
                "default": each.default,
                "type": each.type.value,
                "description": each.description,
                "choices": each.choices,
            }
            for each in snippet.placeholders
        ],
        "body": snippet.body,
        "problem": str(snippet.problem) if snippet.problem else None,
    }
