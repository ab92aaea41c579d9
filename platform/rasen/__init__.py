"""Rasen: a notebook becomes a live prediction API, and the next turn of the spiral begins.

These are the few names that a notebook uses, and the client of the prediction service. Each is imported when it is
first asked for, so that `import rasen` costs a few milliseconds and no library is loaded that the notebook does not
need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rasen.client import AsyncClient as AsyncClient
    from rasen.client import Client as Client
    from rasen.model.profile import Profile as Profile
    from rasen.model.profile import build_profile as build_profile
    from rasen.sdk import check as check
    from rasen.sdk import load_model as load_model
    from rasen.sdk import load_table as load_table
    from rasen.sdk import log_figure as log_figure
    from rasen.sdk import log_metrics as log_metrics
    from rasen.sdk import publish as publish
    from rasen.sdk import read_file as read_file
    from rasen.sdk import read_sql as read_sql
    from rasen.sdk import save_table as save_table
    from rasen.secret_access import secret as secret
    from rasen.secret_reference import Secret as Secret

    __version__: str

__all__ = [
    "AsyncClient",
    "Client",
    "Profile",
    "Secret",
    "__version__",
    "build_profile",
    "check",
    "load_model",
    "load_table",
    "log_figure",
    "log_metrics",
    "publish",
    "read_file",
    "read_sql",
    "save_table",
    "secret",
]

_HOMES = {
    "AsyncClient": "rasen.client",
    "Client": "rasen.client",
    "Profile": "rasen.model.profile",
    "Secret": "rasen.secret_reference",
    "build_profile": "rasen.model.profile",
    "secret": "rasen.secret_access",
}


def __getattr__(name: str) -> object:
    """Import one of the names on first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("rasen")
    if name not in __all__:
        raise AttributeError(f"module 'rasen' has no attribute {name!r}; it has {', '.join(__all__)}")
    value: object = getattr(importlib.import_module(_HOMES.get(name, "rasen.sdk")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the names, for completion in the notebook."""
    return __all__
