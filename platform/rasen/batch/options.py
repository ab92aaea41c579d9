"""What may be asked of the engine beyond what papermill has a word for, and what it tells while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rasen.batch.messages import Message
from rasen.batch.output_mask import Mask
from rasen.batch.outputs import Limits


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an executing notebook is; `cell` counts in the executed notebook."""

    cell: int
    cells: int
    memory_bytes: int
    last_line: str


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be asked of the engine beyond what papermill has a word for."""

    environment: Mapping[str, str] | None = None
    folder: str | None = None
    cell_timeout_seconds: float | None = None
    step_timeout_seconds: float | None = None
    start_timeout_seconds: float = 60.0
    memory_limit_bytes: int | None = None
    limits: Limits = field(default_factory=Limits)
    output: Path | None = None
    journal: Path | None = None
    spill: Path | None = None
    mask: Mask | None = None  # takes secrets out of every text before anybody sees it
    observe: Callable[[Progress], None] | None = None
    hear: Callable[[Message], None] | None = None
    names: Mapping[str, str] = field(default_factory=dict)  # for readers, where papermill was told others
    now: Callable[[], datetime] = _utc_now  # asked once: a clock that is set meanwhile changes no duration
