"""The functions a notebook calls: thin, typed, the same under batch and cell by cell.

Each leaves its files and then one record in the step's staging folder (`recorder.py`); none knows a bucket, a path or
an environment. Run by hand the same cells check the same things, and say that nothing was published.
"""

from __future__ import annotations

import hashlib
import io
import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasen.errors import InvalidInput, NotFound, PlatformFailed, PublishError
from rasen.reads import read_file, read_sql
from rasen.recorder import Context, JudgedVersion, Recorder, recorder
from rasen.tracking.ids import check_name

__all__ = [
    "check",
    "load_model",
    "load_table",
    "log_figure",
    "log_metrics",
    "publish",
    "read_file",
    "read_sql",
    "save_table",
]

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rasen.model.loading import LoadedModel
    from rasen.model.profile import Profile

_FIGURE_DPI = 120


def check(df: pd.DataFrame, schema: object) -> pd.DataFrame:
    """Return the table as a pandera schema has it, or end the run as `validation_failed`, listing every failure.

    Args:
        df: The table.
        schema: A pandera `DataFrameSchema`, or a class derived from its `DataFrameModel`.

    Raises:
        ValidationFailed: Some rows or columns are not what the schema states.
        InvalidInput: This is no table, or no schema.
    """
    from rasen.data import checks

    return checks.check(df, schema)


def save_table(name: str, df: pd.DataFrame) -> None:
    """Save a table for the steps that need this one; they get the same dtypes back from `load_table`.

    Args:
        name: Lower-case letters, digits and underscores.
        df: Columns of bool, integers, floats, text, category, dates or instants; a plain numbering as index.

    Raises:
        InvalidInput: The name or a column cannot be used.
        PublishError: This is a gate notebook.
        PlatformFailed: The disk is full.
    """
    import pandas as pd

    from rasen.saved_tables import write_saved_table

    check_name("table", name)
    if not isinstance(df, pd.DataFrame):
        raise InvalidInput(f"table {name!r} is {type(df).__name__}; save_table takes a DataFrame")
    into = recorder()
    _refuse_in_gate(into.context, f"save_table({name!r})")
    scratch = into.path(f"tables/.{name}.parquet")
    write_saved_table(scratch, df, name=name)
    digest = _sha256(scratch)
    if into.context.interactive:
        _replace_copy(scratch, into.context.inputs / "tables" / f"{name}.parquet")
    relative = f"tables/{digest}.parquet"
    scratch.replace(into.path(relative))
    into.append("table", name=name, path=relative, rows=len(df))


def load_table(name: str) -> pd.DataFrame:
    """Return a table that this step or one that it needs has saved.

    Raises:
        NotFound: There is none of that name; the message lists those there are.
    """
    from rasen.saved_tables import read_saved_table

    source = recorder()
    tables = {path.stem: path for path in sorted((source.context.inputs / "tables").glob("*.parquet"))}
    tables |= {
        record["name"]: source.context.staging / record["path"]
        for record in source.records()
        if record["kind"] == "table"
    }
    if name not in tables:
        advice = (
            "run the notebook that saves it first"
            if source.context.interactive
            else "the step that saves it must stand under `needs:` of this step in pipeline.yaml"
        )
        raise NotFound(
            f"there is no table {name!r}; there are: {', '.join(sorted(tables)) or 'none'}; {advice}"
        )
    return read_saved_table(tables[name])


def log_metrics(slice: Mapping[str, object] | None = None, **metrics: object) -> None:  # noqa: A002  # the analyst's word
    """Record numbers: `rasen.log_metrics(rmse=3.1, profile_rmse=4.0)`.

    Args:
        slice: The part of the rows that the numbers are of, for example `{"origin": "JFK"}`; all rows by default.
        metrics: Numbers by name. A number that is not finite is recorded as such, and fails every gate.

    Raises:
        InvalidInput: A name or a value cannot be a metric.
    """
    if not metrics:
        raise InvalidInput("log_metrics was given no number; one writes log_metrics(rmse=3.1)")
    part = _slice(slice or {})
    values = {check_name("metric", name): _number(name, value) for name, value in metrics.items()}
    into = recorder()
    for name, value in values.items():
        into.append("metric", name=name, value=value if math.isfinite(value) else str(value), slice=part)


