"""The one thread in which models run.

One and not several, because models are seldom made for being called twice at once, and the lock of the interpreter
would make them wait for one another anyway. While it computes, the event loop answers health checks and the supervisor.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rasen.errors import ModelFailed

_Result = TypeVar("_Result")


class PredictionThread:
    """Calls wait for their turn."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the present call has been running; 0 when there is none."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, call: Callable[[], _Result]) -> asyncio.Future[_Result]:
        """Run a call when its turn comes."""
        return asyncio.get_running_loop().run_in_executor(self._executor, self._timed, call)

    def _timed(self, call: Callable[[], _Result]) -> _Result:
        self._since = time.monotonic()
        try:
            return call()
        except Exception:
            raise
        except BaseException as error:  # KeyboardInterrupt from a model must not end the event loop
            raise ModelFailed(f"the model raised {type(error).__name__}") from error
        finally:
            self._since = None
