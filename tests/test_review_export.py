"""`rasen export`: twins that only the code of a notebook changes, and that write over nothing of somebody's."""

import ast
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rasen.cli import build_app
from rasen.errors import InvalidInput, NotebookError
from rasen.review.twins import MARK, TwinState, export_notebooks, script_of
from stand.pipeline_folder import notebook

SOURCES = st.lists(
    st.tuples(
        st.sampled_from(["code", "markdown", "raw"]),
        st.text(alphabet=st.characters(codec="utf-8"), max_size=40),
        st.lists(st.sampled_from(["parameters", "draft"]), max_size=2, unique=True),
    ),
    max_size=6,
)


def document(
    cells: list[tuple[str, str, list[str]]], noise: random.Random, *, line_end: str = "\n"
) -> dict[str, Any]:
    """Return a notebook in which all that is not code comes from `noise`."""
    written: list[dict[str, Any]] = []
    for kind, source, tags in cells:
        cell: dict[str, Any] = {
            "cell_type": kind,
            "id": f"{noise.getrandbits(32):x}",
            "metadata": {"tags": tags, "collapsed": noise.random() < 0.5, "papermill": {"n": noise.random()}},
            "source": source.replace("\n", line_end),
        }
        if kind == "code":
            text = {"output_type": "stream", "name": "stdout", "text": str(noise.random())}
            cell |= {"execution_count": noise.randrange(99), "outputs": [text] * noise.randrange(3)}
        written.append(cell)
    kernel = noise.choice(["python3", "rasen", "python311"])
    metadata = {"kernelspec": {"name": kernel, "language": "python"}, "widgets": {"x": noise.random()}}
    return {"cells": written, "metadata": metadata, "nbformat": 4, "nbformat_minor": noise.choice([4, 5])}


def script(content: dict[str, Any]) -> str:
    return script_of(json.dumps(content).encode(), name="x.ipynb")


def cells(*sources: str) -> list[tuple[str, str, list[str]]]:
    return [("code", source, []) for source in sources]


@given(SOURCES, st.integers(), st.integers())
def test_a_rerun_changes_nothing(written: list[tuple[str, str, list[str]]], first: int, second: int) -> None:
    one, other = (script(document(written, random.Random(seed))) for seed in (first, second))
    assert one == other
    # JSON of another program, with its escapes and its spaces, is the same notebook.
    spaced = json.dumps(document(written, random.Random(first)), ensure_ascii=True, indent=4).encode()
    assert script_of(spaced, name="x.ipynb") == one


def test_another_source_is_another_script() -> None:
    base = [("markdown", "# T", []), ("code", "x = 1", ["parameters"]), ("code", "y = 2", [])]
    changed = [base[:2], [*base[:2], ("code", "y = 3", [])], [base[1], base[0], base[2]]]
    changed += [
        [base[0], ("code", "x = 1", []), base[2]],
        [base[0], ("raw", "x = 1", ["parameters"]), base[2]],
    ]
    noise = random.Random(1)
    every = [script(document(one, noise)) for one in [base, *changed]]
    assert len(set(every)) == len(every)


def test_line_ends_of_windows_are_no_change() -> None:
    written: list[tuple[str, str, list[str]]] = [("code", "x = 1\ny = 2\n", []), ("markdown", "a\n\nb", [])]
    noise = random.Random(1)
    one, other = (script(document(written, noise, line_end=end)) for end in ("\n", "\r\n"))
    assert one == other
    assert "\r" not in other


def test_magics_are_comments_and_the_script_parses() -> None:
    sources = [
        "%matplotlib inline\n!ls\nx = 1",
        "%%bigquery frame\nSELECT 1 +",
        "%%bash\nif",
        "größe = '値'",
        "f?",
    ]
    text = script(document(cells(*sources), random.Random(1)))
    ast.parse(text)
    assert "# SELECT 1 +" in text
    assert "größe = '値'" in text


@pytest.mark.parametrize(
    "source",
    [
        "%timeit f(",
        "%%",
        "%",
        "!",
        "%%sql",
        '"""',
        "(((",
        "# %% x",
        "x = '\u2028\x0c\x85'",
        "\ud800",
        "\x00",
        "\\",
    ],
)
def test_broken_code_is_exported_as_it_is(source: str, tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(document(cells("a = 1", source, "b = 2"), random.Random(1))))
    assert [twin.state for twin in export_notebooks([path])] == [TwinState.WRITTEN]
    assert [twin.state for twin in export_notebooks([path], check=True)] == [TwinState.CURRENT]
    written = (tmp_path / "x.py").read_bytes().decode()
    assert "a = 1" in written
    assert written.endswith("b = 2\n")


def test_what_only_unicode_calls_a_line_end_stays_in_its_string() -> None:
    text = script(document(cells("x = 'a\u2028b\x85c'"), random.Random(1)))
    assert "x = 'a\u2028b\x85c'" in text


def test_a_notebook_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "broken.ipynb").write_text('{"cells": [')
    (tmp_path / "old.ipynb").write_text('{"nbformat": 3, "worksheets": []}')
    (tmp_path / "pointer.ipynb").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4}')
    (tmp_path / "good.ipynb").write_bytes(notebook())
    other = {"metadata": {"kernelspec": {"name": "ir", "language": "R"}}}
    (tmp_path / "statistics_r.ipynb").write_bytes(notebook(changes=other))
    twins = {twin.script.stem: twin for twin in export_notebooks([tmp_path])}
    assert {name: twin.state.value for name, twin in twins.items()} == {
        "broken": "refused",
        "empty": "written",
        "good": "written",
        "old": "refused",
        "pointer": "refused",
        "statistics_r": "left out",
    }
    assert "line 1, column 12: not JSON" in twins["broken"].reason
    assert "nbformat 3 is too old" in twins["old"].reason
    assert sorted(path.name for path in tmp_path.glob("*.py")) == ["empty.py", "good.py"]


