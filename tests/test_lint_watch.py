"""`rasen lint --watch`: what a change makes it look at again."""

import threading
from pathlib import Path

import pytest

from rasen.errors import InvalidInput
from rasen_lint.linting import Linted, Linting, Wishes
from rasen_lint.watching import follow, watch
from stand.lint_notebooks import notebook_bytes


def names(shown: list[Linted]) -> list[list[str]]:
    return [[Path(checked.path).name for checked in linted.results] for linted in shown]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.ipynb", "b.ipynb"):
        tmp_path.joinpath(name).write_bytes(notebook_bytes("x = 1"))
    return tmp_path


def test_changed_notebook_is_looked_at_again_and_everything_after_a_change_around_it(folder: Path) -> None:
    shown: list[Linted] = []
    changes = [{folder / "a.ipynb"}, set(), {folder / "pipeline.yaml"}, {folder / "elsewhere.ipynb"}]
    follow([folder], Linting(Wishes(ruff=False)), changes, shown.append, pytest.fail)
    assert names(shown) == [["a.ipynb", "b.ipynb"], ["a.ipynb"], ["a.ipynb", "b.ipynb"]]


def test_wrong_configuration_is_told_and_watching_goes_on(folder: Path) -> None:
    shown: list[Linted] = []
    said: list[str] = []

    def changes() -> object:
        folder.joinpath("pyproject.toml").write_text("[tool.rasen.lint]\nselct = []\n")
        yield {folder / "pyproject.toml"}
        folder.joinpath("pyproject.toml").write_text("")
        yield {folder / "pyproject.toml"}

    follow([folder], Linting(Wishes(ruff=False)), changes(), shown.append, said.append)  # type: ignore[arg-type] # a generator
    assert len(shown) == 2
    assert "did you mean 'select'?" in said[0]


def test_last_notebook_may_go_and_come_back(folder: Path) -> None:
    shown: list[Linted] = []
    path = folder / "a.ipynb"

    def changes() -> object:
        path.unlink()
        yield {path}
        path.write_bytes(b"{")
        yield {path}

    follow([path], Linting(Wishes(ruff=False)), changes(), shown.append, pytest.fail)  # type: ignore[arg-type] # a generator
    assert len(shown) == 2
    assert shown[1].results[0].problem is not None


def test_saved_file_is_seen_and_the_end_is_asked_for(folder: Path) -> None:
    stop, first = threading.Event(), threading.Event()
    shown: list[Linted] = []

    def show(linted: Linted) -> None:
        shown.append(linted)
        first.set()
        if len(shown) == 2:
            stop.set()

    watching = threading.Thread(
        target=watch,
        args=([folder / "a.ipynb"], Linting(Wishes(ruff=False)), show, pytest.fail),
        kwargs={"stop": stop},
    )
    watching.start()
    assert first.wait(20)
    part = folder / ".a.part"
    tries = 0
    while not stop.is_set() and tries < 200:  # the watcher may begin a little after the first answer
        part.write_bytes(notebook_bytes(f"x = {tries}"))
        part.replace(folder / "a.ipynb")
        tries += 1
        stop.wait(0.2)
    watching.join(20)
    assert not watching.is_alive()
    assert names(shown)[1] == ["a.ipynb"]


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file or folder"):
        watch([tmp_path / "x"], Linting(Wishes(ruff=False)), lambda _: None, pytest.fail)
