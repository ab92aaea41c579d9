"""What a process and its children write to their standard output and error, masked before it reaches the log.

Most of what a cell prints comes as messages, which the engine masks. The rest comes here directly: the last words of
the interpreter, of a library written in C, of a child that was given the original descriptors.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_READ_BYTES = 65536
_LONGEST_LINE = 65536
_KEPT_OF_LINE = 16384
_END_SECONDS = 1.0


@contextmanager
def masked_output(mask: Callable[[str], str]) -> Iterator[None]:
    """Mask what is written to descriptors 1 and 2 while the context lasts, line by line."""
    streams = {number: os.dup(number) for number in (1, 2)}
    told_to_end, tell = os.pipe()
    sources: dict[int, int] = {}
    _flush()
    for number, target in streams.items():
        source, sink = os.pipe()
        os.dup2(sink, number)
        os.close(sink)
        sources[source] = target
    pump = threading.Thread(target=_pump, args=(sources, told_to_end, mask), name="output", daemon=True)
    pump.start()
    try:
        yield
    finally:
        _flush()
        for number, target in streams.items():
            os.dup2(target, number)
        os.write(tell, b"\n")  # whoever still holds the other end of a pipe is not waited for
        pump.join(_END_SECONDS)
        if not pump.is_alive():
            for descriptor in (tell, told_to_end, *sources, *streams.values()):
                os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()


def _pump(sources: dict[int, int], told_to_end: int, mask: Callable[[str], str]) -> None:
    """Copy until told to end and nothing more is there to be read at once."""
    poll = select.poll()
    held = dict.fromkeys(sources, b"")
    for descriptor in (*sources, told_to_end):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll()]
        for source in [descriptor for descriptor in ready if descriptor != told_to_end]:
            data = os.read(source, _READ_BYTES)
            if not data:
                poll.unregister(source)
            held[source] = _pass_on(held[source] + data, sources[source], mask, whole=not data)
        if ready == [told_to_end]:
            for source, data in held.items():
                _pass_on(data, sources[source], mask, whole=True)
            return


def _pass_on(data: bytes, target: int, mask: Callable[[str], str], *, whole: bool) -> bytes:
    """Write what can be masked by now, and return the rest."""
    end = len(data) if whole else data.rfind(b"\n") + 1
    if not end and len(data) > _LONGEST_LINE:
        end = len(data) - _KEPT_OF_LINE
    if end:
        text = mask(data[:end].decode("utf-8", "surrogateescape"))
        with suppress(OSError):
            _write_all(target, text.encode("utf-8", "surrogateescape"))
    return data[end:]


def _write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
