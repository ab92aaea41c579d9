"""The kinds of values that `pipeline.yaml` holds: names, durations, amounts of memory; what is wrong says why."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

from rasen.tracking.ids import NAME_PATTERN

OWN_PROBLEMS = frozenset(
    {
        "alerts",
        "challengers",
        "confidence",
        "contract",
        "direction",
        "duration",
        "factor",
        "fallback",
        "gate",
        "latency",
        "limits",
        "line",
        "margin",
        "memory",
        "metric",
        "name",
        "path",
        "reference",
        "rollout",
        "share",
        "sigma",
        "steps",
        "test",
        "verdict",
    }
)
"""Types of our own validation errors: their messages already name the value."""

_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LATENCY = re.compile(r"([1-9][0-9]{0,5})(ms|s)")
_MEMORY = re.compile(r"([1-9][0-9]{0,5})(Mi|Gi|Ti)")
_MEMORY_UNITS = {"Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SIGMA = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?) ?sigma")
_FACTOR = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)x")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)%")


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text such as `90s`, `20m`, `2h` or `1d` stands for.

    Raises:
        ValueError: It is none.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text[:40]!r} is not a duration; write a whole number and a unit: 90s, 20m, 2h or 1d"
        )
    return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})


def parse_latency(text: str) -> float:
    """Return the seconds that a text such as `250ms` or `2s` stands for.

    Raises:
        ValueError: It is none.
    """
    match = _LATENCY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no latency; write a whole number and a unit: 250ms or 2s")
    return int(match[1]) / (1000 if match[2] == "ms" else 1)


def parse_memory(text: str) -> int:
    """Return the number of bytes that a text such as `512Mi` or `4Gi` stands for, units as Kubernetes writes them.

    Raises:
        ValueError: It is none.
    """
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text[:40]!r} is no amount of memory; write a whole number and a unit: 512Mi, 4Gi or 1Ti"
        )
    return int(match[1]) * _MEMORY_UNITS[match[2]]


def _check_name(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN, text, re.ASCII):
        raise PydanticCustomError(
            "name",
            "{text} is not a usable name: a lower-case letter, then at most 39 lower-case letters, digits or _",
            {"text": repr(text[:60])},
        )
    return text


def _check_line(text: str) -> str:
    if not text.strip() or "\n" in text or "\r" in text or len(text) > 200:
        raise PydanticCustomError(
            "line", "{text} is no name; write one line of at most 200 characters", {"text": repr(text[:60])}
        )
    return text


def _check_metric(text: str) -> str:
    if not text or re.search(r"\s", text) or len(text) > 100:
        raise PydanticCustomError(
            "metric",
            "{text} is not a metric's name; it has no spaces and 1 to 100 characters",
            {"text": repr(text[:60])},
        )
    return text


def _check_duration(text: str) -> str:
    try:
        parse_duration(text)
    except ValueError as error:
        raise PydanticCustomError("duration", "{problem}", {"problem": str(error)}) from None
    return text


def _check_latency(text: str) -> str:
    try:
        parse_latency(text)
    except ValueError as error:
        raise PydanticCustomError("latency", "{problem}", {"problem": str(error)}) from None
    return text


def _check_memory(text: str) -> str:
    try:
        parse_memory(text)
    except ValueError as error:
        raise PydanticCustomError("memory", "{problem}", {"problem": str(error)}) from None
    return text


def _check_notebook_path(text: str) -> str:
    elements = text.split("/")
    if text.startswith("/") or "\\" in text or any(element in {"", ".", ".."} for element in elements):
        raise PydanticCustomError(
            "path",
            "{text} is not a path inside the pipeline's folder; write it relative to the folder, such as train.ipynb",
            {"text": repr(text[:120])},
        )
    if not text.endswith(".ipynb"):
        raise PydanticCustomError("path", "{text} is not a notebook (*.ipynb)", {"text": repr(text[:120])})
    return text


def _read_margin(value: object) -> object:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return float(match[1]) / 100
    if isinstance(value, str):
        raise PydanticCustomError(
            "margin", "{text} is no margin; write a fraction such as 0.02, or 2%", {"text": repr(value[:40])}
        )
    return value


def _read_share(value: object) -> object:
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    share = float(match[1]) / 100 if match is not None else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise PydanticCustomError(
            "share",
            "{text} is no share; write more than 0% and at most 100%, or a fraction such as 0.05",
            {"text": repr(value)[:40]},
        )
    return float(share)


def _read_sigma(value: object) -> object:
    match = _SIGMA.fullmatch(value) if isinstance(value, str) else None
    sigmas = float(match[1]) if match is not None else value
    if isinstance(sigmas, bool) or not isinstance(sigmas, int | float) or not 1 <= sigmas <= 6:
        raise PydanticCustomError(
            "sigma",
            "{text} is no width of a band; write 1 to 6 standard deviations, such as 3 sigma",
            {"text": repr(value)[:40]},
        )
    return float(sigmas)


def _read_factor(value: object) -> object:
    match = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    factor = float(match[1]) if match is not None else value
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 <= factor < 1000:
        raise PydanticCustomError(
            "factor",
            "{text} is no factor; write how many times, at least once: 1.5x",
            {"text": repr(value)[:40]},
        )
    return float(factor)


Name = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
Line = Annotated[
    str, Field(strict=True), AfterValidator(_check_line), WithJsonSchema({"type": "string", "minLength": 1})
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
MetricName = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_metric),
    WithJsonSchema({"type": "string", "pattern": r"^\S+$"}),
]
Duration = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["90s", "20m", "2h"]}),
]
NotebookPath = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_notebook_path),
    WithJsonSchema({"type": "string", "pattern": r"^(?!/)[^\\]+\.ipynb$", "examples": ["train.ipynb"]}),
]
Margin = Annotated[
    float,
    Field(strict=True, ge=0, lt=1, allow_inf_nan=False),
    BeforeValidator(_read_margin),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": f"^{_PERCENT.pattern}$"},
            ],
        }
    ),
]
Share = Annotated[
    float,
    BeforeValidator(_read_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "string", "pattern": f"^{_PERCENT.pattern}$"},
            ],
        }
    ),
]
Sigmas = Annotated[
    float,
    BeforeValidator(_read_sigma),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 1, "maximum": 6},
                {"type": "string", "pattern": f"^{_SIGMA.pattern}$", "examples": ["3 sigma"]},
            ],
        }
    ),
]
Factor = Annotated[
    float,
    BeforeValidator(_read_factor),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 1, "exclusiveMaximum": 1000},
                {"type": "string", "pattern": f"^{_FACTOR.pattern}$", "examples": ["1.5x"]},
            ],
        }
    ),
]
Latency = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_latency),
    WithJsonSchema({"type": "string", "pattern": f"^{_LATENCY.pattern}$", "examples": ["250ms", "2s"]}),
]
Values = dict[Annotated[str, Field(strict=True)], JsonValue]
Memory = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_memory),
    WithJsonSchema({"type": "string", "pattern": f"^{_MEMORY.pattern}$", "examples": ["512Mi", "4Gi"]}),
]
