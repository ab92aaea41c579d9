"""Where each parameter's value comes from: what `rasen run --explain` shows before anything starts.

A reference to a secret is shown as the reference that it is; nothing is fetched here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from rasen.parameter_conversion import Clock
from rasen.parameter_types import JsonValue
from rasen.parameters import Layer, Parameter, convert, convert_typed, resolve_steps

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One parameter of one step.

    Args:
        step: The step's name.
        name: The parameter's.
        type: Its annotation.
        value: The value that the notebook gets.
        layer: The layer that the value comes from, by its name in `Layer`.
        overrode: The layers below that had a value too, nearest first, each with its value.
    """

    step: str
    name: str
    type: str
    value: JsonValue
    layer: str
    overrode: tuple[tuple[str, JsonValue], ...]

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the same as plain data, for `--json`."""
        return {
            "step": self.step,
            "parameter": self.name,
            "type": self.type,
            "value": self.value,
            "layer": self.layer,
            "overrode": [{"layer": layer, "value": value} for layer, value in self.overrode],
        }


def explain_parameters(
    steps: Mapping[str, Sequence[Parameter]],
    *,
    pipeline: Mapping[str, object],
    own: Mapping[str, Mapping[str, object]],
    layers: Sequence[tuple[str, Mapping[str, object]]] = (),
    scheduled_at: datetime,
    timezone: tzinfo,
) -> list[Explained]:
    """Return, for every parameter of every step, its value, where that comes from, and what it overrode.

    The arguments are those of `rasen.parameters.resolve_steps`, which gives the run the same values.

    Raises:
        ParameterError: A parameter is unknown, or a value of any layer does not fit.
    """
    resolved = resolve_steps(
        steps, pipeline=pipeline, own=own, layers=layers, scheduled_at=scheduled_at, timezone=timezone
    )
    clock = Clock(scheduled_at=scheduled_at, timezone=timezone)
    rows = []
    for step, parameters in steps.items():
        order = [(str(Layer.PIPELINE), pipeline), (str(Layer.STEP), own.get(step, {})), *layers]
        for parameter in parameters:
            found = [(str(Layer.DEFAULT), parameter.default)]
            for layer, given in order:
                if parameter.name in given:
                    found.append((str(layer), _convert(parameter, given[parameter.name], layer, clock)))
            *overrode, (layer, _) = found
            rows.append(
                Explained(
                    step=step,
                    name=parameter.name,
                    type=parameter.annotation,
                    value=resolved[step].values[parameter.name],
                    layer=layer,
                    overrode=tuple(reversed(overrode)),
                )
            )
    return rows


def _convert(parameter: Parameter, value: object, layer: str, clock: Clock) -> JsonValue:
    if layer == Layer.COMMAND_LINE:
        return convert_typed(parameter, str(value), clock=clock)
    return convert(parameter, value, clock=clock)


def render_explanation(rows: Sequence[Explained]) -> list[str]:
    """Return the explanation as lines for a terminal: a heading for each step, then a parameter a line."""
    lines: list[str] = []
    for step in dict.fromkeys(row.step for row in rows):
        lines.append(step)
        of_step = [row for row in rows if row.step == step]
        names = max(len(f"{row.name}: {row.type}") for row in of_step)
        values = max(len(_shown(row.value)) for row in of_step)
        for row in of_step:
            below = ", ".join(f"{layer} {_shown(value)}" for layer, value in row.overrode)
            line = f"  {f'{row.name}: {row.type}':<{names}}  {_shown(row.value):<{values}}  {row.layer}"
            lines.append(f"{line}  (over {below})" if below else line)
    return lines


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
