"""How an executed notebook ended, and which error of a cell means which verdict."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rasen.errors import ValidationFailed
from rasen.tracking.records import Verdict

TRACEBACK_MAX_CHARACTERS = 20_000
MESSAGE_MAX_CHARACTERS = 20_000
_VERDICT_OF_ERROR = {
    ValidationFailed.__name__: Verdict.VALIDATION_FAILED,
    "MemoryError": Verdict.OUT_OF_MEMORY,
    "ArrowMemoryError": Verdict.OUT_OF_MEMORY,  # pyarrow's
    "OutOfMemoryException": Verdict.OUT_OF_MEMORY,  # DuckDB's
    "_ArrayMemoryError": Verdict.OUT_OF_MEMORY,  # NumPy's
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an executed notebook ended; kept in the notebook's own metadata under `rasen`.

    `cell` counts from 0 in the notebook as its author wrote it; `executed` is the same cell of the executed notebook,
    which has one cell more when parameters were injected.
    """

    verdict: Verdict
    cell: int | None = None
    executed: int | None = None
    error_name: str = ""
    error_message: str = ""
    traceback: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    cpu_seconds: float = 0.0

    @classmethod
    def read(cls, path: Path | None) -> Outcome | None:
        """Return the outcome that stands in an executed notebook's file, or `None` when there is none."""
        with suppress(OSError, ValueError):
            return cls.find(json.loads((path or Path()).read_bytes()))
        return None

    @classmethod
    def find(cls, notebook: dict[str, Any]) -> Outcome | None:  # Any: the notebook format
        """Return the outcome that stands in an executed notebook, or `None` when there is none."""
        with suppress(KeyError, TypeError, ValueError):
            found = notebook["metadata"]["rasen"]
            return cls(**{**found, "verdict": Verdict(found["verdict"])})
        return None

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return it as it stands in a notebook's metadata."""
        return {**asdict(self), "verdict": self.verdict.value}


def verdict_of_error(name: str) -> Verdict:
    """Return what an error that a cell raised means, by the name of its class."""
    return _VERDICT_OF_ERROR.get(name, Verdict.FAILED)
