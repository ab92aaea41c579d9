"""The folders a batch step makes for its kernel, without the step: for tests of what a notebook may call."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rasen.recorder import read_records


class Kernel:
    """A staging folder with its inputs, made the context of this process by `enter`."""

    def __init__(self, folder: Path, *, warehouse: Path | None = None) -> None:
        self.folder = folder
        self.inputs = folder / "inputs"
        self.staging = folder / "staging"
        self.context = folder / "context.json"
        (self.inputs / "tables").mkdir(parents=True)
        self.staging.mkdir()
        document = {
            "format": 1,
            "run": "20260101T000000000Z-0123456789ab",
            "pipeline": "demand",
            "step": "train",
            "environment": "dev",
            "parameters": {"depth": 6},
            "inputs": str(self.inputs),
            "staging": str(self.staging),
            "warehouse": None if warehouse is None else str(warehouse),
        }
        self.context.write_text(json.dumps(document), encoding="utf-8")

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this the context of the process, as the step does through the environment."""
        monkeypatch.setenv("RASEN_CONTEXT", str(self.context))

    def records(self, kind: str) -> list[dict[str, Any]]:  # Any: JSON
        """Return the records of one kind, without the kind."""
        found = [record for record in read_records(self.staging) if record["kind"] == kind]
        return [{name: value for name, value in record.items() if name != "kind"} for record in found]

    def last_statistics(self, statistics: Mapping[str, object]) -> None:
        """Hand the kernel what the last good run had read."""
        (self.inputs / "statistics.json").write_text(json.dumps(statistics), encoding="utf-8")
