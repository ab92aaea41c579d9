"""Words to search by: how the texts of a run and what a person types are cut into the same pieces.

Each word is kept as it is written and in the parts that people remember, so `delay` finds flight_delay, `division`
finds ZeroDivisionError and `2013-02` finds 2013-02-17. Languages without spaces are cut into pairs of characters. What
is typed becomes words in quotation marks and nothing else, so it cannot say anything to the database.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rasen.errors import InvalidInput

_MOST_PIECES = 300
_LONGEST = 80
_PREFIX_FROM = 3  # a shorter word is searched as a whole: too much begins with one letter
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"  # kana, Chinese characters, Hangul
_SPACED = rf"[^\W{_UNSPACED}]"
_PIECES = re.compile(rf"[{_UNSPACED}]+|{_SPACED}(?:{_SPACED}|[-.:/=@+](?={_SPACED}))*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_JOINTS = re.compile(r"[-_.:/=@+]+")
_RUN = re.compile(r"\d{8}T\d{0,9}Z?(?:-[0-9a-f]{0,12})?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Query:
    """What was typed: words that must all occur, and beginnings of run ids."""

    words: tuple[str, ...]
    runs: tuple[str, ...]

    def match(self, complete: Callable[[str], list[str] | None]) -> str:
        """Return the words as an expression of SQLite's FTS5; `""` when there are none.

        Args:
            complete: Returns all words that begin with one, `None` when they are too many to name. A beginning is
                looked up as the words that it may become: their rows can be walked from the newest, while FTS5 collects
                all rows of a prefix before it gives the first.
        """
        return " AND ".join(
            _either(word, complete(word)) if _is_beginning(word) else f'"{word}"' for word in self.words
        )

    def fits(self, body: str) -> bool:
        """Return whether a text that `searchable` made has all the words."""
        pieces = body.split(" ")
        return all(
            any(piece.startswith(word) for piece in pieces) if _is_beginning(word) else word in pieces
            for word in self.words
        )


def _is_beginning(word: str) -> bool:
    return len(word) >= _PREFIX_FROM or _is_unspaced(word)


def _either(word: str, completed: list[str] | None) -> str:
    if completed is None:
        return f'"{word}"*'
    return "(" + " OR ".join(f'"{one}"' for one in completed or [word]) + ")"


def searchable(texts: Iterable[str]) -> str:
    """Return the pieces of some texts, each once, separated by spaces."""
    found: dict[str, None] = {}
    for text in texts:
        for piece in _cut(text):
            found[piece] = None
            if len(found) >= _MOST_PIECES:
                return " ".join(found)
    return " ".join(found)


def parse_query(text: str) -> Query:
    """Return what a person typed as a query.

    Raises:
        InvalidInput: It has no letter and no digit.
    """
    words: list[str] = []
    runs: list[str] = []
    for written in unicodedata.normalize("NFKC", text).split():
        if _RUN.fullmatch(written):
            instant, dash, digest = written.partition("-")
            runs.append(instant.upper() + dash + digest.lower())
            continue
        for piece in _PIECES.findall(written):
            words += _pairs(piece) if _is_unspaced(piece) else [_fold(piece)[:_LONGEST]]
    if not words and not runs:
        raise InvalidInput(f"there is nothing to search for in {text!r}: write words with letters or digits")
    return Query(words=tuple(dict.fromkeys(words)), runs=tuple(runs))


def _cut(text: str) -> Iterator[str]:
    for written in _PIECES.findall(unicodedata.normalize("NFKC", text)):
        if _is_unspaced(written):
            yield from _pairs(written)
            yield written[-1]  # so that a single character is found at the end too
            continue
        whole = _fold(written)[:_LONGEST]
        yield whole
        if written.isalnum() and written[1:].islower():
            continue  # an ordinary word, which has no parts
        for part in _JOINTS.split(written):
            for piece in (part, *_CAMEL.split(part)):
                folded = _fold(piece)[:_LONGEST]
                if folded and folded != whole and (len(folded) > _PREFIX_FROM or not folded.isdecimal()):
                    yield folded


def _fold(text: str) -> str:
    """Return a word without case and accents."""
    if text.isascii():
        return text.lower()
    bare = "".join(
        one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one)
    )
    return unicodedata.normalize("NFKC", bare)


def _is_unspaced(text: str) -> bool:
    return re.match(rf"[{_UNSPACED}]", text) is not None


def _pairs(text: str) -> list[str]:
    return [text[place : place + 2] for place in range(len(text) - 1)] or [text]
