"""What is left of an attempt whose process was killed: its notebook as far as it came, and its log, for people.

An attempt without `result.json` never happened, so nothing here counts for the run. But whoever looks for the reason
finds the cells that were done where they always lie.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path

from rasen.batch.salvage import salvage_notebook
from rasen.batch.step_logs import log_path
from rasen.batch.work import attempt_folder
from rasen.errors import RasenError
from rasen.settings import Settings
from rasen.store import Store
from rasen.tracking.keys import step_prefix

_log = logging.getLogger("rasen.batch")


def keep_what_is_left(
    settings: Settings, store: Store, pipeline: str, run: str, step: str, attempt: int
) -> None:
    """Upload notebook and log of a dead attempt and remove its working folder; failing at that fails nothing else."""
    folder = attempt_folder(settings, pipeline, run, step, attempt)
    prefix = step_prefix(pipeline, run, step, attempt)
    try:
        if folder.is_dir():
            salvage_notebook(folder / "journal.jsonl", folder / "output.ipynb")
        for path, name in (
            (folder / "output.ipynb", "output.ipynb"),
            (log_path(settings, pipeline, run, step, attempt), "log.txt"),
        ):
            if path.is_file() and path.stat().st_size and store.stat(prefix + name) is None:
                store.upload(path, prefix + name, sha256=_sha256(path))
        shutil.rmtree(folder, ignore_errors=True)
    except (OSError, RasenError) as error:
        _log.warning("what attempt %s of step %r left behind stays in %s: %s", attempt, step, folder, error)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
