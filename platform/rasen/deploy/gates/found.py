"""Numbers in what `_qualify` found: JSON from a step's process, so every one is looked at before it is believed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rasen.deploy.gates.measured import Unmeasured


def found_number(found: Mapping[str, object], *path: str) -> float:
    """Return the finite number at `path`.

    Raises:
        Unmeasured: It is not there, or is no finite number.
    """
    value: object = found
    place = ".".join(path)
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            raise Unmeasured(f"`_qualify` measured no {place}", "missing")
        value = value[key]
    return finite(value, f"what `_qualify` found as {place}")


def finite(value: object, what: str) -> float:
    """Return `value`, which is called `what` in messages, as a finite number.

    Raises:
        Unmeasured: It is none.
    """
    # Records write numbers that JSON does not have as these words.
    if value in ("NaN", "Infinity", "-Infinity"):
        raise Unmeasured(f"{what} is {value}, not a finite number", "not finite")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unmeasured(f"{what} is {str(value)[:60]!r}, not a number", "not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unmeasured(f"{what} is {number}, not a finite number", "not finite")
    return number
