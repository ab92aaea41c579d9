"""`rasen review` from git to page: which files differ, what is new about findings, what runs have measured."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.errors import InvalidInput
from rasen.release import register, register_workspace
from rasen.review.report import FileReview, Review, review_json
from rasen.review.reviewing import review_change
from rasen.review.summary import render_summary
from rasen.review.twins import export_notebooks
from rasen.settings import load_settings
from rasen.store import open_store
from rasen.tracking.signature import Role, open_signer
from stand.hostile_notebooks import NAMES, document
from stand.pipeline_folder import code_cell, commit_all, git, make_repository, notebook
from stand.reviewed import WordLinter, make_branches, record_run

IMAGE = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository whose branch `work` differs from `main`; nobody writes into it."""
    top = tmp_path_factory.mktemp("repository")
    make_branches(top)
    return top


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", "demand")


def by_name(review: Review) -> dict[str, FileReview]:
    return {file.path.rpartition("/")[2]: file for file in review.files}


def changes(review: Review) -> dict[str, str]:
    return {file.path: file.change for file in review.files}


def test_a_branch_is_compared_with_what_it_began_from(branches: Path, tmp_path: Path) -> None:
    top = tmp_path / "copy"
    shutil.copytree(branches, top)
    git(top, "checkout", "--quiet", "main")
    (top / "notebooks" / "scores" / "train.ipynb").write_bytes(notebook("meanwhile: int = 1\n"))
    commit_all(top, "main goes on")
    review = review_change(top, "main", "work")
    assert review.base.commit == git(top, "rev-parse", "main~1")
    assert review.head.commit == git(top, "rev-parse", "work")
    found = by_name(review)
    assert {name: file.change for name, file in found.items() if name[0] != "<"} == {
        "pipeline.yaml": "changed",
        "broken.ipynb": "added",
        "new_name.ipynb": "renamed",
        "train.ipynb": "changed",
        "calendar_days.py": "changed",
    }
    assert found["new_name.ipynb"].old_path == "notebooks/demand/old_name.ipynb"
    train = found["train.ipynb"].notebook
    assert train is not None
    assert {state.value: count for state, count in train.counts.items()} == {
        "changed": 3,
        "added": 1,
        "moved": 1,
        "outputs": 1,
    }
    assert {one.name: (one.old_default, one.new_default) for one in train.parameters} == {
        "max_depth": (6, 8),
        "holidays": (None, True),
    }


def test_only_new_findings_matter(branches: Path) -> None:
    review = review_change(branches, "main", "work", linter=WordLinter(warnings=("print(", "flights.head()")))
    train = by_name(review)["train.ipynb"].findings
    assert [(one.severity, one.cell) for one in train.new] == [("warning", 5), ("error", 8)]
    # The same sentence about a cell that has another number now.
    assert [one.cell for one in train.old] == [3]
    assert review.blocks("error")
    back = review_change(branches, "work", "main", linter=WordLinter())
    assert (back.files, back.new_findings) == ((), [])  # main has nothing that work has not


def test_solved_findings_are_counted(top: Path) -> None:
    path = top / "notebooks" / "demand" / "train.ipynb"
    path.write_bytes(notebook(cells=["!pip install a", "!pip install b"]))
    commit_all(top)
    path.write_bytes(notebook(cells=["!pip install a"]))
    (file,) = review_change(top, "HEAD", ".", linter=WordLinter()).files
    assert (len(file.findings.new), len(file.findings.old), file.findings.solved) == (0, 1, 1)


def test_the_work_tree_is_a_head(top: Path) -> None:
    folder = top / "notebooks" / "demand"
    assert review_change(top, "main", ".").files == ()
    (folder / "train.ipynb").write_bytes(notebook("max_depth: int = 9\n"))
    (folder / "new.ipynb").write_bytes(notebook())
    (folder / "ignored.log").write_text("x")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "train-checkpoint.ipynb").write_bytes(notebook())
    (folder / "pipeline.yaml").unlink()
    (top / "elsewhere.txt").write_text("x")
    review = review_change(folder, "main", ".")
    assert changes(review) == {
        "notebooks/demand/new.ipynb": "added",
        "notebooks/demand/pipeline.yaml": "removed",
        "notebooks/demand/train.ipynb": "changed",
    }
    assert review.head.commit is None
    assert "1 other files differ" in " ".join(review.notes)


def test_a_rerun_in_the_work_tree_is_no_real_change(top: Path) -> None:
    path = top / "notebooks" / "demand" / "train.ipynb"
    content = json.loads(path.read_bytes())
    content["cells"][1]["execution_count"] = 7
    content["metadata"]["language_info"] = {"version": "3.12"}
    path.write_text(json.dumps(content).replace("\n", "\r\n"))
    (file,) = review_change(top, "main", ".").files
    assert file.notebook is not None
    assert not file.notebook.is_real
    assert file.note == "nothing differs but ids, counts or metadata"


