"""Pipelines for tests: folders with a `pipeline.yaml` and small notebooks, in git repositories where wanted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PARAMETERS = "max_depth: int = 6\n"


def notebook(
    parameters: str = PARAMETERS,
    cells: Sequence[str] = (),
    *,
    changes: Mapping[str, object] | None = None,
) -> bytes:
    """Return a notebook: a title, the parameters cell, then `cells`; `changes` replace its top-level keys."""
    document = {
        "cells": [
            {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# Title\n\nWhat it is for."},
            code_cell(parameters, "parameters", tags=["parameters"]),
            *(code_cell(source, f"cell-{index}") for index, source in enumerate(cells)),
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(document | dict(changes or {}), indent=1).encode()


def code_cell(source: str, identifier: str, *, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Return a code cell without outputs."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": identifier,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def write_pipeline(
    folder: Path,
    yaml: str | None = None,
    notebooks: Mapping[str, bytes] | None = None,
    *,
    name: str = "demand",
) -> Path:
    """Write a pipeline into `folder` and return it; by default one of one step, `train`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml or f"name: {name}\nowner: mobility\nsteps:\n  train: {{notebook: train.ipynb}}\n"
    (folder / "pipeline.yaml").write_text(text)
    for path, data in (notebooks or {"train.ipynb": notebook()}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def git(repository: Path, *arguments: str) -> str:
    """Run git without the user's configuration; return what it printed."""
    identity = ["-c", "user.name=Ann Alyst", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    result = subprocess.run(
        ["git", "-C", str(repository), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return result.stdout.strip()


def make_repository(top: Path, *pipelines: str) -> Path:
    """Make a git repository with `notebooks/<name>/` for each name, committed; return its top."""
    top.mkdir(parents=True, exist_ok=True)
    git(top, "init", "--quiet", "--initial-branch=main")
    (top / ".gitignore").write_text(".rasen/\n*.log\n")
    for name in pipelines:
        write_pipeline(top / "notebooks" / name, name=name)
    commit_all(top, "first")
    return top


def commit_all(top: Path, message: str = "change") -> str:
    """Commit everything in the work tree, even nothing; return the commit."""
    git(top, "add", "--all")
    git(top, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(top, "rev-parse", "HEAD")
