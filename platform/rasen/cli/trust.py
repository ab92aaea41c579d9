"""`rasen trust`: whose signatures are believed here, and who signs."""

from __future__ import annotations

import getpass
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from rasen.cli.output import JsonFlag, console, print_json, print_table, show_time
from rasen.errors import InvalidInput
from rasen.settings import load_settings

if TYPE_CHECKING:
    from rasen.settings import Settings
    from rasen.tracking.trust import PublicKey, Role

_COLOURS = {"active": "green", "verify_only": "yellow", "revoked": "red"}
_MOST_SHOWN = 20

KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="id of the key, or its beginning, as `rasen trust` lists it")
]
RoleArgument = Annotated[str, typer.Argument(metavar="ROLE", help="registrar, control, decider or operator")]
ReasonOption = Annotated[str, typer.Option(help="why, for whoever wonders later")]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    trust = typer.Typer(help="List, rotate, revoke and exchange the keys that signatures are checked with.")
    trust.callback(invoke_without_command=True)(list_keys)
    trust.command("rotate")(rotate)
    trust.command("revoke")(revoke)
    trust.command("reinstate")(reinstate)
    trust.command("resign")(resign)
    trust.command("export")(export)
    trust.command("add")(add)
    app.add_typer(trust, name="trust")


def list_keys(
    context: typer.Context,
    *,
    count: Annotated[
        bool,
        typer.Option("--count", help="also count the objects that each key signed; reads the whole store"),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the keys whose signatures are believed here; the other commands change them."""
    if context.invoked_subcommand is not None:
        return
    from rasen.store import open_store
    from rasen.tracking.key_rotation import finish_rotations
    from rasen.tracking.resigning import count_signed
    from rasen.tracking.signature import load_trust

    settings = load_settings()
    finish_rotations(settings, by=getpass.getuser(), now=datetime.now(tz=UTC))
    trust = load_trust(settings)
    counts: Counter[str] = count_signed(open_store(settings)) if count else Counter()
    signing = {key.key_id for key in trust.keys if _signs_here(settings, key)}
    if as_json:
        listed = [
            key.model_dump(mode="json", exclude={"public_key"})
            | {"believed": _believed(key, settings), "signs_here": key.key_id in signing}
            | ({"objects": counts[key.key_id]} if count else {})
            for key in trust.keys
        ]
        print_json({"file": str(settings.trust_file), "keys": listed, "changes": trust.changes})
        return
    rows = [
        (
            key.key_id,
            key.role.value + (f" of {escape(key.holder)}" if key.holder else ""),
            f"[{_COLOURS[key.state]}]{key.state}[/]"
            + ("" if _believed(key, settings) else f" [red]not believed in {settings.environment}[/red]"),
            ", ".join(key.environments),
            escape(_where(settings, key)) + (", [bold]signs here[/bold]" if key.key_id in signing else ""),
            *([f"{counts[key.key_id]:,}"] if count else []),
        )
        for key in trust.keys
    ]
    if rows:
        columns = ("key", "role", "state", "environments", "private half")
        print_table("", (*columns, "objects") if count else columns, rows)
    else:
        console().print(
            f"{escape(str(settings.trust_file))} lists no key; the first signature makes one, and `rasen trust add` "
            "takes over others"
        )
    for change in trust.changes[-_MOST_SHOWN:]:
        why = f": {change.reason}" if change.reason else ""
        console().print(
            f"[dim]{show_time(change.at)}[/dim]  {change.key_id}  {escape(f'{change.what} by {change.by}{why}')}",
            soft_wrap=True,
        )


def rotate(
    role: RoleArgument,
    *,
    reason: ReasonOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Have a new key sign for a role; what the old one signed is still believed."""
    from rasen.tracking.key_rotation import rotate_key

    settings = load_settings()
    key = rotate_key(settings, _role(role), by=getpass.getuser(), now=datetime.now(tz=UTC), reason=reason)
    if as_json:
        print_json(key.model_dump(mode="json"))
    else:
        console().print(f"{key.key_id} signs as {key.role.value} from now on")


def revoke(key_id: KeyArgument, *, reason: ReasonOption, as_json: JsonFlag = False) -> None:
    """Have nothing believed any more that a key signed; what is loaded answers on, and says so."""
    from rasen.tracking.key_rotation import revoke_key

    settings = load_settings()
    key = revoke_key(settings, key_id, by=getpass.getuser(), now=datetime.now(tz=UTC), reason=reason)
    if as_json:
        print_json(key.model_dump(mode="json") | {"state": "revoked"})
        return
    console().print(f"{key.key_id}: revoked; nothing that it signed loads any more")
    signs = _signs_here(settings, key)
    steps = [f"rasen trust rotate {key.role.value}"] if signs else []
    console().print(
        "next: "
        + ", then ".join(f"`{step}`" for step in [*steps, f"rasen trust resign {key.key_id} --reason …"])
        + " if you vouch for what it signed",
        soft_wrap=True,
    )


def reinstate(key_id: KeyArgument, *, reason: ReasonOption, as_json: JsonFlag = False) -> None:
    """Undo a revocation: what the key signed is believed again, but it signs nothing new."""
    from rasen.tracking.key_rotation import reinstate_key

    settings = load_settings()
    key = reinstate_key(settings, key_id, by=getpass.getuser(), now=datetime.now(tz=UTC), reason=reason)
    if as_json:
        print_json(key.model_dump(mode="json") | {"state": "verify_only"})
    else:
        console().print(f"{key.key_id}: what it signed is believed again; it signs nothing new")


def resign(
    key_id: KeyArgument,
    *,
    reason: ReasonOption,
    under: Annotated[
        str, typer.Option(help="only objects whose key begins like this, such as manifests/flight_demand/")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="do it; without this only what would be done is told")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Sign again, with the role's present key, what another key signed; you vouch for it."""
    from rasen.store import open_store
    from rasen.tracking.resigning import find_signed
    from rasen.tracking.resigning import resign as resign_objects

    settings = load_settings()
    store = open_store(settings)
    signed = find_signed(settings, store, key_id, under=under)
    place = None
    if yes:
        by, now = getpass.getuser(), datetime.now(tz=UTC)
        place = resign_objects(settings, store, signed, by=by, now=now, reason=reason)
    if as_json:
        print_json(
            {"key": signed.key.key_id, "objects": signed.objects, "forged": signed.forged, "record": place}
        )
        return
    out = console()
    for vouched in signed.objects[:_MOST_SHOWN]:
        out.print(f"  {escape(vouched.key)}  [dim]{vouched.sha256[:12]}[/dim]", soft_wrap=True)
    if len(signed.objects) > _MOST_SHOWN:
        out.print(f"  and {len(signed.objects) - _MOST_SHOWN:,} more")
    for place_of, why in signed.forged.items():
        out.print(f"[red]left alone:[/red] {escape(place_of)}: {escape(why)}", soft_wrap=True)
    count = f"{len(signed.objects):,} object{'' if len(signed.objects) == 1 else 's'}"
    if place is not None:
        out.print(f"{count} signed again; who vouched for them stands in {escape(place)}", soft_wrap=True)
    else:
        out.print(
            f"{count} of key {signed.key.key_id} would be signed again, and nothing was done; with --yes you vouch for "
            "each of them: a stolen key may have signed some",
            soft_wrap=True,
        )


def export(
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLE]...", help="only keys of these roles; all if left out"),
    ] = None,
) -> None:
    """Print the public keys as JSON, for `rasen trust add` on another machine; nothing in it is secret."""
    from rasen.tracking.key_rotation import export_keys

    print_json(export_keys(load_settings(), [_role(role) for role in roles or []]))


def add(
    file: Annotated[Path, typer.Argument(help="what `rasen trust export` printed on the other machine")],
    *,
    reason: ReasonOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Trust the public keys in a file."""
    from rasen.tracking.key_rotation import add_keys, parse_keys

    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{str(file)!r} cannot be read: {error.strerror}") from None
    keys = parse_keys(data, source=str(file))
    added = add_keys(load_settings(), keys, by=getpass.getuser(), now=datetime.now(tz=UTC), reason=reason)
    if as_json:
        print_json({"added": added, "known": len(keys) - len(added)})
        return
    for key in added:
        console().print(f"{key.key_id} is believed as {key.role.value} in {', '.join(key.environments)}")
    if len(added) < len(keys):
        console().print(f"{len(keys) - len(added)} of {len(keys)} were known already")


def _role(text: str) -> Role:
    from rasen.tracking.trust import Role

    try:
        return Role(text)
    except ValueError:
        raise InvalidInput(
            f"there is no role {text[:40]!r}; there are: {', '.join(role.value for role in Role)}"
        ) from None


def _believed(key: PublicKey, settings: Settings) -> bool:
    return not key.refusal(key.role, settings.environment)


def _signs_here(settings: Settings, key: PublicKey) -> bool:
    """Return whether this is the key that this machine's settings sign with."""
    from rasen.tracking.signers import FILE, FileSigner, key_path, signer_address

    address = signer_address(settings, key.role)
    if address != FILE:
        return key.address == address
    path = key_path(settings, key.role)
    return (
        settings.environment != "prod" and path.exists() and FileSigner(path, key.role).key_id == key.key_id
    )


def _where(settings: Settings, key: PublicKey) -> str:
    from rasen.tracking.signers import key_path

    if key.kept_in == "kms":
        return key.address or "a KMS"
    path = key_path(settings, key.role)
    return str(path.relative_to(settings.home)) if _signs_here(settings, key) else "a key file, not here"
