"""`deploy.contract` of `pipeline.yaml`: what clients send and get, written down where a reviewer sees it change.

What counts in the end is the schema that `rasen.publish` derives from the example. The contract says beforehand what it
is to be; `rasen test` compares the two before anything is merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from rasen.pipeline_keys import Keys
from rasen.suggestion import suggest

TYPES = ("bool", "int64", "float64", "string", "date", "timestamp")
"""The column types that requests and answers are made of (`rasen.data.columns`, which lies above this module)."""

_NULL = "?"


def _check_input(text: str) -> str:
    return _known(text.removesuffix(_NULL), text)


def _known(word: str, text: str) -> str:
    if word not in TYPES:
        hint = "; an answer is never null" if word.endswith(_NULL) and word[:-1] in TYPES else ""
        raise _refusal(f"{text[:40]!r} is no type: {suggest(word, TYPES)}{hint}")
    return text


def _refusal(problem: str) -> PydanticCustomError:
    return PydanticCustomError("contract", "{problem}", {"problem": problem})


def _read_output(value: object) -> str | dict[str, str]:
    match value:
        case str():
            return _known(value, value)
        case Mapping() if value:
            for name, kind in value.items():
                if not isinstance(name, str) or not isinstance(kind, str):
                    raise _refusal(
                        f"column {name!r} must have a type, one of {', '.join(TYPES)}, not {kind!r:.40}"
                    )
            return {name: _known(kind, kind) for name, kind in value.items()}
        case _:
            raise _refusal(f"must be a type, or a mapping of columns to types, not {value!r:.60}")


InputType: TypeAlias = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_input),
    WithJsonSchema({"type": "string", "pattern": rf"^({'|'.join(TYPES)})\??$", "examples": ["float64?"]}),
]
"""The type of an input; with `?` it may be null."""

_ANSWER = {"type": "string", "enum": list(TYPES)}
Answer: TypeAlias = Annotated[
    str | dict[str, str],
    PlainValidator(_read_output),
    WithJsonSchema(
        {"anyOf": [_ANSWER, {"type": "object", "additionalProperties": _ANSWER, "minProperties": 1}]}
    ),
]
"""The type of an answer, or a type for each of its columns."""

ColumnName: TypeAlias = Annotated[str, Field(strict=True, min_length=1)]


class Contract(Keys):
    """What a request row holds and what it is answered."""

    inputs: dict[ColumnName, InputType] = Field(
        min_length=1,
        description="the columns of a request row with their types; `float64?` may be null or left out",
    )
    output: Answer = Field(
        description="the type of an answer, or a type for each of its columns: {low: float64}"
    )

    def differences(self, inputs: Mapping[str, str], output: str | Mapping[str, str]) -> list[str]:
        """Return in words where a model is not what this says; empty when it is.

        Args:
            inputs: The model's inputs as they would stand in a contract.
            output: Its answer in the same words.
        """
        found = [
            f"input {name!r} is declared as {kind}, the model has none of this name"
            for name, kind in self.inputs.items()
            if name not in inputs
        ]
        for name, kind in inputs.items():
            declared = self.inputs.get(name)
            if declared is None:
                found.append(f"input {name!r} is {kind}, the contract has none of this name")
            elif declared != kind:
                found.append(f"input {name!r} is declared as {declared}, the model's is {kind}")
        if self.output != output:
            found.append(
                f"the output is declared as {describe_output(self.output)}, the model's is {describe_output(output)}"
            )
        return found


def describe_output(output: str | Mapping[str, str]) -> str:
    """Return an answer's type as it stands in a contract."""
    if isinstance(output, str):
        return output
    return "{" + ", ".join(f"{name}: {kind}" for name, kind in output.items()) + "}"
