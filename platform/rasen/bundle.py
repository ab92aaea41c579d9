"""A release's files in one archive: made the same from the same files, and opened as if a stranger had made it.

Equal files give equal bytes (sorted, no times, no owners), so an unchanged pipeline is recognised by a digest. The
archive is read in full and checked before the first file is written, also when its digest was right.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import PipelineError, PlatformFailed, TrustError

MAX_BYTES = 100 * 1024 * 1024
"""Most bytes of all files together: data belongs into the warehouse, and a bundle is held in memory."""


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file; `path` is relative to the pipeline's folder, with `/`."""

    path: str
    data: bytes
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An archive, the SHA-256 of its bytes, and that of its content, which does not depend on the zlib at hand."""

    data: bytes
    sha256: str
    content_sha256: str


class BundleFiles:
    """The files of a bundle as the pipeline checks want them: by path."""

    def __init__(self, files: Iterable[BundleFile]) -> None:
        self._files = {file.path: file.data for file in files}

    def read(self, path: str) -> bytes | None:
        """Return a file's bytes, or `None`."""
        return self._files.get(path)

    def paths(self) -> Iterable[str]:
        """Return the paths of all files."""
        return self._files


def make_bundle(files: Iterable[BundleFile]) -> Bundle:
    """Pack files into an archive.

    Raises:
        PipelineError: A path is not usable, or there is more than `MAX_BYTES`.
    """
    ordered = sorted(files, key=lambda file: file.path)
    _refuse_clashes([file.path for file in ordered])
    size_bytes = sum(len(file.data) for file in ordered)
    if size_bytes > MAX_BYTES:
        largest = max(ordered, key=lambda file: len(file.data))
        raise PipelineError(
            f"the folder's files have {size_bytes / 1e6:.0f} MB, a release holds at most {MAX_BYTES / 1e6:.0f} MB; the "
            f"largest is {largest.path!r}. Load data into the warehouse and read it with rasen.read_sql"
        )
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in ordered:
            if not _is_safe(file.path):
                raise PipelineError(f"file name {file.path!r} cannot be in a release; rename it")
            member = tarfile.TarInfo(file.path)
            member.size = len(file.data)
            member.mode = 0o755 if file.executable else 0o644
            archive.addfile(member, io.BytesIO(file.data))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as compressor:
        compressor.write(plain.getvalue())
    return Bundle(
        data=packed.getvalue(),
        sha256=hashlib.sha256(packed.getvalue()).hexdigest(),
        content_sha256=hashlib.sha256(plain.getvalue()).hexdigest(),
    )


def _refuse_clashes(paths: list[str]) -> None:
    """Refuse what could not be unpacked: a name that comes twice, or is a file and a folder."""
    seen: set[str] = set()
    folders = {parent for path in paths for parent in _parents(path)}
    for path in paths:
        if path in seen or path in folders:
            raise PipelineError(f"file {path!r} comes twice, or is a file and a folder; rename one")
        seen.add(path)


def unpack(data: bytes, target: Path) -> None:
    """Write an archive's files into `target`, an empty or new folder. The caller has checked the digest of `data`.

    Raises:
        TrustError: It is no archive, or holds anything but files below `target`; nothing was written.
        PlatformFailed: `target` holds something already, or could not be written.
    """
    files = read_files(data)
    try:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise PlatformFailed(
                f"folder {str(target)!r} is not empty; a bundle is unpacked into an empty one"
            )
        for file in files:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            # Exclusive and without following links: what is written is new.
            mode = 0o755 if file.executable else 0o644
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(file.data)
    except OSError as error:
        raise PlatformFailed(f"cannot unpack a bundle into {str(target)!r}: {error.strerror}") from error


def content_sha256(data: bytes) -> str | None:
    """Return what `Bundle.content_sha256` is for the archive `data`, or `None` when it is no archive."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, EOFError, zlib.error):
        return None


def read_files(data: bytes) -> list[BundleFile]:
    """Return the files of an archive, all of them; the standard library's `data` filter would also allow links.

    Raises:
        TrustError: It is no archive, or holds anything but files inside a folder.
    """
    files: list[BundleFile] = []
    names: set[str] = set()
    folders: set[str] = set()
    left_bytes = MAX_BYTES
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                name = member.name
                if not member.isreg() or not _is_safe(name):
                    raise TrustError(
                        f"the bundle holds {name!r}, which is no file inside the folder; nothing was unpacked"
                    )
                if name in names or name in folders or not names.isdisjoint(_parents(name)):
                    raise TrustError(
                        f"the bundle holds {name!r} twice, or as file and folder; nothing was unpacked"
                    )
                left_bytes -= member.size
                content = archive.extractfile(member) if left_bytes >= 0 else None
                if content is None:
                    raise TrustError(
                        f"the bundle holds more than {MAX_BYTES / 1e6:.0f} MB; nothing was unpacked"
                    )
                names.add(name)
                folders.update(_parents(name))
                files.append(BundleFile(path=name, data=content.read(), executable=bool(member.mode & 0o100)))
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise TrustError(f"the bundle is no archive: {error}; nothing was unpacked") from None
    return files


def _is_safe(path: str) -> bool:
    """Tell whether a path stays below the folder that it is relative to, on every file system."""
    elements = path.split("/")
    return (
        not any(element in {"", ".", ".."} for element in elements)
        and path.isprintable()
        and "\\" not in path
        and all(len(element.encode(errors="replace")) <= 255 for element in elements)
        and ".git" not in {element.lower() for element in elements}
    )


def _parents(path: str) -> list[str]:
    elements = path.split("/")
    return ["/".join(elements[:count]) for count in range(1, len(elements))]
