"""What gates are given, without a store: rows in memory and versions that never ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from rasen.deploy.evidence import Evaluation, Evidence, PastVersion, Version
from rasen.deploy.gates.measured import Measured
from rasen.tracking.ledger_records import Action, GateVerdict
from rasen.tracking.records import Metric, PublishedModel, Qualification

CANDIDATE = "20260301T000000000Z-aaaaaaaaaaaa"
LIVE = "20260201T000000000Z-bbbbbbbbbbbb"


def version(run: str, *, trained_until: str | None = None) -> Version:
    """Return a published version without files."""
    fields: dict[str, Any] = {  # Any: as PublishedModel reads them
        "files": {},
        "schema": {},
        "trained_until": trained_until,
        "qualification": Qualification(champion=None, engine="native", evaluation=None),
    }
    return Version(run=run, pipeline="demand", model=PublishedModel.model_validate(fields))


def evaluation_evidence(
    target: np.ndarray,
    candidate: np.ndarray | None,
    champion: np.ndarray | None,
    *,
    run: str = CANDIDATE,
    time: np.ndarray | None = None,
    slices: Mapping[str, np.ndarray] | None = None,
    trained_until: str | None = None,
    qualified: object = None,
) -> Evidence:
    """Return the evidence of a candidate that was run beside the live version on these rows.

    Args:
        target: What happened.
        candidate: The candidate's predictions.
        champion: The live version's predictions.
        run: The candidate's id.
        time: Of the rows.
        slices: Slice columns.
        trained_until: Of the live version.
        qualified: What `_qualify` says of the live version; by default that it was run.
    """
    rows = Evaluation(
        target=target, prediction=candidate, champion=champion, profile=None, time=time, slices=slices or {}
    )
    said = {"run": LIVE, "evaluated": True, "reason": ""} if qualified is None else qualified
    return Evidence(
        measured=Measured([]),
        candidate=version(run),
        champion=version(LIVE, trained_until=trained_until),
        qualification={"champion": said},
        read_evaluation=lambda: rows,
    )


def past_version(
    value: float,
    *,
    at: datetime = datetime(2026, 2, 1, tzinfo=UTC),
    action: Action = "deploy",
    verdict: GateVerdict | None = None,
    taken_back: bool = False,
    metric: str = "rmse",
) -> PastVersion:
    """Return an earlier version with one metric."""
    return PastVersion(
        run=LIVE,
        number=1,
        action=action,
        at=at,
        metrics={metric: value},
        verdicts=() if verdict is None else (verdict,),
        taken_back=taken_back,
    )


def history_evidence(
    value: float, past: Sequence[PastVersion], *, at: datetime | None = None, metric: str = "rmse"
) -> Evidence:
    """Return the evidence of a candidate with one metric, and earlier versions, newest first."""
    metrics = [Metric(name=metric, value=value)]
    return Evidence(
        measured=Measured(metrics), metrics=metrics, candidate=version(CANDIDATE), at=at, past=past
    )
