"""`python -m rasen.api`: the control API, without the command line's libraries."""

from __future__ import annotations

import sys

from rasen.api.server import serve
from rasen.errors import RasenError
from rasen.settings import load_settings


def main() -> int:
    """Serve with the settings of the environment; return the exit code."""
    try:
        serve(load_settings())
    except RasenError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
