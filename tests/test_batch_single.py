"""Single notebooks: papermill's options and rules, our verdicts; where they differ, papermill's stands beside."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import papermill
import pytest

from rasen.batch.given_parameters import GivenParameters
from rasen.batch.single import Manner, run_notebook
from rasen.errors import InvalidInput, NotebookError, NotFound, ParameterError
from rasen.settings import load_settings
from rasen.tracking.records import Verdict
from stand.pipelines import write_notebook
from stand.platform_process import RASEN, rasen

SHOW = "print(repr(alpha))"


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_bytes())
    return loaded


def printed(notebook: dict[str, Any]) -> str:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


def statuses(notebook: dict[str, Any]) -> list[str]:
    return [cell["metadata"]["papermill"]["status"] for cell in notebook["cells"]]


def execute(source: Path, target: Path, *assignments: str, **manner: Any) -> Verdict:
    outcome = run_notebook(
        str(source), str(target), GivenParameters(assignments=assignments), Manner(**manner)
    )
    assert outcome is not None
    return outcome.verdict


def prepare(source: Path, target: Path, **given: Any) -> dict[str, Any]:
    """Return the parameters that were put in, as the notebook's own metadata tell."""
    assert run_notebook(str(source), str(target), GivenParameters(**given), Manner(prepare_only=True)) is None
    parameters: dict[str, Any] = read(target)["metadata"]["papermill"]["parameters"]
    return parameters


def test_what_is_annotated_is_typed_and_papermill_guesses_the_rest(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    write_notebook(
        source, [SHOW], parameters="alpha: str = 'x'\nn: int = 1\nwhen: datetime.date = '2013-01-01'"
    )
    typed = prepare(source, target, assignments=["alpha=007", "n=12"], raw_assignments=["when=2013-02-03"])
    assert typed == {"alpha": "007", "n": 12, "when": "2013-02-03"}  # papermill: alpha is 7

    write_notebook(source, [SHOW], parameters="alpha = 'x'")
    guessed = prepare(
        source, target, assignments=["alpha=007", "b=1_000", "c=True", "d=None", "e=1e3", "f=true", "g=a=b"]
    )
    assert guessed == {"alpha": 7, "b": 1000, "c": True, "d": None, "e": 1000.0, "f": "true", "g": "a=b"}


def test_a_value_that_does_not_fit_is_refused_before_anything_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    write_notebook(source, [SHOW], parameters="alpha: int = 1")
    for given, said in (
        ({"assignments": ["alpha=often"]}, "'often'"),
        ({"yaml_texts": ["alpha: often"]}, "'often'"),
        ({"raw_assignments": ["alpha=1"]}, "from -r"),
        ({"assignments": ["alhpa=1"]}, "alpha"),  # papermill: a warning
        ({"assignments": ["alpha"]}, "name=value"),
        ({"yaml_texts": ["[1, 2]"]}, "mapping"),
        ({"yaml_texts": ["{"]}, "cannot be read"),
        ({"base64_texts": ["abc"]}, "cannot be read"),
        ({"files": [str(tmp_path / "none.yaml")]}, "none.yaml"),
    ):
        with pytest.raises(ParameterError, match=said):
            prepare(source, target, **given)
    assert not target.exists()


def test_later_sources_win_as_with_papermill(tmp_path: Path) -> None:
    source, target, file = tmp_path / "in.ipynb", tmp_path / "out.ipynb", tmp_path / "p.yaml"
    write_notebook(source, [SHOW], parameters="a, b, c, d, e = 1, 1, 1, 1, 1")
    file.write_text("{b: 3, c: 3, d: 3, e: 3, day: 2013-01-01}")
    given = {
        "base64_texts": [base64.b64encode(b"{a: 2, b: 2}").decode()],
        "files": [str(file)],
        "yaml_texts": ["{c: 4, d: 4, e: 4}"],
        "assignments": ["d=5", "e=5", "d=6"],
        "raw_assignments": ["e=7"],
    }
    assert prepare(source, target, **given) == {
        "a": 2,
        "b": 3,
        "c": 4,
        "d": 6,
        "e": "7",
        "day": "2013-01-01",
    }
    assert "exception" not in read(target)["metadata"]["papermill"], "nothing was executed"


def test_a_notebook_runs_where_and_as_it_was_asked_to(tmp_path: Path) -> None:
    folder = tmp_path / "Größe & Maß {1}"
    folder.mkdir()
    source, place = folder / "ein heft.ipynb", tmp_path / "place"
    place.mkdir()
    cells = ["import os\nprint(os.getcwd(), alpha)", "import sys\nprint('warned', file=sys.stderr)", "40 + 2"]
    write_notebook(source, cells, parameters="alpha: float = 1")
    out, err = io.StringIO(), io.StringIO()
    outcome = run_notebook(
        str(source),
        str(tmp_path / "out {alpha} 日本.ipynb"),
        GivenParameters(assignments=["alpha=2.5"], inject_input_path=True),
        Manner(folder=place, stdout_file=out, stderr_file=err, report_mode=True),
    )
    assert outcome is not None
    assert outcome.verdict is Verdict.SUCCEEDED
    assert out.getvalue() == f"{place} 2.5\n"
    assert err.getvalue() == "warned\n"
    written = read(tmp_path / "out 2.5 日本.ipynb")
    assert written["metadata"]["papermill"]["input_path"] == str(source)
    assert written["metadata"]["papermill"]["output_path"] == str(tmp_path / "out 2.5 日本.ipynb")
    assert written["metadata"]["papermill"]["parameters"]["PAPERMILL_INPUT_PATH"] == str(source)
    assert all(
        cell["metadata"]["jupyter"]["source_hidden"]
        for cell in written["cells"]
        if cell["cell_type"] == "code"
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], (
        "nothing half written"
    )


def test_expected_errors_are_no_failure_and_dead_kernels_are(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    write_notebook(source, ["1 / 0", "print('went on')"])
    notebook = read(source)
    notebook["cells"][2]["metadata"]["tags"] = ["raises-exception"]
    source.write_text(json.dumps(notebook))
    assert execute(source, target) is Verdict.SUCCEEDED  # papermill: exit 1, for the expected error
    assert "went on" in printed(read(target))

    write_notebook(source, ["import os\nos._exit(0)", "print('never')"])
    assert execute(source, target) is Verdict.KERNEL_DIED  # papermill: every cell "completed"
    assert statuses(read(target))[-2:] == ["failed", "not reached"]


def test_a_notebook_of_any_age_and_shape_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    write_notebook(source, [])
    notebook = read(source)
    notebook["cells"] = []
    source.write_text(json.dumps(notebook))
    assert execute(source, target) is Verdict.SUCCEEDED

    write_notebook(source, ["print('first')", "print('second', alpha)"])
    notebook = read(source)
    del notebook["metadata"]["kernelspec"]  # papermill: no kernel name found
    notebook["cells"] = notebook["cells"][2:]  # no parameters cell either
    notebook["cells"][1]["id"] = notebook["cells"][0]["id"]
    source.write_text(json.dumps(notebook))
    assert execute(source, target, "alpha=1") is Verdict.SUCCEEDED
    assert printed(read(target)) == "first\nsecond 1\n"
    assert len({cell["id"] for cell in read(target)["cells"]}) == 3, "ids are unique now"

    write_notebook(source, ["print('alias')"])
    assert execute(source, target, kernel="python") is Verdict.SUCCEEDED  # what older tools call python3

    old = {
        "cell_type": "code",
        "input": ["print('three')"],
        "language": "python",
        "metadata": {},
        "outputs": [],
    }
    document = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "x"},
        "worksheets": [{"cells": [old]}],
    }
    source.write_text(json.dumps(document))
    assert execute(source, target) is Verdict.SUCCEEDED
    assert printed(read(target)) == "three\n"


