"""The prediction log in a BigQuery table, as serving's `bigquery_sink.py` writes it; partitioned by day."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from rasen.errors import PlatformFailed, StoreUnavailable
from rasen.replay.request_log import FIELDS, SELECTED, Found, RequestLog, Wanted, as_found

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_TIMEOUT_SECONDS = 120.0
_RETRY_SECONDS = 20.0
_SHARES = 1_000_000


class BigQueryLog:
    """Rows of one table."""

    def __init__(self, client: Client, table: str, *, retry_seconds: float = _RETRY_SECONDS) -> None:
        """Read from `table`, which is `dataset.table` or `project.dataset.table`; ask again for so long."""
        self._client = client
        self._retry_seconds = retry_seconds
        self._table = table if table.count(".") == 2 else f"{client.project}.{table}"

    def days(self, endpoint: str) -> list[date]:
        """Return the days of which there is anything, in order.

        Raises:
            StoreUnavailable: BigQuery is down, or refuses access.
        """
        query = (
            f"SELECT DISTINCT CAST(`at` AS DATE) FROM `{self._table}` WHERE `endpoint` = @endpoint ORDER BY 1"  # noqa: S608  # the setting names the table, and is checked
        )
        return [row[0] for row in self._ask(query, {"endpoint": endpoint})]

    def read(self, endpoint: str, wanted: Wanted) -> Found:
        """Return the rows.

        Raises:
            StoreUnavailable: BigQuery is down, or refuses access.
        """
        conditions = ['"endpoint" = @endpoint', '"at" >= @first', '"at" < @last']
        parameters: dict[str, Any] = {  # Any: what BigQuery takes
            "endpoint": endpoint,
            "first": wanted.first.astimezone(UTC),
            "last": wanted.last.astimezone(UTC),
        }
        if wanted.request_id:
            conditions.append('"request_id" = @request')
            parameters["request"] = wanted.request_id
        if wanted.sample < 1.0:
            conditions.append(
                f'MOD(ABS(MOD(FARM_FINGERPRINT("request_id"), {_SHARES})), {_SHARES}) < @sample'
            )
            parameters["sample"] = round(wanted.sample * _SHARES)
        query = SELECTED.format(
            fields=", ".join(f'"{name}"' for name in FIELDS),
            source=f'"{self._table}"',
            conditions=" AND ".join(conditions),
            limit=wanted.limit,
            result=", ".join('UNIX_MICROS("at")' if name == "at" else f'"{name}"' for name in FIELDS),
        )
        return as_found(self._ask(query.replace('"', "`"), parameters))

    def _ask(self, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:  # Any: as above
        from google.cloud.bigquery import DEFAULT_RETRY, QueryJobConfig, ScalarQueryParameter
        from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY

        kinds = {str: "STRING", int: "INT64", datetime: "TIMESTAMP"}
        config = QueryJobConfig(
            query_parameters=[
                ScalarQueryParameter(name, kinds[type(value)], value) for name, value in parameters.items()
            ]
        )
        with _told_apart(self._table):
            rows = self._client.query_and_wait(
                query,
                job_config=config,
                wait_timeout=_TIMEOUT_SECONDS,
                retry=DEFAULT_RETRY.with_timeout(self._retry_seconds),
                job_retry=DEFAULT_JOB_RETRY.with_timeout(self._retry_seconds),
            )
            return [tuple(row.values()) for row in rows]


def open_bigquery_log(table: str) -> RequestLog:
    """Return the log in a table, with the credentials of where this runs.

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
            "install rasen[bigquery]"
        ) from error
    try:
        return BigQueryLog(Client(project=table.partition(".")[0] if table.count(".") == 2 else None), table)
    except (GoogleAuthError, OSError) as error:  # OSError: no project can be found out
        raise StoreUnavailable(f"BigQuery cannot be asked: {error}") from error


@contextmanager
def _told_apart(table: str) -> Iterator[None]:
    """Turn what Google's client raises into our errors."""
    from google.api_core.exceptions import GoogleAPIError, NotFound
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except NotFound as error:
        raise StoreUnavailable(f"BigQuery has no table {table!r} yet: {error.message}") from error
    except (GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StoreUnavailable(f"BigQuery did not answer for {table!r}: {error}") from error
