"""Where a kernel asks for secrets: a socket of the process that runs its notebook, which masks what the kernel shows.

The kernel could fetch secrets itself and tell the mask what it got; but then a secret may be shown before it is known,
and the kernel would need the operator's environment and credentials. So it asks, over a Unix socket in a folder that
only this user can enter: the value is in the mask before it is in the kernel, and nowhere on a disk. Neither the warm
process nor a kernel's environment ever holds one.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rasen.batch.masking import Mask
from rasen.batch.supervisor import CREDENTIALS
from rasen.errors import InvalidInput, RasenError
from rasen.secret_reference import find_references, parse_reference
from rasen.secret_values import environment_secrets, resolve_secret
from rasen.settings import SECRETS_VARIABLE, Settings

_ASK_SECONDS = 10.0  # for a kernel to say what it wants, once connected
_END_SECONDS = 2.0
_MOST_BYTES = 4096


class Keeper:
    """Knows the secrets of one notebook's run.

    Attributes:
        mask: Replaces them in texts.
        environment: What a kernel's environment needs in order to ask for them.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.mask = Mask(patterns=settings.mask_patterns)
        self._settings = settings
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()
        self._socket = folder / "secrets"
        self.environment = {SECRETS_VARIABLE: str(self._socket)}
        for reference, value in environment_secrets(settings).items():
            self.mask.learn(reference, value)

    def resolve(self, reference: str) -> str:
        """Return what a reference stands for; the mask knows it before the caller does.

        Raises:
            InvalidInput, NotFound, PlatformFailed: As `resolve_secret`.
        """
        with self._lock:
            try:
                name = str(parse_reference(reference))
            except ValueError as error:
                raise InvalidInput(str(error)) from None
            if name not in self._known:
                value = resolve_secret(self._settings, name)
                self.mask.learn(name, value)
                self._known[name] = value
            return self._known[name]

    def listen(self) -> socket.socket:
        """Return the socket where kernels ask, listening."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(str(self._socket))
        listener.listen(64)
        return listener

    def serve(self, listener: socket.socket, told_to_end: int) -> None:
        """Answer kernels until `told_to_end`, a descriptor, becomes ready."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(told_to_end, select.POLLIN)
        while told_to_end not in dict(poll.poll()):
            with suppress(OSError), listener.accept()[0] as connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_ASK_SECONDS)
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        if CREDENTIALS.unpack(packed)[1] != os.getuid():
            return
        asked = b""
        while not asked.endswith(b"\n") and len(asked) < _MOST_BYTES:
            part = connection.recv(_MOST_BYTES)
            if not part:
                return
            asked += part
        try:
            answer = {"value": self.resolve(asked.decode(errors="replace").removesuffix("\n"))}
        except RasenError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        connection.sendall(json.dumps(answer).encode() + b"\n")


@contextmanager
def keep_secrets(settings: Settings, parameters: Mapping[str, object]) -> Iterator[Keeper]:
    """Answer a kernel that asks for secrets, for as long as the context lasts.

    Args:
        settings: What the operator allows.
        parameters: The notebook's; what they refer to is fetched now, so that what cannot be had is said before a
            kernel starts.

    Raises:
        InvalidInput, NotFound, PlatformFailed: A parameter's reference cannot be resolved; the message names both.
    """
    folder = Path(tempfile.mkdtemp(prefix="rasen-"))  # 0700
    told_to_end, tell = os.pipe()
    try:
        keeper = Keeper(settings, folder)
        for name, value in parameters.items():
            for reference in find_references(value):
                try:
                    keeper.resolve(reference)
                except RasenError as error:
                    raise type(error)(f"parameter {name!r}: {error}") from None
        with keeper.listen() as listener:
            thread = threading.Thread(
                target=keeper.serve, args=(listener, told_to_end), name="secrets", daemon=True
            )
            thread.start()
            try:
                yield keeper
            finally:
                os.write(tell, b"\n")
                thread.join(_END_SECONDS)  # it may still wait for somebody else's server
    finally:
        os.close(tell)
        os.close(told_to_end)
        shutil.rmtree(folder, ignore_errors=True)
