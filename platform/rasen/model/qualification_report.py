"""What a process that executes a model for the qualification leaves: one JSON file, rewritten before each stage.

Should the model end or hang the process, the file that is left says what it was doing. A model that forks makes two
processes that both believe to be this one; the second says so in a file of its own, and ends.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasen.versions import serving_versions

FORKED_FILE = "forked"
"""Beside the report when a copy of the process came out of the model's code."""


class Refused(Exception):
    """The model may not be published; the text says why."""


@dataclass
class StagedFile(ABC):
    """A JSON file about stages, each of which a model may not survive; `path` lies in the staging folder."""

    path: Path
    process: int = field(default_factory=os.getpid, init=False)

    def stage(self, doing: str) -> None:
        """Note what the model is about to be asked, in case it never answers."""
        say(f"{doing} …")
        self.write(passed=False, reason=f"the process did not come back from {doing}")

    def write(self, *, passed: bool, reason: str) -> None:
        """Write the file; it appears whole."""
        self._end_if_forked()
        document = {"format": 1, "passed": passed, "reason": reason, **self.contents()}
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text(json.dumps(document, indent=1), encoding="utf-8")
        scratch.replace(self.path)

    @abstractmethod
    def contents(self) -> Mapping[str, Any]:  # Any: JSON
        """Return what is known so far."""

    def _end_if_forked(self) -> None:
        if os.getpid() != self.process:
            self.path.with_name(FORKED_FILE).touch()
            os._exit(1)


@dataclass
class Report(StagedFile):
    """What is known of a candidate so far, on disk after every change."""

    findings: list[str] = field(default_factory=list)
    row_wise: bool | None = None
    engine: str = "native"
    equal_engines: list[str] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    size_bytes: int = 0
    memory_bytes: int = 0
    evaluation_rows: int | None = None
    versions_differ: str = ""

    def contents(self) -> Mapping[str, Any]:  # Any: JSON
        """Return what is known so far."""
        return {
            "findings": self.findings,
            "engine": self.engine,
            "equal_engines": self.equal_engines,
            "engines": self.engines,
            "row_wise": self.row_wise,
            "latency_ms": self.latency_ms,
            "size_bytes": self.size_bytes,
            "memory_bytes": self.memory_bytes,
            "evaluation_rows": self.evaluation_rows,
            "versions": serving_versions(),
            "versions_differ": self.versions_differ,
        }


@dataclass
class ChampionReport(StagedFile):
    """What is known so far of the live version on a candidate's rows; `passed` says that it has predicted them."""

    rows: int = 0
    latency_ms: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def contents(self) -> Mapping[str, Any]:  # Any: JSON
        """Return what is known so far."""
        return {"rows": self.rows, "latency_ms": self.latency_ms, "metrics": self.metrics}


def say(text: str) -> None:
    """Print a line for the step's log."""
    print(text, flush=True)  # noqa: T201  # the step's log
