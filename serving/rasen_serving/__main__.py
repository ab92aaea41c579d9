"""`python -m rasen_serving`: the supervisor, without the command line's libraries.

The nursery is started first, before anything else is imported, because its imports are most of a cold start.
"""

from __future__ import annotations

import sys

from rasen.errors import RasenError
from rasen_serving.nursery import start_nursery


def main() -> int:
    """Serve with the settings of the environment; return the exit code."""
    nursery = start_nursery()
    try:
        from rasen.settings import load_settings
        from rasen_serving.supervisor import serve

        serve(load_settings(), nursery=nursery)
    except RasenError as error:
        nursery.process.kill()  # it is still importing
        nursery.stop()
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
