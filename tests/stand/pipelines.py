"""Small pipelines written on the spot: notebooks from a list of cells, in a git repository when one is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stand import pipeline_folder
from stand.pipeline_folder import git, notebook

_METADATA = {
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


def write_notebook(path: Path, cells: Sequence[str], *, parameters: str = "") -> None:
    """Write a notebook: a title, a `parameters` cell, and one code cell for each text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(notebook(parameters, cells, changes={"metadata": _METADATA}))


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
        git(repository, "init", "--quiet")
    return pipeline_folder.commit_all(repository, message)
