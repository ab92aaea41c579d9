"""`rasen up`: the platform in the foreground."""

from __future__ import annotations

import typer
from rich.markup import escape

from rasen.cli.output import console
from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("up")(up)


def up() -> None:
    """Run serving, the deploy function, the control API and the event bridge on this machine until Ctrl-C."""
    from rasen.local.processes import Group
    from rasen.local.up import run_platform

    settings = load_settings()
    out = console()

    def tell(text: str) -> None:
        out.print(escape(text), soft_wrap=True)

    def ready(group: Group) -> None:
        address = f"http://{settings.host}:{settings.serving_port}"
        out.print(f"[bold green]up[/bold green]  {settings.environment}, home {escape(str(settings.home))}")
        out.print(f"  predictions  {address}/docs", soft_wrap=True)
        out.print(f"  control API  http://{settings.host}:{settings.api_port}/docs", soft_wrap=True)
        out.print(f"  metrics      http://{settings.host}:{settings.admin_port}/metrics", soft_wrap=True)
        out.print(f"  logs         {escape(str(settings.logs_dir))}", soft_wrap=True)
        processes = ", ".join(f"{name} {pid}" for name, pid in group.process_ids.items())
        out.print(f"  processes    {processes}", soft_wrap=True)
        out.print("Ctrl-C stops it.")

    run_platform(settings, tell=tell, ready=ready)
    out.print("stopped")
