"""Where a value comes from when several sources name it, and what is said about names that nobody knows."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import ParameterError
from rasen.parameters import Layer, Parameter, Resolved, read_parameters, resolve, resolve_steps

NOW = datetime(2013, 7, 1, 4, 10, tzinfo=UTC)
FEATURES = read_parameters("horizon_hours: int = 2\ntrain_until: str = 'x'\n")
TRAIN = read_parameters("horizon_hours: int = 1\nmax_depth: int = 6\n")
LAYERS = [layer for layer in Layer if layer is not Layer.DEFAULT]


def resolve_demand(
    *,
    pipeline: Mapping[str, object] | None = None,
    own: Mapping[str, Mapping[str, object]] | None = None,
    layers: list[tuple[str, Mapping[str, object]]] | None = None,
) -> dict[str, Resolved]:
    return resolve_steps(
        {"features": FEATURES, "train": TRAIN},
        pipeline=pipeline or {},
        own=own or {},
        layers=layers or [],
        scheduled_at=NOW,
        timezone=UTC,
    )


def test_defaults_are_values_too() -> None:
    resolved = resolve(TRAIN, [], scheduled_at=NOW, timezone=UTC)
    assert resolved == Resolved(
        values={"horizon_hours": 1, "max_depth": 6},
        layers={"horizon_hours": "cell default", "max_depth": "cell default"},
    )


@given(given_by=st.sets(st.sampled_from(LAYERS)))
def test_the_highest_layer_wins(given_by: set[Layer]) -> None:
    depth = Parameter(name="depth", annotation="int", default=0)
    rank = {layer: index for index, layer in enumerate(Layer)}
    layers: list[tuple[str, Mapping[str, object]]] = [
        (layer, {"depth": str(rank[layer]) if layer is Layer.COMMAND_LINE else rank[layer]})
        for layer in Layer
        if layer in given_by
    ]
    resolved = resolve([depth], layers, scheduled_at=NOW, timezone=UTC)
    winner = max(given_by, key=rank.__getitem__, default=Layer.DEFAULT)
    assert resolved.values == {"depth": rank[winner]}
    assert resolved.layers == {"depth": winner.value}


def test_a_step_wins_over_the_pipeline_and_the_request_over_both() -> None:
    resolved = resolve_demand(
        pipeline={"horizon_hours": 3, "max_depth": 7},
        own={"train": {"horizon_hours": 4}},
        layers=[(Layer.REQUEST, {"max_depth": 8})],
    )
    assert resolved["features"].values["horizon_hours"] == 3
    assert resolved["train"].values == {"horizon_hours": 4, "max_depth": 8}
    assert resolved["train"].layers == {"horizon_hours": "step.parameters", "max_depth": "request"}


def test_only_the_command_line_is_read_by_the_annotation() -> None:
    resolved = resolve_demand(layers=[(Layer.COMMAND_LINE, {"max_depth": "9"})])
    assert resolved["train"].values["max_depth"] == 9
    with pytest.raises(
        ParameterError, match=r"step 'train': parameter 'max_depth': '9' is a str.*\(from -y\)"
    ):
        resolve_demand(layers=[(Layer.YAML, {"max_depth": "9"})])


def test_the_scheduled_instant_reaches_every_layer() -> None:
    resolved = resolve_demand(pipeline={"train_until": "@scheduled-1d"})
    assert resolved["features"].values["train_until"] == "2013-06-30T04:10:00+00:00"


def test_a_name_that_no_step_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ParameterError, match=r"unknown parameter 'max_dept' \(from -p\): did you mean 'max_depth'\?"
    ):
        resolve_demand(layers=[(Layer.COMMAND_LINE, {"max_dept": "9"})])


def test_a_name_like_no_other_is_refused_with_all_known_names() -> None:
    with pytest.raises(ParameterError, match="known: 'horizon_hours', 'max_depth', 'train_until'"):
        resolve_demand(pipeline={"zzz": 1})


def test_a_steps_own_value_must_be_known_by_that_step() -> None:
    with pytest.raises(
        ParameterError, match=r"step 'features': unknown parameter 'max_depth' \(from step.parameters\)"
    ):
        resolve_demand(own={"features": {"max_depth": 3}})


def test_a_misspelt_value_is_refused_even_when_a_higher_layer_replaces_it() -> None:
    with pytest.raises(ParameterError, match="from parameters"):
        resolve_demand(pipeline={"max_depth": "deep"}, layers=[(Layer.REQUEST, {"max_depth": 3})])
