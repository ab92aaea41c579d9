"""Executing one notebook on both sides: in the same environment, in equal empty folders, without a network.

What papermill made of a notebook is kept under `.cache/wild`, by the notebook's digest and the environment's. Without a
network on purpose: what a notebook downloads today says nothing about tomorrow, and fails at once on both sides.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stand.notebook_workers import Executed, NotebookWorker, WorkerLost
from stand.repository import ROOT
from wild.sources import WildNotebook

CACHE = ROOT / ".cache" / "wild"
CELL_TIMEOUT_SECONDS = 120
NOTEBOOK_TIMEOUT_SECONDS = 900.0
# A kernel that could not take its port is no verdict about the notebook; papermill gets a second chance (facts: 5 %).
_BAD_LUCK = ("DeadKernelError", "RuntimeError", "ZMQError", "WorkerLost")
_PLAIN_KERNEL = "python3"
_NOWHERE = "http://127.0.0.1:9"  # the port "discard": nobody listens


@dataclass(frozen=True, kw_only=True)
class Run:
    """How one execution ended, and the notebook that it left, if any."""

    verdict: str
    error: str
    message: str
    notebook: Mapping[str, Any] | None  # Any: the notebook format

    @property
    def short(self) -> str:
        """The verdict in one line."""
        error = (
            f" {self.error}: {self.message.splitlines()[0][:160] if self.message else ''}"
            if self.error
            else ""
        )
        return f"{self.verdict}{error}"


def worker_environment(libraries: Path) -> dict[str, str]:
    """Return the environment of both sides; they differ in nothing but the engine and the kernel."""
    own = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    paths = [str(Path(entry).resolve()) for entry in own if Path(entry).resolve() != ROOT / "tests"]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _NOWHERE)
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {
        **proxies,
        "HOME": str(CACHE / "home"),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",  # the kernel `rasen` has it, and the order of sets shows
        "PYTHONPATH": os.pathsep.join([*paths, str(libraries)]),
    }


def environment_digest(libraries: Path) -> str:
    """Return what changes when a library does: ours left out, papermill's results do not depend on it."""
    folders = [libraries, *map(Path, site.getsitepackages())]
    found = [entry.name for folder in folders for entry in folder.glob("*.dist-info")]
    names = sorted(name for name in found if not name.startswith("rasen-"))
    told = json.dumps([sys.version, names, CELL_TIMEOUT_SECONDS])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


class Executor:
    """Executes notebooks on both sides, one at a time; each of the suite's jobs has one."""

    def __init__(self, number: int, *, libraries: Path, kernel: str) -> None:
        environment = worker_environment(libraries)
        self._place = CACHE / "place" / f"{os.getpid()}{number}"  # digits, which the comparison leaves out
        self._kept = CACHE / "papermill" / environment_digest(libraries)
        self._kernel = kernel
        for folder in (self._place, self._kept, CACHE / "home"):
            folder.mkdir(parents=True, exist_ok=True)
        python, log = Path(sys.executable), CACHE / "workers.log"
        self._papermill = NotebookWorker("papermill", python=python, environment=environment, log=log)
        self._rasen = NotebookWorker("rasen", python=python, environment=environment, log=log)

    def close(self) -> None:
        """End the processes."""
        self._papermill.close()
        self._rasen.close()
        shutil.rmtree(self._place, ignore_errors=True)

    def run_papermill(self, notebook: WildNotebook, *, turn: int) -> Run:
        """Execute with papermill, or return what it made of the notebook in that turn before."""
        digest = hashlib.sha256(notebook.read()).hexdigest()[:20]
        kept = self._kept / f"{notebook.name}-{digest}-{turn}.json"
        if kept.is_file():
            return Run(**json.loads(kept.read_bytes()))
        run = self._execute(self._papermill, notebook, kernel=None)
        if run.error in _BAD_LUCK:
            run = self._execute(self._papermill, notebook, kernel=None)
        part = kept.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(asdict(run)), encoding="utf-8")
        part.replace(kept)
        return run

    def run_rasen(self, notebook: WildNotebook) -> Run:
        """Execute as `rasen notebook run` does; the kernel takes the place of plain Python only."""
        named = json.loads(notebook.read())["metadata"].get("kernelspec", {}).get("name", _PLAIN_KERNEL)
        return self._execute(self._rasen, notebook, kernel=self._kernel if named == _PLAIN_KERNEL else None)

    def _execute(self, worker: NotebookWorker, notebook: WildNotebook, *, kernel: str | None) -> Run:
        shutil.rmtree(self._place, ignore_errors=True)
        folder = self._place / "folder"
        folder.mkdir(parents=True)
        source, target = self._place / notebook.name, self._place / "output.ipynb"
        source.write_bytes(notebook.read())
        try:
            executed = worker.run(
                source,
                target,
                kernel=kernel,
                folder=folder,
                cell_timeout_seconds=CELL_TIMEOUT_SECONDS,
                timeout_seconds=NOTEBOOK_TIMEOUT_SECONDS,
            )
        except WorkerLost as error:
            executed = Executed(
                verdict="broken", error="WorkerLost", message=str(error), seconds=0.0, wchar=0, write_bytes=0
            )
        try:
            written = json.loads(target.read_bytes())
        except (OSError, ValueError):
            written = None
        return Run(verdict=executed.verdict, error=executed.error, message=executed.message, notebook=written)
