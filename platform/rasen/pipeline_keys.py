"""What every mapping of `pipeline.yaml` has in common: a closed set of keys, and a sentence for any other key.

A key that is not in the model is an error, also one that a later version will have: a pipeline whose `schedule` were
silently ignored would look registered and never run. The tables `not_built` keep those apart from misspelt keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from rasen.suggestion import nearest

_SEVERAL_MACHINES = {
    "cluster",
    "distributed",
    "machines",
    "nodes",
    "num_machines",
    "num_nodes",
    "num_workers",
    "workers",
    "world_size",
}
_STREAMING = {"online", "stream", "streaming"}


class Keys(BaseModel):
    """A mapping of `pipeline.yaml` with a closed set of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    not_built: ClassVar[tuple[str, ...]] = ()
    trains: ClassVar[bool] = False

    @classmethod
    def refuse_key(cls, key: str, value: object) -> str:
        """Return why `key` may not be here; `value` is what it was set to."""
        if cls.trains and (sentence := _beyond_one_machine(key, value)):
            return sentence
        built = ", ".join(cls.model_fields)
        if key in cls.not_built:
            return f"`{key}` is not built yet in this version; remove it (keys here: {built})"
        close = nearest(key, [*cls.model_fields, *cls.not_built])
        if close is None:
            return f"unknown key {key[:60]!r} (keys here: {built})"
        later = "; that one is not built yet in this version, remove it" if close in cls.not_built else ""
        return f"unknown key {key[:60]!r}: did you mean {close!r}?{later}"


def _beyond_one_machine(key: str, value: object) -> str | None:
    """Return the sentence for a pipeline that asks for what Rasen will not do (design, section 10)."""
    if key == "resources" and isinstance(value, Mapping):
        return next((sentence for each in value if (sentence := _beyond_one_machine(str(each), None))), None)
    asked = f"`{key}: {value}`" if key == "mode" else f"`{key}`"
    word = str(value) if key == "mode" else key
    if word in _STREAMING:
        return (
            f"Rasen has no streaming training ({asked}): a run trains once, on the rows that it read. Train in batches "
            "instead"
        )
    if word in _SEVERAL_MACHINES:
        return (
            f"Rasen has no training that needs several machines for one model ({asked}): a step runs on one machine. "
            "Sample the rows instead"
        )
    return None
