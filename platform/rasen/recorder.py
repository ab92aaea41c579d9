"""What a notebook's calls leave for the step that runs it: files in a folder, and one line of JSON a call.

The kernel and the step share this folder and nothing else. A file is complete before the line that names it; the line
is one `write` in append mode, so a process killed at any instant leaves whole records and at most a torn last line,
which counts as never written. The step trusts none of it: `read_records` refuses links, paths that lead outside and
records of unknown shape, and unpickles nothing.

Without `RASEN_CONTEXT` somebody runs the cells one by one: the same files go to a folder of this session, below the
platform's own, where tables are kept from one notebook to the next.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rasen.errors import InvalidInput, PlatformFailed
from rasen.settings import context_path, load_settings

FORMAT = 1
RECORDS_FILE = "records.jsonl"
_MOST_BYTES = 64 << 20
_KEPT_SESSIONS = 20


@dataclass(frozen=True, kw_only=True)
class JudgedVersion:
    """The version that a gate notebook is about, and that `rasen.load_model` of its endpoint returns.

    Args:
        endpoint: The pipeline's endpoint.
        schema: The version's schema as JSON.
        files: By role, the file's name below `inputs/judged` and its digest.
    """

    endpoint: str
    schema: Mapping[str, Any]  # Any: JSON
    files: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Context:
    """Which run this is, and where its files are.

    Args:
        run: The run's id; empty in an interactive session.
        pipeline: The pipeline's name; in an interactive session the name of the notebook's folder.
        step: The step's name; empty in an interactive session.
        environment: `dev`, `staging` or `prod`.
        parameters: The step's parameters.
        inputs: What the step was handed: `tables/`, `statistics.json`, `models/`, `trust.json`.
        staging: Where the notebook's files and records go.
        warehouse: The embedded warehouse, `None` when the step has none.
        interactive: Whether somebody runs the cells by hand: nothing will be published.
        judged: The version that a gate notebook judges; `None` in every other notebook.
        recorded: Reads of an earlier run that answer instead of the warehouse, `None` but in a repetition.
        most_rows: The most rows that a read gives, `None` but in an interface test.
    """

    run: str
    pipeline: str
    step: str
    environment: str
    inputs: Path
    staging: Path
    warehouse: Path | None
    interactive: bool
    recorded: Path | None = None
    most_rows: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
    judged: JudgedVersion | None = None


class Recorder:
    """Appends records and knows where their files go."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def append(self, kind: str, **fields: object) -> None:
        """Append one record, whole or not at all.

        Raises:
            PlatformFailed: The disk is full or cannot be written.
        """
        line = json.dumps({"kind": kind, **fields}, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        path = self.context.staging / RECORDS_FILE
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                written = os.write(descriptor, line)
                if written != len(line):
                    # Take it back, or the next record would be glued to half of this one.
                    os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
                    raise PlatformFailed(f"the disk is full: {str(path)!r} could not take {len(line)} bytes")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise PlatformFailed(f"{str(path)!r} could not be written: {error}") from error

    def path(self, relative: str) -> Path:
        """Return where a file of this run goes; its folder exists afterwards."""
        path = self.context.staging / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, relative: str, data: bytes) -> str:
        """Write a file that appears whole, and return its path relative to the staging folder.

        Raises:
            PlatformFailed: The disk is full or cannot be written.
        """
        target = self.path(relative)
        scratch = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            scratch.write_bytes(data)
            scratch.replace(target)
        except OSError as error:
            raise PlatformFailed(f"{str(target)!r} could not be written: {error}") from error
        finally:
            scratch.unlink(missing_ok=True)
        return relative

    def records(self) -> list[dict[str, Any]]:  # Any: JSON
        """Return what was recorded so far."""
        return read_records(self.context.staging)


_recorders: dict[Path | None, Recorder] = {}


def recorder() -> Recorder:
    """Return the recorder of this process: of the batch step it belongs to, or of an interactive session."""
    path = context_path()
    if path not in _recorders:
        _recorders[path] = Recorder(_interactive_context() if path is None else read_context(path))
    return _recorders[path]


def read_context(path: Path) -> Context:
    """Read the file that a batch step wrote for its kernel.

    Raises:
        InvalidInput: It is missing, or not of the format that this version reads.
    """
    try:
        data = json.loads(path.read_bytes())
        if data.get("format") != FORMAT:
            raise InvalidInput(
                f"context {str(path)!r} has format {data.get('format')!r}; this version reads {FORMAT}"
            )
        warehouse, judged, recorded = data.get("warehouse"), data.get("judged"), data.get("recorded")
        return Context(
            run=data["run"],
            pipeline=data["pipeline"],
            step=data["step"],
            environment=data["environment"],
            parameters=data.get("parameters", {}),
            inputs=Path(data["inputs"]),
            staging=Path(data["staging"]),
            warehouse=None if warehouse is None else Path(warehouse),
            interactive=False,
            judged=None if judged is None else JudgedVersion(**judged),
            recorded=None if recorded is None else Path(recorded),
            most_rows=data.get("most_rows"),
        )
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InvalidInput(
            f"RASEN_CONTEXT names {str(path)!r}, which is no context of a step ({type(error).__name__}: {error})"
        ) from None


