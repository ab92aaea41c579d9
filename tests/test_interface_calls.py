"""What a notebook will call: certain where it is, and never called certain where it is not."""

from __future__ import annotations

import pytest

from rasen.interface_test.notebook_calls import Calls, join_calls, read_calls, read_module_calls
from rasen.notebook import parse_notebook
from stand.pipeline_folder import notebook


def calls(*cells: str) -> Calls:
    return read_calls(parse_notebook(notebook("", cells), name="train.ipynb"))


def test_names_are_read_from_the_calls() -> None:
    found = calls(
        "import rasen\nfrom rasen import save_table",
        "rasen.log_metrics(rmse=1, mae=2)\nrasen.log_metrics(slice={'origin': 'JFK'}, bias=3)",
        "save_table('rows', frame)\nmodel = rasen.load_model('flight_demand')",
        "%matplotlib inline\nrasen.publish(model, example=rows)",
    )
    assert found.metrics == {"rmse", "mae", "bias"}
    assert found.tables == {"rows"}
    assert found.endpoints == {"flight_demand"}
    assert found.published_at == ["train.ipynb, cell 5"]
    assert all(found.knows_all(name) for name in ("publish", "log_metrics", "save_table", "load_model"))


@pytest.mark.parametrize(
    "cell",
    [
        "rasen.log_metrics(**values)",
        "log = rasen.log_metrics",
        "from rasen import log_metrics as log\nlog(a=1)",
        "list(map(rasen.log_metrics, found))",
        "getattr(rasen, 'log_' + 'metrics')(rmse=1)",
        "getattr(module, 'log_metrics')(rmse=1)",
        "exec(code)",
        "%run other.ipynb",
        "this is no Python",
    ],
)
def test_what_cannot_be_seen_is_not_certain(cell: str) -> None:
    assert not calls("import rasen", cell).knows_all("log_metrics")


def test_a_name_that_is_computed_leaves_tables_open() -> None:
    assert not calls("for name in names: rasen.save_table(name, frames[name])").knows_all("save_table")
    assert calls("rasen.save_table(name='rows', df=frame)").tables == {"rows"}


@pytest.mark.parametrize(
    ("cell", "certain"),
    [
        ("rasen.publish(model, example=rows)", 1),
        ("done = rasen.publish(model, example=rows)", 1),
        ("if good:\n    rasen.publish(model, example=rows)", 0),
        ("def go():\n    rasen.publish(model, example=rows)", 0),
        ("good and rasen.publish(model, example=rows)", 0),
        ("for model in models:\n    rasen.publish(model, example=rows)", 0),
        ("try:\n    rasen.publish(model, example=rows)\nexcept ValueError:\n    pass", 0),
    ],
)
def test_only_what_every_run_calls_is_counted(cell: str, certain: int) -> None:
    found = calls("import rasen", cell)
    assert len(found.published_at) == certain
    assert found.may_publish


def test_a_word_in_a_text_is_no_call_and_yet_nothing_is_certain() -> None:
    found = calls("title = 'what was published'\ntrain_and_publish()")
    assert not found.may_publish
    assert found.mentions_publish, "something else may do it"


def test_a_module_may_do_what_its_functions_say() -> None:
    module = read_module_calls(
        "import rasen\ndef finish(model):\n    rasen.publish(model)\n    rasen.log_metrics(a=1)"
    )
    joined = join_calls([module, calls("import helper\nhelper.finish(model)")])
    assert joined.published_at == []
    assert joined.may_publish
    assert joined.metrics == {"a"}
