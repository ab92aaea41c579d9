"""The prediction log as rows of a BigQuery table: one load job a segment, named after it.

Load jobs are atomic and cost nothing, and BigQuery refuses a second job of the same name, so a segment whose shipping
was interrupted at any point is looked up rather than loaded again. A job that failed for BigQuery's own reasons is
followed by one with the next number. A table takes 1,500 load jobs a day: `RASEN_PREDICTION_LOG_SECONDS` is how to stay
below.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.errors import PlatformFailed, StoreUnavailable
from rasen_serving.sinks import SegmentRejected

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud.bigquery import Client, LoadJob

_TIMEOUT_SECONDS = 60.0
_JOB_SECONDS = 180.0
_RETRIES_SECONDS = 20.0
_TYPES = {"VARCHAR": "STRING", "INTEGER": "INTEGER", "BIGINT": "INTEGER", "TIMESTAMPTZ": "TIMESTAMP"}


class BigQuerySink:
    """A table, made with the first segment: partitioned by day, clustered by endpoint."""

    partitioned = False

    def __init__(self, client: Client, table: str, *, columns: dict[str, str], replica: str) -> None:
        """Name the table as `dataset.table` or `project.dataset.table`; `columns` are DuckDB's types by name."""
        self._client = client
        self._table = table if table.count(".") == 2 else f"{client.project}.{table}"
        self._columns = columns
        self._replica = replica
        self._location: str | None = None

    def take(self, segment: str, files: list[Path]) -> None:
        """Load the file of a segment, unless it has been loaded.

        Raises:
            SegmentRejected: BigQuery says that the rows are invalid.
            StoreUnavailable: BigQuery is down, refuses access, or its quota is used up.
        """
        for path in files:
            with _told_apart(self._table):
                self._load(segment, path)

    def _load(self, segment: str, path: Path) -> None:
        from google.api_core.exceptions import Conflict

        for number in itertools.count():
            job_id = f"rasen_{self._replica}_{segment}" + (f"_{number}" if number else "")
            try:
                job = self._submit(job_id, path)
            except Conflict:
                job = self._find(job_id)
                if _failed_by_itself(job):
                    continue
            job.result(timeout=_JOB_SECONDS, retry=_retry())
            return

    def _submit(self, job_id: str, path: Path) -> LoadJob:
        from google.cloud.bigquery import (
            CreateDisposition,
            LoadJobConfig,
            SchemaField,
            SchemaUpdateOption,
            SourceFormat,
            TimePartitioning,
            WriteDisposition,
        )

        config = LoadJobConfig(
            source_format=SourceFormat.PARQUET,
            schema=[SchemaField(name, _TYPES[kind]) for name, kind in self._columns.items()],
            create_disposition=CreateDisposition.CREATE_IF_NEEDED,
            write_disposition=WriteDisposition.WRITE_APPEND,
            schema_update_options=[SchemaUpdateOption.ALLOW_FIELD_ADDITION],
            time_partitioning=TimePartitioning(field="at"),
            clustering_fields=["endpoint"],
        )
        with path.open("rb") as file:
            return self._client.load_table_from_file(
                file,
                self._table,
                size=path.stat().st_size,
                num_retries=1,
                job_id=job_id,
                location=self._locate(),
                job_config=config,
                timeout=_TIMEOUT_SECONDS,
            )

    def _find(self, job_id: str) -> LoadJob:
        from google.cloud.bigquery import LoadJob

        job = self._client.get_job(job_id, location=self._locate(), retry=_retry(), timeout=_TIMEOUT_SECONDS)
        if not isinstance(job, LoadJob):
            raise StoreUnavailable(
                f"BigQuery job {job_id!r} is a {job.job_type} job; it should load a segment"
            )
        return job

    def _locate(self) -> str:
        """Return where the dataset is: a job elsewhere than in the US is found by name and place only."""
        if self._location is None:
            dataset = self._client.get_dataset(
                self._table.rpartition(".")[0], retry=_retry(), timeout=_TIMEOUT_SECONDS
            )
            self._location = dataset.location
        return self._location


def make_client(project: str | None) -> Client:
    """Return a client with the credentials of where this runs.

    Raises:
        PlatformFailed: The client library is not installed.
        StoreUnavailable: There are no credentials.
    """
    try:
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.bigquery import Client
    except ImportError as error:
        raise PlatformFailed(
            "RASEN_PREDICTION_LOG names a BigQuery table, and google-cloud-bigquery is not installed; "
            "install rasen[serving,bigquery]"
        ) from error
    try:
        return Client(project=project)
    except (GoogleAuthError, OSError) as error:  # OSError: no project can be found out
        raise StoreUnavailable(f"BigQuery cannot be asked: {error}") from error


def _failed_by_itself(job: LoadJob) -> bool:
    """Return whether a job is over without having loaded anything, and not because of its rows."""
    reason = (job.error_result or {}).get("reason")
    return job.state == "DONE" and reason is not None and reason not in {"invalid", "invalidQuery"}


@contextmanager
def _told_apart(table: str) -> Iterator[None]:
    """Tell rows that are wrong from a BigQuery that is down."""
    from concurrent.futures import TimeoutError as JobTimeout

    from google.api_core.exceptions import BadRequest, GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except BadRequest as error:
        raise SegmentRejected(f"BigQuery refuses the rows for {table!r}: {error}") from error
    except (GoogleAPIError, GoogleAuthError, JobTimeout, OSError) as error:
        # OSError: what the HTTP library raises for whatever goes wrong on the way.
        raise StoreUnavailable(f"BigQuery did not take a segment for {table!r}: {error}") from error


def _retry() -> Retry:
    """Return how long BigQuery is asked again: not so long that one segment takes a shipping's whole time."""
    from google.cloud.bigquery import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(_RETRIES_SECONDS)
