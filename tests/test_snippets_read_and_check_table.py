"""The snippet `read_and_check_table`, executed as an analyst does, against an embedded warehouse."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rasen.data.warehouse import EmbeddedWarehouse
from rasen.settings import load_settings
from stand.snippets import read_snippet

TABLES = {"flights": ["JFK", "EWR", "LGA", "JFK"], "gaps": ["JFK", None, "LGA", "JFK"]}
# Parameters of each execution: the table, and the day after the last.
CASES = {
    "fits": ("flights", "2013-08-04"),
    "gap": ("gaps", "2013-08-04"),
    "empty": ("flights", "2013-08-01"),
}
# One kernel for all, because the libraries take seconds to load; each execution has its own names.
KERNEL = """
import json, sys
outcomes = {}
for case, (code, until) in json.load(sys.stdin).items():
    names = {"train_from": "2013-08-01", "train_until": until}
    try:
        exec(compile(code, case, "exec"), names)
        outcomes[case] = ["", sorted(names["rows"]["origin"])]
    except Exception as error:
        outcomes[case] = [type(error).__name__, str(error)]
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the executions printed; the last line holds their outcomes."""
    folder = tmp_path_factory.mktemp("analyst")
    settings = load_settings(home=folder / ".rasen")
    for name, origins in TABLES.items():
        columns = {
            "time_hour": [datetime(2013, 8, day, 5, tzinfo=UTC) for day in (1, 2, 3, 4)],
            "origin": origins,
            "dep_delay": [1.0, None, -3.0, 12.5],
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
        EmbeddedWarehouse(settings.warehouse_dir).put_table(name, folder / f"{name}.parquet", source="test")
    snippet = read_snippet("read_and_check_table")
    done = subprocess.run(
        [sys.executable, "-c", KERNEL],
        input=json.dumps(
            {case: (snippet.fill(table=table), until) for case, (table, until) in CASES.items()}
        ),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "RASEN_HOME": str(settings.home)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_rows_of_the_time_are_read_and_fit(lines: list[str]) -> None:
    assert json.loads(lines[-1])["fits"] == ["", ["EWR", "JFK", "LGA"]]
    assert "3 rows, 33.3% of dep_delay missing" in lines


@pytest.mark.parametrize(
    ("case", "said"), [("gap", "origin"), ("empty", "there is not a single row in that time")]
)
def test_rows_that_do_not_fit_end_the_run(lines: list[str], case: str, said: str) -> None:
    error, message = json.loads(lines[-1])[case]
    assert error == "ValidationFailed"
    assert said in message
