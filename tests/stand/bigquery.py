"""A BigQuery over HTTP that knows load jobs of Parquet, queries and MERGE of what was loaded; faults on demand."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb

PROJECT = "test-project"


@dataclass
class BigQuery:
    """The state of the service.

    Args:
        folder: For the uploaded files.
        port: Where it listens.
        rows: What each table holds.
        jobs: Every job, by id.
        down: Whether every request is answered with 503.
        forget_answer: Whether the next upload is done and its answer lost.
        failures: What the next jobs fail with, as BigQuery names reasons.
        replaced: Jobs whose rows have been replaced since.
    """

    folder: Path
    port: int = 0
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: bool = False
    forget_answer: bool = False
    failures: list[str] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)

    def load(self, resource: dict[str, Any], parquet: bytes) -> tuple[int, dict[str, Any]]:
        """Do what a load job says, at once; return status and body."""
        job_id = resource["jobReference"]["jobId"]
        if job_id in self.jobs:
            return 409, _error(409, "duplicate", f"Already Exists: Job {PROJECT}:{job_id}")
        status: dict[str, Any] = {"state": "DONE"}
        self.jobs[job_id] = resource | {"status": status, "id": f"{PROJECT}:{job_id}"}
        if self.failures:
            status["errorResult"] = {"reason": self.failures.pop(0), "message": "as the test wishes"}
            return 200, self.jobs[job_id]
        load = resource["configuration"]["load"]
        assert load["sourceFormat"] == "PARQUET"
        place = load["destinationTable"]
        if load.get("writeDisposition") == "WRITE_TRUNCATE":
            self.replaced |= set(self._loads(place["tableId"])) - {job_id}
        file = self.folder / f"{job_id}.parquet"
        file.write_bytes(parquet)
        with duckdb.connect() as connection:
            found = connection.read_parquet(str(file))
            names = found.columns
            assert "schema" not in load or names == [column["name"] for column in load["schema"]["fields"]]
            rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        self.rows.setdefault(f"{place['datasetId']}.{place['tableId']}", []).extend(rows)
        return 200, self.jobs[job_id]

    def query(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a query about one table, in DuckDB; return status and body."""
        if asked["query"].lstrip().startswith("MERGE"):
            return self._merge(asked)
        named = re.search(rf"`{PROJECT}\.(\w+)\.(\w+)`", asked["query"])
        assert named is not None
        assert asked["useLegacySql"] is False
        dataset, table = named.groups()
        files = self._files(table)
        if not files:
            return 404, _error(404, "notFound", f"Not found: Table {PROJECT}:{dataset}.{table}")
        text = asked["query"].replace(named[0], "read_parquet($files)").replace("`", '"')
        given = _parameters(asked)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("CREATE MACRO UNIX_MICROS(x) AS epoch_us(x)")
            connection.execute("CREATE MACRO FARM_FINGERPRINT(x) AS (hash(x) // 2)::BIGINT")
            found = connection.execute(text.replace("@", "$"), given | {"files": files})
            columns = [(name, str(kind)) for name, kind, *_ in found.description]
            rows = found.fetchall()
        types = {"VARCHAR": "STRING", "STRING": "STRING", "DATE": "DATE"}
        return 200, {
            "jobComplete": True,
            "queryId": "1",
            "totalRows": str(len(rows)),
            "schema": {
                "fields": [
                    {"name": name, "type": types.get(kind, "INTEGER"), "mode": "NULLABLE"}
                    for name, kind in columns
                ]
            },
            "rows": [{"f": [{"v": None if value is None else str(value)} for value in row]} for row in rows],
        }

    def rows_of(self, table: str) -> list[tuple[Any, ...]]:
        """Return the rows of a table as they are now, sorted."""
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.read_parquet(self._files(table)).order("ALL").fetchall()

    def _merge(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Merge one table into another, which is DuckDB's MERGE too; return status and body."""
        text = asked["query"]
        target, source = re.findall(r"`\w+\.(\w+)`", text)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for name in (target, source):
                files = self._files(name)
                if not files:
                    return 404, _error(404, "notFound", f"Not found: Table {name}")
                connection.execute(f"CREATE TABLE {name} AS FROM read_parquet($files)", {"files": files})
            merge = re.sub(r"`\w+\.(\w+)`", r"\1", text).replace("@", "$")
            try:
                (affected,) = connection.execute(merge, _parameters(asked)).fetchall()[0]
            except duckdb.Error as error:
                return 400, _error(400, "invalidQuery", str(error))
            job_id = f"merge-{len(self.jobs)}"
            connection.table(target).write_parquet(str(self.folder / f"{job_id}.parquet"))
        self.replaced |= set(self._loads(target))
        place = {"destinationTable": {"tableId": target}}
        self.jobs[job_id] = {"status": {"state": "DONE"}, "configuration": {"load": place}}
        done = {"jobComplete": True, "queryId": "1", "numDmlAffectedRows": str(affected), "totalRows": "0"}
        return 200, done | {"schema": {"fields": []}}

    def _loads(self, table: str) -> list[str]:
        """Return the jobs whose rows the table shows."""
        return [
            job_id
            for job_id, job in self.jobs.items()
            if "errorResult" not in job["status"]
            and job["configuration"]["load"]["destinationTable"]["tableId"] == table
            and job_id not in self.replaced
        ]

    def _files(self, table: str) -> list[str]:
        return [str(self.folder / f"{job_id}.parquet") for job_id in self._loads(table)]


def _parameters(asked: dict[str, Any]) -> dict[str, Any]:
    kinds: dict[str, Callable[[str], Any]] = {
        "INT64": int,
        "STRING": str,
        "TIMESTAMP": datetime.fromisoformat,
    }
    return {
        one["name"]: kinds[one["parameterType"]["type"]](one["parameterValue"]["value"])
        for one in asked["queryParameters"]
    }


def _error(code: int, reason: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "errors": [{"reason": reason, "message": message}]}}


@contextmanager
def running_bigquery(folder: Path) -> Iterator[BigQuery]:
    """Run the service on a free port of this machine."""
    state = BigQuery(folder=folder)

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            """Answer for a dataset or a job."""
            path = self.path.partition("?")[0]
            job_id = path.rpartition("/")[2]
            if state.down:
                self._answer(503, _error(503, "backendError", "down"))
            elif "/datasets/" in path:
                place = {"projectId": PROJECT, "datasetId": path.rpartition("/")[2]}
                self._answer(200, {"datasetReference": place, "location": "EU"})
            elif job_id in state.jobs:
                assert "location=EU" in self.path
                self._answer(200, state.jobs[job_id])
            else:
                self._answer(404, _error(404, "notFound", path))

        def do_POST(self) -> None:
            """Take the two parts of an upload, the job and the file; or a query."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if state.down:
                self._answer(503, _error(503, "backendError", "down"))
                return
            if self.path.partition("?")[0].endswith("/queries"):
                self._answer(*state.query(json.loads(body)))
                return
            assert "uploadType=multipart" in self.path
            found = re.search('boundary="?([^";]+)', self.headers["Content-Type"])
            assert found is not None
            _, first, second, _ = body.split(b"--" + found[1].encode())
            resource = json.loads(first.split(b"\r\n\r\n", 1)[1])
            parquet = second.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            status, answer = state.load(resource, parquet)
            if state.forget_answer:
                state.forget_answer = False
                self.close_connection = True
                return
            self._answer(status, answer)

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
