"""What a notebook is called, how it is headed, where its imports stand: the shades that the cases do not show."""

from typing import Any

import pytest

from rasen.notebook import Cell
from rasen_lint.context import Context, Role
from rasen_lint.headings import find_headings
from stand.notebooks_to_lint import code_cell, findings, markdown_cell

PARTS = ["Purpose", "Background", "Method", "Data set", "Result", "Discussion", "Next action"]


def headed(*headings: str) -> tuple[dict[str, Any], ...]:  # Any: JSON
    return tuple(markdown_cell(f"## {heading}\n\nText.") for heading in headings)


# NB101


@pytest.mark.parametrize(
    "name",
    [
        "daily_departures.ipynb",
        "notebooks/2013 flights/train.ipynb",
        "02-eda.v2.ipynb",
        "EDA.ipynb",
        "untitled_masterpieces.ipynb",
        "copyright.ipynb",
        "console.ipynb",
        "<stdin>",
        "-",
        "プロジェクト/train.ipynb",
    ],
)
def test_name_that_says_something_is_left_alone(name: str) -> None:
    assert findings("NB101", name=name) == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Untitled.ipynb", "given by the editor"),
        ("Untitled12.ipynb", "given by the editor"),
        ("Untitled-1.ipynb", "given by the editor"),
        ("untitled.ipynb", "given by the editor"),
        ("Notebook 1.ipynb", "given by the editor"),
        ("train-Copy1.ipynb", "given by the editor"),
        ("Copy_of_train.ipynb", "given by the editor"),
        ("train copy.ipynb", "given by the editor"),
        ("train(1).ipynb", "given by the editor"),
        ("my notebook.ipynb", "a space"),
        ("Umsätze.ipynb", "'ä'"),
        ("分析.ipynb", "'分', '析'"),
        ("a?b.ipynb", "'?'"),
        ("-train.ipynb", "an option"),
        (".train.ipynb", "hidden"),
        ("con.ipynb", "device"),
        ("LPT1.x.ipynb", "device"),
        (".ipynb", "is empty"),
    ],
)
def test_name_that_not_everybody_can_use_is_told_once(name: str, said: str) -> None:
    (found,) = findings("NB101", name=f"notebooks/{name}")
    assert said in found.message


def test_names_that_differ_in_case_only_are_twins() -> None:
    siblings = frozenset({"train.ipynb", "Train.ipynb", "old/train.ipynb"})
    (found,) = findings("NB101", name="a/train.ipynb", context=Context(siblings=siblings))
    assert "'Train.ipynb'" in found.message
    assert findings("NB101", name="a/train.ipynb", context=Context(siblings=siblings - {"Train.ipynb"})) == ()


# Headings


@pytest.mark.parametrize(
    ("markdown", "headings"),
    [
        ("# Title", ["Title"]),
        ("####### Title", []),
        ("#Title", []),
        ("#\tTitle #", ["Title"]),
        ("#　目的", ["目的"]),
        ("   ## **Title**", ["Title"]),
        ("    # code", []),
        ("Title\n=====", ["Title"]),
        ("Title\n---", ["Title"]),
        ("- item\n---", []),
        ("| a | b |\n---", []),
        ("\n---", []),
        ("```python\n# comment\n```\n# Title", ["Title"]),
        ("~~~\n# comment\n```\n# comment\n~~~\n# Title", ["Title"]),
        ("<h1 class='x'>The <b>title</b></h1>", ["The title"]),
        ("#", []),
        ("<h1>" * 20_000, []),
        ("# " + " " * 50_000, []),
        ("text # no", []),
    ],
)
def test_headings_are_those_that_jupyter_shows(markdown: str, headings: list[str]) -> None:
    cell = Cell(index=0, id=None, type="markdown", source=markdown)
    assert list(find_headings(cell)) == headings
    assert list(find_headings(Cell(index=0, id=None, type="code", source=markdown))) == []


@pytest.mark.parametrize(
    "cells", [[], ["x = 1"], ["x = 1"] * 3 + [markdown_cell("# Title")], [markdown_cell("Title")]]
)
def test_notebook_without_heading_at_the_top_is_told_once(cells: list[Any]) -> None:
    assert len(findings("NB102", *cells)) == 1
    assert findings("NB108", *cells) == ()


# NB103


@pytest.mark.parametrize(
    ("metadata", "said", "fixable"),
    [
        ({}, "names no kernel", True),
        ({"kernelspec": {"language": "python"}}, "names no kernel", True),
        ({"kernelspec": None}, "names no kernel", True),
        ({"kernelspec": {"name": ""}}, "names no kernel", True),
        ({"kernelspec": {"name": "conda-env-x-py", "language": "python"}}, "'conda-env-x-py'", True),
        ({"kernelspec": {"name": "python2", "language": "python"}}, "'python2'", False),
        ({"kernelspec": {"name": "pysparkkernel", "language": "python"}}, "'pysparkkernel'", False),
        ({"kernelspec": {"name": ".venv", "language": "python"}}, "'.venv'", True),
        ({"kernelspec": {"name": "ir", "language": "R"}}, "'r'", False),
        ({"kernelspec": {"name": "python3", "language": "julia"}}, "'julia'", False),
        ({"kernelspec": {"name": "bash"}}, "'bash'", False),
    ],
)
def test_other_kernels_are_told_once(metadata: dict[str, Any], said: str, fixable: bool) -> None:
    (found,) = findings("NB103", "x = 1", metadata={"title": "kept", **metadata})
    assert said in found.message
    assert (found.fix is not None) == fixable
    if found.fix is not None:
        assert found.fix.metadata is not None
        assert found.fix.metadata["title"] == "kept"
        assert findings("NB103", "x = 1", metadata=dict(found.fix.metadata)) == ()


