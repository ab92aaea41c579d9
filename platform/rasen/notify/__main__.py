"""The notifier as a process of its own: `python -m rasen.notify`, with the settings of the environment."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import suppress

from rasen.errors import RasenError
from rasen.notify.notifier import run_notifier
from rasen.settings import load_settings


def main() -> None:
    """Watch until the process is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with suppress(KeyboardInterrupt):
            run_notifier(load_settings(), stop=threading.Event())
    except RasenError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
