"""Runs of real notebooks: what is published, what is recorded, and that the verdict is the truth."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rasen.batch.execute import Executed, explain
from rasen.batch.run_events import RunEvent, StepEnded, StepSkipped
from rasen.batch.step import run_step
from rasen.errors import DigestMismatch, InvalidInput, NotFound, ParameterError
from rasen.parameters import Layer
from rasen.settings import Settings, load_settings
from rasen.store import DirectoryStore, open_store
from rasen.tracking.keys import end_key, manifest_key
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Verdict
from rasen.tracking.results import newest_attempt, read_published_result
from rasen.tracking.signature import load_trust
from stand.pipelines import write_pipeline
from stand.runs import run_working_copy, start_working_copy

SAVE = "import pandas as pd, rasen\nrasen.save_table('numbers', pd.DataFrame({'x': [1, 2, 3]}))"
LOAD = "import rasen\nassert rasen.load_table('numbers').x.sum() == 6\nrasen.log_metrics(rmse=0.5)"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def run(
    settings: Settings, folder: Path, *typed: str, request: str | None = None
) -> tuple[Executed, list[RunEvent]]:
    events: list[RunEvent] = []
    executed = run_working_copy(settings, folder, *typed, request=request, observe=events.append)
    return executed, events


def output_notebook(executed: Executed, step: str, attempt: int = 1) -> dict[str, Any]:
    path = f"runs/{executed.pipeline}/{executed.run}/{step}/{attempt}/output.ipynb"
    loaded: dict[str, Any] = json.loads(executed.store.read(path))
    return loaded


def statuses(notebook: dict[str, Any]) -> list[str]:
    # papermill puts notes about the error in front; they are no cells of the author.
    cells = [
        cell
        for cell in notebook["cells"]
        if "papermill-error-cell-tag" not in cell["metadata"].get("tags", ())
    ]
    return [cell["metadata"]["papermill"]["status"] for cell in cells]


def test_a_run_publishes_what_its_steps_wrote(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(
        tmp_path / "toy",
        {
            "save": [SAVE, "import os\nprint(sorted(k for k in os.environ if 'RASEN' in k))"],
            "load": [LOAD, "n"],
        },
        parameters="n: int = 1",
    )
    executed, events = run(settings, folder, "n=7", request="mine")
    assert executed.verdict is Verdict.SUCCEEDED
    assert executed.exit_code == 0
    assert [event.step for event in events if isinstance(event, StepEnded)] == ["save", "load"]

    store = open_store(settings)
    manifest = read_manifest(store, load_trust(settings), "toy", executed.run, environment="dev").manifest
    assert set(manifest.steps) == {"save", "load"}
    for file in manifest.files:
        assert hashlib.sha256(store.read(file.key)).hexdigest() == file.sha256
    assert [metric.value for metric in read_published_result(store, manifest, "load").metrics] == [0.5]
    last = output_notebook(executed, "load")
    assert last["metadata"]["rasen"]["verdict"] == "succeeded"
    assert last["cells"][-1]["outputs"][0]["data"]["text/plain"] == ["7"]
    seen = output_notebook(executed, "save")["cells"][-1]["outputs"][0]["text"]
    assert "".join(seen).strip() == "['RASEN_CONTEXT', 'RASEN_SECRETS_CHANNEL']", (
        "a kernel is told of its context, where to ask for secrets, and nothing else"
    )
    assert not any(settings.scratch_dir.iterdir()), "working folders are gone afterwards"

    again, events = run(settings, folder, "n=7", request="mine")
    assert again.run == executed.run, "the same request names the same run"
    assert events == [], "a finished run is not run again"
    other, _ = run(settings, folder, "n=7")
    assert other.run > executed.run


def test_a_cell_that_raises_fails_the_run_and_skips_what_needs_it(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(
        tmp_path / "toy", {"first": ["x = 1", "x / 0", "print('never')"], "second": ["print('never')"]}
    )
    executed, events = run(settings, folder)
    assert executed.verdict is Verdict.FAILED
    assert executed.exit_code == 42
    assert [event.step for event in events if isinstance(event, StepSkipped)] == ["second"]
    attempt = newest_attempt(executed.store, "toy", executed.run, "first")
    assert attempt is not None
    assert attempt.result is not None
    assert attempt.result.cell == 3
    assert attempt.result.error is not None
    assert attempt.result.error.name == "ZeroDivisionError"
    assert executed.store.stat(manifest_key("toy", executed.run)) is None
    assert executed.store.stat(end_key("toy", executed.run)) is not None
    explained = "\n".join(executed.explanation())
    assert "first: ZeroDivisionError: division by zero" in explained
    assert "cell 3 of the notebook" in explained
    notebook = Path(
        next(line for line in executed.explanation() if line.startswith("output.ipynb")).split(": ")[1]
    )
    assert statuses(json.loads(notebook.read_bytes()))[-3:] == ["completed", "failed", "not reached"]


def test_what_is_too_much_for_a_notebook_is_in_the_log(settings: Settings, tmp_path: Path) -> None:
    executed, _ = run(
        settings, write_pipeline(tmp_path / "toy", {"a": ["print('x' * 8_000_000 + 'the end')"]})
    )
    assert executed.verdict is Verdict.SUCCEEDED
    assert "they are in the step's log" in str(output_notebook(executed, "a")["cells"][-1]["outputs"])
    assert b"the end" in executed.store.read(f"runs/toy/{executed.run}/a/1/log.txt")


def test_bad_data_end_the_run_as_validation_failed(settings: Settings, tmp_path: Path) -> None:
    check = (
        "import pandas as pd, pandera.pandas as pa, rasen\n"
        "rasen.check(pd.DataFrame({'x': [1, -2]}), pa.DataFrameSchema({'x': pa.Column(int, pa.Check.ge(0))}))"
    )
    executed, _ = run(settings, write_pipeline(tmp_path / "toy", {"train": [check, "print('trained')"]}))
    assert executed.verdict is Verdict.VALIDATION_FAILED
    assert executed.exit_code == 44
    assert statuses(output_notebook(executed, "train"))[-1] == "not reached"


@pytest.mark.parametrize(
    "death", ["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "import os\nos._exit(0)"]
)
def test_a_kernel_that_dies_is_never_a_success(settings: Settings, tmp_path: Path, death: str) -> None:
    # papermill 2.7 leaves every cell "completed" here, those that never ran too.
    executed, _ = run(
        settings, write_pipeline(tmp_path / "toy", {"step": ["x = 1", death, "print('never')"]})
    )
    assert executed.verdict is Verdict.KERNEL_DIED
    notebook = output_notebook(executed, "step")
    assert statuses(notebook)[-3:] == ["completed", "failed", "not reached"]
    assert notebook["cells"][-2]["outputs"][-1]["ename"] == "KernelDied"


def test_a_step_has_a_time_limit(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "toy", {"step": ["import time\ntime.sleep(600)"]})
    text = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(text.replace("step.ipynb", "step.ipynb, timeout: 4s"))
    executed, _ = run(settings, folder)
    assert executed.verdict is Verdict.TIMED_OUT
    assert "its limit of 4 s" in "\n".join(executed.explanation())


def test_wrong_parameters_are_refused_before_anything_is_written(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "toy", {"step": ["n"]}, parameters="n: int = 1")
    with pytest.raises(ParameterError, match="unknown parameter 'm'"):
        run(settings, folder, "m=1")
    with pytest.raises(ParameterError, match="'x'"):
        run(settings, folder, "n=x")
    assert not any(open_store(settings).list("starts/"))
    assert not any(open_store(settings).list("requests/"))


def test_a_wish_is_explained_and_nothing_is_started(settings: Settings, tmp_path: Path) -> None:
    folder = write_pipeline(
        tmp_path / "toy", {"step": ["n"]}, parameters="n: int = 1\nm: int = 2", more="parameters: {n: 3}"
    )
    rows = explain(
        settings,
        str(folder),
        dev=True,
        release_id=None,
        given={"n": 4},
        typed=["n=5"],
        now=datetime.now(tz=UTC),
    )
    assert [(row.name, row.value, row.layer) for row in rows] == [
        ("n", 5, str(Layer.COMMAND_LINE)),
        ("m", 2, str(Layer.DEFAULT)),
    ]
    assert rows[0].overrode == ((str(Layer.YAML), 4), (str(Layer.PIPELINE), 3), (str(Layer.DEFAULT), 1))
    assert not any(open_store(settings).list("starts/"))


def test_asking_for_what_is_not_there_names_what_is(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        run(settings, tmp_path / "nowhere")
    prod = load_settings(home=tmp_path / "prod", environment="prod")
    folder = write_pipeline(tmp_path / "toy", {"step": ["1"]})
    with pytest.raises(InvalidInput, match="'dev' only"):
        run(prod, folder)


def test_a_step_whose_process_is_killed_is_tried_again(settings: Settings, tmp_path: Path) -> None:
    flag = tmp_path / "killed"
    kill_the_step_once = (
        "import os, pathlib, signal\n"
        f"flag = pathlib.Path({str(flag)!r})\n"
        "if not flag.exists():\n"
        "    flag.touch()\n"
        "    os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGKILL)\n"
        "    import time; time.sleep(60)"
    )
    executed, _ = run(settings, write_pipeline(tmp_path / "toy", {"step": [kill_the_step_once]}))
    assert executed.verdict is Verdict.SUCCEEDED
    attempt = newest_attempt(executed.store, "toy", executed.run, "step")
    assert attempt is not None
    assert attempt.number == 2


class DyingStore(DirectoryStore):
    """A store whose process is killed at its nth write: just before it, or just after."""

    def __init__(self, root: Path, *, write: int, before: bool) -> None:
        super().__init__(root)
        self.left = write
        self.before = before

    def _appear(self, staged: Any, key: str, if_generation: int | None) -> int:
        if key.startswith("live/"):  # by the clock, from another thread: it decides nothing
            return super()._appear(staged, key, if_generation)
        self.left -= 1
        if self.left == 0 and self.before:
            os.kill(os.getpid(), signal.SIGKILL)
        generation = super()._appear(staged, key, if_generation)
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return generation


@pytest.mark.parametrize(
    ("write", "before"), [(1, True), (1, False), (2, False), (3, True), (4, True), (4, False)]
)
def test_a_step_killed_at_any_write_leaves_nothing_half_done(
    settings: Settings, tmp_path: Path, write: int, before: bool
) -> None:
    # The writes of this step: claim, table, output notebook, result.

    folder = write_pipeline(tmp_path / "toy", {"save": [SAVE], "load": [LOAD]})
    store = open_store(settings)
    release, start = start_working_copy(settings, store, folder, request="mine")
    child = os.fork()
    if child == 0:
        try:
            dying = DyingStore(settings.store_dir, write=write, before=before)
            run_step(settings, dying, "toy", start.run, "save", 1)
        finally:
            os._exit(9)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert store.stat(manifest_key("toy", start.run)) is None
    executed, _ = run(settings, folder, request="mine")
    assert executed.run == start.run
    assert executed.verdict is Verdict.SUCCEEDED
    attempt = newest_attempt(store, "toy", start.run, "save")
    assert attempt is not None
    # Before the claim there was no attempt 1; after the result it counts; in between, attempt 2 replaces it.
    assert attempt.number == (1 if (write, before) in {(1, True), (4, False)} else 2)
    assert release.release == executed.finished.manifest.release  # type: ignore[union-attr] # it succeeded


def test_a_run_whose_files_were_changed_is_not_published(settings: Settings, tmp_path: Path) -> None:
    from rasen.batch.finish import finish_run

    folder = write_pipeline(tmp_path / "toy", {"save": [SAVE]})
    store = open_store(settings)
    _, start = start_working_copy(settings, store, folder)
    assert run_step(settings, store, "toy", start.run, "save", 1)
    table = next(stat for stat in store.list(f"runs/toy/{start.run}/save/1/tables/"))
    damaged = bytearray(store.read(table.key))
    damaged[len(damaged) // 2] ^= 1
    store.write(table.key, bytes(damaged))
    with pytest.raises(DigestMismatch, match="nothing was published"):
        finish_run(settings, store, "toy", start.run)
    assert store.stat(manifest_key("toy", start.run)) is None
