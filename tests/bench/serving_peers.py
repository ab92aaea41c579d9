"""Serving against its peers, in one run on one machine with one load tool: requests a second, latency, memory.

`PYTHONPATH=tests python -m bench.serving_peers` prints the tables of `tests/bench/README.md`. Every server has one
worker and OMP_NUM_THREADS=1, its first 100 answers are compared with the model's, and only one runs at a time; in each
round all take turns, and each one's best round counts, because what else the machine does only makes a round worse.
Access keys, metrics and prediction log are on in ours. A peer that does not install or start stands in the table with
the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.contenders import Contender, OurContender, PeerContender, Started
from bench.load import Measured
from bench.memory import Held, measure_memory
from bench.peer_environments import DEFAULT, Unavailable
from bench.peer_servers import PEERS, PLAIN
from bench.serving_home import CHOSEN, NATIVE
from bench.serving_models import MODELS, Workload, make_workload
from bench.wrk import ask


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is asked: rows in a request, and connections that ask at once."""

    rows: int
    connections: int

    @property
    def name(self) -> str:
        """For the heading of a column."""
        return f"{self.rows} row{'s' if self.rows > 1 else ''} c{self.connections}"

    def worth(self, found: Measured) -> float:
        """Return what is compared: requests a second, or with one connection those of a typical request."""
        if self.connections > 1 or not found.p50_ms:
            return found.per_second
        return 1000 / found.p50_ms


SCENARIOS = tuple(Scenario(rows=rows, connections=at_once) for rows in (1, 100) for at_once in (1, 64))


@dataclass(kw_only=True)
class Figures:
    """What one contender did with one model.

    Args:
        name: The contender.
        is_ours: Whether it is one of ours.
        best: Scenario → its best round.
        rounds: Scenario → all rounds.
        held: Memory after the load of its last round.
        absent: Why there are no figures, `""` when there are.
    """

    name: str
    is_ours: bool
    best: dict[str, Measured] = field(default_factory=dict)
    rounds: dict[str, list[Measured]] = field(default_factory=dict)
    held: Held | None = None
    absent: str = ""

    def add(self, scenario: Scenario, found: Measured) -> None:
        """Take in a round."""
        self.rounds.setdefault(scenario.name, []).append(found)
        best = self.best.get(scenario.name)
        if best is None or scenario.worth(found) > scenario.worth(best):
            self.best[scenario.name] = found


def measure_model(
    workload: Workload, contenders: Sequence[Contender], *, rounds: int, seconds: float
) -> list[Figures]:
    """Measure all contenders with one model, in turns."""
    figures = [Figures(name=one.name, is_ours=one.is_ours) for one in contenders]
    for turn in range(rounds):
        for contender, found in zip(contenders, figures, strict=True):
            if found.absent:
                continue
            say(f"{workload.name}, round {turn + 1} of {rounds}: {contender.name}")
            try:
                with contender.serve(workload) as started:
                    _measure_started(workload, started, found, seconds=seconds)
            except (Unavailable, httpx.HTTPError) as error:
                found.absent = str(error) or repr(error)
                say(f"{contender.name}: {found.absent}")
    return figures


def _measure_started(workload: Workload, started: Started, figures: Figures, *, seconds: float) -> None:
    check_answers(started, workload)
    for scenario in SCENARIOS:
        body = started.body(workload.rows[: scenario.rows])
        found = ask(
            started.port,
            started.path,
            body,
            connections=scenario.connections,
            seconds=seconds,
            headers=started.headers,
        )
        figures.add(scenario, found)
    figures.held = measure_memory(started.pid)


def check_answers(started: Started, workload: Workload) -> None:
    """Compare the answers to all rows, and to the first alone, with the model's.

    Raises:
        Unavailable: One differs by more than the rounding of another batch size.
    """
    for count in (len(workload.rows), 1):
        answered = started.predict(workload.rows[:count])
        expected = workload.expected[:count]
        if len(answered) != count or any(
            abs(one - other) > 1e-5 * max(1.0, abs(other))
            for one, other in zip(answered, expected, strict=True)
        ):
            raise Unavailable(f"answers {answered[:3]} … to {count} rows, expected {expected[:3]} …")


