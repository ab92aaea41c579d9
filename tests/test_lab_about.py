"""What JupyterLab's server side says of a notebook as it is in the browser: step, parameters, values, git."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rasen_labextension.notebook_about import describe_notebook, pipeline_folder


def notebook(parameters: str = "depth: int = 6  # of the trees\n", other: str = "x = 1") -> bytes:
    def cell(source: str, **metadata: Any) -> dict[str, Any]:
        return {
            "cell_type": "code",
            "source": source,
            "metadata": metadata,
            "outputs": [],
            "execution_count": None,
        }

    document = {
        "nbformat": 4,
        "nbformat_minor": 4,
        "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
        "cells": [cell(parameters, tags=["parameters"]), cell(other)],
    }
    return json.dumps(document).encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "notebooks" / "demand"
    folder.mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(
        "name: demand\nowner: me\nparameters: {depth: 4}\n"
        "steps:\n  train: {notebook: train.ipynb, parameters: {mode: fast}}\n"
        "  after: {notebook: after.ipynb, needs: [train]}\n"
    )
    (folder / "train.ipynb").write_bytes(
        notebook(
            "from typing import Literal\nfrom datetime import date\n"
            'depth: int = 6  # of the trees\nmode: Literal["fast", "exact"] = "exact"\n'
            'until: date = "2013-01-01"\nlabel: str | None = None\nareas: list[str] = ["a"]\n'
        )
    )
    (folder / "after.ipynb").write_bytes(notebook("depth: int = 1\nrows: int = 5\n"))
    return tmp_path / "work"


def test_parameters_come_with_types_values_and_the_layer_that_they_come_from(root: Path) -> None:
    file = root / "notebooks/demand/train.ipynb"
    about = describe_notebook(file, file.read_bytes(), root=root)
    assert (about.pipeline, about.step, about.role, about.endpoint, about.problem) == (
        "demand",
        "train",
        "step",
        "demand",
        None,
    )
    shown = {each.name: each for each in about.parameters}
    assert (shown["depth"].kind, shown["depth"].value, shown["depth"].layer) == ("int", 4, "parameters")
    assert (shown["depth"].text, shown["until"].text, shown["areas"].text) == ("4", "2013-01-01", '["a"]')
    assert shown["depth"].description == "of the trees"
    assert shown["depth"].steps == ("train", "after")
    assert (shown["mode"].kind, shown["mode"].choices) == ("choice", ("fast", "exact"))
    assert (shown["mode"].value, shown["mode"].layer) == ("fast", "step.parameters")
    assert (shown["until"].kind, shown["label"].nullable, shown["areas"].kind) == ("date", True, "list")
    assert shown["rows"].steps == ("after",)


def test_what_was_not_saved_counts(root: Path) -> None:
    file = root / "notebooks/demand/train.ipynb"
    about = describe_notebook(
        file, notebook('depth: int = 9\nmode: str = "x"\nnew: float = 1.5\n'), root=root
    )
    assert [each.name for each in about.parameters][:3] == ["depth", "mode", "new"]


def test_a_broken_notebook_keeps_its_pipeline_and_says_what_is_wrong(root: Path) -> None:
    file = root / "notebooks/demand/train.ipynb"
    about = describe_notebook(file, notebook("depth = 6\n"), root=root)
    assert about.pipeline == "demand"
    assert about.problem is not None
    assert "annotation" in about.problem


def test_a_broken_pipeline_yaml_is_a_problem_and_not_an_error(root: Path) -> None:
    file = root / "notebooks/demand/train.ipynb"
    (file.parent / "pipeline.yaml").write_text("name: demand\nowner: me\nstep: {}\n")
    about = describe_notebook(file, file.read_bytes(), root=root)
    assert (about.pipeline, about.owner) == ("demand", "me")
    assert about.problem is not None
    assert "steps" in about.problem
    assert [each.name for each in about.parameters][:2] == ["depth", "mode"]


def test_a_notebook_without_a_pipeline_is_nobodys(root: Path) -> None:
    file = root / "scratch.ipynb"
    about = describe_notebook(file, notebook(), root=root)
    assert (about.pipeline, about.problem, about.parameters) == (None, None, ())


def test_no_pipeline_is_looked_for_above_the_root(root: Path) -> None:
    (root.parent / "pipeline.yaml").write_text(
        "name: other\nowner: me\nsteps: {a: {notebook: work/a.ipynb}}\n"
    )
    assert pipeline_folder(root / "a.ipynb", root=root) is None


def test_files_that_differ_from_the_commit_are_named_and_outputs_do_not_count(root: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        done = subprocess.run(
            ["git", *identity, "-C", str(root), *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    file = root / "notebooks/demand/train.ipynb"
    clean = describe_notebook(file, file.read_bytes(), root=root)
    assert (clean.commit, clean.changed) == (git("rev-parse", "HEAD"), ())
    rerun = json.loads(file.read_bytes())
    rerun["cells"][1]["execution_count"] = 3
    assert describe_notebook(file, json.dumps(rerun).encode(), root=root).changed == ()
    (file.parent / "help.py").write_text("x = 1\n")
    edited = describe_notebook(
        file, file.read_bytes().replace(b'"source": "x = 1"', b'"source": "x = 2"'), root=root
    )
    assert edited.changed == ("help.py", "train.ipynb")
