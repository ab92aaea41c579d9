"""The platform's contract: which notebooks it is asked of, and what is certain without running them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rasen_lint import check_notebook
from rasen_lint.context import Context, Role
from rasen_lint.document import read_document
from rasen_lint.finding import Finding
from rasen_lint.frames import Frame, Frames
from rasen_lint.not_here import what_is_not_here
from rasen_lint.rules import RULES

CONTRACT_RULES = [rule for code, rule in RULES.items() if code.startswith("NB5")]
STEP = {"role": Role.STEP}
ONLY = {"role": Role.STEP, "only_step": True}
LOGS = "import rasen\nrasen.log_metrics(rmse=1)\n"
PUBLISHES = "rasen.publish(model, example=X)\n"


def notebook(*cells: str) -> bytes:
    content = [{"cell_type": "code", "metadata": {}, "source": cell, "outputs": []} for cell in cells]
    return json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": content}).encode()


def check(*cells: str, context: Mapping[str, Any]) -> tuple[Finding, ...]:
    checked = check_notebook(
        notebook(*cells), name="n.ipynb", rules=CONTRACT_RULES, context=Context(**context)
    )
    assert checked.faults == ()
    return checked.findings


def codes(*cells: str, context: Mapping[str, Any]) -> list[str]:
    return [finding.code for finding in check(*cells, context=context)]


def test_nothing_is_asked_of_an_exploration() -> None:
    everything_wrong = (
        "import pyspark, catboost, cleaning, sys\nsys.path.append('..')\nimport rasen\nrasen.publish(1)"
    )
    known = {
        "gate_metrics": frozenset({"rmse"}),
        "contract": {"a": "int64"},
        "image_modules": frozenset[str](),
        "outside_modules": frozenset({"cleaning"}),
    }
    assert codes(everything_wrong, context=known) == []
    assert len(codes(everything_wrong, context={**known, **STEP})) == 5


@pytest.mark.parametrize(
    ("cells", "context", "expected"),
    [
        ((LOGS + PUBLISHES,), ONLY, []),
        (("x = 1",), ONLY, ["NB501", "NB502"]),
        (("x = 1",), STEP, []),
        ((LOGS,), ONLY, ["NB502"]),
        ((LOGS,), STEP, []),
        (("import rasen\n" + PUBLISHES,), STEP, ["NB501"]),
        (("import rasen as r\nr.log_metrics(a=1)\nr.publish(m, example=X)",), ONLY, []),
        (("from rasen import log_metrics as log, publish\nlog(a=1)\npublish(m, example=X)",), ONLY, []),
        (("from rasen import *\nlog_metrics(a=1)\npublish(m, example=X)",), ONLY, []),
        (("import rasen\n[rasen.log_metrics(**s) for s in scores]\nlater(rasen.publish)",), ONLY, []),
        (("def publish(m): pass\npublish(1)",), ONLY, ["NB501", "NB502"]),
        (("x = 1",), {"role": Role.GATE}, []),
        (("x = 1",), {"role": Role.EVALUATION}, []),
        ((LOGS + "rasen.publish(m)",), STEP, ["NB504"]),
        ((LOGS + "rasen.publish(m, example=None)",), STEP, ["NB504"]),
        ((LOGS + "rasen.publish(m, **given)",), STEP, []),
    ],
)
def test_what_a_training_notebook_must_tell(
    cells: tuple[str, ...], context: Mapping[str, Any], expected: list[str]
) -> None:
    assert codes(*cells, context=context) == expected


@pytest.mark.parametrize(
    ("calls", "missing"),
    [
        ("rasen.log_metrics(rmse=1, mae=2)", []),
        ("rasen.log_metrics(rmse=1)", ["mae"]),
        ("rasen.log_metrics(r2=1)", ["mae", "rmse"]),
        ("rasen.log_metrics(rmse=1)\nrasen.log_metrics(slice={'a': 1}, mae=2)", []),
        ("rasen.log_metrics(rmse=1, **others)", []),
        ("rasen.log_metrics(rmse=1)\nlater(rasen.log_metrics)", []),
    ],
)
def test_metrics_of_gates_are_asked_for_where_all_names_are_written_out(
    calls: str, missing: list[str]
) -> None:
    context = {**ONLY, "gate_metrics": frozenset({"rmse", "mae"})}
    found = [
        each
        for each in check("import rasen\n" + calls + "\n" + PUBLISHES, context=context)
        if each.code == "NB503"
    ]
    assert [each.message.split("'")[1] for each in found] == missing
    assert codes("import rasen\n" + calls + "\n" + PUBLISHES, context={**context, "only_step": False}) == []


@pytest.mark.parametrize(
    ("expression", "columns"),
    [
        ("pd.DataFrame({'a': [1], 'b': [2]})", ("a", "b")),
        ("pd.DataFrame([{'a': 1}, {'b': 2}])", ("a", "b")),
        ("pd.DataFrame(rows, columns=['a', 'b'])", ("a", "b")),
        ("DataFrame({'a': [1]})", ("a",)),
        ("rows[['a', 'b']].head(3)", ("a", "b")),
        ("rows.loc[:, ['a']].round(1).copy()", ("a",)),
        ("rows[inputs].iloc[:3]", ("a", "b", "c")),
        ("rows[inputs + ['d']][:2]", ("a", "b", "c", "d")),
        ("chosen", ("a", "b", "c")),
        ("changed", None),
        ("rows", None),
        ("rows.head(3)", None),
        ("rows[mask]", None),
        ("rows[['a', name]]", None),
        ("rows[['a']].assign(b=1)", None),
        ("rows[['a']].dropna(axis=1)", None),
        ("pd.concat([rows[['a']]])", None),
        ("pd.DataFrame({name: [1]})", None),
        ("pd.DataFrame({**more})", None),
        ("pd.DataFrame(rows)", None),
        ("grown", None),
        ("itself", None),
    ],
)
def test_columns_are_known_only_where_they_are_written_out(
    expression: str, columns: tuple[str, ...] | None
) -> None:
    cells = (
        "import pandas as pd\nfrom pandas import DataFrame\nmore = ['b', 'c']\ninputs = ['a', *more]\nitself = itself",
        "chosen = rows[inputs].head()\nchanged = rows[inputs]\nchanged['x'] = 1\nnames = ['a']\nnames.append('b')",
        f"grown = rows[names]\nexample({expression})",
    )
    document = read_document(notebook(*cells), name="n.ipynb")
    call = document.calls["example"][0]
    frame = Frames(document).read(call.node.args[0], cell=call.code_cell.cell.index)
    assert (None if frame is None else frame.columns) == columns


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("X[['seats', 'origin']]", None),
        ("X[['origin', 'seats']].head(1)", None),
        ("X[['seats']]", "'origin' is missing"),
        ("X[['seats', 'origin', 'day']]", "'day' is not declared"),
        ("pd.DataFrame({'seats': [1.0, 2], 'origin': ['JFK', None]})", None),
        ("pd.DataFrame({'seats': [1, 2], 'origin': ['JFK', 'LGA']})", None),
        ("pd.DataFrame({'seats': ['1'], 'origin': ['JFK']})", "'seats' holds str, declared is float64"),
        ("pd.DataFrame({'seats': seats, 'origin': [None]})", None),
        ("X", None),
    ],
)
def test_an_example_is_compared_with_the_contract(example: str, said: str | None) -> None:
    context = {**STEP, "contract": {"seats": "float64", "origin": "string"}}
    cell = f"import pandas as pd\n{LOGS}rasen.publish(m, example={example})"
    messages = [each.message for each in check(cell, context=context)]
    assert (said is None and messages == []) or (
        len(messages) == 1 and said is not None and said in messages[0]
    )


IMAGE = {
    **STEP,
    "image_modules": frozenset({"pandas", "dask"}),
    "siblings": frozenset({"demand.py", "data.csv", "parts/table.py"}),
    "outside_modules": frozenset({"cleaning", "demand", "tests"}),
}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("import os.path, json, __future__, rasen, pandas as pd, demand, parts.table", []),
        ("import catboost", ["NB506"]),
        ("import catboost\nfrom catboost import Pool", ["NB506"]),
        ("import importlib\nimportlib.import_module('catboost')", ["NB506"]),
        ("def f():\n    import catboost", ["NB506"]),
        ("try:\n    import catboost\nexcept ImportError:\n    catboost = None", []),
        ("try:\n    import catboost\nexcept ValueError:\n    pass", ["NB506"]),
        ("from contextlib import suppress\nwith suppress(ImportError):\n    import catboost", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import catboost", []),
        ("import cleaning", ["NB507"]),
        ("import cleaning\nimport cleaning.rows", ["NB507"]),
        ("import sys\nsys.path.append('..')", ["NB507"]),
        ("import sys\nsys.path = ['..', *sys.path]", ["NB507"]),
        ("import sys\nsys.path += ['..']", ["NB507"]),
        ("import sys\nsys.path[0] = '..'", ["NB507"]),
        ("import sys\nsys.path.append('..')\nimport cleaning", ["NB507"]),
        ("import sys\nprint(sys.path)", []),
        ("from . import demand", ["NB507"]),
        ("%run ../shared/cleaning.py", ["NB507"]),
        ("%run elsewhere.py", ["NB507"]),
        ("%run demand.py", []),
        ("%run -i demand", []),
        ("import pyspark.sql", ["NB508"]),
        ("from pyspark import sql\nimport pyspark", ["NB508"]),
        ("from dask.distributed import Client", ["NB508"]),
        ("import dask.dataframe", []),
        ("import xgboost.dask", ["NB508"]),
        ("import river, kafka", ["NB508", "NB508"]),
        ("try:\n    import ray\nexcept ImportError:\n    ray = None", []),
    ],
)
def test_imports_of_a_step(cell: str, expected: list[str]) -> None:
    assert codes(cell, context=IMAGE) == expected


def test_what_is_unknown_of_the_image_is_not_asked_for() -> None:
    assert codes("import catboost, cleaning", context=STEP) == []


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("tf.distribute.MultiWorkerMirroredStrategy()", ["NB508"]),
        ("tf.distribute.MirroredStrategy()", []),
        ("tf.distribute.get_strategy()", []),
    ],
)
def test_several_graphics_cards_of_one_machine_are_fine(call: str, expected: list[str]) -> None:
    assert codes(f"import tensorflow as tf\n{call}\n{call}", context=STEP) == expected


def test_a_library_is_known_by_any_part_of_its_path() -> None:
    assert what_is_not_here("torch.distributed.fsdp.Thing") == (
        "torch.distributed",
        "training on several machines",
    )
    assert what_is_not_here("torch.nn.parallel") is None
    assert what_is_not_here("rays") is None


def test_a_frame_of_nothing_has_no_columns() -> None:
    document = read_document(notebook("import pandas as pd\npd.DataFrame({})"), name="n.ipynb")
    call = document.calls["pandas.DataFrame"][0]
    assert Frames(document).read(call.node, cell=0) == Frame(columns=())
