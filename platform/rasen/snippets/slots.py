"""Where placeholders stand in a cell: in code, in a string literal, in a comment.

Python's own tokenizer cannot be asked: until 3.11 it shows an f-string as one piece, and it stops at magics. The few
rules that matter here (prefixes, quotes, escapes, braces of f-strings) are read by hand, alike on every version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rasen.snippets.snippet import CellType, Place, Slot

PLACEHOLDER = re.compile(r"__([a-z][a-z0-9]*(?:_[a-z0-9]+)*)__")
PYTHONS_OWN = frozenset(
    [
        *(
            "all",
            "annotations",
            "author",
            "builtins",
            "call",
            "class",
            "dict",
            "doc",
            "enter",
            "exit",
            "file",
        ),
        *("future", "import", "init", "iter", "len", "main", "module", "name", "new", "repr", "slots", "str"),
        "version",
    ]
)
"""Names that Python gives a meaning between double underscores, so that no placeholder can have them."""

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>(?P<flags>(?:[rbuft]|br|rb|fr|rf|tr|rt)?)(?P<quote>'''|\"\"\"|'|\"))
    |(?P<word>\w+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class _Literal:
    """The string literal that is being read."""

    quote: str
    flags: str
    nested: bool

    def slot(self, found: re.Match[str], place: Place) -> Slot:
        """Return the slot of a placeholder inside this literal."""
        return replace(_slot(found, place), quote=self.quote, flags=self.flags, nested=self.nested)


def find_slots(body: str, *, cell_type: CellType) -> tuple[Slot, ...]:
    """Return every placeholder of a cell with its place; names that are Python's own are none."""
    if cell_type == "markdown" or body.lstrip().startswith("%%"):
        slots: Iterator[Slot] = (_slot(found, Place.PLAIN) for found in PLACEHOLDER.finditer(body))
    else:
        slots = _Reader(body).read()
    return tuple(slot for slot in slots if slot.name not in PYTHONS_OWN)


def _slot(found: re.Match[str], place: Place) -> Slot:
    return Slot(name=found[1], start=found.start(), end=found.end(), place=place)


class _Reader:
    """Walks through a cell once; `at` is the next character."""

    def __init__(self, body: str) -> None:
        self.body = body
        self.at = 0

    def read(self) -> Iterator[Slot]:
        """Yield the slots of the whole cell."""
        yield from self._code(within=None)

    def _code(self, within: _Literal | None) -> Iterator[Slot]:
        """Read code, `within` an f-string's braces until they end."""
        depth = 0
        while self.at < len(self.body):
            found = _TOKEN.match(self.body, self.at)
            assert found is not None  # the last alternative takes any character
            text = found[0]
            if within is not None and depth == 0 and text in {"}", ":"}:
                self.at = found.end()
                if text == ":":
                    yield from self._format(within)
                return
            self.at = found.end()
            if found["comment"] or found["word"]:
                place = Place.COMMENT if found["comment"] else Place.CODE
                for match in PLACEHOLDER.finditer(self.body, found.start(), found.end()):
                    slot = _slot(match, place)
                    yield slot if within is None else replace(slot, nested=True)
            elif found["string"]:
                literal = _Literal(
                    quote=found["quote"], flags=found["flags"].lower(), nested=within is not None
                )
                yield from self._literal(literal)
            else:
                depth += (text in "([{") - (text in ")]}")

    def _literal(self, literal: _Literal) -> Iterator[Slot]:
        formatted = "f" in literal.flags or "t" in literal.flags
        while self.at < len(self.body):
            rest = self.body[self.at]
            found = PLACEHOLDER.match(self.body, self.at) if rest == "_" else None
            if found:
                yield literal.slot(found, Place.TEXT)
                self.at = found.end()
            elif self.body.startswith(literal.quote, self.at):
                self.at += len(literal.quote)
                return
            elif rest == "\n" and len(literal.quote) == 1:
                return  # never closed: the next line is code again, as far as anybody can tell
            elif rest == "\\" or (formatted and self.body.startswith(("{{", "}}"), self.at)):
                self.at += 2
            elif formatted and rest == "{":
                self.at += 1
                yield from self._code(within=literal)
            else:
                self.at += 1

    def _format(self, literal: _Literal) -> Iterator[Slot]:
        """Read what stands behind the colon in an f-string's braces."""
        while self.at < len(self.body):
            rest = self.body[self.at]
            found = PLACEHOLDER.match(self.body, self.at) if rest == "_" else None
            if found:
                yield literal.slot(found, Place.FORMAT)
                self.at = found.end()
                continue
            self.at += 1
            if rest == "{":
                yield from self._code(within=literal)
            elif rest in {"}", "\n"}:
                return
