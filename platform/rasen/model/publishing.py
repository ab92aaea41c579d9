"""What `rasen.publish` does in the kernel: check everything that can be checked here, and make the files.

An analyst learns at once, in the cell, what would otherwise be refused minutes later: the example is run, its rows
go through JSON and back as in serving and must get the same answers, the profile must answer them too, the
evaluation rows must be whole and later than the training. Loading in a fresh process is left to the qualification.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.data.columns import ColumnType
from rasen.errors import InvalidInput, ModelFailed, PublishError
from rasen.model.derive import derive_inputs
from rasen.model.dtypes import classify
from rasen.model.fallback import can_answer
from rasen.model.frames import conform, to_frame, to_values
from rasen.model.pickling import pickle_model
from rasen.model.predictions import Predictions, difference, output_of, predict, predictor, to_json
from rasen.model.profile import Profile
from rasen.model.schema import Column, ModelSchema

if TYPE_CHECKING:
    import pandas as pd

MOST_EXAMPLE_ROWS = 100
_KEY_TYPES: dict[ColumnType, type] = {
    ColumnType.BOOL: bool,
    ColumnType.INT64: int,
    ColumnType.FLOAT64: int,  # a whole float of a request finds the integer key
    ColumnType.STRING: str,
    ColumnType.DATE: str,
}


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The files of a model that passed every check of this process."""

    schema: ModelSchema
    model: bytes
    example: bytes
    profile: bytes | None
    evaluation: bytes | None
    target: str | None
    time: str | None
    slices: tuple[str, ...]
    trained_until: str | None


def prepare(
    model: object,
    *,
    example: object,
    folder: Path,
    profile: object = None,
    evaluation: object = None,
    target: str | None = None,
    time: str | None = None,
    slices: Sequence[str] = (),
    trained_until: str | date | datetime | None = None,
) -> Publication:
    """Check a model and what is to be published beside it, and return the files.

    Args:
        model: Anything with `predict(DataFrame)`, or a function of a DataFrame.
        example: A few rows as the model gets them.
        folder: The notebook's folder.
        profile: A `Profile`, or its JSON.
        evaluation: Held-out rows with the inputs, the target, the time and the slice columns.
        target: The column of `evaluation` that is predicted.
        time: The column of `evaluation` that says when: dates, or instants.
        slices: Columns of `evaluation` by whose values metrics are also computed.
        trained_until: When the newest training row happened; by default the time of the earliest evaluation row.

    Raises:
        PublishError: Something cannot be served or judged; the message says what, and what would be right.
    """
    if isinstance(model, type):
        raise PublishError(f"the class {model.__name__} cannot be published; give an object of it")
    if predictor(model) is None:
        raise PublishError(
            f"{type(model).__name__} cannot be published: it needs a predict(DataFrame), or must be a function of "
            "a DataFrame"
        )
    rows = _frame("example", example)
    if not 0 < len(rows) <= MOST_EXAMPLE_ROWS:
        raise PublishError(
            f"the example has {len(rows)} rows; give 1 to {MOST_EXAMPLE_ROWS}, for example X.head(3)"
        )
    held_out = None if evaluation is None else _frame("evaluation", evaluation)
    _check_evaluation(rows, held_out, target=target, time=time, slices=slices)
    try:
        inputs = derive_inputs(rows, held_out)
    except InvalidInput as error:
        raise PublishError(str(error)) from None
    rows = rows.reset_index(drop=True)
    predictions = _run_example(model, rows)
    schema = ModelSchema(inputs=inputs, output=output_of(predictions))
    values = _check_round_trip(model, schema, rows, predictions)
    baseline = None if profile is None else _check_profile(profile, schema, values, rows=len(rows))
    return Publication(
        schema=schema,
        model=pickle_model(model, folder=folder),
        example=_json({"format": 1, "columns": values, "predictions": to_json(predictions)}),
        profile=None if baseline is None else _json(baseline.to_dict()),
        evaluation=None if held_out is None else _evaluation_bytes(schema, held_out, target, time, slices),
        target=target,
        time=time,
        slices=tuple(slices),
        trained_until=_trained_until(trained_until, held_out, time),
    )


def _frame(name: str, value: object) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise PublishError(f"{name} is {type(value).__name__}; it must be a DataFrame")
    return value


def _run_example(model: object, example: pd.DataFrame) -> Predictions:
    try:
        return predict(model, example.copy())
    except ModelFailed as error:
        raise PublishError(f"the example cannot be predicted: {error}") from (error.__cause__ or error)


def _check_round_trip(
    model: object, schema: ModelSchema, example: pd.DataFrame, predictions: Predictions
) -> dict[str, list[object]]:
    """Send the example through JSON, as a client would, and compare the answers; return its JSON values."""
    try:
        values = to_values(schema, conform(schema, example))
        again = predict(model, to_frame(schema, values), schema.output)
    except InvalidInput as error:
        raise PublishError(f"the example cannot be sent as a request: {error}") from None
    except ModelFailed as error:
        raise PublishError(f"the example cannot be predicted after it was sent as a request: {error}") from (
            error.__cause__ or error
        )
    differs = difference(predictions, again)
    if differs is not None:
        raise PublishError(
            f"the same rows sent as a request get another answer ({differs}): the model depends on more than the "
            "columns' values, for example on the index, on chance or on earlier calls"
        )
    return values


