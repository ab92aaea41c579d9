"""The words of a query in BigQuery's dialect, brackets with what stands in them.

A small tokenizer of our own, because importing sqlglot costs more (0.4 s) than linting a hundred notebooks; a property
test compares what both make of a query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

GAP = "\x00"
"""Stands in the text of a query for what is not known: a replacement field, a piece that is computed."""

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<text>(?i:rb?|br?)?(?:'{3}.*?(?:'{3}|\Z)|"{3}.*?(?:"{3}|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|"(?:[^"\\]|\\.)*(?:"|\Z)))
    | (?P<quoted>`[^`]*(?:`|\Z))
    | (?P<gap>\x00[\w.\x00-]*)
    | (?P<word>[^\W\d][\w\x00]*)
    | (?P<number>\d[\w.]*|\.\d\w*)
    | (?P<symbol>\|\||<>|[<>!]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = "([{", ")]}"
_DEEPEST = 60  # brackets in one another; nobody writes more, and whoever reads them recurses


class Kind(StrEnum):
    """What a token is."""

    WORD = "word"
    QUOTED = "quoted"
    TEXT = "text"
    NUMBER = "number"
    GAP = "gap"
    SYMBOL = "symbol"
    GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token, or a bracket with all that stands in it; `start` is its place in the text."""

    kind: Kind
    text: str
    start: int
    inside: tuple[Token, ...] = ()

    def says(self, *words: str) -> bool:
        """Return whether it is one of these key words or symbols."""
        return self.kind in {Kind.WORD, Kind.SYMBOL} and self.text.upper() in words

    @property
    def is_name(self) -> bool:
        """Whether it can be the name of a table, or a part of one."""
        return self.kind in {Kind.WORD, Kind.QUOTED, Kind.GAP}

    @property
    def is_query(self) -> bool:
        """Whether it is a query in brackets."""
        first = self.inside[0] if self.inside else None
        return first is not None and (first.says("SELECT", "WITH") or (first.is_query and self.text == "("))


def tokenize(text: str) -> tuple[Token, ...]:
    """Split a query into tokens, comments and white space left out; brackets that never close end with the text.

    There are none in a text whose brackets stand in one another too deeply.
    """
    groups: list[tuple[str, int, list[Token]]] = [("", 0, [])]
    for found in _TOKEN.finditer(text):
        kind, piece = found.lastgroup, found[0]
        if kind is None or kind in {"space", "comment"}:
            continue
        if kind == "symbol" and piece in _OPENING:
            groups.append((piece, found.start(), []))
            if len(groups) > _DEEPEST:
                return ()
        elif kind == "symbol" and piece in _CLOSING:
            _close(groups)
        else:
            groups[-1][2].append(Token(kind=Kind(kind), text=piece, start=found.start()))
    while len(groups) > 1:
        _close(groups)
    return tuple(groups[0][2])


def _close(groups: list[tuple[str, int, list[Token]]]) -> None:
    if len(groups) > 1:
        opening, start, inside = groups.pop()
        groups[-1][2].append(Token(kind=Kind.GROUP, text=opening, start=start, inside=tuple(inside)))
