"""A home with published runs, a decider in this process, and commands that are asked as a person types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.deploy.decide import Decider
from rasen.settings import Settings
from rasen.store import DirectoryStore
from rasen.tracking.signature import Role, load_trust, open_signer
from stand.deciders import local_decider
from stand.manifests import Publisher

Ask = Callable[..., str]


class LedgerHome:
    """Publishes and decides with the keys of one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = DirectoryStore(settings.store_dir)
        self.trap: Path = settings.home / "unpickled"
        self.publisher = Publisher(
            self.store,
            self.trap,
            registrar=open_signer(settings, Role.REGISTRAR),
            control=open_signer(settings, Role.CONTROL),
            decider=open_signer(settings, Role.DECIDER),
        )
        self.decider: Decider = local_decider(settings.home, self.store)

    def release(self, pipeline: str, *, endpoint: str | None = None, **keys: Any) -> None:
        """Register a pipeline whose gate is that its model beats the profile."""
        gate = {"kind": "baseline", "metric": "rmse", "better_than": "profile_rmse"}
        self.publisher.register(pipeline, endpoint=endpoint, gates=[gate], **keys)

    def publish(self, number: int, pipeline: str, *, decide: bool = True, **options: Any) -> str:
        """Publish run number `number` of a pipeline, have it decided, and return its id."""
        run = self.publisher.publish(number, pipeline, **options)
        if decide:
            self.decider.decide(pipeline)
        return run

    def trust(self) -> Any:
        """Return the keys that are trusted here."""
        return load_trust(self.settings)


def ask(*arguments: str) -> str:
    """Return what a command prints; an error of ours is raised."""
    done = CliRunner().invoke(build_app(), list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def ask_json(*arguments: str) -> Any:
    """Return what a command answers to programs."""
    return json.loads(ask(*arguments, "--json"))
