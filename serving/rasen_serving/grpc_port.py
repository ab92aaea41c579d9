"""The port of the gRPC server, which every worker binds for itself (`SO_REUSEPORT`): held by the supervisor meanwhile.

The supervisor's socket listens to nothing. It is bound, so that a port in use is told at the start and not by workers
that die of it, and so that nobody else takes the port while no worker has it.
"""

from __future__ import annotations

import importlib.util
import socket

from rasen.errors import PlatformFailed
from rasen.settings_model import Settings


def hold_grpc_port(settings: Settings) -> socket.socket | None:
    """Return a socket that holds the port, `None` when there is to be no gRPC server.

    Raises:
        PlatformFailed: The port is in use, or the libraries are not here.
    """
    port = settings.grpc_port
    if not port:
        return None
    if importlib.util.find_spec("grpc") is None:
        raise PlatformFailed(
            f"RASEN_GRPC_PORT={port} needs grpcio, which is not installed: install 'rasen[grpc]', or set it to 0"
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((settings.host, port))
    except OSError as error:
        holder.close()
        raise PlatformFailed(
            f"cannot listen on {settings.host}:{port}: {error.strerror}; stop what uses the port, or set "
            "RASEN_GRPC_PORT to a free one, or to 0"
        ) from error
    return holder
