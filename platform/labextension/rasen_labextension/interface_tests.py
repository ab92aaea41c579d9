"""Interface tests of notebooks, each in a process of its own beside the user's kernels.

A test is of the files as they are saved. A newer one of the same pipeline replaces an older one; nothing is tested
twice that has not changed. The processes die with the server, and with their own children.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from rasen.commit_files import is_litter
from rasen.errors import RasenError
from rasen.notebook import parse_notebook

_STOP_SECONDS = 5.0
_KEPT = 50
_NICENESS = 10
_LAST_BYTES = 4000


@dataclass(kw_only=True)
class FolderTest:
    """The newest test of a pipeline's folder; `state` is `running`, `passed`, `failed`, `cancelled` or `broken`."""

    id: str
    digest: str
    started_at: str
    state: str = "running"
    seconds: float | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)  # Any: JSON
    message: str | None = None

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Return the test for the browser."""
        fields = asdict(self)
        del fields["digest"]
        return fields


class InterfaceTests:
    """The tests of one server; safe to call from several threads."""

    def __init__(self, *, command: tuple[str, ...] = (sys.executable, "-m", "rasen.interface_test")) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._tests: dict[Path, FolderTest] = {}
        self._processes: dict[Path, subprocess.Popen[bytes]] = {}

    def newest(self, folder: Path) -> FolderTest | None:
        """Return the newest test of a folder."""
        return self._tests.get(folder)

    def begin(self, folder: Path, *, even_unchanged: bool) -> FolderTest:
        """Test a folder, ending the test that may be running; one that tests the very same sources is kept.

        Args:
            folder: The pipeline's.
            even_unchanged: Test again although nothing but outputs may have changed since the last one.
        """
        digest = _digest_sources(folder)
        with self._lock:
            known = self._tests.get(folder)
            if (
                known is not None
                and known.digest == digest
                and (known.state == "running" or not even_unchanged)
            ):
                return known
            self._end(folder)
            test = FolderTest(
                id=hashlib.sha256(f"{folder}\n{time.time_ns()}".encode()).hexdigest()[:12],
                digest=digest,
                started_at=datetime.now(tz=UTC).isoformat(),
            )
            self._tests.pop(folder, None)
            self._tests[folder] = test
            while len(self._tests) > _KEPT:
                oldest = next(iter(self._tests))
                self._end(oldest)
                del self._tests[oldest]
            process = subprocess.Popen(
                # Whoever types in a notebook must not feel it.
                ["nice", "-n", str(_NICENESS), *self._command, str(folder), "--json-lines"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._processes[folder] = process
        threading.Thread(target=self._follow, args=(folder, test, process), daemon=True).start()
        return test

    def stop(self, folder: Path) -> None:
        """End the test of a folder, if one is running."""
        with self._lock:
            self._end(folder)

    def close(self) -> None:
        """End all tests: the server stops."""
        with self._lock:
            for folder in list(self._processes):
                self._end(folder)

    def _end(self, folder: Path) -> None:
        process = self._processes.pop(folder, None)
        test = self._tests.get(folder)
        if test is not None and test.state == "running":
            test.state = "cancelled"
        if process is None or process.poll() is not None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
        with contextlib.suppress(
            ProcessLookupError
        ):  # itself if it would not end, and whatever it left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _follow(self, folder: Path, test: FolderTest, process: subprocess.Popen[bytes]) -> None:
        begun = time.monotonic()
        said: list[bytes] = []
        assert process.stdout is not None  # both were asked for as pipes
        assert process.stderr is not None
        with process.stdout, process.stderr:
            listener = threading.Thread(target=_drain, args=(process.stderr, said), daemon=True)
            listener.start()
            for event in _events(process.stdout):
                self._note(test, event)
            code = process.wait()
            listener.join()
        test.seconds = round(time.monotonic() - begun, 1)
        if test.state == "running":
            test.state = "passed" if code == 0 else "failed" if _has_failed(test) else "broken"
            if test.state == "broken" and test.message is None:
                last = b"".join(said)[-_LAST_BYTES:].decode(errors="replace").strip()
                test.message = last or f"the test ended with exit code {code} and left no word"
        with self._lock:
            if self._processes.get(folder) is process:
                del self._processes[folder]

    def _note(self, test: FolderTest, event: dict[str, Any]) -> None:  # Any: JSON
        """Keep what an event says of a check; a later word about the same one replaces the earlier."""
        if event.get("event") == "problem":
            test.message = str(event.get("message", ""))
        if event.get("event") not in {"check_started", "check_ended"}:
            return
        check = {
            "name": str(event.get("check", "")),
            "step": event.get("step"),
            "outcome": str(event.get("outcome", "running")),
            "message": str(event.get("message", "")),
            "seconds": event.get("seconds"),
        }
        place = (check["name"], check["step"])
        checks = [each for each in test.checks if (each["name"], each["step"]) != place]
        test.checks = [*checks, check]


def _has_failed(test: FolderTest) -> bool:
    return any(check["outcome"] == "fail" for check in test.checks)


def _events(stream: IO[bytes]) -> Iterator[dict[str, Any]]:  # Any: JSON
    for line in stream:
        try:
            event = json.loads(line)
        except ValueError:
            continue  # what a library printed
        if isinstance(event, dict):
            yield event


def _drain(stream: IO[bytes], said: list[bytes]) -> None:
    for line in stream:
        said.append(line)
        if len(said) > 1000:
            del said[:500]


def _digest_sources(folder: Path) -> str:
    """Return a digest of a folder's files; of notebooks only the cells count, so running them changes nothing."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if is_litter(relative) or path.is_symlink() or not path.is_file():
            continue
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if path.suffix == ".ipynb":
            with contextlib.suppress(RasenError):
                cells = parse_notebook(data, name=path.name).cells
                data = json.dumps([(cell.type, cell.source, cell.tags) for cell in cells]).encode()
        digest.update(f"{relative}\0{len(data)}\0".encode(errors="surrogatepass"))
        digest.update(data)
    return digest.hexdigest()
