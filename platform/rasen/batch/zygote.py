"""The warm process: it imports everything heavy once and forks for each request, so a kernel starts without imports.

It **only imports**: a library that was called may have started threads, and the OpenMP runtime of one that computed
hangs in the fork. So before each fork it looks whether it still has exactly one thread, and refuses otherwise; the
asker then starts a cold process. It never reads a request either: the fork does, as a supervisor of its own
(`supervisor.py`), so no other request ever sees what one carried, and a supervisor needs its zygote no longer. It can
be asked while it is still importing: between two imports it serves who waits, with what is there by then.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rasen.batch.process_request import send_message
from rasen.batch.process_start import leave_start_folder, loaded_libraries
from rasen.batch.process_tree import adopt_orphans, end_descendants, name_process, reap
from rasen.batch.supervisor import CREDENTIALS, Job, Warm, supervise
from rasen.batch.zygote_identity import installed_digest
from rasen.batch.zygote_place import Place
from rasen.settings import child_environment

_LOOK_SECONDS = 30.0
RETIRED = "it is about to leave"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a warm process is started with.

    Args:
        folder: The folder of its socket.
        key: Its name there.
        installed: The digest of what was installed when it was asked for.
        preload: The modules to import, in this order; those that are missing are left out.
        idle_seconds: How long it stays with nothing to do.
        most_forks: After how many forks it makes room for a fresh one.
    """

    folder: str
    key: str
    installed: str
    preload: tuple[str, ...]
    idle_seconds: float
    most_forks: int

    def to_json(self) -> str:
        """Return them as the one argument of the command."""
        return json.dumps(asdict(self))


def main(arguments: list[str]) -> int:
    """Run `python -m rasen.batch.zygote LISTENER OPTIONS`; return only in what was forked, with its exit code."""
    if os.fork() != 0:
        os._exit(0)  # whoever started us waits for this one only
    leave_start_folder()
    options = json.loads(arguments[1])
    listener = socket.socket(fileno=int(arguments[0]))
    zygote = Zygote(listener, Options(**{**options, "preload": tuple(options["preload"])}))
    job = zygote.serve()
    if job is None:
        os._exit(0)  # without the interpreter's shutdown: the libraries' hooks belong to the forks
    return job()


class Zygote:
    """The warm process itself."""

    def __init__(self, listener: socket.socket, options: Options) -> None:
        self._listener = listener
        self._options = options
        self._place = Place(folder=Path(options.folder), key=options.key)
        self._inode = self._place.socket.stat().st_ino
        self._supervisors: set[int] = set()
        self._forks = 0
        self._imported = 0
        self._libraries = loaded_libraries()
        self._before = child_environment()
        self._variables: dict[str, str] = {}
        self._retiring = False
        self._told_to_leave = False
        self._threads_since = ""
        self._idle_since = time.monotonic()
        self._woken, wake = os.pipe()
        for descriptor in (self._woken, wake):
            os.set_blocking(descriptor, False)
        listener.settimeout(0)
        name_process("rasen-zygote")
        adopt_orphans()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(self._woken, select.POLLIN)
        self._poll.register(listener, select.POLLIN)
        gc.disable()

    def serve(self) -> Job | None:
        """Import, and fork whenever somebody asks; return in a fork what it has to run, else `None` at the end."""
        for name in self._options.preload:
            job = self._look(0.0)
            if job is not None:
                return job
            if self._retiring or self._told_to_leave:
                break
            self._import(name)
            self._imported += 1
            self._libraries = loaded_libraries()
            self._variables = {
                name: value for name, value in child_environment().items() if name not in self._before
            }
        # The first traceback of every fork would look through all modules for their files; the answers are kept.
        inspect.getmodule(inspect.currentframe())
        _say(f"imported {self._imported} of {len(self._options.preload)}, {_threads()} thread(s)")
        gc.collect()
        while not (self._retiring and not self._supervisors):
            if not self._retiring and self._should_leave():  # it may have been told while it imported
                self._retire()
                continue
            job = self._look(min(_LOOK_SECONDS, self._options.idle_seconds))
            if job is not None:
                return job
        return None

    def _import(self, name: str) -> None:
        before = _threads()
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):  # noqa: BLE001  # anybody's module: without it this process is merely colder
            _say(f"cannot import {name!r}:\n{traceback.format_exc(limit=-3)}")
        if _threads() > before and not self._threads_since:
            self._threads_since = name

    def _look(self, seconds: float) -> Job | None:
        """Wait until somebody asks or a supervisor ends, and see to it; return a job in a fork."""
        for descriptor, _ in self._poll.poll(seconds * 1000):
            if descriptor == self._listener.fileno():
                job = self._answer()
                if job is not None:
                    return job
            else:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
        self._mourn(reap() or {})
        return None

    def _answer(self) -> Job | None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return None
        self._idle_since = time.monotonic()
        with connection:
            refused = self._refusal(connection)
            if refused is not None:
                send_message(connection, refused=refused)
                return None
            # What lives now lives for ever: the collector of a fork must not touch, and so copy, these pages.
            gc.freeze()
            try:
                pid = os.fork()
            except OSError as error:
                send_message(connection, refused=f"it cannot fork: {error}")
                return None
            if pid != 0:
                self._supervisors.add(pid)
                self._forks += 1
                return None
            return self._become_supervisor(connection)

    def _become_supervisor(self, connection: socket.socket) -> Job:
        self._listener.close()
        os.close(signal.set_wakeup_fd(-1))
        os.close(self._woken)
        warm = Warm(
            zygote=os.getppid(),
            imported=self._imported,
            preload=len(self._options.preload),
            libraries=self._libraries,
            variables=self._variables,
        )
        return supervise(socket.socket(fileno=connection.detach()), warm=warm)

    def _refusal(self, connection: socket.socket) -> str | None:
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        if CREDENTIALS.unpack(packed)[1] != os.getuid():
            return "you are another user"
        if not self._retiring and self._should_leave():
            self._retire()
        if self._retiring:
            return RETIRED
        if _threads() != 1:
            return f"it has {_threads()} threads, the second since it imported {self._threads_since!r}"
        return None

    def _should_leave(self) -> bool:
        if self._supervisors:
            self._idle_since = time.monotonic()
        idle_seconds = time.monotonic() - self._idle_since
        return (
            self._told_to_leave
            or idle_seconds >= self._options.idle_seconds
            or self._forks >= self._options.most_forks
            or not self._place.holds(self._inode)
            or installed_digest() != self._options.installed
        )

    def _mourn(self, ended: dict[int, int]) -> None:
        """Take note of supervisors that ended; of one that was killed, end what it would have ended."""
        while ended:
            lost = any(status != 0 for pid, status in ended.items() if pid in self._supervisors)
            self._supervisors -= ended.keys()
            ended = end_descendants(spare=self._supervisors).statuses if lost else {}

    def _on_terminate(self, _number: int, _frame: object) -> None:
        self._told_to_leave = True

    def _retire(self) -> None:
        """Leave the socket to a successor; end when the last supervisor has."""
        with self._place.locked():
            if self._place.holds(self._inode):
                self._place.socket.unlink()
        self._retiring = True


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208  # names only


def _say(text: str) -> None:
    sys.stderr.write(f"zygote {os.getpid()}: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # Under its own name, because `__main__` is somebody else's after a fork.
    sys.exit(importlib.import_module("rasen.batch.zygote").main(sys.argv[1:]))
