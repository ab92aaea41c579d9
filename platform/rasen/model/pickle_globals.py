"""What a pickle would import, read from its opcodes without executing any: information for people, never a gate.

No list of names tells good from bad. A model that was defined in a notebook is code, so its pickle must name what makes
functions and classes, and whoever means harm finds other names or hides them (`platform/trust.md`). What makes a model
loadable is who signed it. That is also why these few lines stand here instead of a scanner's hundred rules: the three
that we measured called good models bad and bad ones good.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass

_MOST_OPCODES = 1_000_000
"""So many are read in about two seconds; the numbers of a model stand in a few large ones."""

_MOST_NAMES = 500
_LONGEST_NAME = 200
_STRINGS = {
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "UNICODE",
    "SHORT_BINSTRING",
    "BINSTRING",
    "STRING",
}
_STORES = {"PUT", "BINPUT", "LONG_BINPUT"}
_FETCHES = {"GET", "BINGET", "LONG_BINGET"}


@dataclass(frozen=True, kw_only=True)
class PickleGlobals:
    """What a pickle names.

    Args:
        names: `module.name` of everything that it would import, sorted; `?` is a part that is computed or hidden.
        complete: Whether all of it was read: it is whole, and not longer than is worth the time.
    """

    names: list[str]
    complete: bool


def list_globals(data: bytes) -> PickleGlobals:
    """Return what unpickling `data` would import; nothing is imported or executed here."""
    names: set[str] = set()
    memo: dict[int, str | None] = {}
    pushed: list[str | None] = [None, None]  # the two values on top of the stack, as far as they are texts
    complete = False
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if number >= _MOST_OPCODES or len(names) >= _MOST_NAMES:
                break
            match opcode.name:
                case "GLOBAL" | "INST":
                    names.add(_shown(*str(argument).partition(" ")[::2]))
                    pushed = [pushed[1], None]
                case "STACK_GLOBAL":
                    names.add(_shown(*pushed))
                    pushed = [None, None]
                case "MEMOIZE":
                    memo[len(memo)] = pushed[1]
                case name if name in _STORES:
                    memo[int(str(argument))] = pushed[1]
                case name if name in _FETCHES:
                    pushed = [pushed[1], memo.get(int(str(argument)))]
                case name if name in _STRINGS:
                    pushed = [pushed[1], str(argument)]
                case "STOP":
                    complete = True
                case _:
                    pushed = [pushed[1], None]
    except Exception:  # noqa: BLE001, S110  # whatever is wrong with the bytes, the list is of what could be read
        pass
    return PickleGlobals(names=sorted(names), complete=complete)


def _shown(module: str | None, name: str | None) -> str:
    """Return a name as it can be printed: the bytes are somebody's, and may say anything."""
    text = f"{module or '?'}.{name or '?'}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_LONGEST_NAME]
