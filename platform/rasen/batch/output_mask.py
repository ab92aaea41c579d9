"""Taking secrets out of what a notebook shows before anything is kept.

What is to be masked is the caller's to know: a function from a text to the same text without secrets. Cells print in
pieces, and a secret may be cut by them, so a line is held back until it is complete; of a line that never ends only as
much is let go as cannot be the beginning of a secret. A secret of several lines is found in pieces only if each of its
lines is known to be one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Mask = Callable[[str], str]

_HOLD_CHARACTERS = 16_384  # longer secrets than this may be cut in two
_LINE_CHARACTERS = 65_536
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def mask_text(mask: Mask, text: str) -> str:
    """Return a text without secrets; one that colours run through, as in a traceback, loses them when it hides one."""
    masked = mask(text)
    if "\x1b" in masked:
        plain = _COLOUR.sub("", masked)
        if (without := mask(plain)) != plain:
            return without
    return masked


def mask_value(mask: Mask, value: Any) -> Any:  # Any: JSON
    """Return JSON in which every text, keys included, was masked."""
    match value:
        case str():
            return mask_text(mask, value)
        case dict():
            return {mask_text(mask, key): mask_value(mask, item) for key, item in value.items()}
        case list():
            return [mask_value(mask, item) for item in value]
        case _:
            return value


class MaskedStream:
    """Text on its way from a cell: what goes in comes out masked, as soon as its line is complete."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held: list[str] = []
        self._held_characters = 0

    def add(self, text: str) -> str:
        """Take more text; return what can be let go of."""
        self._held.append(text)
        self._held_characters += len(text)
        if "\n" not in text and "\r" not in text and self._held_characters < _LINE_CHARACTERS:
            return ""
        held = "".join(self._held)
        cut = max(held.rfind("\n"), held.rfind("\r")) + 1
        free, rest = mask_text(self._mask, held[:cut]), held[cut:]
        if len(rest) >= _LINE_CHARACTERS:
            rest = mask_text(self._mask, rest)
            free, rest = free + rest[:-_HOLD_CHARACTERS], rest[-_HOLD_CHARACTERS:]
        self._held, self._held_characters = [rest], len(rest)
        return free

    def end(self) -> str:
        """Return what was held back; no more is to come, or something else is shown behind it."""
        held = "".join(self._held)
        self._held, self._held_characters = [], 0
        return mask_text(self._mask, held)
