"""A home in which models of the benchmark are behind an endpoint; who publishes them is a process of its own.

`python -m bench.serving_home NAME ENGINE VERSIONS`, with the home of the environment, publishes so many versions, then
deploys one for each line that it reads and answers with the revision's number. A process of its own, for the same
reason as `serving_models.py`, and because publishing must not take time from the process that measures.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rasen.settings import load_settings, platform_environment
from rasen.settings_model import Settings

_DIFFERENT = 8
"""So many different models take turns; more would only make the start longer."""


class Deployer:
    """Deploys one published version after another."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def deploy(self) -> int:
        """Make the next version the champion; return the revision's number."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("next\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def deployer(
    settings: Settings, name: str, *, engine: str = "native", versions: int = 1
) -> Iterator[Deployer]:
    """Publish so many versions of a model, and give what deploys them."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serving_home", name, engine, str(versions)],
        env=platform_environment(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "published\n", "nothing could be published"
        yield Deployer(process)
    finally:
        process.communicate(timeout=30)  # it ends when it is told nothing more


def deploy_model(settings: Settings, name: str, *, engine: str = "native") -> None:
    """Publish and deploy a model of the benchmark in a home."""
    with deployer(settings, name, engine=engine) as ready:
        ready.deploy()


def main() -> None:
    """Publish and deploy in this process."""
    from bench.serving_models import make_model
    from rasen.store import open_store
    from stand.versions import deploy_version, publish_version

    name, engine, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings = load_settings()
    store = open_store(settings)
    models = [make_model(name, seed=seed) for seed in range(min(count, _DIFFERENT))]
    versions = [
        publish_version(
            store,
            settings,
            number=number + 1,
            pipeline=name,
            model=models[number % len(models)][0],
            example=models[number % len(models)][1].head(3),
            engine=engine,
        )
        for number in range(count)
    ]
    print("published", flush=True)
    for _, version in zip(sys.stdin, versions, strict=False):
        print(deploy_version(store, settings, version), flush=True)


if __name__ == "__main__":
    main()
