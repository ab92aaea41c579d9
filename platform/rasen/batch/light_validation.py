"""Importing what validates notebooks without its slowest part.

nbformat imports jsonschema, and that one looks for optional checkers of formats. Where JupyterLab is installed it finds
`rfc3987_syntax`, which builds a parser for international addresses while it is imported: a second, more than all else
that a notebook needs before it runs. No schema of a notebook asks for that format.
"""

from __future__ import annotations

import importlib
import sys

_SLOW = "rfc3987_syntax"


def import_validation() -> None:
    """Import jsonschema without the checker of international addresses; does nothing where that was done already.

    For processes of ours that validate notebooks and nothing else: in them, jsonschema does not know the format `iri`.
    Whoever needs the checker itself can still import it.
    """
    if "jsonschema" in sys.modules or _SLOW in sys.modules:
        return
    sys.modules[_SLOW] = None  # type: ignore[assignment] # the documented way to make an import fail
    try:
        importlib.import_module("jsonschema")
    finally:
        del sys.modules[_SLOW]
