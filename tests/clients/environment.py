"""The environment of the real clients: made under `.cache/` from its lock when it is missing, with venv and pip."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stand.repository import ROOT

LOCK = Path(__file__).with_name("requirements.lock")


def clients_python() -> Path:
    """Return the interpreter of that environment; the first call installs it, which takes a minute."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / ".cache" / "clients" / digest
    complete = folder / ".installed"
    if not complete.exists():
        print(f"making {folder} from {LOCK.name}", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        install += ["--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*install, "--requirement", str(LOCK)], env=clients_environment(), check=True)
        complete.touch()
    return folder / "bin" / "python"


def clients_environment() -> dict[str, str]:
    """Return an environment in which nothing of ours can be imported, and no proxy stands before this machine."""
    ours = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONWARNINGS")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith("RASEN_")
    }
    return kept | {"PIP_USER": "no", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
