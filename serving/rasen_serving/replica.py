"""Who this server is among others: a name that is a legal object key, and the same after a restart."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from rasen.settings_model import Settings


def replica_name(settings: Settings) -> str:
    """Return host and port, as far as an object key may hold them."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()).strip("-") or "host"
    return f"{host[:60]}-{settings.serving_port}"


def spool_folder(settings: Settings) -> Path:
    """Return where this server's prediction log waits to be shipped."""
    return settings.spool_dir / replica_name(settings)
