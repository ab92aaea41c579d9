"""Two texts line by line, side by side, with the words that differ; in bounded time whatever the texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
# What difflib does in a second or two: lines of one text times lines of the other, and pairs of equal ones among them.
_MOST_COMPARED = 9_000_000
_MOST_EQUAL = 300_000
_MOST_WORDS = 20_000  # likewise for the words of two lines
_ALIKE = 0.35
_CONTEXT = 3

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line on either side, each by its index, and where in it the words differ."""

    kind: Literal["same", "changed", "added", "removed"]
    old: int | None
    new: int | None
    old_spans: tuple[Span, ...] = ()
    new_spans: tuple[Span, ...] = ()


def compare_lines(old: Sequence[str], new: Sequence[str]) -> list[Row]:
    """Return the rows of a comparison side by side; a line that was replaced stands beside the one that replaced it."""
    return list(_rows(old, new))


def _rows(old: Sequence[str], new: Sequence[str]) -> Iterator[Row]:
    for kind, left, left_end, right, right_end in _blocks(old, new):
        both = min(left_end - left, right_end - right)
        for step in range(both):
            before, after = left + step, right + step
            if kind == "equal":
                yield Row(kind="same", old=before, new=after)
                continue
            old_spans, new_spans = compare_words(old[before], new[after])
            yield Row(kind="changed", old=before, new=after, old_spans=old_spans, new_spans=new_spans)
        yield from (Row(kind="removed", old=line, new=None) for line in range(left + both, left_end))
        yield from (Row(kind="added", old=None, new=line) for line in range(right + both, right_end))


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield difflib's blocks; what is too long for difflib is one block that was replaced."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    left_end, right_end = len(old) - end, len(new) - end
    yield "equal", 0, start, 0, start
    if _is_long(old[start:left_end], new[start:right_end]):
        yield "replace", start, left_end, start, right_end
    else:
        matcher = SequenceMatcher(None, old[start:left_end], new[start:right_end], autojunk=False)
        for kind, *places in matcher.get_opcodes():
            yield kind, *(start + place for place in places)  # type: ignore[misc]  # four numbers
    yield "equal", left_end, len(old), right_end, len(new)


def unified_lines(old: str, new: str) -> list[str]:
    """Return the difference of two texts as `diff -u` has it, without the names of files."""
    left, right = old.split("\n") if old else [], new.split("\n") if new else []
    lines: list[tuple[str, int, int]] = []
    for kind, first, last, first_new, last_new in _blocks(left, right):
        if kind == "equal":
            lines += [(f" {left[first + n]}", first + n, first_new + n) for n in range(last - first)]
        else:
            lines += [(f"-{left[place]}", place, first_new) for place in range(first, last)]
            lines += [(f"+{right[place]}", last, place) for place in range(first_new, last_new)]
    wanted: set[int] = set()
    for place, (line, _, _) in enumerate(lines):
        if line[0] != " ":
            wanted.update(range(place - _CONTEXT, place + _CONTEXT + 1))
    found: list[str] = []
    for place, (line, before, after) in enumerate(lines):
        if place in wanted:
            if place - 1 not in wanted or not found:
                found.append(f"@@ -{before + 1} +{after + 1} @@")
            found.append(line)
    return found


def _is_long(old: Sequence[str], new: Sequence[str]) -> bool:
    counts = Counter(old)
    return len(old) * len(new) > _MOST_COMPARED or sum(counts[line] for line in new) > _MOST_EQUAL


def compare_words(old: str, new: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Return the spans in which two lines differ; none when they have too little in common to be one line changed."""
    left, right = _WORD.findall(old), _WORD.findall(new)
    if len(left) * len(right) > _MOST_WORDS:
        return (), ()
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return (), ()
    places = [_offsets(left), _offsets(right)]
    spans: list[list[Span]] = [[], []]
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind != "equal":
            for side, first, last in ((0, i, j), (1, k, m)):
                if first < last:
                    spans[side].append((places[side][first], places[side][last]))
    return tuple(spans[0]), tuple(spans[1])


def _offsets(words: Sequence[str]) -> list[int]:
    offsets = [0]
    for word in words:
        offsets.append(offsets[-1] + len(word))
    return offsets
