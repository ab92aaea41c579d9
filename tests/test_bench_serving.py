"""The benchmark of serving: equal libraries on both sides, requests that each peer reads, tables that hide nothing."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from bench.contenders import Started
from bench.idle_connections import is_open, open_connections
from bench.load import Measured
from bench.memory import Held
from bench.peer_environments import FOLDER, Unavailable, last_line, lock_of
from bench.peer_servers import PEERS, PLAIN, encoded
from bench.serving_life import show_soak, show_swaps
from bench.serving_models import MODELS, Workload
from bench.serving_peers import SCENARIOS, Figures, check_answers, measure_model, names, show_table
from bench.wrk import read_report
from stand.repository import ROOT

OURS = (ROOT / "requirements.lock").read_text()
LOCKED = [name for name in PEERS if name != PLAIN.module]

REPORT = """Running 2s test @ http://127.0.0.1:8080/predict
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.47ms   10.52ms 150.44ms   97.01%
    Req/Sec    22.92k     5.96k   31.32k    71.43%
  Latency Distribution
     50%  812.00us
     75%    2.75ms
     90%    4.52ms
     99%    1.21s
  47899 requests in 2.10s, 10.05MB read
  Socket errors: connect 0, read 2, write 0, timeout 3
  Non-2xx or 3xx responses: 4
