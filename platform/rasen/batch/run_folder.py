"""Where each file of a run lies in a folder that a person looks at: by concept and by name, not by digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.records import FileRecord, Read, StepResult

Part = Literal["model", "tables", "notebooks"]
PARTS: tuple[Part, ...] = ("model", "tables", "notebooks")

_SAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_DIGEST = re.compile(r"[0-9a-f]{64}(#\d+)?")
_NAME_MOST = 60
_MODEL_NAMES = {"example": "example.json", "profile": "profile.json", "evaluation": "evaluation.parquet"}


@dataclass(frozen=True, kw_only=True)
class PlacedFile:
    """A file of the store and its path in the folder, relative, with `/`."""

    part: Part
    path: str
    file: FileRecord


@dataclass(frozen=True, kw_only=True)
class PlacedTable:
    """A table that a step read or saved: how it was named and asked for, and where it lies."""

    step: str
    kind: Literal["read", "saved"]
    name: str
    path: str
    sha256: str
    sql: str | None = None
    file: str | None = None
    parameters: Mapping[str, Any] | None = None  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All files of a run with their places."""

    files: tuple[PlacedFile, ...]
    tables: tuple[PlacedTable, ...]


def lay_out(results: Mapping[str, StepResult], model_files: Mapping[str, FileRecord]) -> Layout:
    """Give every file that a run's results name a place; no two get the same.

    Args:
        results: By step, those that count.
        model_files: Those of the model by role, as the manifest names them.
    """
    placed: dict[str, PlacedFile] = {}
    taken: set[str] = set()

    def put(part: Part, path: str, file: FileRecord) -> str:
        if file.key not in placed:
            placed[file.key] = PlacedFile(part=part, path=_free(path, taken), file=file)
        return placed[file.key].path

    for role, file in model_files.items():
        put("model", f"model/{_MODEL_NAMES.get(role) or PurePosixPath(file.key).name}", file)
    tables: list[PlacedTable] = []
    for step, result in results.items():
        files = {file.key: file for file in result.files}
        tables += _place_tables(step, result, files, put)
        for name, key in result.figures.items():
            if key in files:
                put("notebooks", f"figures/{step}/{name}.png", files[key])
        for key, file in files.items():
            part, path = _place_other(step, PurePosixPath(key).name)
            put(part, path, file)
    return Layout(files=tuple(placed.values()), tables=tuple(tables))


def _place_tables(
    step: str,
    result: StepResult,
    files: Mapping[str, FileRecord],
    put: Callable[[Part, str, FileRecord], str],
) -> Iterator[PlacedTable]:
    for read in result.reads:
        if read.table in files:
            path = put("tables", f"tables/{step}/read/{_read_name(read)}.parquet", files[read.table])
            yield PlacedTable(
                step=step,
                kind="read",
                name=read.name,
                path=path,
                sha256=files[read.table].sha256,
                sql=read.sql,
                file=read.file,
                parameters=read.parameters,
            )
    for name, key in result.tables.items():
        if key in files:
            path = put("tables", f"tables/{step}/saved/{name}.parquet", files[key])
            yield PlacedTable(step=step, kind="saved", name=name, path=path, sha256=files[key].sha256)


def _place_other(step: str, name: str) -> tuple[Part, str]:
    if name == "output.ipynb":
        return "notebooks", f"output/{step}.ipynb"
    if name == "log.txt":
        return "notebooks", f"output/{step}.log.txt"
    if name.endswith(".ipynb"):  # of a gate
        return "notebooks", f"output/{step}/{name}"
    if step == QUALIFY_STEP:
        names = {"evaluation.parquet": "evaluated.parquet"}
        return "model", f"model/{names.get(name, name)}"
    return (
        ("tables", f"tables/{step}/{name}")
        if name.endswith(".parquet")
        else ("notebooks", f"files/{step}/{name}")
    )


def _read_name(read: Read) -> str:
    """Return a file name for a read: its own if it was given one, else the beginning of its query's digest."""
    if _DIGEST.fullmatch(read.name):
        return "query_" + read.name[:8] + read.name[64:].replace("#", "_")
    return _SAFE.sub("_", read.name).strip("._")[:_NAME_MOST] or "read"


def _free(path: str, taken: set[str]) -> str:
    """Return `path`, or the first of `path_2`, `path_3`, … that no other file has, whatever the case of letters."""
    chosen, number = path, 1
    while chosen.lower() in taken:
        number += 1
        stem, dot, ending = path.rpartition(".")
        chosen = f"{stem}_{number}{dot}{ending}"
    taken.add(chosen.lower())
    return chosen
