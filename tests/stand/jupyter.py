"""A real Jupyter server with nothing in it but our server extension, in a process of its own.

The process finds packages where this one does; the linter of `stand.lab_linter` is the one that is installed there.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import httpx

from stand.repository import PACKAGES, ROOT

TOKEN = "token-of-the-stand"
SECONDS = 60.0
STAND_LINTER = "stand.lab_linter:LabLinter"
_START = """
import sys
from jupyter_server.serverapp import ServerApp
app = ServerApp.instance()
app.initialize(sys.argv[1:], find_extensions=False)
app.start()
"""


@dataclass(frozen=True)
class Jupyter:
    """A running server."""

    url: str
    root: Path
    process: "subprocess.Popen[bytes]"
    log: Path

    def client(self, *, token: str | None = TOKEN) -> httpx.Client:
        """Return a client with a token, or one of nobody."""
        headers = {"Authorization": f"token {token}"} if token is not None else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=SECONDS)

    def stop_kernels(self) -> None:
        """End all sessions with their kernels, which would run on although nobody looks."""
        with self.client() as client:
            for session in client.get("/api/sessions").json():
                client.delete(f"/api/sessions/{session['id']}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(folder: Path, *, linter: str | None = STAND_LINTER) -> dict[str, str]:
    """Return the variables of a Jupyter that knows nothing of the user's own configuration.

    Args:
        folder: Where it may write.
        linter: What stands in the entry point group `rasen.linters`, before what is installed; `None` for nothing.
    """
    site = folder / "site"
    _write_distribution(site, linter)
    paths = [site, *(package.parent for package in PACKAGES.values()), ROOT / "tests"]
    own = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "RASEN_HOME": str(folder / "home"),
        "HOME": str(folder),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST"))}
    return kept | own


def _write_distribution(site: Path, linter: str | None) -> None:
    """Write what pip would have written for a distribution with our entry points."""
    information = site / "rasen_stand-0.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: rasen-stand\nVersion: 0\n")
    groups = {"jupyterlab.locale": "rasen = rasen_labextension"}
    if linter:
        groups["rasen.linters"] = f"stand = {linter}"
    if not entry_points(group="jupyterlab.languagepack", name="ja_JP"):
        # JupyterLab offers a language only if there is a pack of it, and asks for ours only then.
        (site / "empty_language_pack.py").touch()
        groups["jupyterlab.languagepack"] = "ja_JP = empty_language_pack"
    text = "".join(f"[{group}]\n{entry}\n\n" for group, entry in groups.items())
    (information / "entry_points.txt").write_text(text)


@contextmanager
def running_jupyter(
    folder: Path, *arguments: str, variables: dict[str, str] | None = None
) -> Iterator[Jupyter]:
    """Start a Jupyter server with only our extension, and with these variables besides; end it."""
    root = folder / "work"
    root.mkdir(parents=True, exist_ok=True)
    options = ["--ServerApp.jpserver_extensions={'rasen_labextension': True}", *arguments]
    environ = environment(folder) | (variables or {})
    with running_server(folder, root, ["-c", _START], options, environ) as server:
        yield server


@contextmanager
def running_server(
    folder: Path,
    root: Path,
    program: list[str],
    options: list[str],
    variables: dict[str, str],
    *,
    port: int = 0,
) -> Iterator[Jupyter]:
    """Start a program that is a Jupyter server, wait until it answers, and end it."""
    port = port or free_port()
    log = folder / "jupyter.log"
    common = [
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        f"--ServerApp.root_dir={root}",
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program, *common, *options],
            cwd=root,
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    server = Jupyter(f"http://127.0.0.1:{port}", root, process, log)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Jupyter) -> None:
    end = time.monotonic() + SECONDS
    with server.client() as client:
        while True:
            try:
                client.get("/api/status").raise_for_status()
            except httpx.HTTPError as error:
                if server.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"no Jupyter server: {error}\n{server.log.read_text()}") from error
                time.sleep(0.05)
            else:
                return


def notebook_text(*sources: str, metadata: dict[str, object] | None = None, **cell: object) -> str:
    """Return the text of a notebook with code cells, and `# ...` as Markdown cells."""
    cells = []
    for index, source in enumerate(sources):
        is_code = not source.startswith("# ")
        one: dict[str, object] = {
            "id": f"cell{index}",
            "metadata": {},
            "source": source,
            "cell_type": "markdown",
        }
        if is_code:
            one.update(cell_type="code", execution_count=None, outputs=[])
        cells.append(one | cell)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel | (metadata or {}), "cells": cells}
    )
