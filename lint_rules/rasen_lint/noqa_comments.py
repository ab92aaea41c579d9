"""`# noqa: NB201` in cells: read from real comments, so that the same words in a string mean nothing.

Three kinds of places: a comment at the end of a Python line; the end of a line that is no Python (a magic, the body
of `%%bash` or `%%bigquery`, where `--` begins a comment too); and `<!-- noqa: NB102 -->` in Markdown. With `rasen:`
before it, as in `# rasen: noqa: NB102`, one comment speaks for the whole notebook.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from rasen.notebook import Cell
from rasen_lint.document import Document
from rasen_lint.magics import mask_magics

_CODES = r"(?P<colon>\s*:\s*(?P<codes>[A-Za-z]+[0-9]+(?:[\s,]+[A-Za-z]+[0-9]+)*))?"
_WORDS = rf"\s*(?P<whole>rasen:\s*)?noqa\b{_CODES}"
_IN_COMMENT = re.compile(rf"#{_WORDS}", re.IGNORECASE)
_IN_OTHER_LANGUAGE = re.compile(rf"(?:#|--|//){_WORDS}", re.IGNORECASE)
_IN_MARKDOWN = re.compile(rf"<!--{_WORDS}[^>]*-->", re.IGNORECASE)
_CODE = re.compile(r"[A-Za-z]+[0-9]+")


@dataclass(frozen=True, kw_only=True)
class NoqaComment:
    """One comment.

    Args:
        cell: Index of its cell.
        line: Its line, from 1.
        start: Where the directive begins in that line, from 0.
        end: Where it ends.
        codes: The codes that it names, in capitals; none in a bare `# noqa`.
        whole_notebook: It speaks for all cells.
        lines: For which lines of the cell it speaks otherwise.
    """

    cell: int
    line: int
    start: int
    end: int
    codes: tuple[str, ...]
    whole_notebook: bool
    lines: frozenset[int] = field(default_factory=frozenset)


def read_comments(document: Document) -> tuple[NoqaComment, ...]:
    """Return the directives of a notebook, in the order of its cells."""
    found: list[NoqaComment] = []
    for cell in document.notebook.cells:
        if "noqa" in cell.source.lower():
            found.extend(_read_code(cell) if cell.type == "code" else _read_text(cell))
    return tuple(found)


def _read_text(cell: Cell) -> Iterator[NoqaComment]:
    for number, line in enumerate(cell.source.split("\n"), start=1):
        for match in _IN_MARKDOWN.finditer(line):
            yield _comment(cell, number, match, frozenset({number}))


def _read_code(cell: Cell) -> Iterator[NoqaComment]:
    lines = cell.source.split("\n")
    python = mask_magics(cell.source).python.split("\n")
    # A line that was masked is no Python: what stands in it, no tokenizer can tell.
    foreign = {
        number
        for number, line in enumerate(lines, start=1)
        if number > len(python) or python[number - 1].strip() != line.strip()
    }
    comments, strings = _tokenize("\n".join(python))
    for number, line in enumerate(lines, start=1):
        if "noqa" not in line.lower():
            continue
        if number in foreign:
            if match := _IN_OTHER_LANGUAGE.search(line):
                yield _comment(cell, number, match, frozenset({number}))
        elif (column := comments.get(number)) is not None:
            # The indentation of a pasted cell was taken off before it was tokenized.
            shift = line.find("#", column)
            match = _IN_COMMENT.search(line, max(shift, 0))
            if match is not None:
                yield _comment(cell, number, match, strings.get(number, frozenset()) | {number})


def _comment(cell: Cell, line: int, match: re.Match[str], lines: frozenset[int]) -> NoqaComment:
    return NoqaComment(
        cell=cell.index,
        line=line,
        start=match.start(),
        end=match.end(),
        codes=tuple(code.upper() for code in _CODE.findall(match["codes"] or "")),
        whole_notebook=match["whole"] is not None,
        lines=lines,
    )


def _tokenize(python: str) -> tuple[dict[int, int], dict[int, frozenset[int]]]:
    """Return the column of each line's comment, and for the last line of each long string all of its lines.

    Of a cell that does not parse, what stands before the place where the tokenizer gives up.
    """
    comments: dict[int, int] = {}
    strings: dict[int, frozenset[int]] = {}
    opened: list[int] = []
    names = {"FSTRING_START": opened.append}
    try:
        for token in tokenize.generate_tokens(io.StringIO(python).readline):
            kind = tokenize.tok_name[token.type]
            if kind == "COMMENT":
                comments[token.start[0]] = token.start[1]
            elif kind in names:
                names[kind](token.start[0])
            elif kind == "STRING" or (kind == "FSTRING_END" and opened):
                first = token.start[0] if kind == "STRING" else opened.pop()
                if first != token.end[0]:
                    strings[token.end[0]] = strings.get(token.end[0], frozenset()) | set(
                        range(first, token.end[0] + 1)
                    )
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return comments, strings
