"""platform/gates.md: each sentence that it shows is one that a gate says, and each kind and key has its place."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rasen.deploy.evidence import Evidence
from rasen.deploy.gates import judge
from rasen.pipeline_gates import GATES, DeclaredGate
from rasen.pipeline_gates_statistical import ChampionGate, HistoryGate, SliceGate
from stand.judged_rows import evaluation_evidence, history_evidence, past_version
from stand.repository import ROOT

TEXT = (ROOT / "platform" / "gates.md").read_text()
SENTENCES = " ".join(TEXT.split())


def released(worse: float, *, rows: int = 4000, bad: str = "") -> Evidence:
    """Return a candidate whose rmse is so much worse than the live one's, and still worse at one airport."""
    random = np.random.default_rng(9)
    origin = np.array([("EWR", "JFK", "LGA", "SFO", "tiny")[row % 5] for row in range(rows)], dtype=object)
    origin[(origin == "tiny") & (np.arange(rows) > 200)] = "JFK"
    target = random.normal(20, 5, size=rows)
    shared = random.normal(size=rows)
    candidate, champion = (2 * shared + random.normal(size=rows) for _ in range(2))
    candidate = candidate * np.where(origin == bad, 2.6, 1.0) * (1 + worse)
    hours = np.datetime64("2026-02-10", "us") + np.arange(rows) * np.timedelta64(1, "h")
    return evaluation_evidence(
        target,
        target + candidate,
        target + champion,
        slices={"origin": origin},
        time=hours,
        trained_until="2026-02-09T00:00:00Z",
    )


def nightly(value: float, *, last: float | None = None) -> Evidence:
    """Return a candidate after twenty nights."""
    now = datetime(2026, 3, 2, 4, 10, tzinfo=UTC)
    usual = [2.6 + 0.02 * ((night * 7) % 5) for night in range(20)]
    usual[3] = last or usual[3]
    past = [past_version(each, at=now - timedelta(days=night + 1)) for night, each in enumerate(usual)]
    return history_evidence(value, past, at=now)


CHAMPION = ChampionGate(kind="champion", metric="rmse", margin=0.02)
HISTORY = HistoryGate(kind="history", metric="rmse")
SLICE = SliceGate(kind="slice", metric="rmse", by="origin")


@pytest.mark.parametrize(
    ("gate", "evidence"),
    [
        (CHAMPION, released(-0.05)),
        (CHAMPION, released(-0.01)),
        (CHAMPION, released(0.1)),
        (CHAMPION, released(0.02)),
        (HISTORY, nightly(2.66)),
        (HISTORY, nightly(3.1)),
        (HISTORY, nightly(3.1, last=19.0)),
        (SLICE, released(0.0)),
        (SLICE, released(0.0, bad="LGA")),
    ],
)
def test_the_document_shows_what_gates_say(gate: DeclaredGate, evidence: Evidence) -> None:
    (found,) = judge([gate], evidence)
    line = f"gate {found.gate}: {found.answer} {found.reason}"
    assert line in SENTENCES, line


@pytest.mark.parametrize("kind", sorted(GATES))
def test_every_kind_is_in_the_table(kind: str) -> None:
    assert f"| [`{kind}`](" in TEXT


@pytest.mark.parametrize("model", [ChampionGate, HistoryGate, SliceGate])
def test_every_key_stands_in_its_section(model: type[ChampionGate | HistoryGate | SliceGate]) -> None:
    kind = model.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]  # it is a Literal
    section = TEXT.split(f"\n## `{kind}`\n", 1)[1].split("\n## ", 1)[0]
    keys = set(model.model_fields) - {"kind", "metric", "direction", "metric_kind"}
    assert [key for key in sorted(keys) if not re.search(f"`{key}[`:]", section)] == []