def test_ten_thousand_cells(tmp_path: Path) -> None:
    path = tmp_path / "long.ipynb"
    path.write_text(json.dumps(document(cells(*(f"x{n} = {n}" for n in range(10_000))), random.Random(1))))
    export_notebooks([path])
    assert (tmp_path / "long.py").read_text().count("# %%\n") == 10_000


def test_a_file_that_was_not_generated_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "train.ipynb").write_bytes(notebook())
    (tmp_path / "train.py").write_text("def help_training(): ...\n")
    (tmp_path / "link.ipynb").write_bytes(notebook())
    (tmp_path / "link.py").symlink_to(tmp_path / "elsewhere.py")
    (tmp_path / "folder.ipynb").write_bytes(notebook())
    (tmp_path / "folder.py").mkdir()
    reasons = {twin.script.stem: (twin.state, twin.reason) for twin in export_notebooks([tmp_path])}
    assert {state for state, _ in reasons.values()} == {TwinState.REFUSED}
    assert "was not generated" in reasons["train"][1]
    assert "symbolic link" in reasons["link"][1]
    assert (tmp_path / "train.py").read_text() == "def help_training(): ...\n"
    assert not (tmp_path / "elsewhere.py").exists()
    out = tmp_path / "twins"
    assert {twin.state for twin in export_notebooks([tmp_path], out=out)} == {TwinState.WRITTEN}


@pytest.mark.parametrize("name", ["statistics", "pandas"])
def test_a_twin_never_hides_a_module_from_the_notebooks_beside_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.ipynb"
    path.write_bytes(notebook())
    (twin,) = export_notebooks([path])
    assert twin.state == TwinState.REFUSED
    assert f"the module {name!r}" in twin.reason
    assert export_notebooks([path], out=tmp_path / "out")[0].state == TwinState.WRITTEN


def test_check_names_what_is_not_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("current", "stale", "orphan"):
        (tmp_path / f"{name}.ipynb").write_bytes(notebook())
    run = CliRunner()
    app = build_app()
    assert run.invoke(app, ["export", "."]).exit_code == 0
    assert run.invoke(app, ["export", ".", "--check"]).exit_code == 0
    crlf = (tmp_path / "current.py").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "current.py").write_bytes(crlf)
    (tmp_path / "stale.ipynb").write_bytes(notebook("depth: int = 7\n"))
    (tmp_path / "missing.ipynb").write_bytes(notebook())
    (tmp_path / "orphan.ipynb").unlink()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = run.invoke(app, ["export", ".", "--check"])
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "missing missing.py",
        "stale stale.py",
        "orphaned orphan.py: its notebook is gone",
        "1 current, 1 missing, 1 stale, 1 orphaned",
    ]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    listed = json.loads(run.invoke(app, ["export", ".", "--check", "--json"]).stdout)["twins"]
    assert {twin["script"]: twin["state"] for twin in listed}["orphan.py"] == "orphaned"


def test_a_folder_of_its_own_has_the_same_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("notebooks/demand", "notebooks/.ipynb_checkpoints", "notebooks/.hidden"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "train.ipynb").write_bytes(notebook())
    export_notebooks([Path("notebooks")], out=Path("twins"))
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.py")] == [
        "twins/notebooks/demand/train.py"
    ]
    first = (tmp_path / "twins/notebooks/demand/train.py").read_text().splitlines()[0]
    assert first == f"{MARK}train.ipynb: change the notebook, not this file."
    (tmp_path / "notebooks/demand/train.ipynb").unlink()
    (orphan,) = export_notebooks([Path("notebooks")], out=Path("twins"), check=True)
    assert orphan.state == TwinState.ORPHANED
    monkeypatch.chdir(tmp_path / "twins")  # from elsewhere, the tree begins below what is named
    (tmp_path / "notebooks/demand/train.ipynb").write_bytes(notebook())
    export_notebooks([tmp_path / "notebooks"], out=Path("here"))
    assert (tmp_path / "twins/here/demand/train.py").exists()


def test_stdout_has_the_script_alone(tmp_path: Path) -> None:
    path = tmp_path / "train.ipynb"
    path.write_bytes(notebook("größe: int = 6\n"))
    run = CliRunner()
    done = run.invoke(build_app(), ["export", str(path), "--stdout"])
    assert done.stdout == (
        '# %% [markdown]\n# # Title\n#\n# What it is for.\n\n# %% tags=["parameters"]\ngröße: int = 6\n'
    )
    assert list(tmp_path.iterdir()) == [path]
    refused = run.invoke(build_app(), ["export", str(path), str(path), "--stdout"])
    assert isinstance(refused.exception, InvalidInput)
    gone = run.invoke(build_app(), ["export", str(tmp_path / "no.ipynb"), "--stdout"])
    assert isinstance(gone.exception, NotebookError)


def test_a_path_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes(notebook())
    (tmp_path / "a.txt").write_text("")
    for wrong, words in (("no.ipynb", "there is no file"), ("a.txt", "is no notebook")):
        with pytest.raises(InvalidInput, match=words):
            export_notebooks([tmp_path / "a.ipynb", tmp_path / wrong])
    assert not (tmp_path / "a.py").exists()
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.ipynb").write_bytes(notebook())
    with pytest.raises(InvalidInput, match="would both become"):
        export_notebooks([tmp_path / "one", tmp_path / "two"], out=tmp_path / "out")