def log_figure(fig: Figure | Axes, name: str) -> None:
    """Keep a matplotlib figure as a PNG beside the run.

    Args:
        fig: The figure, or the axes of one.
        name: Lower-case letters, digits and underscores; the same name again replaces the figure.

    Raises:
        InvalidInput: The name cannot be used, or this is no figure.
    """
    check_name("figure", name)
    drawn: Any = fig if hasattr(fig, "savefig") else getattr(fig, "figure", None)  # Any: an Axes has a figure
    if not hasattr(drawn, "savefig"):
        raise InvalidInput(
            f"log_figure takes a matplotlib figure, not {type(fig).__name__}: log_figure(fig, {name!r})"
        )
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=_FIGURE_DPI, bbox_inches="tight", metadata={"Software": None})
    into = recorder()
    into.append("figure", name=name, path=into.write(f"figures/{name}.png", buffer.getvalue()))


def publish(
    model: object,
    *,
    example: pd.DataFrame,
    profile: Profile | None = None,
    evaluation: pd.DataFrame | None = None,
    target: str | None = None,
    time: str | None = None,
    slices: Sequence[str] = (),
    trained_until: str | date | datetime | None = None,
) -> None:
    """Publish the run's model, once a run; in an interactive session only check that it could be.

    Args:
        model: Anything with `predict(DataFrame)`, or a function of a DataFrame.
        example: A few rows as the model gets them, for example `X.head(3)`; the schema is read from them.
        profile: The baseline from `rasen.build_profile`: yardstick of the gates, fallback of serving.
        evaluation: Held-out rows with the example's columns, the target, the time and the slice columns.
        target: The column of `evaluation` that is predicted.
        time: The column of `evaluation` that says when.
        slices: Columns of `evaluation` by whose values the metrics are also computed.
        trained_until: When the newest training row happened; by default the time of the earliest evaluation row.

    Raises:
        PublishError: It cannot be served or judged, or the run has published already; the message says why.
    """
    from rasen.model.publishing import prepare
    from rasen.versions import serving_versions

    into = recorder()
    _refuse_in_gate(into.context, "publish")
    interactive = into.context.interactive
    if not interactive and any(record["kind"] == "model" for record in into.records()):
        raise PublishError(
            "this run has published a model already; a run publishes one, so call publish once"
        )
    publication = prepare(
        model,
        example=example,
        folder=Path.cwd(),
        profile=profile,
        evaluation=evaluation,
        target=target,
        time=time,
        slices=slices,
        trained_until=trained_until,
    )
    files = {
        "path": into.write("model/model.cloudpickle", publication.model),
        "example": into.write("model/example.json", publication.example),
        "profile": _write_optional(into, "model/profile.json", publication.profile),
        "evaluation": _write_optional(into, "model/evaluation.parquet", publication.evaluation),
    }
    into.append(
        "model",
        **files,
        schema=publication.schema.to_dict(),
        target=publication.target,
        time=publication.time,
        slices=list(publication.slices),
        trained_until=publication.trained_until,
        versions=serving_versions(),
    )
    inputs = ", ".join(f"{column.name} {column.type.value}" for column in publication.schema.inputs)
    _say(f"model of {len(publication.model):,} bytes: {inputs} → {publication.schema.output.describe()}")
    _say(
        "checked, not published: interactive run"
        if interactive
        else "checked; the run publishes it when it succeeds"
    )


