"""The held-out rows that a gate may compare on: what happened, what the candidate says, what the live version said.

What makes the rows useless for a comparison is found here, once: rows that the live version was trained on, a version
that could not be run on them, predictions that are no numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rasen.deploy.gates.measured import Unmeasured
from rasen.errors import InvalidInput
from rasen.model.metrics import LOSSES

if TYPE_CHECKING:
    import numpy as np

    from rasen.deploy.evidence import Evaluation, Evidence


LEAST_OF_A_CLASS = 10
_NUMBERS = "biuf"


class Incomparable(Unmeasured):
    """The candidate can be measured, but not compared with the live version on these rows."""

    def __init__(self, message: str, *, rows: int | None = None, wrong: int | None = None) -> None:
        super().__init__(message, "inconclusive")
        counts = {"rows": rows, "wrong_rows": wrong}
        self.numbers = {name: float(count) for name, count in counts.items() if count is not None}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows with what happened and what was said; every array has one entry a row."""

    target: np.ndarray
    candidate: np.ndarray
    champion: np.ndarray | None

    def __len__(self) -> int:
        return len(self.target)


def seed_of(evidence: Evidence) -> int:
    """Return the seed of all random draws about a candidate: deciding twice gives the same record."""
    run = evidence.candidate.run if evidence.candidate is not None else ""
    return int.from_bytes(hashlib.sha256(run.encode()).digest()[:8], "big")


def candidate_rows(evaluation: Evaluation) -> Rows:
    """Return the rows with the candidate's predictions alone.

    Raises:
        Unmeasured: There are none, or a prediction is no finite number.
    """
    if evaluation.prediction is None:
        raise Unmeasured(
            "a model of several outputs has no single prediction to compute a metric from", "missing"
        )
    _check_length("predictions of the candidate", evaluation.prediction, evaluation.rows)
    if not evaluation.rows:
        raise Unmeasured("the evaluation has no rows", "missing")
    for what, values in (
        ("the target", evaluation.target),
        ("the candidate's prediction", evaluation.prediction),
    ):
        wrong = _count_not_finite(values)
        if wrong:
            raise Unmeasured(
                f"{what} is missing, NaN or infinite in {wrong} of {evaluation.rows} evaluation rows",
                "not finite",
            )
    return Rows(target=evaluation.target, candidate=evaluation.prediction, champion=None)


def paired_rows(evidence: Evidence) -> Rows:
    """Return the rows with both versions' predictions; there is a live version.

    Raises:
        Unmeasured: The candidate's own rows are missing or wrong.
        Incomparable: The live version was not run on them, or was trained on some of them.
    """
    if evidence.champion is None:
        raise Incomparable(f"the live version cannot be looked at: {evidence.champion_problem}")
    evaluation = evidence.evaluation
    own = candidate_rows(evaluation)
    _check_was_evaluated(evidence.qualification.get("champion"), evidence.champion.run)
    if evaluation.champion is None:
        raise Incomparable("the live version has no predictions on the evaluation rows", rows=len(own))
    _check_length("predictions of the live version", evaluation.champion, len(own))
    _check_leakage(evaluation, evidence.champion.run, evidence.champion.model.trained_until)
    wrong = _count_not_finite(evaluation.champion)
    if wrong:
        raise Incomparable(
            f"the live version's prediction is missing, NaN or infinite in {wrong} of {len(own)} evaluation rows",
            rows=len(own),
            wrong=wrong,
        )
    return Rows(target=own.target, candidate=own.candidate, champion=evaluation.champion)


def candidate_losses(metric: str, rows: Rows) -> np.ndarray:
    """Return what each row adds to a metric of the candidate that is the mean of a loss.

    Raises:
        Unmeasured: The metric is not defined for these rows, or is too large to be a number.
    """
    try:
        return _losses(metric, rows.target, rows.candidate)
    except InvalidInput as error:
        raise Unmeasured(f"{metric} of the candidate: {error}", "not defined") from None


