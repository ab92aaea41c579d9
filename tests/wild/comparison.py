"""What two executions of one notebook show, and where they differ.

Left out is what differs between any two executions: addresses, durations, dates, the kernel's temporary files, the
pixels of a picture. What else is not deterministic is found by executing with papermill again (`suite.py`), not by
leaving out more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rasen.batch.terminal_text import TerminalText

Notebook = Mapping[str, Any]  # Any: the notebook format
_ERROR_MARK = "papermill-error-cell-tag"  # cells that papermill adds to say where it failed
_COMPARED = ("text/plain", "text/html", "text/latex", "text/markdown", "application/json")
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_REPLACED = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"\x1b\[[0-9;]*m", ""),
        (r"/tmp/ipykernel_\d+/\d+\.py", "<cell>"),
        (r"\b0x[0-9a-f]{6,}", "<address>"),
        (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", "<uuid>"),
        (r"\bT_[0-9a-f]{5}", "<style>"),  # pandas' Styler
        (rf"\b(?:{_DAYS}),? \d{{1,2}} \w{{3}} \d{{4}}", "<date>"),
        (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?", "<instant>"),
        (r"\b\d\d:\d\d:\d\d\b", "<clock>"),
        (rf"\b{_NUMBER} ?(?:ns|us|µs|μs|ms|s|secs?|seconds?|min|minutes?)\b", "<duration>"),
        (r"/place/\d+", "/place"),  # each of the suite's jobs has one
        (r"[ \t]+", " "),
        (r"[-=_]{4,}", "----"),  # rules are as wide as the text beside them, durations included
    )
)
_DIGITS = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class ShownCell:
    """What a code cell shows: printed text by stream, and everything else in order."""

    streams: Mapping[str, str]
    others: tuple[str, ...]
    count: int | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference in one cell (counted among the code cells from 0), or in the verdict when `cell` is `None`."""

    cell: int | None
    what: str
    papermill: str
    rasen: str


def normalise(text: str, *, numbers: bool = True) -> str:
    """Return a text without what differs between any two executions; without `numbers`, its form only."""
    shown = TerminalText()
    shown.write(text)
    text = shown.text()
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    if not numbers:  # and without what pads them
        return re.sub(r"\s+", "", _DIGITS.sub("#", text))
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def shown_cells(notebook: Notebook, *, numbers: bool = True) -> list[ShownCell]:
    """Return what the code cells of an executed notebook show; without `numbers`, its form only."""
    return [
        _shown(cell, numbers=numbers)
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and _ERROR_MARK not in cell["metadata"].get("tags", ())
    ]


def _shown(cell: Mapping[str, Any], *, numbers: bool) -> ShownCell:  # Any: the notebook format
    streams: dict[str, str] = {}
    others = []
    for output in cell["outputs"]:
        match output["output_type"]:
            case "stream":
                text = "".join(output["text"])
                streams[output["name"]] = streams.get(output["name"], "") + text
            case "error":
                others.append(f"error {output['ename']}: {normalise(output['evalue'], numbers=numbers)}")
            case kind:
                others.append(f"{kind} {_data(output['data'], numbers=numbers)}")
    printed = {name: normalise(text, numbers=numbers) for name, text in streams.items()}
    return ShownCell(
        streams={name: text for name, text in printed.items() if text},
        others=tuple(others),
        count=cell["execution_count"],
    )


def _data(data: Mapping[str, Any], *, numbers: bool) -> str:  # Any: the notebook format
    parts = []
    for kind in sorted(data):
        value = data[kind]
        if kind not in _COMPARED:
            parts.append(kind)
        elif isinstance(value, (str, list)):
            parts.append(f"{kind}: {normalise(''.join(map(str, value)), numbers=numbers)}")
        else:
            parts.append(f"{kind}: {value!r}")
    return "\n".join(parts)


def compare(papermill: Notebook, rasen: Notebook, *, numbers: bool = True) -> list[Difference]:
    """Return where two executed notebooks show different things: at most one difference a cell and kind.

    Without `numbers`, only the form of what is shown is compared, such as the columns of a table.
    """
    ours, theirs = shown_cells(rasen, numbers=numbers), shown_cells(papermill, numbers=numbers)
    if len(ours) != len(theirs):
        return [Difference(cell=None, what="cells", papermill=str(len(theirs)), rasen=str(len(ours)))]
    found = []
    for index, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        for what in sorted({*their.streams, *our.streams}):
            pair = their.streams.get(what, ""), our.streams.get(what, "")
            if pair[0] != pair[1]:
                found.append(_difference(index, what, *pair))
        if their.others != our.others:
            found.append(_difference(index, "outputs", "\n".join(their.others), "\n".join(our.others)))
        if their.count != our.count:
            found.append(_difference(index, "count", str(their.count), str(our.count)))
    return found


def unstable_places(first: Notebook, second: Notebook, other: Notebook) -> set[tuple[int | None, str]]:
    """Return where two executions by papermill differ in the way in which ours differs from the first.

    Where papermill's differ in numbers only, the form has to be the same in ours.
    """
    form = _places(first, second, numbers=False)
    return _places(first, second, numbers=True) - (_places(first, other, numbers=False) - form)


def _places(one: Notebook, other: Notebook, *, numbers: bool) -> set[tuple[int | None, str]]:
    return {(found.cell, found.what) for found in compare(one, other, numbers=numbers)}


def _difference(cell: int, what: str, papermill: str, rasen: str) -> Difference:
    """Show the first line that differs, with what follows it."""
    theirs, ours = papermill.splitlines(), rasen.splitlines()
    same = 0
    while same < min(len(theirs), len(ours)) and theirs[same] == ours[same]:
        same += 1
    return Difference(
        cell=cell,
        what=what,
        papermill="\n".join(theirs[same : same + 3])[:400],
        rasen="\n".join(ours[same : same + 3])[:400],
    )