def load_model(endpoint: str) -> LoadedModel:
    """Return the model that is live behind an endpoint, verified before it was unpickled; it has `.predict`.

    Under batch the step must declare the endpoint: `models: [<endpoint>]` in pipeline.yaml. In a gate notebook the
    pipeline's own endpoint stands for the version that is judged, the candidate or the live one.

    Raises:
        NotFound: Nothing is live there, or the step does not declare it.
        TrustError: What is there is not what the platform published; nothing was unpickled.
        ModelFailed: The model cannot be rebuilt here.
    """
    from rasen.deploy import ledger
    from rasen.model.loading import load_version
    from rasen.settings import load_settings
    from rasen.store import DirectoryStore, Store, open_store
    from rasen.tracking.signature import load_trust, read_trust

    context = recorder().context
    if context.judged is not None:
        return _load_judged(context.judged, context.inputs / "judged", endpoint)
    store: Store
    if context.interactive:
        settings = load_settings()
        store, trust = open_store(settings), load_trust(settings)
        advice = f"live are: {', '.join(ledger.list_endpoints(store)) or 'none'}"
    else:
        store, trust = DirectoryStore(context.inputs / "models"), read_trust(context.inputs / "trust.json")
        advice = f"the step must declare it in pipeline.yaml: `models: [{endpoint}]`"
    record = None
    if endpoint in ledger.list_endpoints(store):
        record = ledger.latest(store, trust, endpoint, environment=context.environment)
    if record is None or not record.state.variants:
        raise NotFound(f"there is no live model behind endpoint {endpoint!r}; {advice}")
    variants = record.state.variants
    live = next((variant for variant in variants if variant.role == "champion"), variants[0])
    return load_version(
        store,
        trust,
        pipeline=live.pipeline,
        run=live.run,
        manifest_sha256=live.manifest_sha256,
        environment=context.environment,
    )


def _load_judged(judged: JudgedVersion, folder: Path, endpoint: str) -> LoadedModel:
    from rasen.model.loading import assemble
    from rasen.tracking.records import FileRecord

    if endpoint != judged.endpoint:
        raise NotFound(
            f"a gate notebook loads the version that is judged, rasen.load_model({judged.endpoint!r}), and no other; "
            f"this asks for {endpoint!r}"
        )
    files = {
        role: FileRecord(key=file["path"], sha256=file["sha256"], size_bytes=0)
        for role, file in judged.files.items()
    }
    return assemble(files, judged.schema, lambda file: (folder / file.key).read_bytes())


def _refuse_in_gate(context: Context, call: str) -> None:
    if context.judged is not None:
        raise PublishError(
            f"{call} in a gate notebook: it judges what the run has published, and publishes nothing; "
            "give its number with rasen.log_metrics"
        )


def _number(name: str, value: object) -> float:
    # NumPy registers its numbers with `numbers`, its bool not.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidInput(f"metric {name!r} is {value!r} ({type(value).__name__}); a metric is one number")
    try:
        return float(value)
    except OverflowError:
        raise InvalidInput(f"metric {name!r} is too large for a float") from None


def _slice(slice_: Mapping[Any, object]) -> dict[str, str]:  # Any: checked here
    for column, value in slice_.items():
        if not isinstance(column, str) or not column:
            raise InvalidInput(f"slice {dict(slice_)!r} must name columns, for example {{'origin': 'JFK'}}")
        if not isinstance(value, (str, numbers.Integral)) and type(value).__name__ not in ("bool", "bool_"):
            raise InvalidInput(
                f"slice {column!r} is {value!r}; a slice has one value, text, whole number or bool"
            )
    return {column: str(value) for column, value in slice_.items()}


def _write_optional(into: Recorder, relative: str, data: bytes | None) -> str | None:
    return None if data is None else into.write(relative, data)


def _replace_copy(source: Path, target: Path) -> None:
    import shutil

    scratch = target.with_name(f".{target.name}")
    try:
        shutil.copyfile(source, scratch)
        scratch.replace(target)
    except OSError as error:
        raise PlatformFailed(f"{str(target)!r} could not be written: {error}") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
