"""The parameters cell is read, never run: annotated literals, and nothing that could change them."""

import pytest

from rasen.errors import NotebookError
from rasen.notebook import parse_notebook
from rasen.parameters import Parameter, notebook_parameters, read_parameters
from stand.pipeline_folder import notebook


def refusal(source: str) -> str:
    with pytest.raises(NotebookError) as caught:
        read_parameters(source, name="train.ipynb, cell 1")
    return str(caught.value)


def test_every_supported_type_is_read_with_its_default() -> None:
    source = """
from datetime import date, datetime
import typing as t
from typing import Literal, Optional, Union

depth: int = -6
rate: float = 1
deep: bool = False
origin: str = "JFK"
day: date = "2013-06-01"
at: datetime = "2013-06-01T04:10+09:00"
model: Literal["xgb", "mean"] = "xgb"
level: t.Literal[1, 2, None] = None
lags: list[int] = [3, 27]
shares: t.List[float] = [1, 0.5]
nested: list[list[str]] = [["a"], []]
until: Optional[date] = None
limit: int | None = 5
name: Union[str, None] = None
quoted: "list[int] | None" = None
"""
    assert {each.name: each.default for each in read_parameters(source)} == {
        "depth": -6,
        "rate": 1.0,
        "deep": False,
        "origin": "JFK",
        "day": "2013-06-01",
        "at": "2013-06-01T04:10:00+09:00",
        "model": "xgb",
        "level": None,
        "lags": [3, 27],
        "shares": [1.0, 0.5],
        "nested": [["a"], []],
        "until": None,
        "limit": 5,
        "name": None,
        "quoted": None,
    }


def test_a_float_default_is_a_float_also_when_written_as_an_int() -> None:
    (rate,) = read_parameters("rate: float = 1")
    assert type(rate.default) is float


def test_descriptions_come_from_the_comment_behind_or_the_lines_above() -> None:
    source = """\
# How far back the model looks,
# in days.
window: int = 180
depth: int = 6  # of each tree

# A heading that stands apart.

rate: float = 0.1
lags: list[int] = [  # not this one
    3,
]  # hours back
text: str = "# no comment"
"""
    assert [each.description for each in read_parameters(source)] == [
        "How far back the model looks, in days.",
        "of each tree",
        "",
        "hours back",
        "",
    ]


def test_an_empty_cell_has_no_parameters() -> None:
    assert read_parameters("") == ()
    assert read_parameters("# nothing yet\n") == ()


def test_the_notebook_and_cell_are_named() -> None:
    data = notebook("depth = 6")
    with pytest.raises(
        NotebookError, match=r"train\.ipynb, cell 1 \(parameters\), line 1: 'depth' has no annotation"
    ):
        notebook_parameters(parse_notebook(data, name="train.ipynb"))
    assert notebook_parameters(parse_notebook(notebook(), name="n")) == (
        Parameter(name="max_depth", annotation="int", default=6),
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a: int = 1\nb = 2", "line 2: 'b' has no annotation; write `b: int = 2`"),
        ("b = [1.5]", "write `b: list[float] = [1.5]`"),
        ("b = None", "write `b: str | None = None`"),
        ("b = f()", "write `b: <type> = f()`"),
        ("a: int", "line 1: 'a' has no default"),
        ("a: int = 1\na: int = 2", "line 2: 'a' is assigned twice"),
        ("a: int = 1 + 1", "`1 + 1`, is not a literal"),
        ("a: str = f'{1}'", "is not a literal"),
        ("a: date = date(2013, 6, 1)", "is not a literal; write the value itself (dates as ISO texts)"),
        ("a: int = '6'", "'6' is a str, it must be an int"),
        ("a: int = True", "True is a bool, it must be an int"),
        ("a: int = 6.0", "6.0 is a float, it must be an int"),
        ("a: bool = 1", "1 is a int, it must be a bool"),
        ("a: str = None", "None is a NoneType, it must be a text"),
        ("a: float = 1e999", "inf is not a number"),
        ("a: date = '01.06.2013'", "'01.06.2013' is not a date such as '2013-06-01'"),
        ("a: date = '2013-02-30'", "'2013-02-30' is not in the calendar"),
        ("a: date = '@scheduled'", "means nothing in JupyterLab"),
        ("a: Literal['x', 'y'] = 'z'", "'z' is not one of 'x', 'y'"),
        ("a: Literal[1] = True", "True is not one of 1"),
        ("a: list[int] = [1, 'x']", "item 1: 'x' is a str, it must be an int"),
        ("a: list[int] = 3", "3 is a int, it must be a list"),
        ("a: dict = {}", "`dict` is not supported"),
        ("a: dict[str, int] = {}", "`dict[str, int]` is not supported"),
        ("a: list = []", "`list` is not supported"),
        ("a: int | str = 1", "mixes types"),
        ("a: Literal[1.5] = 1.5", "choices are texts, ints or bools"),
        ("a: Literal[x] = 1", "choices are texts, ints or bools"),
        ("a: '1 +' = 1", "is not a type"),
        ("import pandas as pd", "`import pandas as pd` does not belong here"),
        ("from .here import x", "does not belong here"),
        ("print('x')", "`print('x')` is no parameter"),
        ("'''a text'''", "is no parameter"),
        ("if True:\n    a: int = 1", "`if True:` is no parameter"),
        ("a.b: int = 1", "is no parameter"),
        ("(a): int = 1", "is no parameter"),
        ("a, b = 1, 2", "is no parameter"),
        ("a: int = 1\na += 1", "line 2: `a += 1` is no parameter"),
        ("a: int = 1\n%matplotlib inline", "line 2: '%matplotlib inline' is not Python; magics"),
        ("a: int = (1", "is not Python"),
        ("a: int = 0" + "1", "is not Python"),
        ("\0", "is not Python"),
    ],
)
def test_anything_else_is_refused_with_its_line(source: str, message: str) -> None:
    said = refusal(source)
    assert message in said
    assert said.startswith("train.ipynb, cell 1, line ")
