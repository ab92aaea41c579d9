"""The rules about the parameters cell refuse what the runner refuses, once, and their fix is taken by the runner."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rasen.errors import NotebookError
from rasen.notebook import parse_notebook
from rasen.parameters import notebook_parameters, read_parameters
from rasen_lint import RULES, check_notebook
from stand.notebooks_to_lint import KERNEL, code_cell, findings, markdown_cell

ABOUT_PARAMETERS = [RULES[code] for code in ("NB111", "NB112", "NB113", "NB205")]
HEADINGS = "\n".join(
    f"# {part}"
    for part in ("Purpose", "Background", "Method", "Data set", "Result", "Discussion", "Next action")
)

# Lines as analysts write them, right and wrong.
# Without `from __future__`: the runner leaves its place to the kernel, NB205 does not.
LINES = st.sampled_from(
    [
        "first_day: str = '2013-01-01'  # first day",
        "limit: int = 3",
        "limit: int = 4",
        "share: float = 1",
        "share: float = -0.5",
        "day: date = '2013-01-01'",
        "day: date = 'tomorrow'",
        "from datetime import date",
        "import rasen",
        "from rasen import Secret",
        "from rasen import read_sql",
        "import typing, datetime",
        "import typing, os",
        "key: rasen.Secret = 'secret://env/KEY'",
        "key: rasen.Secret = 'hunter2hunter2'",
        "unit: typing.Literal['a', 'b'] = 'a'",
        "unit: typing.Literal['a', 'b'] = 'c'",
        "days: list[int] = [1, 2]",
        "days: list[int] = [1, 'b']",
        "days: list[int] = [",
        "    1]",
        "names: dict = {}",
        "names: 'int | None' = None",
        "x = 6",
        "x = None",
        "x = compute()",
        "x, y = 1, 2",
        "x = y = 1",
        "x['a'] = 1",
        "x.y: int = 1",
        "(z): int = 1",
        "x: int",
        "x: int = 2 * 3",
        "x: str = f'{limit}'",
        "x: str = '@scheduled'",
        "x: float = 1e999",
        "x: int = 1; w: int = 2",
        "x: int = 1; print(x)",
        "'''A text.'''",
        "# a comment",
        "",
        "pass",
        "limit += 1",
        "for i in range(3): pass",
        "def f(): return 1",
        "%matplotlib inline",
        "!ls",
        "files = !ls",
        "len?",
        ">>> x: int = 1",
        "  x: int = 1",
        "x: int = (",
        "return 1",
        "größe: int = 3",
    ]
)


@given(st.lists(LINES, max_size=5).map("\n".join))
@example("  x: int = 1\n  y: int = 2")
@example(">>> x: int = 1")
@example("x: int = 1 \\\n")
@example("%%time\nx: int = 1")
@example("x: int = " + "(" * 60 + "1" + ")" * 60)
def test_the_rules_speak_exactly_when_the_runner_refuses(source: str) -> None:
    data = json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": KERNEL},
            "cells": [code_cell(source, parameters=True)],
        }
    ).encode()
    checked = check_notebook(data, name="n.ipynb", rules=ABOUT_PARAMETERS)
    assert checked.faults == ()
    try:
        notebook_parameters(parse_notebook(data, name="n.ipynb"))
    except NotebookError:
        assert checked.findings, source
    else:
        assert checked.findings == (), source


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("x: int = 6", []),
        ("import os", ["NB111"]),
        ("print(1)", ["NB111"]),
        ("x: int = 1\nx: int = 2", ["NB111"]),
        ("x: int = f()", ["NB112"]),
        ("x: int", ["NB112"]),
        ("x: int = 'a'", ["NB112"]),
        ("x = 6", ["NB113"]),
        ("x = max(1, 2)", ["NB113"]),
        ("x: dict = {}", ["NB113"]),
        ("d['x'] = 6", ["NB111"]),
        ("%cd data", ["NB111"]),
        ("!pip install lightgbm", ["NB111"]),
        ("day: str = str(datetime.date.today())", ["NB112"]),
        ("day: str = input('?')", ["NB112"]),
        ("path: str = os.path.join('~/flights', 'x')", ["NB112"]),
        ("key: Secret = 'hunter2hunter2'", ["NB112"]),
        ("api_key: str = 'hunter2hunter2'", ["NB207"]),
        ("path: str = '~/flights.csv'", ["NB206"]),
        ("x: int = (", ["NB205"]),
    ],
)
def test_what_is_wrong_once_is_said_once(source: str, codes: list[str]) -> None:
    name = source.partition(":")[0].partition(" =")[0]
    used = f"print({name})" if name.isidentifier() else "print()"
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": KERNEL},
        "cells": [markdown_cell(HEADINGS), code_cell(source, parameters=True), code_cell(used)],
    }
    checked = check_notebook(json.dumps(notebook).encode(), name="n.ipynb", rules=RULES.values())
    assert [finding.code for finding in checked.findings] == codes


@pytest.mark.parametrize(
    ("source", "fixed"),
    [
        ("x = 6", "x: int = 6"),
        ("x=6  # kept", "x: int=6  # kept"),
        ("größe = 1.5; x = True", "größe: float = 1.5; x: bool = True"),
        ("x = 'a'\ny: int = 1\nz = [1, 2.5]", "x: str = 'a'\ny: int = 1\nz: list[float] = [1, 2.5]"),
        ("x = -1\r\ny = ['a']\r\n", "x: int = -1\r\ny: list[str] = ['a']\r\n"),
        ("x = \\\n  6", "x: int = \\\n  6"),
        ("x = 6\ny = None\nlow, high = 1, 2", "x: int = 6\ny = None\nlow, high = 1, 2"),
    ],
)
def test_annotations_are_written_where_the_value_tells_the_type(source: str, fixed: str) -> None:
    found = findings("NB113", code_cell(source, parameters=True))
    fixes = [finding.fix for finding in found if finding.fix is not None]
    assert fixes
    assert all(fix == fixes[0] for fix in fixes)
    assert fixes[0].sources == {0: fixed}


@pytest.mark.parametrize(
    "source",
    [
        "x = None",
        "x = []",
        "x = [1, 'a']",
        "x = {}",
        "x = f()",
        "x = y = 1",
        "x, y = 1, 2",
        "(x) = 6",
        "x = [True, 1]",
        "  x = 6",
        ">>> x = 6",
        "x = '@scheduled'",
        "x = 1e999",
        "x = (1, 2)",
        "x = b'a'",
        "x: dict = {}",
    ],
)
def test_nothing_is_guessed(source: str) -> None:
    found = findings("NB113", code_cell(source, parameters=True))
    assert found
    assert [finding.fix for finding in found] == [None] * len(found)


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.lists(st.integers(), min_size=1, max_size=3),
    st.lists(st.text(max_size=3), min_size=1, max_size=3),
)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdé"), VALUES), min_size=1, max_size=4, unique_by=lambda each: each[0]
    )
)
def test_what_a_fix_wrote_is_what_the_runner_reads(values: list[tuple[str, object]]) -> None:
    source = "\n".join(f"{name} = {value!r}" for name, value in values)
    found = findings("NB113", code_cell(source, parameters=True))
    fix = found[0].fix
    if fix is None:  # the runner would refuse the value itself, such as "@scheduled"
        return
    if all(finding.fix is not None for finding in found):
        assert [(each.name, each.default) for each in read_parameters(fix.sources[0])] == values
    assert findings("NB113", code_cell(fix.sources[0], parameters=True)) == tuple(
        finding for finding in found if finding.fix is None
    )