def champion_losses(metric: str, rows: Rows) -> np.ndarray:
    """Return what each row adds to a metric of the live version that is the mean of a loss.

    Raises:
        Incomparable: The metric is not defined for these rows, or is too large to be a number.
    """
    assert rows.champion is not None
    try:
        return _losses(metric, rows.target, rows.champion)
    except InvalidInput as error:
        raise Incomparable(f"{metric} of the live version: {error}", rows=len(rows)) from None


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Rows of two classes with the scores that rank them; `happened` is true for class 1."""

    happened: np.ndarray
    candidate: np.ndarray
    champion: np.ndarray | None


def ranked_rows(rows: Rows) -> Scores:
    """Return the rows as areas under the curve need them.

    Raises:
        Unmeasured: The target is not 0 and 1, or the candidate's scores are no numbers.
        Incomparable: There are too few rows of a class, or the live version's scores are no numbers.
    """
    import numpy as np

    if rows.target.dtype.kind not in _NUMBERS or not np.isin(rows.target, (0, 1)).all():
        raise Unmeasured("auc needs a target of 0 and 1", "not defined")
    if rows.candidate.dtype.kind not in _NUMBERS:
        raise Unmeasured(
            f"auc of the candidate: scores of type {rows.candidate.dtype} are no numbers", "not defined"
        )
    happened = rows.target == 1
    ones = int(happened.sum())
    if min(ones, len(rows) - ones) < LEAST_OF_A_CLASS:
        raise Incomparable(
            f"{ones} rows of class 1 and {len(rows) - ones} of class 0 are too few for auc, which needs "
            f"{LEAST_OF_A_CLASS} of each",
            rows=len(rows),
        )
    champion = rows.champion
    if champion is not None and champion.dtype.kind not in _NUMBERS:
        raise Incomparable(
            f"auc of the live version: scores of type {champion.dtype} are no numbers", rows=len(rows)
        )
    return Scores(
        happened=happened,
        candidate=rows.candidate.astype("float64"),
        champion=None if champion is None else champion.astype("float64"),
    )


def _losses(metric: str, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    import numpy as np

    with np.errstate(all="ignore"):
        found = LOSSES[metric](target, prediction)
        if not np.isfinite(found.sum()):
            raise InvalidInput(f"too large for a number, some rows are wrong by {np.sqrt(found.max()):.3g}")
    return found


# `champion` is JSON of rasen.model.qualification: looked at before it is believed.
def _check_was_evaluated(champion: object, live: str) -> None:
    if not isinstance(champion, Mapping):
        raise Incomparable(f"the qualification did not run the live version {live}")
    if champion.get("run") != live:
        raise Incomparable(f"the qualification ran {str(champion.get('run'))[:60]}, but {live} is live now")
    if champion.get("evaluated") is not True:
        reason = str(champion.get("reason") or "no reason is given")[:300]
        raise Incomparable(f"the live version could not be run on the evaluation rows: {reason}")


def _check_leakage(evaluation: Evaluation, live: str, trained_until: str | None) -> None:
    """Refuse rows that the live version may have been trained on; a row without a time may be one."""
    import numpy as np

    if evaluation.time is None or not trained_until:
        return
    _check_length("times", evaluation.time, evaluation.rows)
    try:
        until = datetime.fromisoformat(trained_until)
    except ValueError:
        raise Incomparable(
            f"leakage cannot be ruled out: trained_until of the live version is {trained_until[:40]!r}, no time"
        ) from None
    if until.tzinfo is not None:
        until = until.astimezone(UTC).replace(tzinfo=None)
    seen = int((~(evaluation.time > np.datetime64(until, "us"))).sum())
    if seen:
        raise Incomparable(
            f"leakage: {seen} of {evaluation.rows} evaluation rows are not later than {trained_until[:40]}, until when "
            f"the live version {live} was trained",
            rows=evaluation.rows,
            wrong=seen,
        )


def _check_length(what: str, values: np.ndarray, rows: int) -> None:
    if values.shape != (rows,):
        raise Unmeasured(
            f"the evaluation rows do not match: {' × '.join(map(str, values.shape))} {what} for {rows} rows",
            "rows do not match",
        )


def _count_not_finite(values: np.ndarray) -> int:
    import numpy as np

    if values.dtype.kind in "fc":
        return int((~np.isfinite(values)).sum())
    if values.dtype.kind == "O":
        # NaN is the value that is not equal to itself; an infinity among texts is a class of its own.
        return sum(value is None or bool(value != value) for value in values)  # noqa: PLR0124  it is the test for NaN
    return int(np.isnat(values).sum()) if values.dtype.kind in "mM" else 0
