"""Keeping secrets out of what a notebook left for its step: records are masked, files that hold a secret are not kept.

A metric's name or a query's text can be masked like any output. A model or a table cannot: to replace bytes in it would
make another file of it. So one that holds a known secret is a fault of the notebook, and nothing of the step is kept.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rasen.batch.masking import Mask
from rasen.batch.output_mask import mask_value
from rasen.recorder import RECORDS_FILE, read_records

_PATHS = frozenset({"path", "example", "profile", "evaluation"})  # of files below the staging folder


def clean_staging(staging: Path, mask: Mask) -> str:
    """Mask the records of a kernel that has ended; return why nothing was kept, or nothing.

    Raises:
        InvalidInput: The records are not what the SDK writes.
        OSError: The folder cannot be written.
    """
    holding = {
        mask.key(str(path.relative_to(staging))): name
        for path in sorted(staging.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != RECORDS_FILE
        if (name := mask.find_in_file(path)) is not None
    }
    if holding:
        shutil.rmtree(staging)
        staging.mkdir()
        files = ", ".join(f"{path!r} holds {name!r}" for path, name in holding.items())
        return f"a secret stands in what the notebook saved: {files}; nothing that the step saved was kept"
    records = read_records(staging)
    masked = [_masked(record, mask, staging) for record in records]
    if masked != records:
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in masked)
        (staging / RECORDS_FILE).write_text(text, encoding="utf-8")
    return ""


def _masked(record: dict[str, Any], mask: Mask, staging: Path) -> dict[str, Any]:  # Any: JSON
    masked = {name: item if name in _PATHS else mask_value(mask, item) for name, item in record.items()}
    for name in _PATHS & record.keys():
        relative = record[name]
        if relative is not None and mask.key(relative) != relative:
            renamed = staging / mask.key(relative)
            renamed.parent.mkdir(parents=True, exist_ok=True)
            if (staging / relative).exists():  # two records may name one file
                (staging / relative).rename(renamed)
            masked[name] = mask.key(relative)
    return masked
