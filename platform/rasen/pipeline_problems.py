"""What is wrong with a `pipeline.yaml`: each problem with its line and place, all of a file in one error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError

from rasen.errors import PipelineError
from rasen.pipeline_alerts import Alerts
from rasen.pipeline_contract import Contract
from rasen.pipeline_deploy import (
    AB,
    AbortOn,
    Bandit,
    Canary,
    Deploy,
    Fallback,
    Log,
    Qualification,
    Shadow,
)
from rasen.pipeline_gates import GATES
from rasen.pipeline_schema import Pipeline, Resources, Sample, Step, Table
from rasen.pipeline_values import OWN_PROBLEMS
from rasen.strict_yaml import Document

Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with the value at `location`; `place`, if given, is named instead of it."""

    location: Location
    message: str
    place: Location | None = None


def refuse(source: str, document: Document, problems: Iterable[Problem]) -> None:
    """Raise one error with all problems, if there are any."""
    found = list(problems)
    if found:
        raise refusal(source, document, found)


def refusal(source: str, document: Document, problems: Iterable[Problem]) -> PipelineError:
    """Return one error with all problems, in the order of their lines."""
    lines: set[tuple[int, str, str]] = set()
    for problem in problems:
        place = problem.location if problem.place is None else problem.place
        lines.add((document.line_of(problem.location), _dotted(place), problem.message))
    return PipelineError(
        "\n".join(
            f"{source}, line {line}: {f'{place}: ' if place else ''}{said}"
            for line, place, said in sorted(lines)
        )
    )


def _dotted(location: Location) -> str:
    text = "".join(f"[{element}]" if isinstance(element, int) else f".{element}" for element in location)
    return text.removeprefix(".")


def explain(error: ValidationError, data: Any) -> Iterator[Problem]:  # Any: the document
    """Yield what pydantic found, in words that name keys and values."""
    for each in error.errors(include_url=False):
        location, value = _locate(each["loc"], data)
        parent, last = each["loc"][:-1], str(each["loc"][-1]) if each["loc"] else ""
        place = None
        match each["type"]:
            case "extra_forbidden":
                message = _model_at(parent).refuse_key(last, value) + _who_has(last, parent)
                place = location[:-1]
            case "missing":
                message = (
                    f"`{last}` is missing: {_model_at(parent).model_fields[last].description or 'required'}"
                )
            case "too_short" if value:
                continue  # pydantic counts only the items that were right
            case "too_short":
                message = "is empty; leave it out, or fill it"
            case kind if kind in _WANTED:
                message = f"must be {_WANTED[kind]}, not {value!r:.60}"
            case kind:
                message = each["msg"] if kind in OWN_PROBLEMS else f"{each['msg']}, not {value!r:.60}"
        yield Problem(location=location, message=message, place=place)


_WANTED = {
    "string_type": "a text",
    "float_type": "a number",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _locate(location: tuple[int | str, ...], data: Any) -> tuple[Location, Any]:  # Any: the document
    """Return the part of a pydantic location that is in the document (unions add their tag), and its value."""
    path: list[str | int] = []
    for place, element in enumerate(location):
        if _is_tag(location[:place]):
            continue  # a tag may be the name of a key as well: gates of kind `notebook` have a `notebook`
        match data:
            case dict() if element in data:
                data = data[element]
            case list() if isinstance(element, int) and element < len(data):
                data = data[element]
            case _:
                continue
        path.append(element)
    return tuple(path), data


def _who_has(key: str, location: tuple[int | str, ...]) -> str:
    """Return which gates have a key that this one does not have, as the end of a message."""
    match location:
        case (*_, "gates", int(), str()):
            kinds = sorted(kind for kind, model in GATES.items() if key in model.model_fields)
            return f"; gates of kind {', '.join(kinds)} have it" if kinds else ""
        case _:
            return ""


def _is_tag(before: tuple[int | str, ...]) -> bool:
    """Return whether what follows in a pydantic location is the `kind` that picked a model."""
    match before:
        case ("deploy", "rollout") | (*_, "gates", int()):
            return True
        case _:
            return False


def _model_at(location: tuple[int | str, ...]) -> type[Any]:  # Any: the models' common base is private
    match location:
        case ("steps", _, "resources"):
            return Resources
        case ("steps", _):
            return Step
        case ("alerts" | "deploy" | "sample" as key,):
            return _SINGLE[key]
        case ("deploy", "rollout", *_, "abort_on"):
            return AbortOn
        case ("deploy", "rollout", str(kind)):
            return _ROLLOUTS[kind]
        case ("deploy", "fallback"):
            return Fallback
        case ("deploy", "log"):
            return Log
        case ("deploy", "contract", *_):
            return Contract
        case ("deploy", "qualification"):
            return Qualification
        case ("tables", _):
            return Table
        case (*_, "gates", int(), str(kind)):
            return GATES[kind]
        case _:
            return Pipeline


_SINGLE: Mapping[str, type[Any]] = {  # Any: as above
    "alerts": Alerts,
    "deploy": Deploy,
    "sample": Sample,
}
_ROLLOUTS: Mapping[str, type[Any]] = {  # Any: as above
    "canary": Canary,
    "ab": AB,
    "shadow": Shadow,
    "bandit": Bandit,
}