def show_table(figures: Sequence[Figures]) -> str:
    """Return the table of one model: a line each, then what ours is of the plain handler and of the best peer."""
    heading = ["", *(scenario.name for scenario in SCENARIOS), "RSS, MB", "PSS, MB"]
    lines = [heading, ["---"] * len(heading), *(_line(one) for one in figures)]
    for ours in figures:
        if ours.is_ours and ours.best:
            lines += _ratios(ours, figures)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _line(found: Figures) -> list[str]:
    if found.absent:
        return [found.name, f"not measured: {found.absent.replace('|', '/')}", *[""] * (len(SCENARIOS) + 1)]
    memory = [] if found.held is None else [f"{found.held.rss_mb:.0f}", f"{found.held.pss_mb:.0f}"]
    return [found.name, *(_cell(found.best[scenario.name]) for scenario in SCENARIOS), *memory]


def _cell(found: Measured) -> str:
    errors = f", **{found.errors} errors**" if found.errors else ""
    return f"{found.per_second:,.0f}/s, {_short(found.p50_ms)} [{_short(found.p99_ms)}]{errors}"


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.0f}"


def _ratios(ours: Figures, figures: Sequence[Figures]) -> Iterator[list[str]]:
    plain = [one for one in figures if one.name == PLAIN.name and one.best]
    others = [one for one in figures if not one.is_ours and one.name != PLAIN.name and one.best]
    for whose, rivals in (("the plain handler", plain), ("the best peer", others)):
        if not rivals:
            continue
        cells = []
        for scenario in SCENARIOS:
            best = max(rivals, key=lambda one: scenario.worth(one.best[scenario.name]))
            theirs = scenario.worth(best.best[scenario.name])
            ratio = f"**{scenario.worth(ours.best[scenario.name]) / theirs:.1f}**" if theirs else "no answer"
            cells.append(ratio + (f" ({best.name.split()[0]})" if rivals is others else ""))
        memory = ""
        held = [one.held.pss_mb for one in rivals if one.held is not None]
        if ours.held is not None and held:
            memory = f"{ours.held.pss_mb / min(held):.2f}"
        yield [f"{ours.name} × {whose}", *cells, "", memory]


def say(text: str) -> None:
    """Tell a person how far it is."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """Return what a table must say about where it was measured."""
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {datetime.now(tz=UTC):%Y-%m-%d}, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def contenders_for(peers: Sequence[str], engines: Sequence[str], environments: Path) -> list[Contender]:
    """Return the chosen peers, and ours once for each choice of engines."""
    found: list[Contender] = [
        PeerContender(peer=PEERS[name], environments=environments) for name in PEERS if name in peers
    ]
    return [*found, *(OurContender(engines=choice) for choice in engines)]


def run(
    *,
    peers: Sequence[str],
    models: Sequence[str],
    engines: Sequence[str],
    rounds: int,
    seconds: float,
    environments: Path,
) -> dict[str, list[Figures]]:
    """Measure and print; return all figures by model."""
    found: dict[str, list[Figures]] = {}
    where = machine()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in models:
            workload = make_workload(name, Path(folder) / name)
            contenders = contenders_for(peers, engines, environments)
            found[name] = measure_model(workload, contenders, rounds=rounds, seconds=seconds)
            print(f"\n**{name}**: req/s, p50 [p99] in ms\n\n{show_table(found[name])}", flush=True)
    print(f"\n{where}, best of {rounds} rounds of {seconds:.0f} s")
    return found


def end_tidily() -> None:
    """Have SIGTERM end the servers that were started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def names(text: str) -> list[str]:
    """Return the peers that an option names, separated by commas.

    Raises:
        argparse.ArgumentTypeError: There is no such peer.
    """
    chosen = [name for name in text.split(",") if name]
    unknown = [name for name in chosen if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no peer is called {unknown[0]!r}; there are {', '.join(PEERS)}")
    return chosen


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers", type=names, default=list(PEERS), help=f"of {','.join(PEERS)}; all by default"
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--engines",
        nargs="+",
        default=[NATIVE, CHOSEN],
        help="of ours: native, chosen, or one by name, such as onnx",
    )
    parser.add_argument("--rounds", type=int, default=2, help="how many turns each contender gets")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each scenario takes in a round")
    parser.add_argument(
        "--environments", type=Path, default=DEFAULT, help="where the peers' environments are kept"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to a file")
    options = parser.parse_args()
    end_tidily()
    where = machine()
    found = run(
        peers=options.peers,
        models=options.models,
        engines=options.engines,
        rounds=options.rounds,
        seconds=options.seconds,
        environments=options.environments,
    )
    if options.json is not None:
        written = {
            "machine": where,
            "models": {name: [asdict(one) for one in ours] for name, ours in found.items()},
        }
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
