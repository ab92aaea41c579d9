"""The process of the control API: uvicorn with one worker, because it only files requests and reads."""

from __future__ import annotations

import logging
import logging.config

from rasen.api.app import create_app
from rasen.settings import Settings
from rasen.store import open_store

_STOP_SECONDS = 2
_CONNECTIONS_MOST = 1_000


def serve(settings: Settings) -> None:
    """Answer until SIGINT or SIGTERM.

    Raises:
        PlatformFailed: JupyterHub's users shall be let in, and this is no service of a Hub.
    """
    import uvicorn

    app = create_app(settings, open_store(settings))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("httpx", "tornado.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.api_port,
        access_log=False,  # uvicorn's has what stands behind the `?`
        server_header=False,
        proxy_headers=False,  # who asks is the connection's other end, whatever a header says
        limit_concurrency=_CONNECTIONS_MOST,
        timeout_graceful_shutdown=_STOP_SECONDS,
        log_config=None,
        loop="asyncio",
        http="h11",
        ws="none",
    )
