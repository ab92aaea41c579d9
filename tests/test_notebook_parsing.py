"""Notebooks are parsed once, and what is wrong with one is told with the line or the cell."""

import json
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

import nbformat
import pytest

from rasen.errors import NotebookError
from rasen.notebook import Cell, check_runnable, parse_notebook, read_notebook
from stand.pipeline_folder import code_cell, notebook


def refusal(data: bytes) -> str:
    with pytest.raises(NotebookError) as caught:
        check_runnable(parse_notebook(data, name="train.ipynb"))
    return str(caught.value)


def test_cells_keep_their_order_source_tags_and_ids() -> None:
    parsed = parse_notebook(notebook("depth: int = 6\n", ["x = 1\ny = 2"]), name="train.ipynb")
    assert [cell.type for cell in parsed.cells] == ["markdown", "code", "code"]
    assert parsed.cells[2] == Cell(index=2, id="cell-0", type="code", source="x = 1\ny = 2")
    assert parsed.parameters_cell.source == "depth: int = 6\n"
    assert parsed.parameters_cell.tags == ("parameters",)
    assert parsed.language == "python"


def test_a_source_may_be_one_text_and_a_cell_may_have_no_id() -> None:
    cell = {"cell_type": "raw", "metadata": {}, "source": "as it is"}
    data = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}).encode()
    parsed = parse_notebook(data, name="n")
    assert parsed.cells == (Cell(index=0, id=None, type="raw", source="as it is"),)


@pytest.mark.parametrize(
    ("markdown", "title", "description"),
    [
        ("# Flight demand\n\nDepartures per\nairport.\n\nMore.", "Flight demand", "Departures per airport."),
        ("## Flight *demand* ##\nDepartures.\n# Data\nx", "Flight *demand*", "Departures."),
        ("Only a paragraph.", "", "Only a paragraph."),
        ("# Title", "Title", ""),
        ("", "", ""),
    ],
)
def test_title_and_description_come_from_the_first_markdown_cell(
    markdown: str, title: str, description: str
) -> None:
    cells = [code_cell("x = 1", "a"), {"cell_type": "markdown", "metadata": {}, "source": markdown}]
    parsed = parse_notebook(notebook(changes={"cells": cells}), name="n")
    assert (parsed.title, parsed.description) == (title, description)


def test_a_notebook_without_markdown_has_no_title() -> None:
    parsed = parse_notebook(notebook(changes={"cells": []}), name="n")
    assert (parsed.title, parsed.description) == ("", "")


def test_broken_json_names_line_and_column() -> None:
    lines = notebook().decode().splitlines()
    lines[4] = lines[4].replace(":", "")
    assert "train.ipynb, line 5, column" in refusal("\n".join(lines).encode())


def test_a_merge_conflict_is_recognised() -> None:
    lines = notebook().decode().splitlines()
    lines.insert(6, "<<<<<<< HEAD")
    message = refusal("\n".join(lines).encode())
    assert "line 7" in message
    assert "merge conflict" in message


def test_a_truncated_file_and_an_empty_one_are_refused() -> None:
    assert "not JSON" in refusal(notebook()[:-40])
    assert "line 1, column 1: not JSON" in refusal(b"")


def test_bytes_that_are_not_utf8_name_their_line() -> None:
    assert "line 2: byte 0xff is not UTF-8" in refusal(b'{\n"a": "\xff"}')


def test_json_nested_without_end_is_refused() -> None:
    assert "nested too deeply" in refusal(b"[" * 200_000)


def test_an_old_notebook_is_refused_with_a_command_that_converts_it(tmp_path: Path) -> None:
    old = {
        "metadata": {"name": ""},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "collapsed": False,
                        "input": ["x = 1"],
                        "language": "python",
                        "metadata": {},
                        "outputs": [],
                    }
                ],
                "metadata": {},
            }
        ],
    }
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old))
    with pytest.raises(NotebookError, match="nbformat 3 is too old") as caught:
        read_notebook(path)
    command = str(caught.value).split("`")[1]
    assert command == "jupyter nbconvert --to notebook --inplace old.ipynb"
    subprocess.run([sys.executable, "-m", *command.split()[1:]], cwd=tmp_path, check=True)
    assert read_notebook(path).cells[0].source == "x = 1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nbformat": 5}, "nbformat 5 is newer than 4"),
        ({"nbformat": "4"}, "no notebook"),
        ({"cells": {}}, "`cells` is dict"),
        ({"cells": ["x"]}, "cell 0: is str"),
        ({"cells": [{"cell_type": "heading", "source": ""}]}, "cell 0: `cell_type` is 'heading'"),
        ({"cells": [{"cell_type": ["code"], "source": ""}]}, "cell 0: `cell_type` is ['code']"),
        ({"cells": [{"cell_type": "code", "source": 3}]}, "cell 0: `source` must be"),
        (
            {"cells": [{"cell_type": "code", "source": "", "metadata": {"tags": "parameters"}}]},
            "cell 0: `metadata.tags`",
        ),
        ({"metadata": {}}, "names no kernel"),
        ({"metadata": []}, "names no kernel"),
        ({"metadata": {"kernelspec": {"name": "ir", "language": "R"}}}, "'r' kernel"),
        ({"metadata": {"kernelspec": {"name": "julia-1.10"}}}, "'julia-1.10' kernel"),
        ({"cells": []}, "no cell is tagged 'parameters'"),
        (
            {"cells": [code_cell("", "a", tags=["parameters"]), code_cell("", "b", tags=["parameters"])]},
            "cells 0, 1 are tagged 'parameters'",
        ),
        (
            {"cells": [{"cell_type": "markdown", "source": "", "metadata": {"tags": ["parameters"]}}]},
            "cell 0 is tagged 'parameters' but is a markdown cell",
        ),
    ],
)
def test_what_cannot_be_a_step_is_refused(changes: dict[str, object], message: str) -> None:
    assert message in refusal(notebook(changes=changes))


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"name": "python3"}},
        {"kernelspec": {"name": "my-env", "language": "python"}},
        {"language_info": {"name": "python"}},
        {"language_info": {"name": "ipython"}},
    ],
)
def test_python_is_recognised_wherever_a_tool_wrote_it(metadata: dict[str, object]) -> None:
    check_runnable(parse_notebook(notebook(changes={"metadata": metadata}), name="n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="there is no notebook file"):
        read_notebook(tmp_path / "train.ipynb")


def test_notebooks_that_nobody_here_wrote_are_read_as_nbformat_reads_them() -> None:
    theirs = [Path(str(file.locate())) for file in files("papermill") or [] if str(file).endswith(".ipynb")]
    read = 0
    for path in theirs:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["nbformat"] < 4:
            continue
        text = path.read_text(encoding="utf-8")
        expected = nbformat.reads(text, as_version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call] # no types
        parsed = read_notebook(path)
        assert [(cell.type, cell.source) for cell in parsed.cells] == [
            (cell.cell_type, cell.source) for cell in expected.cells
        ]
        read += 1
    assert read > 10


def test_reading_notebooks_imports_nothing_heavy() -> None:
    program = "import sys, rasen.notebook; print({'nbformat', 'jsonschema', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "set()"