def test_paths_choose(branches: Path) -> None:
    folder = branches / "notebooks" / "demand"
    (only,) = review_change(branches, "main", "work", paths=[Path("notebooks/demand/train.ipynb")]).files
    assert only.path == "notebooks/demand/train.ipynb"
    assert review_change(branches, "main", "work", paths=[Path("notebooks/scores")]).files == ()
    # From a folder, a file that only the base has; and the whole.
    assert len(review_change(folder, "main", "work", paths=[Path("old_name.ipynb")]).files) == 1
    assert len(review_change(folder, "main", "work", paths=[Path("../..")]).files) == 6
    with pytest.raises(InvalidInput, match="outside the repository"):
        review_change(branches, "main", "work", paths=[Path("../other")])


def test_renames_of_folders_and_of_changed_files_are_found(top: Path) -> None:
    folder = top / "notebooks" / "demand"
    cells = [code_cell(f"step_{n}()\nshow({n})", f"c{n}") for n in range(8)]
    (folder / "long.ipynb").write_bytes(document(cells))
    (folder / "helper.py").write_text("".join(f"def f{n}(): ...\n" for n in range(9)))
    commit_all(top)
    folder.rename(top / "notebooks" / "supply")
    moved = top / "notebooks" / "supply"
    (moved / "long.ipynb").rename(moved / "longer.ipynb")
    (moved / "longer.ipynb").write_bytes(document([*cells[:-1], code_cell("other()", "z")]))
    review = review_change(top, "HEAD", ".")
    assert {(file.old_path or "").rpartition("/")[2]: file.change for file in review.files} == {
        "long.ipynb": "renamed",
        "train.ipynb": "renamed",
        "helper.py": "renamed",
        "pipeline.yaml": "renamed",
    }


def test_what_is_no_file_is_named(top: Path) -> None:
    folder = top / "notebooks" / "demand"
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    (folder / "pointer.ipynb").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
    )
    (folder / "model.bin").write_bytes(b"\0\1")
    (folder / "windows.sql").write_bytes(b"SELECT 1\nFROM t\n")
    make_repository(folder / "module")
    git(top, "add", "--all")
    commit_all(top)
    commit_all(folder / "module")
    git(top, "add", "--all")
    (folder / "windows.sql").write_bytes(b"SELECT 1\r\nFROM t\r\n")
    (folder / "model.bin").write_bytes(b"\0\1\2")
    commit_all(top)
    for head in ("main", "."):
        found = by_name(review_change(top, "main~2", head))
        assert "a symbolic link" in found["link.ipynb"].note
        assert found["link.ipynb"].new is None
        pointer = found["pointer.ipynb"].notebook
        assert pointer is not None
        assert "Git LFS" in (pointer.new_problem or "")
        assert "a submodule" in found["module"].note
        assert "3 bytes" in found["model.bin"].note
    found = by_name(review_change(top, "main~1", "main"))
    assert found["windows.sql"].note == "only the ends of its lines differ"
    assert "a submodule" in found["module"].note


def test_generated_twins_are_left_out_and_forged_ones_are_not(top: Path) -> None:
    folder = top / "notebooks" / "demand"
    export_notebooks([folder])
    review = review_change(top, "main", ".")
    assert review.files == ()
    assert "1 generated .py twins" in " ".join(review.notes)
    (folder / "train.py").write_text((folder / "train.py").read_text() + "\nimport os; os.system('harm')\n")
    assert "os.system" in (by_name(review_change(top, "main", "."))["train.py"].new or "")


@pytest.mark.parametrize(
    ("base", "head", "words"),
    [
        ("nowhere", ".", "there is no revision 'nowhere'"),
        ("main", "--output=x", "is no revision"),
        ("", ".", "is no revision"),
        ("main:notebooks", ".", "there is no revision"),
        ("main", "orphan", "no commit in common"),
    ],
)
def test_revisions_that_are_none_are_refused(top: Path, base: str, head: str, words: str) -> None:
    git(top, "checkout", "--quiet", "--orphan", "orphan")
    commit_all(top, "another beginning")
    with pytest.raises(InvalidInput, match=words):
        review_change(top, base, head)


def test_outside_a_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not in a git repository"):
        review_change(tmp_path, "main", ".")


def test_no_program_of_a_repository_runs(top: Path, tmp_path: Path) -> None:
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    spy.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.spy.textconv", "filter.spy.clean", "core.pager"):
        git(top, "config", name, str(spy))
    git(top, "config", "filter.spy.smudge", str(spy))
    (top / ".gitattributes").write_text("*.ipynb diff=spy filter=spy\n")
    (top / "notebooks" / "demand" / "train.ipynb").write_bytes(notebook("max_depth: int = 1\n"))
    assert len(review_change(top, "main", ".").files) == 1
    assert not (tmp_path / "ran").exists()


