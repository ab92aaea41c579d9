"""Put one model of the benchmark behind an endpoint: `python -m bench.serving_home NAME ENGINE`.

The home is that of the environment. A process of its own, for the same reason as `serving_models.py`.
"""

from __future__ import annotations

import subprocess
import sys

from rasen.settings import load_settings, platform_environment
from rasen.settings_model import Settings


def deploy_model(settings: Settings, name: str, *, engine: str) -> None:
    """Publish and deploy a model of the benchmark in a home."""
    command = [sys.executable, "-m", "bench.serving_home", name, engine]
    subprocess.run(command, env=platform_environment(settings), check=True)


def main() -> None:
    """Publish and deploy in this process."""
    from bench.serving_models import make_model
    from rasen.store import open_store
    from stand.versions import publish_and_deploy

    name, engine = sys.argv[1:]
    settings = load_settings()
    model, frame = make_model(name)
    publish_and_deploy(
        open_store(settings),
        settings,
        number=1,
        pipeline=name,
        model=model,
        example=frame.head(3),
        engine=engine,
    )


if __name__ == "__main__":
    main()
