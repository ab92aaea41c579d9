"""Serving against a plain FastAPI handler: what `bench.serving_peers` measures, without its other peers.

`PYTHONPATH=tests python -m bench.serving` is for working on the hot path: nothing to install, two minutes.
"""

from __future__ import annotations

import argparse

from bench.peer_environments import DEFAULT
from bench.peer_servers import PLAIN
from bench.serving_home import CHOSEN, NATIVE
from bench.serving_models import MODELS
from bench.serving_peers import end_tidily, run


def main() -> None:
    """Measure both models and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each scenario takes in a round")
    parser.add_argument("--rounds", type=int, default=2, help="how many turns each contender gets")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--engines",
        nargs="+",
        default=[NATIVE, CHOSEN],
        help="of ours: native, chosen, or one by name, such as onnx",
    )
    options = parser.parse_args()
    end_tidily()
    run(
        peers=[PLAIN.module],
        models=options.models,
        engines=options.engines,
        rounds=options.rounds,
        seconds=options.seconds,
        environments=DEFAULT,
    )


if __name__ == "__main__":
    main()