def _check_profile(
    profile: object, schema: ModelSchema, values: dict[str, list[object]], *, rows: int
) -> Profile:
    if isinstance(profile, dict):
        try:
            profile = Profile.from_dict(profile)
        except InvalidInput as error:
            raise PublishError(str(error)) from None
    if not isinstance(profile, Profile):
        raise PublishError(f"profile is {type(profile).__name__}; rasen.build_profile makes one")
    columns = {column.name: column for column in schema.inputs}
    for position, name in enumerate(profile.by):
        if name not in columns:
            raise PublishError(
                f"the profile groups by {name!r}, which is no column of the example ({', '.join(schema.names)}): "
                "serving could not tell the group of a request"
            )
        _check_keys(profile, columns[name], position)
    if not can_answer(schema.output):
        raise PublishError(
            "a profile answers one number a row, the model does not; publish a model of one number, "
            "for example a function that returns a probability, or leave the profile away"
        )
    profile.predict_columns(values, rows=rows)
    return profile


def _check_keys(profile: Profile, column: Column, position: int) -> None:
    expected = _KEY_TYPES.get(column.type)
    found = {type(key[position]) for key in profile.levels if len(key) > position}
    if expected is None or not found <= {expected}:
        kinds = ", ".join(sorted(kind.__name__ for kind in found))
        raise PublishError(
            f"the profile's groups of {column.name!r} are {kinds}, requests carry {column.type.value}: "
            "they would never meet"
        )


def _check_evaluation(
    example: pd.DataFrame,
    evaluation: pd.DataFrame | None,
    *,
    target: str | None,
    time: str | None,
    slices: Sequence[str],
) -> None:
    if isinstance(slices, str):
        raise PublishError(f"slices={slices!r} must be a list: slices=[{slices!r}]")
    if evaluation is None:
        for name, value in (("target", target), ("time", time), ("slices", [*slices])):
            if value:
                raise PublishError(
                    f"{name}={value!r} names a column of evaluation, but no evaluation was given"
                )
        return
    if target is None:
        raise PublishError("evaluation was given without target, the name of the column that is predicted")
    if target in example.columns:
        raise PublishError(
            f"the target {target!r} is a column of the example: the model would be told the answer"
        )
    if not len(evaluation):
        raise PublishError("evaluation has no rows")
    if not evaluation.columns.is_unique:
        raise PublishError(f"evaluation has columns of the same name: {list(evaluation.columns)!r}")
    wanted = [*example.columns, target, *([time] if time else []), *slices]
    missing = [name for name in wanted if name not in evaluation.columns]
    if missing:
        raise PublishError(
            f"evaluation lacks the column {missing[0]!r}; it needs the example's columns, the target, the time "
            "and the slices"
        )
    _check_column(evaluation, "target", target, set(ColumnType) - {ColumnType.DATE, ColumnType.TIMESTAMP})
    if time:
        _check_column(evaluation, "time", time, {ColumnType.DATE, ColumnType.TIMESTAMP})
    for name in slices:
        _check_column(
            evaluation, "slice", name, {ColumnType.BOOL, ColumnType.INT64, ColumnType.STRING}, nulls=True
        )


def _check_column(
    frame: pd.DataFrame, role: str, name: str, allowed: set[ColumnType], *, nulls: bool = False
) -> None:
    import numpy as np

    try:
        kind, _ = classify(frame[name], where=f"{role} {name!r}")
    except InvalidInput as error:
        raise PublishError(str(error)) from None
    if kind not in allowed:
        choices = ", ".join(sorted(each.value for each in allowed))
        raise PublishError(f"{role} {name!r} of evaluation is {kind.value}; it must be one of {choices}")
    missing = int(frame[name].isna().sum())
    if missing and not nulls:
        raise PublishError(
            f"{role} {name!r} of evaluation is missing in {missing} of {len(frame)} rows; drop them"
        )
    if kind is ColumnType.FLOAT64 and not np.isfinite(frame[name].to_numpy(dtype="float64")).all():
        raise PublishError(f"{role} {name!r} of evaluation holds infinity")


def _evaluation_bytes(
    schema: ModelSchema, evaluation: pd.DataFrame, target: str | None, time: str | None, slices: Sequence[str]
) -> bytes:
    try:
        frame = conform(schema, evaluation)
    except InvalidInput as error:
        raise PublishError(f"evaluation: {error}") from None
    for name in (target, time, *slices):
        if name is not None and name not in frame.columns:
            frame[name] = evaluation[name].reset_index(drop=True)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _trained_until(
    given: str | date | datetime | None, evaluation: pd.DataFrame | None, time: str | None
) -> str | None:
    """Return the instant of the newest training row in ISO form, UTC, and check that every evaluation row is later."""
    earliest: datetime | None = None
    if evaluation is not None and time is not None:
        earliest = _utc(evaluation[time].min().to_pydatetime())
    if given is None:
        return None if earliest is None else _iso(earliest)
    instant = _instant(given)
    if earliest is not None and earliest <= instant:
        raise PublishError(
            f"the earliest evaluation row is of {_iso(earliest)}, not later than trained_until={_iso(instant)}, "
            "the time of the newest training row: the model would be judged on rows that it was trained on"
        )
    return _iso(instant)


def _instant(given: object) -> datetime:
    if isinstance(given, str):
        try:
            parsed = datetime.fromisoformat(given)
        except ValueError:
            raise PublishError(
                f"trained_until={given!r} is not a time; one looks like '2013-08-31' or '2013-08-31T23:00:00Z'"
            ) from None
        if parsed.tzinfo is None and len(given) > len("2013-08-31"):
            raise PublishError(
                f"trained_until={given!r} has no time zone; write {given + 'Z'!r} if it is UTC"
            )
        return _utc(parsed)
    if isinstance(given, datetime):
        return _utc(given)
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    raise PublishError(
        f"trained_until={given!r} is {type(given).__name__}; it must be a date, an instant or ISO text"
    )


def _utc(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _iso(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat() + "Z"


def _json(document: object) -> bytes:
    return json.dumps(document, allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode()