def _interactive_context() -> Context:
    settings = load_settings()
    name = re.sub(r"[^A-Za-z0-9_-]", "_", Path.cwd().name) or "notebook"
    folder = settings.interactive_dir / name
    sessions = folder / "sessions"
    staging = sessions / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
    try:
        (folder / "inputs" / "tables").mkdir(parents=True, exist_ok=True)
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlatformFailed(f"the session's folder {str(staging)!r} could not be made: {error}") from error
    _forget_sessions(sessions)
    return Context(
        run="",
        pipeline=name,
        step="",
        environment=settings.environment,
        inputs=folder / "inputs",
        staging=staging,
        warehouse=settings.warehouse_dir,
        interactive=True,
    )


def _forget_sessions(folder: Path) -> None:
    """Remove the oldest sessions whose process has ended: their snapshots would fill the disk."""
    import shutil

    for session in sorted(folder.iterdir())[:-_KEPT_SESSIONS]:
        process = session.name.rpartition("-")[2]
        if not Path("/proc", process).exists():
            shutil.rmtree(session, ignore_errors=True)


_TEXT = (str,)
_NUMBER = (int, float, str)  # not finite: "nan", "inf", "-inf"
_TEXT_OR_NONE = (str, type(None))
_SHAPES: dict[str, dict[str, tuple[type, ...]]] = {
    "metric": {"name": _TEXT, "value": _NUMBER, "slice": (dict,)},
    "read": {
        "name": _TEXT,
        "sql": _TEXT_OR_NONE,
        "file": _TEXT_OR_NONE,
        "parameters": (dict,),
        "path": _TEXT,
        "statistics": (dict,),
    },
    "table": {"name": _TEXT, "path": _TEXT, "rows": (int,)},
    "figure": {"name": _TEXT, "path": _TEXT},
    "model": {
        "path": _TEXT,
        "schema": (dict,),
        "example": _TEXT,
        "profile": _TEXT_OR_NONE,
        "evaluation": _TEXT_OR_NONE,
        "target": _TEXT_OR_NONE,
        "time": _TEXT_OR_NONE,
        "slices": (list,),
        "trained_until": _TEXT_OR_NONE,
    },
    "anomaly": {"read": _TEXT, "anomaly": _TEXT, "accepted": (bool,)},
}
_PATHS = {
    "read": ("path",),
    "table": ("path",),
    "figure": ("path",),
    "model": ("path", "example", "profile", "evaluation"),
}


def read_records(staging: Path) -> list[dict[str, Any]]:  # Any: JSON, its shape checked here
    """Return the records that a kernel left, each of a known shape and naming only files below `staging`.

    Args:
        staging: The folder; the kernel that wrote it has ended.

    Raises:
        InvalidInput: The file or a record is not what the SDK writes, or names something outside.
    """
    path = staging / RECORDS_FILE
    try:
        _check_plain_file(path, staging, what=RECORDS_FILE)
    except FileNotFoundError:
        return []
    size_bytes = path.stat().st_size
    if size_bytes > _MOST_BYTES:
        raise InvalidInput(
            f"{RECORDS_FILE} has {size_bytes} bytes, {_MOST_BYTES} are the most; log fewer metrics"
        )
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    lines = whole.split(b"\n") if whole else []
    return [_read_record(line, number, staging) for number, line in enumerate(lines, start=1)]


def _read_record(line: bytes, number: int, staging: Path) -> dict[str, Any]:  # Any: JSON
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"{RECORDS_FILE}, line {number}: not JSON ({error})") from None
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind not in _SHAPES:
        raise InvalidInput(f"{RECORDS_FILE}, line {number}: kind {kind!r} is none of {', '.join(_SHAPES)}")
    for name, types in _SHAPES[kind].items():
        value = record.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise InvalidInput(
                f"{RECORDS_FILE}, line {number}: {kind} has {name}={value!r}, of the wrong type"
            )
    for name in _PATHS.get(kind, ()):
        relative = record[name]
        if relative is not None:
            try:
                _check_plain_file(
                    staging / relative, staging, what=f"{RECORDS_FILE}, line {number}: {name}={relative!r}"
                )
            except (FileNotFoundError, NotADirectoryError, ValueError):
                raise InvalidInput(f"{RECORDS_FILE}, line {number}: there is no file {relative!r}") from None
    result: dict[str, Any] = record
    return result


def _check_plain_file(path: Path, staging: Path, *, what: str) -> None:
    """Refuse a path that leads outside `staging`, through a link, or to anything but a file."""
    inside = path.relative_to(staging) if path.is_relative_to(staging) else None
    if inside is None or ".." in inside.parts or not inside.parts:
        raise InvalidInput(f"{what} leads outside the staging folder")
    place = staging
    for part in inside.parts:
        place = place / part
        mode = os.lstat(place).st_mode
        if stat.S_ISLNK(mode):
            raise InvalidInput(f"{what} is or passes through a link; the staging folder holds files only")
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise InvalidInput(f"{what} is no regular file")
