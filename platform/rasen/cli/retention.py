"""`rasen gc`, `rasen pin`, `rasen unpin`, `rasen pins`: what is kept, what goes, and who wants what kept."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_bytes
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.retention.plan import Plan, RunFate
    from rasen.tracking.pins import PinAction

_FATES: dict[RunFate, str] = {
    "goes": "[red]goes[/red]",
    "ready": "[red]goes now[/red]",
    "waits": "[yellow]waits a day[/yellow]",
    "returns": "[green]returns[/green]",
    "stays": "stays",
    "removed": "[dim]removed[/dim]",
}
_LIMIT = 30

RunsArgument = Annotated[
    list[str], typer.Argument(help="ids of runs, or enough of their beginning or of their last part")
]
ReasonOption = Annotated[str, typer.Option(help="why, for whoever reads it later", show_default=False)]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("gc")(collect_garbage)
    app.command("pin")(pin)
    app.command("unpin")(unpin)
    app.command("pins")(list_pins)


def collect_garbage(
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="only say what would go, what stays, and why; the default")
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="carry the plan out, after asking")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="with --delete: do not ask")] = False,
    prove: Annotated[
        int,
        typer.Option(min=0, help="with --delete: restore so many of the runs that stay before anything goes"),
    ] = 3,
    undo: Annotated[
        str, typer.Option(metavar="RUN", help="take back the tombstone of a run", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(min=0, help="most runs that are listed")] = _LIMIT,
    as_json: JsonFlag = False,
) -> None:
    """Say which runs would go, which stay, and why; with --delete, do it: a tombstone now, the files a day later."""
    from rasen.errors import InvalidInput
    from rasen.retention.plan import make_plan
    from rasen.retention.removal import collect
    from rasen.store import open_store

    if undo:
        if plan or delete:
            raise InvalidInput(
                f"--undo {undo!r} stands alone: it takes a tombstone back, and removes nothing"
            )
        _undo(undo, as_json=as_json)
        return
    if plan and delete:
        raise InvalidInput("--plan and --delete exclude one another: the first only looks")
    settings = load_settings()
    store = open_store(settings)
    made = make_plan(settings, store)
    if not delete:
        if as_json:
            print_json(asdict(made) | {"pipelines": made.pipelines})
        else:
            _show_plan(made, limit)
        return
    if not as_json:
        _show_plan(made, limit)
    work = [*made.of("goes", "ready", "returns"), *(one for one in made.of("removed") if one.size_bytes)]
    if work or made.orphans:
        if not yes:
            typer.confirm("Carry this out?", abort=True, err=True)
        done = collect(
            settings,
            store,
            made,
            by=getpass.getuser(),
            proofs=prove,
            observe=(lambda _: None) if as_json else _say,
        )
        if as_json:
            print_json(done)
            return
        console().print(
            f"\n{len(done.proved)} restored as a proof, {len(done.buried)} marked for removal, {len(done.returned)} "
            f"taken back, {len(done.removed)} removed, {done.orphans} orphans deleted: {show_bytes(done.freed_bytes)} "
            "free"
        )
        if done.buried:
            console().print(
                "what was marked goes with the first `rasen gc --delete` in a day; `--undo RUN` takes it back"
            )
    elif as_json:
        print_json({})


def pin(
    runs: RunsArgument,
    *,
    legal_hold: Annotated[
        str,
        typer.Option(metavar="CASE", help="a legal hold of this name instead of a pin", show_default=False),
    ] = "",
    reason: ReasonOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Keep runs, whatever their age; a tombstone that is not a day old is taken back."""
    _change(runs, "hold" if legal_hold else "pin", case=legal_hold, reason=reason, as_json=as_json)


def unpin(
    runs: RunsArgument,
    *,
    legal_hold: Annotated[
        str, typer.Option(metavar="CASE", help="lift this legal hold; needs --reason", show_default=False)
    ] = "",
    reason: ReasonOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Take the pin of runs away, or lift a legal hold; a pin's end leaves legal holds alone."""
    _change(runs, "lift" if legal_hold else "unpin", case=legal_hold, reason=reason, as_json=as_json)


def list_pins(*, as_json: JsonFlag = False) -> None:
    """List the runs that somebody wants kept."""
    from rasen.store import open_store
    from rasen.tracking.pins import list_pinned, read_pins
    from rasen.tracking.signature import load_trust

    settings = load_settings()
    store, trust = open_store(settings), load_trust(settings)
    rows = [
        {"pipeline": pipeline, "run": run, "kept": pins.reasons}
        for pipeline, run in list_pinned(store)
        if (pins := read_pins(store, trust, pipeline, run, environment=settings.environment)).reasons
    ]
    if as_json:
        print_json(rows)
    elif rows:
        cells = [(str(row["run"]), str(row["pipeline"]), escape("; ".join(row["kept"]))) for row in rows]
        print_table("", ("run", "pipeline", "kept"), cells)
    else:
        console().print("nothing is pinned; `rasen pin RUN` keeps a run")


def _change(runs: list[str], action: PinAction, *, case: str, reason: str, as_json: bool) -> None:
    from rasen.retention.pinning import change

    changed = change(load_settings(), runs, action, case=case, reason=reason, by=getpass.getuser())
    if as_json:
        print_json(changed)
        return
    for one in changed:
        console().print(
            f"{one.run}: "
            + (escape("; ".join(one.kept)) or "not kept by anybody")
            + ("" if one.changed else " (as before)"),
            soft_wrap=True,
        )


def _undo(beginning: str, *, as_json: bool) -> None:
    from rasen.batch.queries import find_run
    from rasen.retention.removal import undo
    from rasen.store import open_store

    settings = load_settings()
    row = find_run(settings, beginning)
    undo(settings, open_store(settings), row.pipeline, row.run, by=getpass.getuser())
    if as_json:
        print_json({"run": row.run, "pipeline": row.pipeline, "undone": True})
    else:
        console().print(
            f"{row.run}: its tombstone was taken back; it is kept for {settings.keep_days} days more"
        )


def _show_plan(plan: Plan, limit: int) -> None:
    rows = [
        (
            one.pipeline,
            f"{_runs(one.stays)}, {show_bytes(one.stays_bytes)}",
            f"{_runs(one.goes)}, {show_bytes(one.goes_bytes)}",
            str(one.removed or ""),
        )
        for one in plan.pipelines
    ]
    if not rows:
        console().print("there are no runs")
    else:
        print_table("", ("pipeline", "stays", "goes", "removed before"), rows)
    order: list[RunFate] = ["ready", "goes", "waits", "returns", "stays"]
    listed = [one for fate in order for one in plan.of(fate)]
    if listed and limit:
        console().print()
        cells = [
            (
                one.run,
                one.pipeline,
                _FATES[one.fate],
                show_bytes(one.size_bytes),
                escape("; ".join(one.reasons)),
            )
            for one in listed[:limit]
        ]
        print_table("", ("run", "pipeline", "fate", "size", "why"), cells)
        if len(listed) > limit:
            console().print(
                f"and {len(listed) - limit} more; --limit {len(listed)} lists them, --json has all"
            )
    if plan.orphans:
        console().print(
            f"\n{len(plan.orphans)} orphans, {show_bytes(sum(one.size_bytes for one in plan.orphans))}:"
        )
        for orphan in plan.orphans[:limit]:
            console().print(f"  {escape(orphan.name)}  [dim]{escape(orphan.reason)}[/dim]", soft_wrap=True)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _say(text: str) -> None:
    console().print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)
