"""`make` on machines that lack something: the message names what was found and what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stand.repository import ROOT

TOO_OLD = '#!/bin/sh\ncase "$*" in *platform*) echo 3.9.2;; *) exit 1;; esac\n'
WITHOUT_VENV = '#!/bin/sh\ncase "$*" in *platform*) echo 3.11.2;; *ensurepip*) exit 1;; esac\n'
SHIM = "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n"


def install(folder: Path, **pythons: str) -> subprocess.CompletedProcess[str]:
    """Run `make install` in a folder with spaces, with the given interpreters and no other on the PATH."""
    tree = folder / "a clone"
    tools = folder / "tools"
    tree.mkdir()
    tools.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-samples.lock"):
        shutil.copy(ROOT / name, tree)
    for name in ("awk", "bash", "rm", "sh", "touch"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    for name, script in pythons.items():
        path = tools / name.replace("_", ".")
        path.write_text(script)
        path.chmod(0o755)
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "install"], cwd=tree, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )
    assert not (tree / ".venv").exists()
    return done


@pytest.mark.parametrize(
    ("pythons", "said"),
    [
        ({}, "Rasen needs Python 3.11, 3.12 or 3.13; found: no python3 at all"),
        ({"python3": TOO_OLD}, "found: python3 is 3.9.2, none of which will do"),
        ({"python3": TOO_OLD, "python3_12": SHIM}, "found: python3 is 3.9.2, none of which will do"),
        ({"python3": WITHOUT_VENV}, "apt-get install python3.11-venv"),
        ({"python3": TOO_OLD, "python3_11": WITHOUT_VENV}, "apt-get install python3.11-venv"),
    ],
    ids=["none", "too old", "shim of pyenv", "no venv", "too old and no venv"],
)
def test_missing_interpreter_is_explained(pythons: dict[str, str], said: str, tmp_path: Path) -> None:
    done = install(tmp_path, **pythons)
    assert done.returncode != 0
    assert said in done.stderr


def test_help_lists_every_target_that_explains_itself() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    explained = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE) == explained == phony
