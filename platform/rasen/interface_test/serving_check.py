"""Trying the published model with what the serving image has: the process is started, waited for and read here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from rasen.batch.executor import machine_memory_bytes
from rasen.batch.plain_text import clean_line
from rasen.batch.usage import Usage
from rasen.batch.zygote_client import start_module
from rasen.errors import PlatformFailed
from rasen.interface_test.before import Found, failed, skipped
from rasen.interface_test.checks import Outcome
from rasen.interface_test.home import TestHome
from rasen.interface_test.plan import EXAMPLE, PACKAGES, ROWS
from rasen.interface_test.serving_image import modules_left_out, serving_distributions
from rasen.interface_test.serving_process import REPORT_FILE
from rasen.pipeline_deploy import Qualification
from rasen.settings import child_environment
from rasen.tracking.records import ModelRecord

NAMES = (PACKAGES, EXAMPLE, *ROWS)
"""The checks that are made here."""

_MEMORY_SHARE = 0.75  # of the machine, as in the qualification
_LOOK_SECONDS = 0.2


def try_model(
    home: TestHome, model: ModelRecord, limits: Qualification
) -> Iterator[tuple[str, Found, float]]:
    """Load the model and ask it, in a fresh process; yield each check with the seconds that it took."""
    try:
        left_out = modules_left_out(serving_distributions())
    except PackageNotFoundError:
        for name in NAMES:
            yield (
                name,
                skipped("Rasen is not installed here, so what its serving image holds is not known"),
                0.0,
            )
        return
    folder = home.settings.home / "serving"
    (folder / "staging").mkdir(parents=True, exist_ok=True)
    described = model.model_dump(mode="json", by_alias=True)
    for role, file in model.files.items():
        described["files"][role] = {"path": str(home.store.root / file.key), "sha256": file.sha256}
    (folder / "model.json").write_text(json.dumps({**described, "left_out": left_out}), encoding="utf-8")
    problem = _run(home, folder, limits)
    report = _read(folder / "staging" / REPORT_FILE)
    made: dict[str, Any] = report.get("checks", {})  # Any: JSON of the process
    reached = True
    for name in NAMES:
        if name in made:
            one = made[name]
            yield (
                name,
                Found(outcome=Outcome(one["outcome"]), message=clean_line(one["message"], most=600)),
                float(one["seconds"]),
            )
        elif reached and (problem or report.get("doing") == name):
            reached = False
            yield (
                name,
                failed(f"the model's process did not come back: {problem or 'it ended by itself'}"),
                0.0,
            )
        else:
            reached = False
            yield name, skipped("the model was not loaded, or ended its process before"), 0.0


def _run(home: TestHome, folder: Path, limits: Qualification) -> str:
    """Run the process to its end; return why it did not end well, empty if it did."""
    cold = home.settings.model_copy(update={"zygote": False})
    memory_bytes = limits.memory_bytes or int(_MEMORY_SHARE * machine_memory_bytes())
    with (folder / "log.txt").open("wb") as log:
        process = start_module(
            cold,
            "rasen.interface_test.serving_process",
            [str(folder), str(folder / "staging")],
            environment=child_environment(),
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    usage = Usage(process.pid, memory_limit_bytes=memory_bytes)
    try:
        code = process.wait(limits.timeout_seconds)
    except subprocess.TimeoutExpired:
        return f"it took longer than {limits.timeout_seconds:g} s"
    finally:
        usage.close()
        process.close()
    if usage.over_limit:
        return f"it took more memory than {memory_bytes:,} bytes"
    if code == 0:
        return ""
    words = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f": {clean_line(words[-1])}" if words else ""
    return f"it ended with {code}{last}"


def _read(path: Path) -> dict[str, Any]:  # Any: JSON of the process
    try:
        report: dict[str, Any] = json.loads(path.read_bytes())  # Any: as above
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise PlatformFailed(
            f"the report {str(path)!r} of the model's process cannot be read: {error}"
        ) from error
    return report
