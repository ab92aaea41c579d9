"""The supervisor's side of the prediction log: measure the spool, close what the dead left, start the shipping.

The spool is what bounds the log while the sink is down: above the limit workers are told to drop and count, until it
has shrunk to nine tenths. Segments that no sink takes are kept aside, within a quarter of the limit.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from rasen.settings import platform_environment
from rasen.settings_model import Settings
from rasen_serving.replica import replica_name, spool_folder
from rasen_serving.segments import CLOSED_SUFFIX, REJECTED_SUFFIX, close_segments, rows_of

logger = logging.getLogger(__name__)

SHIP_SECONDS = 5.0
"""At most one shipping in so long; after failures longer, up to `_RETRY_MAX_SECONDS`."""

_RETRY_MAX_SECONDS = 60.0
_SHIPPING_MAX_SECONDS = 300.0
_REJECTED_SHARE = 4
_REMEMBERED = 1000


class _Report(msgspec.Struct):
    """A line of `shipping.py`, which is not imported here: a supervisor is small."""

    segment: str
    outcome: str
    rows: int
    damaged_rows: int = 0
    damaged_frames: int = 0


_REPORTS = msgspec.json.Decoder(_Report)


class Spool:
    """The folder, and what was done with it.

    Rows add up: those that workers wrote, and `adopted_rows`, are shipped, rejected, damaged or still here.
    """

    def __init__(self, settings: Settings) -> None:
        self.folder = spool_folder(settings)
        self.is_open = True
        self.size_bytes = 0
        self.adopted_rows = 0
        self.shipped_rows = 0
        self.rejected_rows = 0
        self.damaged_rows = 0
        self.damaged_frames = 0
        self.rejected: list[str] = []
        self._settings = settings
        self._wait_seconds = SHIP_SECONDS
        self._next_at = 0.0
        self._shipping: asyncio.Task[None] | None = None
        self._counted: dict[str, None] = {}  # ids of segments, in order

    def adopt(self) -> None:
        """Close what an earlier supervisor's workers have left, and clear what a killed shipping has."""
        close_segments(self.folder)
        self.adopted_rows = sum(rows_of(path) for path in self.folder.glob(f"*{CLOSED_SUFFIX}"))
        for scratch in self.folder.glob(".shipping-*"):
            shutil.rmtree(scratch, ignore_errors=True)

    def measure(self) -> None:
        """Measure the folder, and decide whether there is room for more."""
        sizes = _scan(self.folder)
        self._bound_rejected(sizes)
        self.size_bytes = sum(sizes.values())
        limit = self._settings.spool_max_bytes
        was_open = self.is_open
        self.is_open = self.size_bytes < (limit if self.is_open else limit * 9 // 10)
        if was_open and not self.is_open:
            logger.error(
                "the prediction log has %d bytes in the spool, its limit; rows are dropped", self.size_bytes
            )
        closed = any(name.endswith(CLOSED_SUFFIX) for name in sizes)
        if closed and self._shipping is None and time.monotonic() >= self._next_at:
            self._shipping = asyncio.create_task(self.ship(timeout_seconds=_SHIPPING_MAX_SECONDS))
            self._shipping.add_done_callback(self._shipped)

    async def ship(self, *, timeout_seconds: float) -> None:
        """Ship all closed segments in a process of its own."""
        process = subprocess.Popen(  # noqa: ASYNC220  # awaited below, in a thread
            [sys.executable, "-m", "rasen_serving.shipping", str(self.folder), replica_name(self._settings)],
            env=platform_environment(self._settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            output, _ = await asyncio.to_thread(process.communicate, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = await asyncio.to_thread(process.communicate)  # what it did before is done
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.count(output)
        succeeded = process.returncode == 0
        self._wait_seconds = SHIP_SECONDS if succeeded else min(2 * self._wait_seconds, _RETRY_MAX_SECONDS)

    def count(self, output: bytes) -> None:
        """Take in what a shipping says; a segment that was told of before is not counted again."""
        for line in output.splitlines():
            try:
                report = _REPORTS.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):  # it was killed while it spoke
                logger.warning("the shipping said something unintelligible: %r", line[:200])
                continue
            if report.segment in self._counted:
                continue
            self._counted[report.segment] = None
            if len(self._counted) > _REMEMBERED:
                del self._counted[next(iter(self._counted))]
            if report.outcome == "rejected":
                self.rejected_rows += report.rows
            else:
                self.shipped_rows += report.rows
            self.damaged_rows += report.damaged_rows
            self.damaged_frames += report.damaged_frames

    async def finish(self, *, timeout_seconds: float) -> None:
        """At the very end: ship what there is, if it goes quickly; the rest stays for the next start."""
        deadline = time.monotonic() + timeout_seconds
        if self._shipping is not None:
            await asyncio.wait([self._shipping], timeout=timeout_seconds)
        left = deadline - time.monotonic()
        if left > 0 and any(name.endswith(CLOSED_SUFFIX) for name in _scan(self.folder)):
            await self.ship(timeout_seconds=left)

    def _shipped(self, shipping: asyncio.Task[None]) -> None:
        self._shipping = None
        self._next_at = time.monotonic() + self._wait_seconds
        if not shipping.cancelled() and shipping.exception() is not None:
            logger.error("shipping the prediction log failed", exc_info=shipping.exception())

    def _bound_rejected(self, sizes: dict[str, int]) -> None:
        """Delete the oldest rejected segments beyond their share; their rows stay counted as rejected."""
        self.rejected = sorted(name for name in sizes if name.endswith(REJECTED_SUFFIX))
        size_bytes = sum(sizes[name] for name in self.rejected)
        while self.rejected and size_bytes > self._settings.spool_max_bytes // _REJECTED_SHARE:
            oldest = self.rejected.pop(0)
            logger.error("the rejected segment %s is deleted: there is no more room for such", oldest)
            (self.folder / oldest).unlink(missing_ok=True)
            (self.folder / f"{oldest}.reason").unlink(missing_ok=True)
            size_bytes -= sizes.pop(oldest)


def _scan(folder: Path) -> dict[str, int]:
    """Return the size of each file in the spool."""
    sizes: dict[str, int] = {}
    for path in folder.glob("[!.]*"):
        with suppress(FileNotFoundError):  # just renamed, or shipped: measured again in a second
            sizes[path.name] = path.stat().st_size
    return sizes
