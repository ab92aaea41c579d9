"""What gates judge from: numbers and bytes of verified runs, read when a gate first asks for them.

A gate gets all of it and no store: what it cannot find here it does not judge. Nothing here executes a model; what had
to be executed was executed by `_qualify` before publication and lies in files that the manifest names by digest.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rasen.deploy.gates.measured import Measured, Unmeasured
from rasen.tracking.ledger_records import Action, GateVerdict
from rasen.tracking.records import FileRecord, Metric, PublishedModel, StepResult

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SLICE_PREFIX = "slice_"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The held-out rows of a run as `_qualify` wrote them; every array has one entry a row, in the same order.

    Args:
        target: What happened.
        prediction: What the candidate says; `None` for a model of several outputs.
        champion: What the version that was live during the qualification says; `None` when it said nothing.
        profile: What the candidate's profile says; `None` without one.
        time: When, as `datetime64`; `None` when the run named no time column.
        slices: By column, the value of each row as text.
    """

    target: np.ndarray
    prediction: np.ndarray | None
    champion: np.ndarray | None
    profile: np.ndarray | None
    time: np.ndarray | None
    slices: Mapping[str, np.ndarray]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.target)


class RunFiles:
    """The files of one published run.

    Args:
        results: The results of its steps, as the manifest names them.
        read: Returns a file's bytes after its digest was checked.
    """

    def __init__(self, results: Mapping[str, StepResult], read: Callable[[FileRecord], bytes]) -> None:
        self.results = results
        self._read = read

    @cached_property
    def tables(self) -> dict[str, FileRecord]:
        """What the steps read and saved: by name of the read, or of the saved table."""
        found: dict[str, FileRecord] = {}
        for result in self.results.values():
            files = {file.key: file for file in result.files}
            for name, key in [*((read.name, read.table) for read in result.reads), *result.tables.items()]:
                if key in files:
                    found.setdefault(name, files[key])
        return found

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return one of `tables`, or some columns of it.

        Raises:
            TrustError, ObjectNotFound: It is not there as the manifest names it.
        """
        import pyarrow.parquet

        return pyarrow.parquet.read_table(io.BytesIO(self._read(self.tables[name])), columns=columns)

    def read_file(self, step: str, ending: str) -> bytes | None:
        """Return the file of a step whose key ends with `ending`, `None` when there is none.

        Raises:
            TrustError, ObjectNotFound: It is not there as the manifest names it.
        """
        result = self.results.get(step)
        files = result.files if result is not None else []
        found = next((file for file in files if file.key.endswith(ending)), None)
        return None if found is None else self._read(found)


@dataclass(frozen=True, kw_only=True)
class Version:
    """One published model version."""

    run: str
    pipeline: str
    model: PublishedModel
    metrics: Sequence[Metric] = ()
    files: RunFiles | None = None


@dataclass(frozen=True, kw_only=True)
class PastVersion:
    """What the ledger says of a version that was decided before.

    Args:
        run: The version.
        number: The record that decided it.
        action: How.
        at: The instant that its run was for.
        metrics: Of all rows.
        verdicts: Of its gates.
        taken_back: A rollback or an abort ended its time, and it does not answer now.
    """

    run: str
    number: int
    action: Action
    at: datetime
    metrics: Mapping[str, float]
    verdicts: Sequence[GateVerdict] = ()
    taken_back: bool = False

    @property
    def went_live(self) -> bool:
        """Whether it was let in, at once or by a rollout."""
        return self.action in {"deploy", "override", "approve"}


def _no_evaluation() -> Evaluation:
    raise Unmeasured("the run published no evaluation rows; give `evaluation=` to rasen.publish", "missing")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that can be known of a candidate.

    Args:
        measured: Its metrics of all rows.
        metrics: Its metrics, of slices too, the later and the more trusted ones last.
        at: The instant that its run was for.
        candidate: The version to judge; `None` when only metrics are judged (gates of tables).
        champion: The version that is live now, `None` before the first.
        champion_problem: Why the live version cannot be looked at, `""` when it can, or there is none.
        qualification: What `_qualify` found.
        endpoint: Where it would go live, `""` where that is not known.
        past: Earlier versions of the same pipeline at this endpoint, newest first.
        read_evaluation: Reads the held-out rows; raises `Unmeasured` when there are none.
    """

    measured: Measured
    metrics: Sequence[Metric] = ()
    at: datetime | None = None
    candidate: Version | None = None
    champion: Version | None = None
    champion_problem: str = ""
    # Any: JSON of rasen.model.qualification
    qualification: Mapping[str, Any] = field(default_factory=dict)
    endpoint: str = ""
    past: Sequence[PastVersion] = ()
    read_evaluation: Callable[[], Evaluation] = _no_evaluation

    @classmethod
    def of_metrics(cls, metrics: Sequence[Metric]) -> Evidence:
        """Return the evidence where nothing but metrics is known."""
        return cls(measured=Measured(metrics), metrics=metrics)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The held-out rows.

        Raises:
            Unmeasured: There are none, or they are not what was published.
        """
        return self.read_evaluation()


def parse_evaluation(data: bytes) -> Evaluation:
    """Return the held-out rows of `evaluation.parquet`.

    Raises:
        Unmeasured: There are no rows, or the file has no target.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet

    try:
        table = pa.parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise Unmeasured(f"the evaluation rows cannot be read: {error}", "missing") from None
    columns = {name: table[name] for name in table.column_names}
    if "target" not in columns or not table.num_rows:
        raise Unmeasured(
            f"the evaluation has {table.num_rows} rows and the columns {sorted(columns)}", "missing"
        )

    def array(name: str) -> np.ndarray | None:
        return columns[name].to_numpy(zero_copy_only=False) if name in columns else None

    target, time = array("target"), array("time")
    assert target is not None
    return Evaluation(
        target=target,
        prediction=array("prediction"),
        champion=array("champion"),
        profile=array("profile"),
        time=None if time is None else time.astype("datetime64[us]"),
        slices={
            name.removeprefix(SLICE_PREFIX): np.array(
                [str(value) for value in column.to_pylist()], dtype=object
            )
            for name, column in columns.items()
            if name.startswith(SLICE_PREFIX)
        },
    )
