"""The peers' own environments: one each, from a committed lock with hashes, made when it is missing.

`uv` is used where it is installed, because it takes seconds; else venv and pip, which take minutes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.batch_peer import peer_environment
from stand.repository import ROOT

FOLDER = Path(__file__).with_name("peers")
DEFAULT = ROOT / ".cache" / "bench"
_PYTHON = (3, 11)


class Unavailable(Exception):
    """A peer that cannot be measured; the text says why."""


def lock_of(peer: str) -> Path:
    """Return the lock of a peer's environment."""
    return FOLDER / f"{peer}.txt"


def make_environment(peer: str, environments: Path) -> Path:
    """Return the interpreter of the peer's environment, after making it when it is missing.

    Raises:
        Unavailable: It cannot be installed here.
    """
    if sys.version_info[:2] != _PYTHON:
        raise Unavailable(
            f"its lock is for Python {_PYTHON[0]}.{_PYTHON[1]}, this is {sys.version.split()[0]}"
        )
    lock = lock_of(peer)
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = environments / f"{peer}-{digest}"
    python, complete = folder / "bin" / "python", folder / ".installed"
    if not complete.exists():
        print(f"making {folder} from {lock.name}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _install(folder, python, lock)
        complete.touch()
    return python


def _install(folder: Path, python: Path, lock: Path) -> None:
    uv = shutil.which("uv")
    if uv is not None:
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(lock)],
        ]
    else:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [*pip, "--require-hashes", "--requirement", str(lock)],
        ]
    for command in commands:
        ended = subprocess.run(command, env=peer_environment(), capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise Unavailable(f"does not install: {last_line(ended.stderr)}")


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
