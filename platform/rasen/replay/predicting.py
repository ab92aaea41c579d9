"""`rasen predict`: rows that somebody has, on the live version of an endpoint or on any others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasen.errors import InvalidInput, RasenError
from rasen.replay.asking import DEFAULT_SECONDS, Answer, Answered, Question, ask_versions
from rasen.replay.calls import NATIVE, AskedRow
from rasen.replay.differences import Comparison, compare_answers
from rasen.replay.inputs import Input, rows_for
from rasen.replay.versions import Ledger, NamedVersion
from rasen.settings import Settings

Rows = list[dict[str, Any]]  # Any: JSON values


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Rows and what each version says to them.

    Args:
        endpoint: Whose versions.
        rows: The inputs, as the first version that takes them does.
        answered: What became of each version, in the order in which they were named.
        comparisons: Of the first version that answers with each later one, by the later one's place.
    """

    endpoint: str
    rows: Rows
    answered: list[Answered]
    comparisons: dict[int, Comparison] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The place of the version that the others are compared with."""
        return next(place for place, one in enumerate(self.answered) if _answers(one))


def predict_input(
    settings: Settings, endpoint: str, given: Input, *, versions: str = "", seconds: float = DEFAULT_SECONDS
) -> Predicted:
    """Ask versions of an endpoint for the rows in a file.

    Args:
        settings: Where the endpoint is.
        endpoint: Its name.
        given: The rows.
        versions: Ledger numbers and runs with commas; the live version when there are none.
        seconds: How long each version may take.

    Raises:
        NotFound: The endpoint or a version does not exist.
        InvalidInput: No version takes the rows.
        RasenError: No version answers; it is the first one's error.
    """
    ledger = Ledger(settings, endpoint)
    named = ledger.find_all(versions) if versions else [ledger.find()]
    rows, answered = ask_each(settings, ledger, named, given, seconds=seconds)
    if not any(map(_answers, answered)):
        raise _first_failure(answered)
    predicted = Predicted(endpoint=endpoint, rows=rows, answered=answered)
    base = predicted.first
    for place, one in enumerate(answered):
        if place > base:
            predicted.comparisons[place] = compare_answers(answered[base].answers, one.answers)
    return predicted


def ask_each(
    settings: Settings, ledger: Ledger, named: Sequence[NamedVersion], given: Input, *, seconds: float
) -> tuple[Rows, list[Answered]]:
    """Ask each version for the rows of an input as its own schema has them; whatever is wrong is that version's.

    Returns:
        The rows as the first version that takes them has them, and what became of each version.
    """
    rows: Rows = []
    questions: dict[int, Question] = {}
    refused: dict[int, Answered] = {}
    for place, version in enumerate(named):
        try:
            taken = rows_for(ledger.verify(version).schema, given)
        except RasenError as error:
            refused[place] = Answered(version=version, answers=[], failure=error)
            continue
        rows = rows or taken
        texts = [json.dumps(row) for row in taken]
        questions[place] = Question(
            version=version, rows=[AskedRow(text=text, request=0, engine=NATIVE) for text in texts]
        )
    found = ask_versions(settings, ledger, list(questions.values()), seconds=seconds)
    answered = dict(zip(questions, found, strict=True))
    for place, one in refused.items():
        nothing = [Answer(problem=str(one.failure))] * len(rows)
        answered[place] = Answered(version=one.version, answers=nothing, failure=one.failure)
    return rows, [answered[place] for place in range(len(named))]


def write_answers(path: Path, predicted: Predicted) -> None:
    """Write inputs and answers as a table, CSV or Parquet as the suffix says; a column for each version.

    Raises:
        InvalidInput: The suffix is neither, or the file cannot be written.
    """
    check_table_file(path)
    table: dict[str, list[Any]] = {name: [row[name] for row in predicted.rows] for name in predicted.rows[0]}
    for one in predicted.answered:
        many = len(predicted.answered) > 1
        name = f"prediction {one.version.name}" if many else "prediction"
        fields = next((list(a.value) for a in one.answers if isinstance(a.value, dict)), None)
        for key in fields or [""]:
            table[f"{name}.{key}" if key else name] = [
                answer.value.get(key) if key and isinstance(answer.value, dict) else answer.value
                for answer in one.answers
            ]
        if any(answer.problem for answer in one.answers):
            table[f"{name} problem"] = [answer.problem or None for answer in one.answers]
    write_table(path, table)


def check_table_file(path: Path) -> None:
    """Refuse a file for a table that is neither CSV nor Parquet.

    Raises:
        InvalidInput: It is.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InvalidInput(f"{str(path)!r} is no file for a table: its name must end in .csv or .parquet")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(
            f"{str(path)!r} cannot be written: there is no folder {str(path.absolute().parent)!r}"
        )


def write_table(path: Path, table: dict[str, list[Any]]) -> None:  # Any: JSON values
    """Write columns as CSV or Parquet.

    Raises:
        InvalidInput: The file cannot be written.
    """
    import pandas as pd

    frame = pd.DataFrame(table)
    try:
        if path.suffix.lower() == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be written: {error.strerror or error}") from None


def _answers(one: Answered) -> bool:
    return any(not answer.problem for answer in one.answers)


def _first_failure(answered: Sequence[Answered]) -> RasenError:
    failure = next((one.failure for one in answered if one.failure is not None), None)
    if failure is not None:
        return failure
    problem = next(answer.problem for one in answered for answer in one.answers)
    return InvalidInput(f"version {answered[0].version.label} answers none of the rows: {problem}")