Requests/sec:  22816.31
Transfer/sec:      4.79MB
"""


def workload(name: str = "pipe") -> Workload:
    row = {"n0": 0.5, "c0": "a"} if name == "pipe" else {"x0": 0.5, "x1": 1.5}
    return Workload(name=name, folder=Path(), rows=[row, row], expected=[1.0, 1.0])


def measured(per_second: float, *, p50_ms: float = 1.0, errors: int = 0) -> Measured:
    return Measured(per_second=per_second, p50_ms=p50_ms, p99_ms=12.0, errors=errors)


@pytest.mark.parametrize("peer", LOCKED)
def test_a_peer_is_locked_with_hashes_and_the_models_versions_of_ours(peer: str) -> None:
    lock = lock_of(peer).read_text()
    pins = re.findall(r"^([\w.-]+)==(\S+) ", lock, re.MULTILINE)
    asked = (FOLDER / f"{peer}.in").read_text().strip()
    assert asked in {f"{name}=={version}" for name, version in pins}
    requirements = re.findall(r"^[^#\s].*", lock, re.MULTILINE)
    hashed = re.findall(r"^[^#\s].* \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    assert len(requirements) == len(hashed) > 20
    assert "://" not in lock
    for name in ("numpy", "scikit-learn", "xgboost-cpu"):
        version = dict(pins)[name]
        assert re.search(rf"^{name}=={re.escape(version)} ", OURS, re.MULTILINE), (
            f"{name} {version} is not ours"
        )


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("model", MODELS)
def test_every_peer_is_asked_for_the_same_rows(peer: str, model: str) -> None:
    asked = workload(model)
    body = json.loads(encoded(PEERS[peer], asked, asked.rows))
    numbers = re.findall(r"0\.5|1\.5", json.dumps(body))
    assert len(numbers) == (2 if model == "pipe" else 4)
    texts = re.findall(r'"a"', json.dumps(body))
    assert len(texts) == (2 if model == "pipe" else 0)


def test_what_wrk_prints_is_read_with_its_errors() -> None:
    assert read_report(REPORT) == Measured(per_second=22816.31, p50_ms=0.812, p99_ms=1210.0, errors=9)


def test_a_table_has_ratios_to_the_plain_handler_and_to_the_best_peer_and_says_who_is_absent() -> None:
    plain, slow, quick, absent, ours = (
        Figures(name=PLAIN.name, is_ours=False),
        Figures(name="Slow 1.0", is_ours=False, held=Held(rss_mb=300, pss_mb=200)),
        Figures(name="Quick 1.0", is_ours=False, held=Held(rss_mb=300, pss_mb=250)),
        Figures(name="Absent 1.0", is_ours=False, absent="does not install: no | such wheel"),
        Figures(name="Rasen, native", is_ours=True, held=Held(rss_mb=300, pss_mb=100)),
    )
    for figures, rate in ((plain, 100), (slow, 200), (quick, 400), (ours, 2000)):
        for scenario in SCENARIOS:
            figures.add(scenario, measured(rate, p50_ms=100 / rate, errors=int(figures is slow)))
            figures.add(scenario, measured(rate / 2, p50_ms=200 / rate))
    shown = show_table([plain, slow, quick, absent, ours]).splitlines()
    assert shown[2].startswith("| plain FastAPI handler | 100/s, 1.00 [12] |")
    assert "200/s, 0.50 [12], **1 errors** |" in shown[3]
    assert shown[5].startswith("| Absent 1.0 | not measured: does not install: no / such wheel |")
    assert (
        shown[7] == "| Rasen, native × the plain handler | **20.0** | **20.0** | **20.0** | **20.0** |  |  |"
    )
    assert shown[8].startswith("| Rasen, native × the best peer | **5.0** (Quick) | **5.0** (Quick) |")
    assert shown[8].endswith("|  | 0.50 |")
    widths = {line.count("|") for line in shown if "not measured" not in line}
    assert len(widths) == 2  # a contender without memory figures has a shorter line


class Absent:
    """A contender that does not start."""

    name = "Absent"
    is_ours = False

    def serve(self, workload: Workload) -> AbstractContextManager[Started]:
        raise Unavailable(f"cannot take {workload.name}")


class Wrong:
    """A contender that answers something else."""

    name = "Wrong"
    is_ours = False

    def serve(self, workload: Workload) -> AbstractContextManager[Started]:
        return nullcontext(Lying(pid=0, port=0, path="", body=None, read=None))


class Lying(Started):
    def predict(self, rows: list[dict[str, float]], *, timeout_seconds: float = 0.0) -> list[float]:
        return [1.0, 1.1][: len(rows)]


def test_who_does_not_start_or_answers_something_else_is_not_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    absent, wrong = measure_model(workload(), [Absent(), Wrong()], rounds=2, seconds=0)
    assert absent.absent == "cannot take pipe"
    assert wrong.absent == "answers [1.0, 1.1] … to 2 rows, expected [1.0, 1.0] …"
    assert capsys.readouterr().err.count("round 2") == 0
    with pytest.raises(Unavailable):
        check_answers(Lying(pid=0, port=0, path="", body=None, read=None), workload())


def test_an_unknown_peer_is_named_with_those_there_are() -> None:
    assert names("plain,kserve") == ["plain", "kserve"]
    with pytest.raises(
        Exception, match="'ray'; there are plain, mlserver, litserve, kserve, bentoml, mlflow"
    ):
        names("ray")
    assert last_line("one\n two \n\n") == "two"


def test_deployments_under_load_are_judged_by_the_typical_tail() -> None:
    shown = show_swaps(
        "pipe",
        [measured(1000), measured(1100)],
        [measured(900), measured(800, errors=2), measured(950)],
        measured(1000),
        took=[0.1, 0.2, 0.3],
        grown_mb=-1.5,
    )
    assert shown[0] == "pipe: 3 deployments under load, about 13,250 requests meanwhile: **2 failed**"
    assert shown[1].endswith("12.0 ms after: **1.00 ×**; target 1.5")
    assert shown[3].endswith("median 200 ms, 95 % within 200 ms; memory -2 MB PSS")


def test_the_slope_of_a_soak_leaves_out_the_start_and_who_ships_the_log() -> None:
    samples = [(5.0 * n, 200.0 + (50 if n < 300 else 0) + 6 * 5.0 * n / 3600) for n in range(720)]
    samples[500] = (2500.0, 400.0)
    (line,) = show_soak(samples, measured(1000), minutes=60)
    assert "**+6.0 MB an hour**" in line
    assert "**0 failed**" in line


def test_an_answer_in_pieces_is_one_answer_and_a_closed_connection_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_in_pieces() -> None:
            for stays in (True, False):
                connection, _ = listener.accept()
                connection.recv(4096)
                for piece in (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"li", b"ve"):
                    connection.sendall(piece)
                kept.append(connection)
                if not stays:
                    connection.close()

        kept: list[socket.socket] = []
        answering = threading.Thread(target=answer_in_pieces)
        answering.start()
        stays, goes = open_connections(listener.getsockname()[1], 2)
        answering.join()
        assert is_open(stays)
        assert not is_open(goes)
        for one in (*kept, stays, goes):
            one.close()
