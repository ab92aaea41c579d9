"""What a kernel leaves is whole or not there, and the step that reads it believes nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import InvalidInput, PlatformFailed
from rasen.recorder import RECORDS_FILE, Recorder, read_context, read_records, recorder
from stand.kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def metric(name: object = "rmse", **changes: object) -> dict[str, object]:
    return {"kind": "metric", "name": name, "value": 1.5, "slice": {}, **changes}


def write(staging: Path, *records: object) -> None:
    lines = [json.dumps(record) + "\n" for record in records]
    (staging / RECORDS_FILE).write_text("".join(lines), encoding="utf-8")


def test_no_records_at_all(kernel: Kernel) -> None:
    assert read_records(kernel.staging) == []


def test_records_come_back_in_order(kernel: Kernel) -> None:
    into = Recorder(read_context(kernel.context))
    for number in range(3):
        into.append("metric", name=f"m{number}", value=float(number), slice={"ort": "Zürich"})
    into.append("figure", name="f", path=into.write("figures/f.png", b"png"))
    assert [record["name"] for record in into.records()] == ["m0", "m1", "m2", "f"]
    assert into.records()[0]["slice"] == {"ort": "Zürich"}
    assert (kernel.staging / "figures" / "f.png").read_bytes() == b"png"


@given(st.integers(0, 200))
def test_a_torn_last_line_was_never_written(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    staging = tmp_path_factory.mktemp("staging")
    write(staging, metric("first"), metric("second"))
    data = (staging / RECORDS_FILE).read_bytes()
    whole = data[: max(len(data) - cut, 0)]
    (staging / RECORDS_FILE).write_bytes(whole)
    assert [record["name"] for record in read_records(staging)] == ["first", "second"][: whole.count(b"\n")]


KILLED = """
import sys
from pathlib import Path
from rasen.recorder import Recorder, read_context
into = Recorder(read_context(Path(sys.argv[1])))
number = 0
while True:
    name = into.write(f"figures/f{number}.png", b"x" * 5000)
    into.append("figure", name=f"f{number}", path=name, more="y" * 5000)
    number += 1
    if number == 20:
        print("go", flush=True)
"""


def test_a_kernel_killed_while_it_records_leaves_whole_records(kernel: Kernel) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(kernel.context)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
    records = read_records(kernel.staging)
    assert len(records) >= 20
    for number, record in enumerate(records):
        assert record["name"] == f"f{number}"
        assert (kernel.staging / record["path"]).stat().st_size == 5000


FULL = """
import resource, signal, sys
from pathlib import Path
from rasen.errors import PlatformFailed
from rasen.recorder import Recorder, read_context
into = Recorder(read_context(Path(sys.argv[1])))
into.append("metric", name="first", value=1.0, slice={})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
try:
    into.append("metric", name="second", value=1.0, slice={"much": "x" * 500})
except PlatformFailed as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
into.append("metric", name="third", value=1.0, slice={})
"""


def test_a_record_the_disk_cannot_take_is_taken_back(kernel: Kernel) -> None:
    command = [sys.executable, "-c", FULL, str(kernel.context)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "the disk is full" in finished.stdout
    assert [record["name"] for record in read_records(kernel.staging)] == ["first", "third"]


def test_a_file_that_cannot_be_written_leaves_nothing(kernel: Kernel) -> None:
    into = Recorder(read_context(kernel.context))
    (kernel.staging / "figures" / "taken.png").mkdir(parents=True)
    with pytest.raises(PlatformFailed, match=r"taken\.png"):
        into.write("figures/taken.png", b"x")
    assert [path.name for path in (kernel.staging / "figures").iterdir()] == ["taken.png"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "line 1: kind None"),
        ("text", "line 1: kind None"),
        ({"kind": "order"}, "kind 'order' is none of metric, read"),
        (metric(name=3), "metric has name=3, of the wrong type"),
        (metric(value=True), "value=True"),
        (metric(value=None), "value=None"),
        (metric(slice="x"), "slice='x'"),
        ({"kind": "figure", "name": "f", "path": 7}, "path=7"),
        ({"kind": "figure", "name": "f", "path": "figures/none.png"}, "there is no file"),
        ({"kind": "figure", "name": "f", "path": "a\0b"}, "there is no file"),
        ({"kind": "figure", "name": "f", "path": "records.jsonl/x"}, "there is no file"),
        ({"kind": "figure", "name": "f", "path": "/etc/passwd"}, "leads outside"),
        ({"kind": "figure", "name": "f", "path": "../context.json"}, "leads outside"),
        ({"kind": "figure", "name": "f", "path": "figures/../../context.json"}, "leads outside"),
        ({"kind": "figure", "name": "f", "path": ""}, "leads outside"),
        ({"kind": "figure", "name": "f", "path": "figures"}, "no regular file"),
        ({"kind": "table", "name": "t", "path": "link.parquet", "rows": 1}, "link"),
        ({"kind": "table", "name": "t", "path": "linked/context.json", "rows": 1}, "link"),
        (
            {
                "kind": "model",
                "path": "real.txt",
                "schema": {},
                "example": "../context.json",
                "profile": None,
                "evaluation": None,
                "target": None,
                "time": None,
                "slices": [],
                "trained_until": None,
            },
            "example='../context.json' leads outside",
        ),
    ],
)
def test_what_a_hostile_kernel_may_write_is_refused(kernel: Kernel, record: Any, message: str) -> None:
    (kernel.staging / "figures").mkdir()
    (kernel.staging / "real.txt").write_text("", encoding="utf-8")
    (kernel.staging / "link.parquet").symlink_to(kernel.staging / "real.txt")
    (kernel.staging / "linked").symlink_to(kernel.folder)
    write(kernel.staging, record)
    with pytest.raises(InvalidInput, match=message):
        read_records(kernel.staging)


def test_the_records_themselves_may_be_no_link_and_no_pipe(kernel: Kernel) -> None:
    path = kernel.staging / RECORDS_FILE
    path.symlink_to(kernel.context)
    with pytest.raises(InvalidInput, match="link"):
        read_records(kernel.staging)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InvalidInput, match="no regular file"):
        read_records(kernel.staging)


def test_garbage_between_records_is_named(kernel: Kernel) -> None:
    (kernel.staging / RECORDS_FILE).write_bytes(b'{"kind": "metric"\n')
    with pytest.raises(InvalidInput, match="line 1: not JSON"):
        read_records(kernel.staging)
    (kernel.staging / RECORDS_FILE).write_bytes(b"\xff\xfe\n")
    with pytest.raises(InvalidInput, match="line 1: not JSON"):
        read_records(kernel.staging)


def test_the_context_is_read_from_the_environment(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.enter(monkeypatch)
    context = recorder().context
    assert (context.pipeline, context.step, context.environment) == ("demand", "train", "dev")
    assert context.parameters == {"depth": 6}
    assert not context.interactive
    assert recorder() is recorder()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "no context"), ("[]", "no context"), ('{"format": 2}', "format 2"), ('{"format": 1}', "KeyError")],
)
def test_a_context_that_cannot_be_read(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "context.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=message):
        read_context(path)
    with pytest.raises(InvalidInput, match="FileNotFoundError"):
        read_context(tmp_path / "none.json")
