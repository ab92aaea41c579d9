"""A real JupyterLab with the extension as it is compiled from this working copy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stand.jupyter import STAND_LINTER, Jupyter, environment, running_server
from stand.repository import ROOT

EXTENSION = ROOT / "platform" / "labextension"
ASSETS = EXTENSION / "rasen_labextension" / "labextension"
DISABLED = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/extensionmanager-extension",
)  # ask the network


def build_extension() -> Path:
    """Compile the front end if its sources are newer; skip the test where no Node is."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the JupyterLab extension is compiled by Node, and there is no npm here")
    sources = [
        path
        for part in ("src", "style", "schema")
        for path in (EXTENSION / part).rglob("*")
        if path.is_file()
    ]
    newest = max(path.stat().st_mtime for path in (*sources, EXTENSION / "package.json"))
    built = ASSETS / "package.json"
    if not built.is_file() or built.stat().st_mtime < newest:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        variables = {**os.environ, "PATH": path}
        if not (EXTENSION / "node_modules" / ".package-lock.json").is_file():
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run([npm, "ci", *quiet], cwd=EXTENSION, check=True, env=variables)
        subprocess.run([npm, "run", "build"], cwd=EXTENSION, check=True, env=variables)
    return ASSETS


@contextmanager
def running_lab(
    folder: Path,
    *,
    port: int = 0,
    more: dict[str, str] | None = None,
    linter: str | None = STAND_LINTER,
) -> Iterator[Jupyter]:
    """Start JupyterLab over a copy of `notebooks/`; end it. Started anew on the same folder and port, it goes on.

    `more` are variables of its environment, besides those that every test's JupyterLab has; `linter` stands before the
    installed one, `None` for nothing.
    """
    assets = build_extension()
    root = folder / "work"
    if not root.exists():
        shutil.copytree(ROOT / "notebooks", root / "notebooks")
    share = folder / "share"
    place = share / "labextensions" / "@rasen" / "labextension"
    if not place.exists():
        place.parent.mkdir(parents=True)
        place.symlink_to(assets)
    page = folder / "config" / "labconfig" / "page_config.json"
    page.parent.mkdir(parents=True, exist_ok=True)
    disabled = ", ".join(f'"{name}": true' for name in DISABLED)
    page.write_text(f'{{"disabledExtensions": {{{disabled}}}}}')
    # Our server side is switched on here: the wheel, which would do so, need not be installed.
    switched_on = folder / "config" / "jupyter_server_config.d" / "rasen_labextension.json"
    switched_on.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXTENSION / "jupyter-config" / "rasen_labextension.json", switched_on)
    variables = environment(folder, linter=linter) | {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        **(more or {}),
    }
    # No other extension, whatever is installed; and not ours of another day.
    options = [
        f"--LabApp.labextensions_path={share / 'labextensions'}",
        "--LabApp.expose_app_in_browser=True",
    ]
    with running_server(folder, root, ["-m", "jupyterlab"], options, variables, port=port) as server:
        yield server