def test_kernel_is_not_chosen_for_cells_that_may_be_of_another_language() -> None:
    (found,) = findings("NB103", "x <- function(y) {", metadata={})
    assert found.fix is None


# NB106


@pytest.mark.parametrize(
    "cells",
    [
        ["import a", "import b", "x = 1"],
        ["x = 1\nimport a"],
        ["'''What for.'''", "import a"],
        ["%matplotlib inline", "import a"],
        ["# imports", "import a"],
        ["import a\na.use('x')\na.options['y'] = [1, 2]", "import b"],
        ["import a\nwith a.quiet():\n    import b", "import c"],
        ["import a\nif a.version > 3:\n    a.set(1)", "import c"],
        ["get_ipython().run_line_magic('matplotlib', 'inline')", "import a"],
        ["x = 1", "def f():\n    import a"],
        ["x = 1", "if x:\n    import a"],
        [code_cell("x: int = 1", parameters=True), "import a"],
    ],
)
def test_import_at_the_top_is_left_alone(cells: list[Any]) -> None:
    assert findings("NB106", *cells) == ()


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        (["x = 1", "import a"], (1, 1)),
        (["import a\nx = a.load()", "y = x\nimport b"], (1, 2)),
        (["def f(): pass", "from a import b"], (1, 1)),
        (["print(1)", "try:\n    import a\nexcept ImportError:\n    import b as a"], (1, 2)),
        (["import a\na.b = a.load()", "import c, d\nimport e"], (1, 1)),
    ],
)
def test_late_import_is_told_once_a_cell(cells: list[str], place: tuple[int, int]) -> None:
    assert [(found.cell, found.line) for found in findings("NB106", *cells)] == [place]


# NB108


@pytest.mark.parametrize(
    "headings",
    [
        PARTS,
        [part.upper() for part in PARTS],
        [
            "1. Purpose",
            "2. Background",
            "3) Method",
            "4 Data",
            "§5 Results",
            "6: Conclusion",
            "7. Next steps",
        ],
        [
            "The objective",
            "Context",
            "Our approach",
            "Dataset",
            "Experimental results",
            "Interpretation",
            "To do",
        ],
        ["Purpose and background", "Data set & method", "Results / discussion", "Future work"],
        ["Goal", "Introduction", "Modelling", "Data sources", "Findings", "Lessons learned", "Follow-up"],
        ["目的", "背景", "方法", "データセット", "結果", "考察", "次のアクション"],
        ["1. 実験の目的", "背景と経緯", "手法", "使用データ", "実験結果", "議論・まとめ", "今後の課題"],
        ["目的・背景", "データと手法", "結果と考察", "ネクストアクション"],
        [
            "🎯 Purpose",
            "Background:",
            "Method (XGBoost)",
            "*Data set*",
            "Result",
            "Discussion",
            "Next action!",
        ],
    ],
)
def test_experiment_is_told_in_many_words(headings: list[str]) -> None:
    assert findings("NB108", markdown_cell("# Departures"), *headed(*headings)) == ()


@pytest.mark.parametrize("missing", PARTS)
def test_missing_part_is_named(missing: str) -> None:
    parts = [part for part in PARTS if part != missing]
    (found,) = findings("NB108", markdown_cell("# Departures"), *headed(*parts))
    assert found.message.startswith(f"no heading for {missing.lower()}; ")


@pytest.mark.parametrize(
    ("heading", "missing"),
    [
        ("目的変数の分布", "purpose"),
        ("Data cleaning", "data set"),
        ("Resulting tables", "result"),
        ("Model.fit", "no part"),
        ("Nextflow", "next action"),
        ("Methodist churches", "method"),
    ],
)
def test_other_heading_stands_for_no_part(heading: str, missing: str) -> None:
    parts = [part for part in PARTS if part.lower() != missing]
    found = findings("NB108", markdown_cell("# Departures"), *headed(heading, *parts))
    assert [missing in each.message for each in found] == ([] if missing == "no part" else [True])


@pytest.mark.parametrize("heading", ["!" * 50_000 + "a", "# " * 50_000 + "x", "x_" * 50_000, "と " * 20_000])
def test_long_headings_are_read_in_linear_time(heading: str) -> None:
    assert len(findings("NB108", markdown_cell(f"# {heading}"))) == 1


@pytest.mark.parametrize("role", Role)
def test_notebooks_that_are_no_experiment_need_no_headings(role: Role) -> None:
    found = findings("NB108", markdown_cell("# Costs"), context=Context(role=role))
    assert len(found) == (role in {Role.EXPLORATION, Role.STEP})


# Fixes that are data


def test_empty_cells_and_outputs_have_a_fix() -> None:
    (empty,) = findings("NB104", "x = 1", "  \n")
    assert empty.fix is not None
    assert empty.fix.removed == {1}
    shown = {
        **code_cell("x"),
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x" * 200_001}],
    }
    few = {**code_cell("x"), "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]}
    (large,) = findings("NB301", few, "x", shown)
    assert large.fix is not None
    assert large.cell == 2
    assert large.fix.cleared == {0, 2}
