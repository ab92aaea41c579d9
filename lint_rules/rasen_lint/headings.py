"""The headings of a notebook's markdown, as Jupyter shows them: `#`, underlined, or `<h1>`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rasen.notebook import Cell

_HASHES = re.compile(r" {0,3}#{1,6}(?=[ \t\u3000]|$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})")
_HTML = re.compile(r"<h[1-6]\b[^<>]{0,300}>(?P<text>.{0,500}?)</h[1-6]\s{0,9}>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_BLOCK = re.compile(r"\s*(?:[-*+>|]|\d+[.)])(?:\s|$)|\s*\|")


def find_headings(cell: Cell) -> Iterator[str]:
    """Yield the texts of a markdown cell's headings, without empty ones; other cells have none."""
    if cell.type != "markdown":
        return
    lines = list(_outside_fences(cell.source))
    for number, line in enumerate(lines):
        before = lines[number - 1] if number else ""
        if hashes := _HASHES.match(line):
            text = line[hashes.end() :]
        elif _UNDERLINE.fullmatch(line) and before.strip() and not _BLOCK.match(before):
            text = before
        else:
            continue
        if plain := _plain(text):
            yield plain
    for html in _HTML.finditer("\n".join(lines)):
        if plain := _plain(html["text"]):
            yield plain


def _outside_fences(markdown: str) -> Iterator[str]:
    """Yield the lines that are no code."""
    fence = ""
    for line in markdown.splitlines():
        mark = _FENCE.match(line)
        if fence:
            if mark and mark["mark"].startswith(fence):
                fence = ""
        elif mark:
            fence = mark["mark"]
        else:
            yield line


def _plain(text: str) -> str:
    return " ".join(_TAG.sub(" ", text).split()).strip("*_` #")
