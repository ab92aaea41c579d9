"""Error rates of the statistical gates, by simulation: `python -m bench.gates [--releases 1000] [--write]`.

Each row simulates releases of which the truth is known, and counts how often the gate, called as the deploy function
calls it, answers wrongly. Beside the rate stand the level that the gate promises and the interval that so many releases
leave (exact binomial, 95 %). Of so many rows some miss their level by chance: a rate is called above or below it only
when the interval of 99.9 % does not hold it.
`--write` rewrites gates.md.
"""

from __future__ import annotations

import argparse
import platform
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from bench.gates_releases import (
    Maker,
    Setting,
    Wrong,
    make_classes,
    make_errors,
    make_probabilities,
    make_scores,
    settings,
    verdict_of,
)
from rasen.deploy.gates.distributions import binomial_limits
from rasen.pipeline_gates import DeclaredGate
from rasen.pipeline_gates_statistical import ChampionGate, SliceGate
from stand.judged_rows import evaluation_evidence


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often the answer was wrong."""

    wrong: int
    releases: int

    @property
    def share(self) -> float:
        """The share of releases."""
        return self.wrong / self.releases

    def limits(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact interval of the share."""
        return binomial_limits(self.wrong, self.releases, confidence)

    def beside(self, level: float) -> Literal["below", "at level", "above"]:
        """Return where the share lies beside a level, so that one row in a thousand is wrong about it."""
        low, high = self.limits(0.999)
        return "below" if high < level else "at level" if low <= level else "above"


def simulate(setting: Setting, releases: int) -> list[Rate]:
    """Return how often the gate gives each wrong answer to releases of a kind."""
    random = np.random.default_rng(zlib.crc32(f"{setting.gate} {setting.truth}".encode()))
    outcomes = [setting.outcome(random, number) for number in range(releases)]
    return [
        Rate(wrong=sum(outcome in wrong.outcomes for outcome in outcomes), releases=releases)
        for wrong in setting.wrong
    ]


def seconds_of_a_large_release(rows: int = 100_000) -> dict[str, float]:
    """Return how long each gate takes for so many rows, reading them not included."""
    random = np.random.default_rng(3)
    took: dict[str, float] = {}
    names = random.integers(0, 300, size=rows).astype(str).astype(object)
    gates: list[tuple[DeclaredGate, Maker]] = []
    makers: tuple[tuple[str, Maker], ...] = (
        ("rmse", make_errors),
        ("log_loss", make_probabilities),
        ("accuracy", make_classes),
        ("auc", make_scores),
    )
    for metric, make in makers:
        gates.append((ChampionGate(kind="champion", metric=metric), make))
        gates.append((SliceGate(kind="slice", metric=metric, by="origin", worst=1.5), make))
    gates.append((ChampionGate(kind="champion", metric="accuracy", test="mcnemar"), make_classes))
    gates.append((ChampionGate(kind="champion", metric="rmse", by="origin"), make_errors))
    gates.append((ChampionGate(kind="champion", metric="rmse", confidence=0.99), make_errors))
    for gate, make in gates:
        target, candidate, champion = make(random, rows, 0.01)
        evidence = evaluation_evidence(target, candidate, champion, slices={"origin": names})
        begun = time.perf_counter()
        verdict_of(gate, evidence)
        given = {
            name: value for name, value in gate.model_dump(exclude_defaults=True).items() if name != "kind"
        }
        took[f"{gate.kind} {given}"] = time.perf_counter() - begun
    return took


_HEAD = """\
# Error rates of the statistical gates

Written by `PYTHONPATH=tests python -m bench.gates --releases {releases} --write`; {machine}.

Each row simulates {releases} releases of which the truth is known and counts the wrong answers of the gate, called as
the deploy function calls it. *Level* is what the gate promises; the interval is what {releases} releases leave of the
rate (exact binomial, 95 %). One row in twenty misses its level by chance, so a rate is called above or below only when
the interval of 99.9 % does not hold the level. A gate below its level is more careful than it must be: that of slices
holds it for all slices together, and most of them are far from what is allowed.
Rows without a level tell what the gate answers to a difference of that size.

| gate | truth | answer | level | rate | interval | |
|---|---|---|---|---|---|---|
"""

_SPEED = """
## Speed

One judgement of 100,000 evaluation rows with 300 slices, the rows in memory; reading them from Parquet comes to it.

| gate | seconds |
|---|---|
"""


def show(setting: Setting, wrong: Wrong, rate: Rate) -> str:
    """Return a line of the table."""
    low, high = rate.limits()
    level = remark = ""
    if wrong.level is not None:
        level = f"{wrong.level:.2%}"
        remark = rate.beside(wrong.level)
    return (
        f"| {setting.gate} | {setting.truth} | {wrong.told} | {level} | {rate.share:.1%} | "
        f"{low:.1%} to {high:.1%} | {remark} |"
    )


def main() -> None:
    """Simulate, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(prog="bench.gates")
    parser.add_argument("--releases", type=int, default=1000)
    parser.add_argument("--only", nargs="+", default=[""], help="settings whose gate contains one of these")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = []
    for setting in settings():
        if any(each in setting.gate for each in given.only):
            rates = simulate(setting, given.releases)
            lines += [show(setting, *each) for each in zip(setting.wrong, rates, strict=True)]
            print("\n".join(lines[-len(rates) :]), flush=True)
    speed = [f"| {name} | {seconds:.2f} |" for name, seconds in seconds_of_a_large_release().items()]
    print("\n".join(speed))
    if given.write:
        machine = f"Python {platform.python_version()}, NumPy {np.__version__}, {datetime.now(UTC):%Y-%m-%d}"
        head = _HEAD.format(releases=given.releases, machine=machine)
        text = head + "\n".join(lines) + "\n" + _SPEED + "\n".join(speed) + "\n"
        (Path(__file__).parent / "gates.md").write_text(text)


if __name__ == "__main__":
    main()
