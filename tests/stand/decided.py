"""A decider over a store in memory, with people who give it commands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rasen.deploy import ledger
from rasen.deploy.commands import Command, sign_command
from rasen.deploy.decide import Decider
from rasen.store import MemoryStore, Store
from rasen.tracking.ledger_records import LedgerRecord
from stand.manifests import GOOD, Publisher, run_of


class Desk:
    """One pipeline `demand`, its ledger, and whoever decides."""

    def __init__(self, folder: Path, *, store: Store | None = None, **deploy: Any) -> None:
        self.folder = folder
        self.store = store or MemoryStore()
        self.publisher = Publisher(self.store, folder / "unpickled")
        self.publisher.register(**deploy)
        self.decider = self.another_decider()

    def another_decider(self) -> Decider:
        return Decider(
            self.store,
            self.publisher.decider,
            trust=self.publisher.trust,
            environment="dev",
            scratch_dir=self.folder / "scratch",
        )

    def publish(self, number: int, *, metrics: Mapping[str, float] = GOOD, **options: Any) -> str:
        """Publish run `number` and have it decided."""
        self.publisher.publish(number, metrics=metrics, **options)
        self.decider.decide("demand")
        return run_of(number)

    def records(self, endpoint: str = "demand") -> list[LedgerRecord]:
        return list(ledger.list_records(self.store, self.publisher.trust(), endpoint, environment="dev"))

    def live(self) -> list[str]:
        """Return the versions that answer."""
        return [each.run for each in self.records()[-1].state.variants]

    def story(self) -> list[tuple[str, str | None, list[str]]]:
        """Return action, run and live runs of each record."""
        return [
            (record.action, record.run, [each.run for each in record.state.variants])
            for record in self.records()
        ]

    def text(self, command: Any, *, seen: int | None = None, by: str = "ada", **more: Any) -> str:
        """Return a command as it is sent; it is about the newest record unless another was seen."""
        number = len(self.records()) if seen is None else seen
        return sign_command(
            Command(endpoint="demand", command=command, seen=number, by=by, **more), self.publisher.operator
        )

    def give(self, command: Any, **more: Any) -> list[LedgerRecord]:
        """Have a command obeyed."""
        return self.decider.obey(self.text(command, **more))
