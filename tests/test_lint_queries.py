"""`rasen lint --dry-run-queries`: which queries are found, what BigQuery is asked, what is said about the answer."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from rasen_lint.checking import Checked
from rasen_lint.configuration import Configuration
from rasen_lint.document import read_document
from rasen_lint.linting import Linting, Wishes
from rasen_lint.query_costs import Price, find_queries, open_client, price_queries, show_dollars, show_size
from rasen_lint.report import to_json, to_prices
from stand.lint_notebooks import code_cell, notebook_bytes

PARAMETERS = code_cell("since: str = '2013-01-01'\nlimit: int = 5\nshare: float = 0.5", tags=("parameters",))
READ = 'rasen.read_sql("SELECT day FROM flights WHERE day >= @since", params={"since": since})'


def queries(*cells: Any) -> list[tuple[int, int, str, dict[str, Any]]]:
    content = json.loads(notebook_bytes(*cells))
    content["cells"][0] = PARAMETERS
    document = read_document(json.dumps(content).encode(), name="n")
    return [
        (each.cell.index, each.line, each.sql.strip(), dict(each.parameters))
        for each in find_queries(document)
    ]


def test_queries_that_stand_in_the_notebook_are_found_with_the_values_of_their_parameters() -> None:
    sql = "SELECT @since, @limit, @share, @flag, @unknown FROM t"
    given = '{"since": since, "limit": limit, "share": 0.25, "flag": True, "unknown": today()}'
    assert queries(f"x = 1\nflights = rasen.read_sql('{sql}', params={given})") == [
        (1, 2, sql, {"since": "2013-01-01", "limit": 5, "share": 0.25, "flag": True, "unknown": None})
    ]
    assert queries("%%bigquery frame\nSELECT 1") == [(1, 2, "SELECT 1", {})]
    assert queries("QUERY = '''WITH a AS (SELECT 1) SELECT * FROM a'''", "client.query(QUERY)")[0][:2] == (
        2,
        1,
    )


@pytest.mark.parametrize(
    "source",
    [
        "rasen.read_sql(f'SELECT {x}')",
        "rasen.read_sql(sql)",
        "sql = 'SELECT 1'\nsql = 'SELECT 2'\nrasen.read_sql(sql)",
        "frame.query('day > 3')",
        "rasen.read_sql()",
        "rasen.read_sql('DELETE FROM t')",
        "%%bash\nSELECT 1",
    ],
)
def test_what_is_no_query_or_not_known_is_left_out(source: str) -> None:
    assert queries(source) == []


@contextmanager
def dry_runs(sizes: dict[str, int]) -> Iterator[tuple[bigquery.Client, list[dict[str, Any]]]]:
    """Run a BigQuery that speaks `jobs.insert` with `dryRun` as the real one does, and no more."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path.startswith("/bigquery/v2/projects/demo/jobs")
            assert body["configuration"]["dryRun"] is True
            asked.append(body["configuration"]["query"])
            sql = body["configuration"]["query"]["query"]
            size = next((size for word, size in sizes.items() if word in sql), None)
            if size is None:
                self._answer(400, {"error": {"code": 400, "message": "Unrecognized name: x", "errors": []}})
                return
            self._answer(
                200,
                {
                    "jobReference": body["jobReference"],
                    "configuration": body["configuration"],
                    "status": {"state": "DONE"},
                    "statistics": {
                        "totalBytesProcessed": str(size),
                        "query": {"totalBytesProcessed": str(size)},
                    },
                },
            )

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    client = bigquery.Client(
        project="demo",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # it ships no types
        client_options={"api_endpoint": f"http://127.0.0.1:{server.server_address[1]}"},
    )
    try:
        yield client, asked
    finally:
        client.close()  # type: ignore[no-untyped-call] # it ships no types
        server.shutdown()
        server.server_close()
        thread.join()


def price(data: bytes, client: Any, **keys: Any) -> tuple[Checked, list[Price]]:
    content = json.loads(data)
    content["cells"][0] = PARAMETERS
    data = json.dumps(content).encode()
    checked = (
        Linting(Wishes(ruff=False, select=("NB205",))).check_bytes(data, path=Path("n.ipynb")).results[0]
    )
    (changed,), prices = price_queries([checked], {checked.path: Configuration(**keys)}, client)
    return changed, prices


def test_expensive_query_is_a_warning_with_its_size_and_price() -> None:
    with dry_runs({"day FROM": 2 * 2**40, "cheap": 100}) as (client, asked):
        checked, prices = price(notebook_bytes(READ, "rasen.read_sql('SELECT cheap')"), client)
    (finding,) = checked.findings
    assert (finding.code, finding.severity, finding.cell, finding.line) == ("NB403", "warning", 1, 1)
    assert "reads 2.2 TB each time ($12.50), more than 10 GB" in finding.message
    assert [(each.cell, each.size_bytes) for each in prices] == [(1, 2 * 2**40), (2, 100)]
    (told,) = [each for each in asked if "@since" in each["query"]]
    assert told["useQueryCache"] is False
    assert told["queryParameters"] == [
        {"name": "since", "parameterType": {"type": "STRING"}, "parameterValue": {"value": "2013-01-01"}}
    ]
    lines = to_prices(prices).splitlines()
    assert lines[0] == "n.ipynb, cell 1, line 1: 2.2 TB, $12.50"
    assert lines[2] == "2 queries: 2.2 TB, $12.50 each time"
    assert json.loads(to_json([checked], prices=prices))["queries"][1]["size_bytes"] == 100


def test_limit_and_price_are_the_projects_and_noqa_takes_the_finding_away() -> None:
    with dry_runs({"day FROM": 5 * 10**9}) as (client, _):
        assert price(notebook_bytes(READ), client)[0].findings == ()
        (finding,) = price(notebook_bytes(READ), client, max_bytes=10**9, price_per_tib=5)[0].findings
        assert price(notebook_bytes(f"{READ}  # noqa: NB403"), client, max_bytes=1)[0].findings == ()
    assert "more than 1 GB" in finding.message


def test_query_that_bigquery_refuses_is_a_warning() -> None:
    with dry_runs({}) as (client, _):
        checked, prices = price(notebook_bytes(READ), client)
    assert checked.findings[0].message == "what this query costs is unknown: Unrecognized name: x"
    assert "unknown: " in to_prices(prices)


def test_service_that_is_down_is_a_warning() -> None:
    with dry_runs({}) as (client, _):
        pass
    checked, _ = price(notebook_bytes(READ), client)
    assert "BigQuery cannot be reached" in checked.findings[0].message


def test_without_credentials_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    said = open_client()
    assert isinstance(said, str)
    assert said.startswith("no credentials of BigQuery were found, so no query was priced")


def test_noqa_of_a_rule_that_only_bigquery_can_judge_is_not_called_unused() -> None:
    checked = Linting(Wishes(ruff=False)).check_bytes(
        notebook_bytes("x = 1  # noqa: NB403"), path=Path("n.ipynb")
    )
    assert "NB001" not in {finding.code for finding in checked.results[0].findings}


def test_sizes_and_prices_are_told_in_units_that_fit() -> None:
    assert [show_size(size) for size in (0, 999, 1000, 10**10, 10**15)] == [
        "0 B",
        "999 B",
        "1 kB",
        "10 GB",
        "1e+03 TB",
    ]
    assert [show_dollars(price) for price in (0, 0.001, 12.5, 1234)] == [
        "$0.00",
        "under $0.01",
        "$12.50",
        "$1,234.00",
    ]
