"""papermill's own environment: made under `.cache/` when it is missing, with plain `venv` and pip."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stand.repository import ROOT

REQUIREMENTS = Path(__file__).with_name("batch_peer.txt")


def peer_python() -> Path:
    """Return the interpreter of papermill's environment; the first call installs it, which takes a minute."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".cache" / "bench" / f"papermill-{digest}"
    python = folder / "bin" / "python"
    complete = folder / ".installed"
    if not complete.exists():
        print(f"making {folder} from {REQUIREMENTS.name}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--requirement", str(REQUIREMENTS)], env=peer_environment(), check=True)
        complete.touch()
    return python


def peer_environment() -> dict[str, str]:
    """Return an environment in which nothing of ours can be imported or found."""
    ours = ("PYTHONPATH", "PYTHONHOME", "JUPYTER_PATH", "VIRTUAL_ENV")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith("RASEN_")
    }


def other_versions() -> Iterator[str]:
    """Yield a line for each library whose version here is not the one that papermill's environment gets."""
    for name, wanted in pinned().items():
        try:
            here = version(name)
        except PackageNotFoundError:
            here = "absent"
        if here != wanted:
            yield f"{name} is {here} here and {wanted} in papermill's environment"


def pinned() -> dict[str, str]:
    """Return the versions that the requirements name for this Python."""
    older = sys.version_info < (3, 12)
    lines = re.findall(
        r"^([\w-]+)==([\w.]+)(?: ; python_version (<|>=) \"3\.12\")?$", REQUIREMENTS.read_text(), re.MULTILINE
    )
    return {name: wanted for name, wanted, marker in lines if not marker or (marker == "<") is older}
