"""Restoring a run into a folder: what it read, ran and made, every byte checked against its digest.

All of it is gathered in a hidden folder beside the target and appears there by one rename: killed at any line, the
target holds everything or does not exist. Nothing is unpickled, and no code of the run is executed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rasen.batch.queries import find_run
from rasen.batch.restore_texts import (
    description,
    metrics,
    parameters_yaml,
    readme,
    requirements,
    table_index,
    to_json,
)
from rasen.batch.run_artifacts import RunArtifacts, read_artifacts
from rasen.batch.run_folder import PARTS, Layout, Part, lay_out
from rasen.errors import InvalidInput, NotFound, ObjectNotFound, PlatformFailed
from rasen.release import unpack_bundle
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.tracking.keys import manifest_key

_ROOM_FACTOR = 1.05  # what a file system needs besides the bytes themselves
_NOTEBOOKS = "notebooks"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a restoration is, and what is being copied."""

    done_bytes: int
    total_bytes: int
    name: str


Observer = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was brought back; `verified` says whether somebody has signed for the digests."""

    run: str
    pipeline: str
    folder: Path
    verified: bool
    parts: tuple[Part, ...]
    files: int
    size_bytes: int


def restore_run(
    settings: Settings,
    beginning: str,
    into: Path | None = None,
    *,
    only: Part | None = None,
    observe: Observer | None = None,
) -> Restored:
    """Bring back the run whose id begins, or whose digest begins, with `beginning`.

    Args:
        settings: Where everything lies.
        beginning: Enough of the run's id.
        into: A new or empty folder; by default one named after the run, in the current folder.
        only: One part instead of all.
        observe: Called before each file is copied.

    Raises:
        NotFound: There is no such run, or something of it is gone; nothing was written.
        InvalidInput: The folder is not empty, or the run has not ended or was removed; nothing was written.
        TrustError: Something is not what was signed for; nothing was written.
        PlatformFailed: The folder cannot be written; nothing was left.
    """
    store = open_store(settings)
    row = find_run(settings, beginning)
    target = Path(into if into is not None else row.run).absolute()
    check_target(target)
    artifacts = read_artifacts(settings, store, row.pipeline, row.run)
    return restore_artifacts(store, artifacts, target, parts=(only,) if only else PARTS, observe=observe)


def check_target(target: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        InvalidInput: It does, or is no folder.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise InvalidInput(f"{str(target)!r} is no folder; name a new one, or an empty one")
    if target.is_dir() and any(target.iterdir()):
        raise InvalidInput(
            f"folder {str(target)!r} is not empty, so nothing was restored into it; name a new one, or an empty one"
        )


def restore_artifacts(
    store: Store,
    artifacts: RunArtifacts,
    target: Path,
    *,
    parts: tuple[Part, ...] = PARTS,
    observe: Observer | None = None,
) -> Restored:
    """Write a run into `target`, a new or empty folder; the errors are those of `restore_run`."""
    layout = lay_out(artifacts.results, artifacts.model_files)
    chosen = [placed for placed in layout.files if placed.part in parts]
    if parts != PARTS and parts == ("model",) and not artifacts.model_files:
        raise NotFound(f"run {artifacts.start.run!r} of {artifacts.start.pipeline!r} published no model")
    if "notebooks" in parts:
        artifacts.need_release()
    total = sum(placed.file.size_bytes for placed in chosen)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _forget_dead(target)
        _check_room(target.parent, total)
        part = Path(tempfile.mkdtemp(prefix=_part_prefix(target), dir=target.parent))
        try:
            done = 0
            for placed in chosen:
                if observe is not None:
                    observe(Progress(done_bytes=done, total_bytes=total, name=placed.path))
                path = part / placed.path
                path.parent.mkdir(parents=True, exist_ok=True)
                store.download(placed.file.key, path, sha256=placed.file.sha256)
                path.chmod(0o644)
                done += placed.file.size_bytes
            _write_texts(store, artifacts, layout, part, parts)
            files = sum(path.is_file() for path in part.rglob("*"))
            part.chmod(0o755)
            _appear(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except ObjectNotFound as error:
        raise NotFound(
            f"run {artifacts.start.run!r} cannot be restored, something of it is gone: {error}; nothing was written"
        ) from error
    except OSError as error:
        raise PlatformFailed(f"{str(target)!r} could not be written: {error}; nothing was left") from error
    return Restored(
        run=artifacts.start.run,
        pipeline=artifacts.start.pipeline,
        folder=target,
        verified=artifacts.verified,
        parts=parts,
        files=files,
        size_bytes=total,
    )


def _write_texts(
    store: Store, artifacts: RunArtifacts, layout: Layout, part: Path, parts: tuple[Part, ...]
) -> None:
    bundle: list[str] = []
    manifest = artifacts.manifest
    if "notebooks" in parts:
        release = artifacts.need_release()
        unpack_bundle(store, release, part / _NOTEBOOKS)
        bundle = sorted(
            path.relative_to(part / _NOTEBOOKS).as_posix()
            for path in (part / _NOTEBOOKS).rglob("*")
            if path.is_file()
        )
        (part / "parameters.yaml").write_text(parameters_yaml(artifacts, release), encoding="utf-8")
    if manifest is not None:
        (part / "manifest.json").write_bytes(store.read(manifest_key(manifest.pipeline, manifest.run)))
        (part / "requirements.txt").write_text(requirements(manifest), encoding="utf-8")
    if "tables" in parts and layout.tables:
        (part / "tables.json").write_bytes(to_json(table_index(layout)))
    (part / "metrics.json").write_bytes(to_json(metrics(artifacts)))
    (part / "run.json").write_bytes(to_json(description(artifacts)))
    (part / "README.txt").write_text(readme(artifacts, layout, parts, bundle), encoding="utf-8")


def _check_room(folder: Path, total_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if total_bytes * _ROOM_FACTOR > free:
        raise PlatformFailed(
            f"the run has {total_bytes:,} bytes, and {str(folder)!r} has room for {free:,}; nothing was written"
        )


def _appear(part: Path, target: Path) -> None:
    """Give the folder its name; an empty one of that name makes room, one that was filled meanwhile does not."""
    try:
        part.rename(target)
    except OSError:
        check_target(target)
        raise


def _part_prefix(target: Path) -> str:
    return f".{target.name}.part-{os.getpid()}-"


def _forget_dead(target: Path) -> None:
    """Remove what restorations into this folder have left whose process was killed."""
    for left in target.parent.glob(f".{target.name}.part-*-*"):
        process = left.name.rpartition(".part-")[2].partition("-")[0]
        if process.isdecimal() and not Path("/proc", process).exists():
            with suppress(OSError):
                shutil.rmtree(left)
