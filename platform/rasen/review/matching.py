"""Which cell became which: by id, then by content, then by likeness; in time that grows with the notebook.

Ids alone would lie: some programs number the cells anew when they save, and then every cell after an inserted one
would look rewritten. So an id counts unless the content is found, unchanged, under another one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from rasen.notebook import Cell

_WORD = re.compile(r"\w+")
_RARE = 8  # a line that stands in more cells than this tells none from the others
_ALIKE = 0.4
_NEIGHBOURS = 5
_Key = Callable[[Cell], tuple[str, ...] | None]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A cell before and after, each by its index; `moved` when it changed places with others that stayed."""

    old: int | None
    new: int | None
    moved: bool = False


def match_cells(old: Sequence[Cell], new: Sequence[Cell]) -> list[Pair]:
    """Return the pairs in the order of the new notebook; what is gone stands where it was."""
    matches = _Matches(old, new)
    matches.take_same(lambda cell: (cell.id, cell.type, cell.source) if cell.id else None)
    matches.take_ids(only_sure=True)
    matches.take_same(lambda cell: (cell.type, cell.source))
    matches.take_ids(only_sure=False)
    matches.take_alike()
    matches.take_neighbours()
    return list(_in_order(len(old), len(new), matches.found))


class _Matches:
    """What has been found: new index to old index."""

    def __init__(self, old: Sequence[Cell], new: Sequence[Cell]) -> None:
        self._old, self._new = old, new
        self._open_old = dict.fromkeys(range(len(old)))
        self._open_new = dict.fromkeys(range(len(new)))
        self.found: dict[int, int] = {}

    def _take(self, old: int, new: int) -> None:
        self.found[new] = old
        del self._open_old[old], self._open_new[new]

    def take_same(self, key: _Key) -> None:
        """Match cells of one key in their order; of no key nothing."""
        places: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for index in reversed(self._open_old):
            if found := key(self._old[index]):
                places[found].append(index)
        for index in list(self._open_new):
            found = key(self._new[index])
            if found and places.get(found):
                self._take(places[found].pop(), index)

    def take_ids(self, *, only_sure: bool) -> None:
        """Match cells by ids that occur once; surely, if neither content stands elsewhere in the other notebook."""
        ids = [Counter(cell.id for cell in side) for side in (self._old, self._new)]
        contents = [
            {(side[index].type, side[index].source) for index in waiting}
            for side, waiting in ((self._old, self._open_old), (self._new, self._open_new))
        ]
        places = {self._old[index].id: index for index in self._open_old}
        for index in list(self._open_new):
            cell = self._new[index]
            place = places.get(cell.id)
            if cell.id is None or place is None or ids[0][cell.id] != 1 or ids[1][cell.id] != 1:
                continue
            before = self._old[place]
            elsewhere = (before.type, before.source) in contents[1] or (cell.type, cell.source) in contents[0]
            if not (only_sure and elsewhere):
                self._take(place, index)

    def take_alike(self) -> None:
        """Match cells that share lines which few others have."""
        lines: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index in self._open_old:
            for line in _lines(self._old[index]):
                lines[self._old[index].type, line].append(index)
        for index in list(self._open_new):
            mine = _lines(self._new[index])
            votes: Counter[int] = Counter()
            for line in mine:
                places = lines.get((self._new[index].type, line), ())
                if len(places) <= _RARE:
                    votes.update(place for place in places if place in self._open_old)
            for place, shared in votes.most_common(1):
                if shared >= _ALIKE * max(len(mine), len(_lines(self._old[place]))):
                    self._take(place, index)

    def take_neighbours(self) -> None:
        """Match what stands behind the same matched cell and shares words, first with first."""
        gaps: dict[tuple[int, str], deque[int]] = defaultdict(deque)
        last = -1
        for index, cell in enumerate(self._old):
            if index in self._open_old:
                gaps[last, cell.type].append(index)
            else:
                last = index
        last = -1
        found: list[tuple[int, int]] = []
        for index, cell in enumerate(self._new):
            if index not in self._open_new:
                last = self.found[index]
            elif waiting := gaps.get((last, cell.type)):
                for place in islice(waiting, _NEIGHBOURS):
                    if _share_words(self._old[place].source, cell.source):
                        found.append((place, index))
                        while waiting.popleft() != place:
                            pass
                        break
        for place, index in found:
            self._take(place, index)


def _lines(cell: Cell) -> set[str]:
    return {stripped for line in cell.source.split("\n") if len(stripped := line.strip()) > 2}


def _share_words(left: str, right: str) -> bool:
    first, second = set(_WORD.findall(left)), set(_WORD.findall(right))
    return len(first & second) >= _ALIKE * max(len(first), len(second), 1)


def _in_order(old: int, new: int, found: Mapping[int, int]) -> Iterator[Pair]:
    """Yield all cells in the new order; those that are gone stand behind the cell that they stood behind."""
    stayed = _longest_rising([(index, found[index]) for index in sorted(found)])
    kept = set(found.values())
    gone = [index for index in range(old) if index not in kept]
    place = 0  # in `gone`
    anchors = iter([*(before for _, before in stayed), old])
    staying = {index for index, _ in stayed}
    limit = next(anchors)
    for index in range(new):
        while place < len(gone) and gone[place] < limit:
            yield Pair(old=gone[place], new=None)
            place += 1
        yield Pair(old=found.get(index), new=index, moved=index in found and index not in staying)
        if index in staying:
            limit = next(anchors)
    for index in gone[place:]:
        yield Pair(old=index, new=None)


def _longest_rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of the pairs whose second numbers rise: the cells that have not moved."""
    ends: list[int] = []  # the smallest last number of a rising part of each length
    at: list[int] = []  # the pair that it belongs to
    before: list[int] = []
    for number, (_, value) in enumerate(pairs):
        length = bisect_left(ends, value)
        ends[length : length + 1] = [value]
        at[length : length + 1] = [number]
        before.append(at[length - 1] if length else -1)
    found = []
    number = at[-1] if at else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    return found[::-1]