@pytest.mark.parametrize("text", ["", "{}", "[]", "\udcff", '{"nbformat": 4, "cells": [{}]}', "no json"])
def test_what_is_no_notebook_is_said_to_be_none(text: str, tmp_path: Path) -> None:
    source = tmp_path / "in.ipynb"
    source.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(NotebookError, match=r"in\.ipynb' is no notebook"):
        execute(source, tmp_path / "out.ipynb")


def test_what_cannot_be_done_is_said_before_anything_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    write_notebook(source, [SHOW])
    with pytest.raises(NotebookError, match=r"'cobol'.*python3"):
        execute(source, target, kernel="cobol")
    with pytest.raises(NotFound, match="No such file"):
        execute(tmp_path / "none.ipynb", target)
    with pytest.raises(NotFound, match="folder of the output"):  # papermill: after the notebook has run
        execute(source, tmp_path / "none" / "out.ipynb")
    with pytest.raises(InvalidInput, match="is a folder"):
        execute(source, tmp_path)
    with pytest.raises(NotFound, match="working directory"):
        execute(source, target, folder=tmp_path / "none")
    with pytest.raises(InvalidInput, match="braces in a path"):
        execute(source, tmp_path / "out {beta}.ipynb")


def test_plain_papermill_gets_its_options_from_our_engine(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    write_notebook(tmp_path / "in.ipynb", ["print('said')"])
    out = io.StringIO()
    before = Path.cwd()
    os.chdir(tmp_path)  # papermill's paths stay relative to where it was called, whatever `cwd` is
    try:
        papermill.execute_notebook(
            "in.ipynb",
            "out.ipynb",
            engine_name="rasen",
            cwd="place",
            stdout_file=out,
            progress_bar={"disable": True},
        )
    finally:
        os.chdir(before)
    assert out.getvalue() == "said\n"
    assert statuses(read(tmp_path / "out.ipynb"))[-1] == "completed"
    assert list(place.iterdir()) == []


def test_the_command_speaks_papermills_language(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    write_notebook(
        tmp_path / "in.ipynb", [SHOW, "assert alpha == 3, 'not three'"], parameters="alpha: int = 1"
    )
    done = rasen(settings, "notebook", "run", tmp_path / "in.ipynb", "-", "-p", "alpha", "3", folder=tmp_path)
    assert printed(json.loads(done.stdout)) == "3\n"

    arguments = ["notebook", "run", "in.ipynb", "out.ipynb", "-p", "alpha=4", "--json", "--log-output"]
    failed = rasen(settings, *arguments, folder=tmp_path, check=False)
    assert failed.returncode == 42
    told = json.loads(failed.stdout)
    assert (told["verdict"], told["cell"], told["error_name"]) == ("failed", 3, "AssertionError")
    assert failed.stderr.splitlines()[0] == "4"


def test_a_command_that_is_told_to_stop_saves_what_there_is(tmp_path: Path) -> None:
    write_notebook(tmp_path / "in.ipynb", ["print('begun', flush=True)", "import time\ntime.sleep(600)"])
    command = [*RASEN, "notebook", "run", "in.ipynb", "out.ipynb"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (tmp_path / "out.ipynb").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 75
    written = read(tmp_path / "out.ipynb")
    assert written["metadata"]["rasen"]["verdict"] == "interrupted"
    assert printed(written) == "begun\n"
