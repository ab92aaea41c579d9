"""Where a step's process prints."""

from __future__ import annotations

from pathlib import Path

from rasen.settings import Settings


def log_path(settings: Settings, pipeline: str, run: str, step: str, attempt: int) -> Path:
    """Return where whoever starts a step lets it print; the step uploads it from there."""
    return settings.logs_dir / "steps" / f"{pipeline}-{run}-{step}-{attempt}.log"
