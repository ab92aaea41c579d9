"""Texts that somebody's code has printed, made harmless for a terminal: nothing in them may move the cursor or hide."""

from __future__ import annotations

import re

LINE_MAX_CHARACTERS = 200

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
# Control characters but tab and line feed, lone surrogates, and the marks that let a text run over the one beside it.
_HARMFUL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def clean_line(text: str, *, most: int = LINE_MAX_CHARACTERS) -> str:
    """Return a text of somebody's code as one harmless line without colours, cut to `most` characters."""
    plain = _ESCAPE_SEQUENCE.sub("", text[: 20 * most]).replace("\n", " ").expandtabs(4)
    kept = _HARMFUL.sub("", plain).strip()
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def clean_text(text: str) -> str:
    """Return a text of somebody's code without what could move the cursor; lines, tabs and colours stay."""
    return "".join(
        piece if _COLOUR.fullmatch(piece) else _HARMFUL.sub("", _ESCAPE_SEQUENCE.sub("", piece))
        for piece in _COLOUR.split(text)
    )


def without_colours(text: str) -> str:
    """Return a text without the sequences that colour it."""
    return _COLOUR.sub("", text)
