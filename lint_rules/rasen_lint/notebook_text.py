"""Where the parts of a notebook stand in its file: for annotations of lines, and for changing a part and nothing else.

A notebook that is read and written again comes back with another indentation, other escapes or another order of keys,
and a reviewer sees a diff of the whole file. So a change is put into the text, in the manner of the text around it.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Span:
    """A piece of the text, from `start` to before `end`."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class CellText:
    """Where a cell and the values of its keys stand."""

    span: Span
    values: Mapping[str, Span]


class NotebookText:
    """The text of a notebook, which has been parsed before and so is known to be one."""

    def __init__(self, data: bytes) -> None:
        self.text = data.decode("utf-8")

    @cached_property
    def values(self) -> dict[str, Span]:
        """Where the values of the outermost keys stand. Of a key that is there twice, JSON takes the last."""
        start = _skip(self.text, 1 if self.text.startswith(_BYTE_ORDER_MARK) else 0)
        return dict(_members(self.text, start))

    @cached_property
    def cells(self) -> tuple[CellText, ...]:
        """Where the cells stand."""
        return tuple(
            CellText(span=span, values=dict(_members(self.text, span.start)))
            for span in _elements(self.text, self.values["cells"].start)
        )

    def line_of(self, cell: int | None, line: int | None = None) -> int:
        """Return the line of the file, from 1, where a line of a cell stands; without a cell, the first."""
        if cell is None or cell >= len(self.cells):
            return 1
        source = self.cells[cell].values["source"]
        position = source.start
        if self.text[position] == "[" and line is not None:
            strings = list(_elements(self.text, position))
            wanted = self._string_with(strings, line)
            position = strings[wanted].start if strings else position
        return bisect_left(self._line_ends, position) + 1

    @cached_property
    def _line_ends(self) -> list[int]:
        return [found.start() for found in re.finditer("\n", self.text)]

    def _string_with(self, strings: list[Span], line: int) -> int:
        """Return which string of a source holds its `line`; each holds one, save in hand-made notebooks."""
        passed = 0  # line breaks before the string
        for index, span in enumerate(strings):
            part = json.loads(self.text[span.start : span.end])
            reached = passed + part.count("\n")
            # Its last line begins in the next string if it ends with a line break.
            if line <= passed + 1 or line <= (reached if part.endswith("\n") else reached + 1):
                return index
            passed = reached
        return max(0, len(strings) - 1)

    @cached_property
    def newline(self) -> str:
        """How the file's lines end."""
        return "\r\n" if "\r\n" in self.text else "\n"

    @cached_property
    def indent(self) -> str | None:
        """One step of indentation; `None` where the file is written without line breaks."""
        found = re.match(r"\ufeff?\s*\{[ \t]*\r?\n([ \t]*)", self.text)
        return found[1] if found else None

    @cached_property
    def escapes(self) -> bool:
        """Whether the file writes what is not ASCII as escapes."""
        return self.text.removeprefix(_BYTE_ORDER_MARK).isascii() and "\\u" in self.text

    def dump(self, value: Any, *, at: int) -> str:  # Any: JSON
        """Return a value as the file would write it where a value begins at `at`."""
        escapes = self.escapes or not _has_utf8(value)
        if self.indent is None:
            tight = '","' in self.text[:2000] or '":"' in self.text[:2000] or '":{' in self.text[:2000]
            separators = (",", ":") if tight else (", ", ": ")
            return json.dumps(value, ensure_ascii=escapes, separators=separators)
        dumped = json.dumps(value, ensure_ascii=escapes, indent=self.indent, separators=(",", ": "))
        line_start = self.text.rfind("\n", 0, at) + 1
        around = self.text[line_start:at]
        margin = around[: len(around) - len(around.lstrip(" \t"))]
        return dumped.replace("\n", f"{self.newline}{margin}")


def _has_utf8(value: Any) -> bool:  # Any: JSON
    """Return whether a value can be written as it is: half of a surrogate pair can only be escaped."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _skip(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _value_end(text: str, start: int) -> int:
    return _DECODER.raw_decode(text, start)[1]


def _members(text: str, start: int) -> Iterator[tuple[str, Span]]:
    position = _skip(text, start + 1)
    while text[position] != "}":
        key, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _skip(text, position) + 1)
        end = _value_end(text, position)
        yield key, Span(position, end)
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def _elements(text: str, start: int) -> Iterator[Span]:
    position = _skip(text, start + 1)
    while text[position] != "]":
        end = _value_end(text, position)
        yield Span(position, end)
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
