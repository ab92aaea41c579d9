"""Names through the cells: what Python and IPython would say, without running anything."""

import json
from collections.abc import Sequence

import pytest

from rasen_lint import check_notebook
from rasen_lint.rule import Rule
from rasen_lint.rules import RULES

NAME_RULES = [RULES["NB208"], RULES["NB212"]]
UNUSED = [RULES["NB213"]]


def notebook(*cells: str, tags: tuple[str, ...] = ()) -> bytes:
    content = [{"cell_type": "code", "metadata": {"tags": tags}, "source": cell} for cell in cells]
    return json.dumps(
        {
            "metadata": {"kernelspec": {"language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
            "cells": content,
        }
    ).encode()


def found(
    *cells: str, rules: Sequence[Rule] = NAME_RULES, tags: tuple[str, ...] = ()
) -> list[tuple[str, str]]:
    checked = check_notebook(notebook(*cells, tags=tags), name="n.ipynb", rules=rules)
    assert checked.faults == ()
    return [(finding.code, finding.message.split("'")[1]) for finding in checked.findings]


@pytest.mark.parametrize(
    "cells",
    [
        ("def f():\n    return later()\nf", "def later():\n    return 1"),
        ("f = lambda: later", "later = 1"),
        ("g = (later for _ in range(3))", "later = 1"),
        ("x = [a for a in range(3) if (b := a)]\nb",),
        ("def f(a, *b, c=1, **d):\n    return a, b, c, d, e\n    e = 1",),
        ("class A:\n    x = 1\n    y = x\n    def f(self):\n        return A.x\nA",),
        ("class A:\n    x = [1]\n    y = [i for i in x]\nA",),
        ("import os.path as p, sys\nfrom re import sub as s\np, sys, s",),
        ("if True:\n    a = 1\nelse:\n    a = 2\na",),
        ("try:\n    import polars as pl\nexcept ImportError:\n    pl = None\npl",),
        ("try:\n    cache\nexcept NameError:\n    cache = {}\ncache",),
        ("from contextlib import suppress\nwith suppress(NameError):\n    del gone",),
        ("from math import *\nsin(1)",),
        ("%pylab\nplot([1])",),
        ("%run other.py\nthing",),
        ("%load_ext something_unknown\nthing",),
        ("exec('a = 1')\na",),
        ("globals()['a'] = 1", "a"),
        ("def f():\n    globals()['a'] = 1\nf()", "a"),
        ("def f():\n    global a\n    a = 1\nf()", "a"),
        ("out = !ls\nout",),
        ("%%capture printed\n1", "printed"),
        ("%%bigquery table --project p\nSELECT 1", "table"),
        ("%sql result << SELECT 1", "result"),
        ("%time a, b = 1, 2\na, b",),
        ("%store -r table\ntable",),
        ("%%some_magic\nanything = 1", "anything"),
        ("x = (", "x"),  # NB205 speaks of the cell
        ("display(In, Out, _, __, _1, _i2, exit, get_ipython, __name__)",),
        ("match [1, {'a': 2}]:\n    case [x, {'a': y, **rest}] | [x, y, *rest]:\n        x, y, rest",),
        ("for i in range(3):\n    if i:\n        print(last)\n    last = i",),
        ("for i in range(3):\n    print(i and last)\n    last = i",),
        ("for i in range(3):\n    pass\nelse:\n    i",),
        ("with open('x') as (a, b):\n    a, b",),
        ("if False:\n    nothing",),
        (
            "from __future__ import annotations\ndef f(a: Unknown) -> Unknown:\n    b: Unknown = a\n    return b\nf",
        ),
        ("x = 1\nif x:\n    del x\nx = 2\nx",),
        ("e = None\ntry:\n    1\nexcept ValueError as e:\n    pass\ne",),
        ("def f():\n    def g():\n        nonlocal a\n        a = 2\n    a = 1\n    return g, a\nf",),
        ("class A:\n    def f(self):\n        return __class__, super().f(), self.__hidden\nA",),
        ("import asyncio\nawait asyncio.sleep(0)\n[i async for i in asyncio.as_completed([])]",),
        ("数 = 1\n数",),
        ("get_ipython().run_line_magic('matplotlib', 'inline')\nget_ipython().run_cell('a = 1')\na",),
        ("try:\n    1\nexcept* ValueError as group:\n    group",),
        ("x: int = 1\nx += 1\nx",),
        ("import a.b.c\na.b.c",),
        ("@property\ndef f(self): return self\nf",),
        ("print(f'{1 + 1=} {__name__!r:>{len(__name__)}}')",),
        ("%matplotlib inline\n%config A.b = 'c'\n?print",),
    ],
)
def test_nothing_is_said_of_names_that_may_have_a_value(cells: tuple[str, ...]) -> None:
    assert found(*cells) == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("a", "a = 1", "a"), [("NB208", "a")]),
        (("a\na", "a"), [("NB212", "a")]),
        (("print(a)\na = 1",), [("NB208", "a")]),
        (("a = a + 1",), [("NB208", "a")]),
        (("a += 1",), [("NB208", "a")]),
        (("for i in range(3):\n    total = total + i",), [("NB208", "total")]),
        (("class A:\n    b = c\nA", "c = 1"), [("NB208", "c")]),
        (("def f(a=b):\n    return a\nf", "b = 1"), [("NB208", "b")]),
        (("@deco\ndef f(): pass\nf", "def deco(f): return f"), [("NB208", "deco")]),
        (("[x for x in y]", "y = 1"), [("NB208", "y")]),
        (("[x for x in range(3) if y]", "y = 1"), [("NB208", "y")]),
        (("sum(y for x in range(3))", "y = 1"), [("NB208", "y")]),
        (("[x for x in range(3)]\nx",), [("NB212", "x")]),
        (("class A:\n    x = 1\n    y = [x for _ in range(3)]\nA",), [("NB212", "x")]),
        (("class A:\n    x = 1\n    def f(self):\n        return x\nA",), [("NB212", "x")]),
        (("def f():\n    return missing\nf",), [("NB212", "missing")]),
        (("def f():\n    inner = 1\nf\ninner",), [("NB212", "inner")]),
        (("f = lambda a: a + b\na", "b = 1"), [("NB212", "a")]),
        (("a = 1\ndel a\na",), [("NB212", "a")]),
        (("a = 1\ndel a\na", "a = 2"), [("NB208", "a")]),
        (("try:\n    1\nexcept ValueError as e:\n    e\ne",), [("NB212", "e")]),
        (("a: int\na",), [("NB212", "a")]),
        (("from math import sin\nsin, cos",), [("NB212", "cos")]),
        (("thing", "from math import *"), [("NB212", "thing")]),
        (("f'{missing}'",), [("NB212", "missing")]),
        (("__file__",), [("NB212", "__file__")]),
        (("%%timeit\na = 1", "a"), [("NB212", "a")]),
        (("%%time\na = b",), [("NB212", "b")]),
        (("def f(a: Unknown): pass\nf",), [("NB212", "Unknown")]),
        (("x if y else z\nx = y = z = 1",), [("NB208", "y"), ("NB208", "x"), ("NB208", "z")]),
        (("if a:\n    b\nelif c:\n    d",), [("NB212", name) for name in "abcd"]),
        (("while a:\n    b\nelse:\n    c",), [("NB212", name) for name in "abc"]),
        (("match a:\n    case b.c:\n        d",), [("NB212", name) for name in "abd"]),
        (("数",), [("NB212", "数")]),
        (("xrange(3)",), [("NB212", "xrange")]),
    ],
)
def test_names_without_a_value_are_found_once(
    cells: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    assert sorted(found(*cells)) == sorted(expected)


def test_a_cell_that_is_meant_to_fail_may_name_anything() -> None:
    assert found("missing", tags=("raises-exception",)) == []


def test_a_misspelt_name_is_met_with_the_right_one() -> None:
    checked = check_notebook(notebook("flights = 1\nflihgts"), name="n.ipynb", rules=NAME_RULES)
    (finding,) = checked.findings
    assert "did you mean 'flights'?" in finding.message
    assert (finding.line, finding.column, finding.end_line, finding.end_column) == (2, 1, 2, 8)


@pytest.mark.parametrize(
    "cell",
    [
        "a = 1\nprint(f'{a}')",
        "a = 1\ntable.query('x > @a')",
        "a = 1\n'{a}'.format(**{})",
        "a = 1\n!echo {a}",
        "a = 1\n%timeit a",
        "a = 1\nlocals()",
        "a = 1\neval(text)",
        "a = 1\nols('y ~ np.log(x) + a', data=d)",
        "a = 1\ndef f():\n    return a\nf()",
        "a = 1\ndef f():\n    global a\n    a = 2\n    return a\nf()",
        "a = 1\nclass B:\n    b = a",
        "a, b = 1, 2",
        "for a in range(3):\n    pass",
        "_a = 1",
        "fig = plt.figure()\nax2 = fig.gca()",
        "a = 1\na",
        "a = 1\ndel a",
        "a = 1\nwith open('x') as b:\n    pass\na += 1",
        "import os\ndef f(): pass",
    ],
)
def test_what_may_be_read_is_used(cell: str) -> None:
    assert found(cell, rules=UNUSED) == []


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("a = 1", "a = 2"), ["a"]),
        (("a = b = 1\nb",), ["a"]),
        (("a: int = 1",), ["a"]),
        (("if x:\n    a = 1\nelse:\n    a = 2",), ["a"]),
        (("a = 1\ndef f(a):\n    return a\nf(1)",), ["a"]),
        (("a = 1\n[a for a in range(3)]",), ["a"]),
        (("a = 1\nx.a",), ["a"]),
        (("a = 1\n'a'",), ["a"]),
    ],
)
def test_what_nothing_reads_is_found_once(cells: tuple[str, ...], expected: list[str]) -> None:
    assert [name for _, name in found(*cells, rules=UNUSED)] == expected


def test_blocks_in_one_another_without_end_are_no_fault_of_ours() -> None:
    deep = "\n".join("    " * depth + "if a:" for depth in range(90)) + "\n" + "    " * 90 + "a"
    chain = "if a:\n    1\n" + "".join(f"elif a == {number}:\n    b\n" for number in range(2000))
    assert {name for _, name in found(deep, chain, "x = " + "+".join(["c"] * 800))} <= {"a", "b", "c"}


def test_ten_thousand_cells_are_read_in_one_pass() -> None:
    cells = [f"v{number} = v{number - 1} + 1" for number in range(1, 3000)]
    assert found("v0 = 0", *cells, "v2999") == []