def test_hostile_names_are_names(top: Path) -> None:
    for name in (*NAMES, "new\nline.ipynb", "ünï.ipynb", "-rf.ipynb", "*.ipynb"):
        (top / name.replace("/", "")).write_bytes(notebook())
    latin = top / os.fsdecode(b"latin\xe9")
    latin.mkdir()
    (latin / "a.ipynb").write_bytes(notebook("x: int = 1\n"))
    work = review_change(top, "main", ".")
    commit_all(top)
    commit = review_change(top, "main~1", "main")
    assert sorted(changes(work)) == sorted(changes(commit))
    assert len(work.files) == 7
    json.dumps(review_json(work))
    render_summary(work)


# Runs


def test_metrics_of_both_versions_stand_side_by_side(top: Path, tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home")
    folder = top / "notebooks" / "demand"
    store, signer = open_store(settings), open_signer(settings, Role.REGISTRAR)
    before = register(folder, store=store, signer=signer, image=IMAGE).release
    first = record_run(settings, before, 1, {"rmse": 4.0, "kept": 1.0, "<b>": 2.0})
    (folder / "train.ipynb").write_bytes(notebook("max_depth: int = 8\n"))
    alone = review_change(top, "main", ".", settings=settings).runs
    assert [(one.base.run if one.base else None, one.head) for one in alone] == [(first, None)]
    assert alone[0].note == "of the head no run has succeeded here"
    # A working copy's run counts for the work tree, a commit's with the same files too.
    workspace = register_workspace(folder, store=store, signer=signer, image=IMAGE)
    second = record_run(settings, workspace, 2, {"rmse": 3.0, "kept": 1.0, "<b>": 3.0})
    (runs,) = review_change(top, "main", ".", settings=settings).runs
    assert (runs.base.run if runs.base else None, runs.head.run if runs.head else None) == (first, second)
    rmse, other = sorted(runs.metrics, key=lambda one: one.name, reverse=True)
    assert (rmse.name, rmse.left, rmse.right, rmse.direction, rmse.better) == (
        "rmse",
        4.0,
        3.0,
        "minimize",
        True,
    )
    assert (other.name, other.better) == ("<b>", None)
    commit_all(top, "deeper")
    review = review_change(top, "main~1", "main", settings=settings)
    assert review.runs == (runs,)
    summary = render_summary(review)
    assert "| rmse | 4 | 3 | -1 | better |" in summary
    assert "&lt;b&gt;" in summary
    assert f"`{second}`" in summary


# The command


def invoke(top: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.chdir(top)
    return CliRunner().invoke(build_app(), ["review", *arguments])


def test_the_command_writes_a_page(branches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path / "home"))
    out, summary = tmp_path / "pages" / "review.html", tmp_path / "summary.md"
    summary.write_text("before\n")
    done = invoke(branches, monkeypatch, "main", "work", "--out", str(out), "--summary", str(summary))
    assert done.exit_code == 0, done.output
    assert f"written: {out}" in done.stdout.replace("\n", "")
    assert "renamed  notebooks/demand/new_name.ipynb" in done.stdout
    page = out.read_text()
    assert page.startswith("<!doctype html>")
    assert "Deeper trees &lt;script&gt;" in page
    assert summary.read_text().startswith("before\n### 4 notebooks differ")


def test_the_command_answers_programs(
    branches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path / "home"))
    done = invoke(branches, monkeypatch, "main", "work", "--json", "--out", str(tmp_path / "no.html"))
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    train = next(file for file in found["files"] if file["path"].endswith("train.ipynb"))
    assert train["counts"] == {"changed": 3, "added": 1, "moved": 1, "outputs": 1}
    (fit,) = [cell for cell in train["cells"] if cell["new"] and cell["new"]["id"] == "fit"]
    assert "+print(residuals.std())" in fit["diff"]
    helper = next(file for file in found["files"] if file["path"].endswith("calendar_days.py"))
    assert "+def is_holiday(day: str) -> bool:" in helper["diff"]
    assert not (tmp_path / "no.html").exists()


def test_the_command_fails_when_it_is_asked_to(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RASEN_HOME", str(tmp_path / "home"))
    (top / "notebooks" / "demand" / "train.ipynb").write_text("{")
    page = ["--out", str(tmp_path / "page.html")]
    assert invoke(top, monkeypatch, "main", *page).exit_code == 0
    assert invoke(top, monkeypatch, "main", *page, "--fail-on", "error").exit_code == 1
    refused = invoke(top, monkeypatch, "nowhere", *page)
    assert isinstance(refused.exception, InvalidInput)
