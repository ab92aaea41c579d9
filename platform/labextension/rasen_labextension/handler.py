"""What every route has in common: who may ask, which files may be meant, and how a refusal looks.

All routes are Jupyter's own: its login, its XSRF check, its authorizer (resource `rasen`). What takes time runs in a
thread, so that a slow platform never holds up a kernel's messages.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jupyter_server.base.handlers import APIHandler
from tornado import web

from rasen.api.refusals import status_of
from rasen.errors import AccessRefused, InvalidInput, RasenError

AUTH_RESOURCE = "rasen"
MAX_BODY_BYTES = 128 * 1024 * 1024

_NOT_LET_IN = 502
"""The platform did not let this server in. Not 401 or 403: the browser would take that for its own login."""

Result = TypeVar("Result")


class RasenHandler(APIHandler):
    """A route under `/rasen/`: JSON in, JSON out; errors as `{"error": {"code", "message"}}`."""

    auth_resource = AUTH_RESOURCE

    @property
    def root(self) -> Path:
        """The folder that the user works in: no route reads or writes outside it."""
        return Path(self.settings["server_root_dir"]).expanduser().resolve()

    def body(self) -> dict[str, Any]:  # Any: JSON of the browser, looked at by each route
        """Return the JSON object that was sent.

        Raises:
            InvalidInput: It is none.
        """
        if len(self.request.body) > MAX_BODY_BYTES:
            raise web.HTTPError(
                413, f"the notebook is larger than {MAX_BODY_BYTES // 2**20} MB; clear its outputs"
            )
        try:
            data = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the body is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise InvalidInput(f"the body must be a JSON object, not {type(data).__name__}")
        return data

    def resolve(self, path: object) -> Path:
        """Return the file that a path of JupyterLab's file browser means.

        Raises:
            InvalidInput: It is no path, or leads out of the folder that the user works in, also by a link.
        """
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidInput(
                f"path {path!r} must be the path of a file, relative to the folder JupyterLab shows"
            )
        # "drive:path" belongs to another contents provider: such a file is not on this machine.
        try:
            file = (self.root / path.lstrip("/")).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a circle of links; half a character
            raise InvalidInput(f"path {path!r} cannot be followed: {error}") from None
        if not file.is_relative_to(self.root):
            raise InvalidInput(f"path {path!r} leads out of the folder that JupyterLab shows")
        return file

    async def in_thread(self, function: Callable[[], Result]) -> Result:
        """Call a function that takes time, without holding up the server."""
        return await asyncio.get_running_loop().run_in_executor(None, function)

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # Any: tornado's own
        """Write a refusal in the one shape, from our errors and from tornado's alike."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = self._reason
        code = "error"
        if isinstance(error, RasenError):
            status_code = _NOT_LET_IN if isinstance(error, AccessRefused) else status_of(error)
            self.set_status(status_code)
            message, code = str(error), type(error).__name__
        elif isinstance(error, web.HTTPError):
            message = error.log_message or error.reason or message
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": {"code": code, "message": message}}))

    def log_exception(self, *arguments: Any) -> None:  # Any: tornado's own
        """Log what is our fault; what the user did wrong is told to the user."""
        if not isinstance(arguments[1], RasenError):
            super().log_exception(*arguments)
