"""Full names of what a notebook calls, whatever the notebook calls it."""

import ast
import json

import pytest

from rasen_lint.document import Document, read_document
from rasen_lint.nodes import Nodes


def document(*sources: str) -> Document:
    cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
    return read_document(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode(),
        name="n.ipynb",
    )


def called(*sources: str) -> list[str]:
    """Return the full names of all calls that have one."""
    return sorted(name for name, calls in document(*sources).calls.items() for _ in calls)


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["import os\nos.chdir('x')"], ["os.chdir"]),
        (["import os as o", "o.chdir('x')"], ["os.chdir"]),
        (["from os import chdir as go\ngo('x')"], ["os.chdir"]),
        (["from datetime import datetime as dt", "dt.now()"], ["datetime.datetime.now"]),
        (["import os.path\nos.path.join('a')"], ["os.path.join"]),
        (["import matplotlib.pyplot as plt\nplt.show()"], ["matplotlib.pyplot.show"]),
        (
            ["try:\n    import ujson as json\nexcept ImportError:\n    import json\njson.load(f)"],
            ["json.load"],
        ),
        # A function is called later than it is defined.
        (["def f():\n    return dt.now()", "from datetime import datetime as dt"], ["datetime.datetime.now"]),
        # What nothing binds stands for itself.
        (["input('?')"], ["input"]),
        (["get_ipython().system('ls')"], ["get_ipython"]),
        # What the notebook binds is its own.
        (["input = 3", "input()"], []),
        (["def input(text): return text\ninput('?')"], []),
        (["frame = 1\nframe.now()"], []),
        (["from .demand import now\nnow()"], []),
        (["with open('x') as file:\n    file.read()"], ["open"]),
        (
            [
                "match x:\n    case [*rest]:\n        rest.now()\n    case {'a': 1, **more}:\n        more.now()"
            ],
            [],
        ),
        # A name that is imported and bound once more means what was bound last.
        (["from datetime import date\ndate = date.today()\ndate.today()"], ["datetime.date.today"]),
        (
            ["from datetime import date\nfor date in date.today(), 1:\n    date.today()"],
            ["datetime.date.today"],
        ),
        (
            ["from time import time\ntime = frame['time']", "time()", "from time import time", "time()"],
            ["time.time"],
        ),
        (
            ["from datetime import date\nif (date := date.today()) and date.today():\n    pass"],
            ["datetime.date.today"],
        ),
        # Inside a function or a comprehension that binds it, nothing is known; outside it still is.
        (
            ["from datetime import date\ndef f(date):\n    return date.today()\ndate.today()"],
            ["datetime.date.today"],
        ),
        (["from datetime import date\n[date.today() for date in x]\ndate.today()"], ["datetime.date.today"]),
        (["from datetime import date\nclass A:\n    date: int = 1\ndate.today()"], ["datetime.date.today"]),
        (["from os import *\nchdir('x')"], ["chdir"]),
        (["f()()\n(lambda: 1)()\nx[0].now()"], ["f"]),
    ],
)
def test_calls_are_known_by_their_full_names(sources: list[str], names: list[str]) -> None:
    assert called(*sources) == names


def test_everything_imported_is_told() -> None:
    names = document("from os import *").names
    assert names.star_modules == {"os"}
    assert not names.is_imported("os")
    assert document("import os").names.is_imported("os")


def test_nodes_are_told_in_the_order_in_which_they_are_written() -> None:
    nodes = Nodes(ast.parse("a = b + c\nfor d in e: f(g)"))
    assert [name.id for name in nodes.of(ast.Name)] == list("abcdefg")
    call = nodes.of(ast.Call)[0]
    assert [type(above).__name__ for above in nodes.parents(call)] == ["Expr", "For", "Module"]
    assert nodes.parent(nodes.of(ast.Module)[0]) is None


def test_deep_trees_are_walked() -> None:
    source = "x" + " + 1" * 900
    assert len(Nodes(ast.parse(source)).of(ast.BinOp)) == 900
