"""Where parameters' values come from, as `rasen run --explain` tells it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from rasen.errors import ParameterError
from rasen.parameter_explanation import Explained, explain_parameters, render_explanation
from rasen.parameters import Layer, read_parameters, resolve_steps

AT = datetime(2026, 1, 2, tzinfo=UTC)
STEPS = {
    "features": read_parameters("until: str = '2013-01-01'\nn: int = 1"),
    "train": read_parameters(
        "until: str = '2013-01-01'\ndepth: int = 6\nkey: Secret = 'secret://env/A'\ntags: list[str] | None = None"
    ),
}
GIVEN = {
    "pipeline": {"until": "@scheduled-1d", "depth": 7},
    "own": {"train": {"depth": 8, "key": "secret://env/B"}},
    "layers": [
        (Layer.REQUEST, {"depth": 9, "n": 2}),
        (Layer.YAML, {"tags": ["a"]}),
        (Layer.COMMAND_LINE, {"depth": "10"}),
    ],
}


def explain() -> dict[tuple[str, str], Explained]:
    rows = explain_parameters(STEPS, scheduled_at=AT, timezone=UTC, **GIVEN)  # type: ignore[arg-type] # of several types
    return {(row.step, row.name): row for row in rows}


def test_each_value_is_shown_with_its_layer_and_what_it_overrode() -> None:
    rows = explain()
    depth = rows["train", "depth"]
    assert (depth.value, depth.layer, depth.type) == (10, "-p", "int")
    assert depth.overrode == (
        ("request", 9),
        ("step.parameters", 8),
        ("parameters", 7),
        ("cell default", 6),
    )
    until = rows["features", "until"]
    assert (until.value, until.layer) == ("2026-01-01T00:00:00+00:00", "parameters")
    assert rows["train", "key"].value == "secret://env/B", "a reference is shown as what it is"
    assert rows["train", "tags"].overrode == (("cell default", None),)
    assert rows["features", "n"].layer == "request"
    assert depth.to_dict() == {
        "step": "train",
        "parameter": "depth",
        "type": "int",
        "value": 10,
        "layer": "-p",
        "overrode": [
            {"layer": "request", "value": 9},
            {"layer": "step.parameters", "value": 8},
            {"layer": "parameters", "value": 7},
            {"layer": "cell default", "value": 6},
        ],
    }


def test_the_explained_values_are_those_that_a_run_gets() -> None:
    resolved = resolve_steps(STEPS, scheduled_at=AT, timezone=UTC, **GIVEN)  # type: ignore[arg-type] # as above
    rows = explain()
    assert {(step, name) for step, one in resolved.items() for name in one.values} == set(rows)
    for (step, name), row in rows.items():
        assert row.value == resolved[step].values[name]
        assert row.layer == resolved[step].layers[name]


def test_it_reads_as_a_table_for_each_step() -> None:
    lines = render_explanation([*explain().values()])
    assert lines[0] == "features"
    assert lines[1].split("  ")[1:2] == ["until: str"]
    depth = next(line for line in lines if "depth" in line)
    assert " ".join(depth.split()) == (
        "depth: int 10 -p (over request 9, step.parameters 8, parameters 7, cell default 6)"
    )
    assert render_explanation([]) == []


def test_a_wrong_value_of_any_layer_is_an_error_even_when_it_is_overridden() -> None:
    with pytest.raises(ParameterError, match=r"'train'.*'depth'.*from parameters"):
        explain_parameters(
            STEPS,
            pipeline={"depth": "deep"},
            own={},
            layers=[(Layer.COMMAND_LINE, {"depth": "3"})],
            scheduled_at=AT,
            timezone=UTC,
        )
