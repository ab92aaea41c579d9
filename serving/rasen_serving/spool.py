"""The supervisor's side of the prediction log: measure the spool, close what the dead left, start the shipping.

The spool is what bounds the log while the store is down: above the limit workers are told to drop and count, until it
has shrunk to nine tenths.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rasen.settings import platform_environment
from rasen.settings_model import Settings
from rasen_serving.log import CLOSED_SUFFIX, close_segments
from rasen_serving.replica import replica_name, spool_folder

logger = logging.getLogger(__name__)

SHIP_SECONDS = 5.0
"""At most one shipping in so long; after failures longer, up to `_RETRY_MAX_SECONDS`."""

_RETRY_MAX_SECONDS = 60.0
_SHIPPING_MAX_SECONDS = 120.0


class Spool:
    """The folder, and what was done with it."""

    def __init__(self, settings: Settings) -> None:
        self.folder = spool_folder(settings)
        self.is_open = True
        self.size_bytes = 0
        self.shipped_rows = 0
        self.torn_lines = 0
        self._settings = settings
        self._wait_seconds = SHIP_SECONDS
        self._next_at = 0.0
        self._shipping: asyncio.Task[None] | None = None

    def adopt(self) -> None:
        """Close what an earlier supervisor's workers have left, and clear what a killed shipping has."""
        close_segments(self.folder)
        for scratch in self.folder.glob(".shipping-*"):
            shutil.rmtree(scratch, ignore_errors=True)

    def measure(self) -> None:
        """Measure the folder, and decide whether there is room for more."""
        names, self.size_bytes = _scan(self.folder)
        limit = self._settings.spool_max_bytes
        was_open = self.is_open
        self.is_open = self.size_bytes < (limit if self.is_open else limit * 9 // 10)
        if was_open and not self.is_open:
            logger.error(
                "the prediction log has %d bytes in the spool, its limit; rows are dropped", self.size_bytes
            )
        closed = any(name.endswith(CLOSED_SUFFIX) for name in names)
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
            output = b""
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if output:
            counts = json.loads(output)
            self.shipped_rows += counts["rows"]
            self.torn_lines += counts["torn"]
        succeeded = process.returncode == 0
        self._wait_seconds = SHIP_SECONDS if succeeded else min(2 * self._wait_seconds, _RETRY_MAX_SECONDS)

    async def finish(self, *, timeout_seconds: float) -> None:
        """At the very end: ship what there is, if it goes quickly; the rest stays for the next start."""
        deadline = time.monotonic() + timeout_seconds
        if self._shipping is not None:
            await asyncio.wait([self._shipping], timeout=timeout_seconds)
        left = deadline - time.monotonic()
        if left > 0 and any(name.endswith(CLOSED_SUFFIX) for name in _scan(self.folder)[0]):
            await self.ship(timeout_seconds=left)

    def _shipped(self, shipping: asyncio.Task[None]) -> None:
        self._shipping = None
        self._next_at = time.monotonic() + self._wait_seconds
        if not shipping.cancelled() and shipping.exception() is not None:
            logger.error("shipping the prediction log failed", exc_info=shipping.exception())


def _scan(folder: Path) -> tuple[list[str], int]:
    names, size = [], 0
    try:
        for path in folder.iterdir():
            if not path.name.startswith("."):
                names.append(path.name)
                size += path.stat().st_size
    except FileNotFoundError:  # no folder yet, or a segment that was just renamed: measured again in a second
        pass
    return names, size
