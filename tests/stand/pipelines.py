"""Small pipelines written on the spot: notebooks from a list of cells, in a git repository when one is needed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")


def write_notebook(path: Path, cells: Sequence[str], *, parameters: str = "") -> None:
    """Write a notebook: a title, a `parameters` cell, and one code cell for each text."""
    sources = [
        ("markdown", f"# {path.stem}\n\nA notebook of the tests.", []),
        ("code", parameters, ["parameters"]),
    ]
    sources += [("code", text, []) for text in cells]
    notebook = {
        "cells": [
            {
                "cell_type": kind,
                "id": f"cell{index}",
                "metadata": {"tags": tags} if tags else {},
                "source": text,
                **({"outputs": [], "execution_count": None} if kind == "code" else {}),
            }
            for index, (kind, text, tags) in enumerate(sources)
        ],
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, indent=1) + "\n", encoding="utf-8")


def write_pipeline(
    folder: Path, steps: Mapping[str, Sequence[str]], *, parameters: str = "", more: str = ""
) -> Path:
    """Write a pipeline whose steps follow one another; return its folder.

    Args:
        folder: Its name is the pipeline's.
        steps: The cells of each step's notebook.
        parameters: Source of every notebook's `parameters` cell.
        more: Further lines of `pipeline.yaml`.
    """
    lines = [f"name: {folder.name}", "owner: tests", "steps:"]
    before = None
    for step, cells in steps.items():
        write_notebook(folder / f"{step}.ipynb", cells, parameters=parameters)
        needs = f", needs: [{before}]" if before else ""
        lines.append(f"  {step}: {{notebook: {step}.ipynb{needs}}}")
        before = step
    (folder / "pipeline.yaml").write_text("\n".join([*lines, more]) + "\n", encoding="utf-8")
    return folder


def commit_all(repository: Path, message: str = "change") -> str:
    """Commit everything in `repository`, which becomes one if it is none; return the commit."""
    if not (repository / ".git").exists():
        subprocess.run([*_GIT, "init", "--quiet", str(repository)], check=True)
    for command in (("add", "--all"), ("commit", "--quiet", "--allow-empty", "--message", message)):
        subprocess.run([*_GIT, "-C", str(repository), *command], check=True)
    finished = subprocess.run(
        [*_GIT, "-C", str(repository), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    return finished.stdout.strip()
