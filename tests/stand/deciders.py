"""Decision processes that race and die: `python -m stand.deciders HOME COMMAND`, with the store and keys of HOME.

`race` waits for the file `go` beside the store, then decides once. `die` kills its own process right after the record
is created, before anything else is written.
"""

import os
import signal
import sys
import time
from pathlib import Path

from rasen.deploy.decide import Decider
from rasen.settings import load_settings
from rasen.store import DirectoryStore
from rasen.tracking.keys import HEADS_KEY
from rasen.tracking.signature import Role, load_trust, open_signer


class DiesBeforeTheHint(DirectoryStore):
    """A store whose process dies, uncatchably, when it is about to write `heads.json`."""

    def write(self, key: str, data: bytes, *, if_generation: int | None = None) -> int:
        if key == HEADS_KEY:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(key, data, if_generation=if_generation)


def local_decider(home: Path, store: DirectoryStore) -> Decider:
    settings = load_settings(home=home)
    return Decider(
        store,
        open_signer(settings, Role.DECIDER),
        trust=lambda: load_trust(settings),
        environment=settings.environment,
        scratch_dir=settings.scratch_dir,
    )


def main() -> None:
    home, command = Path(sys.argv[1]), sys.argv[2]
    root = home / "store"
    decider = local_decider(home, DiesBeforeTheHint(root) if command == "die" else DirectoryStore(root))
    if command == "race":
        (home / f"ready-{os.getpid()}").touch()
        while not (home / "go").exists():
            time.sleep(0.001)
    for record in decider.decide("demand"):
        print(record.number)


if __name__ == "__main__":
    main()
