"""Two executed notebooks cell by cell, without what no two executions share: times, counters, addresses, paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from rasen.data.table_difference import Difference

_INJECTED_TAG = "injected-parameters"
_ERROR_NOTE_TAG = "papermill-error-cell-tag"  # papermill's own cells about the error
_UNSTEADY = (
    (re.compile(r"\b0x[0-9a-fA-F]{4,}\b"), "0x…"),
    (re.compile(r"/\S*/ipykernel_\d+/\d+\.py"), "…/cell.py"),
    (re.compile(r"<ipython-input-\d+-[0-9a-f]+>"), "<cell>"),
    # The working folder of an attempt, wherever its home lies and whatever the attempt's number.
    (
        re.compile(
            r"/[^\s'\"]*?/scratch/(?:rerun-[^\s'\"/]+/scratch/)?[a-z0-9_]+-\d{8}T\d{9}Z-[0-9a-f]{12}-\w+-\d+"
        ),
        "…",
    ),
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
)
_SHOWN_CHARACTERS = 80


def compare_notebooks(left: bytes, right: bytes) -> Difference:
    """Compare what two executions of one notebook show; cells count from 0 in the notebook as its author wrote it."""
    cells = [list(_cells(json.loads(data))) for data in (left, right)]
    for before, after in zip_longest(*cells):
        if before is None or after is None:
            return _different(f"{len(cells[0])} cells → {len(cells[1])}")
        where = before["where"]
        if before["source"] != after["source"]:
            return _different(f"{where}, source: {_first_line(before['source'], after['source'])}")
        if before["status"] != after["status"]:
            return _different(f"{where}: {before['status']} → {after['status']}")
        found = _compare_outputs(before["outputs"], after["outputs"])
        if found:
            return _different(f"{where}, {found}")
    return Difference(outcome="identical")


def _cells(notebook: dict[str, Any]) -> Iterator[dict[str, Any]]:  # Any: JSON of nbformat
    number = 0
    for cell in notebook["cells"]:
        metadata = cell.get("metadata", {})
        if _ERROR_NOTE_TAG in metadata.get("tags", ()):
            continue
        injected = _INJECTED_TAG in metadata.get("tags", ())
        where = "the injected parameters" if injected else f"cell {number}"
        number += not injected
        yield {
            "where": where,
            "source": _text(cell.get("source", "")),
            "status": metadata.get("papermill", {}).get("status", ""),
            "outputs": list(_outputs(cell.get("outputs", ()))),
        }


def _outputs(outputs: Any) -> Iterator[tuple[str, str]]:  # Any: JSON of nbformat
    """Yield kind and steady text of each output; how a stream was cut into pieces depends on the moment."""
    stream = ""
    written: list[str] = []
    for output in outputs:
        kind = output.get("output_type", "")
        if kind == "stream":
            if written and output.get("name") != stream:
                yield stream, steady_text("".join(written))
                written = []
            stream = output.get("name", "")
            written.append(_text(output.get("text", "")))
            continue
        if written:
            yield stream, steady_text("".join(written))
            written = []
        if kind == "error":
            yield "error", steady_text(f"{output.get('ename')}: {output.get('evalue')}")
            continue
        for mime, value in sorted(output.get("data", {}).items()):
            text = _text(value) if isinstance(value, (str, list)) else json.dumps(value, sort_keys=True)
            yield mime, text if mime.startswith("image/") and mime != "image/svg+xml" else steady_text(text)
    if written:
        yield stream, steady_text("".join(written))


def _compare_outputs(left: list[tuple[str, str]], right: list[tuple[str, str]]) -> str:
    for number, (before, after) in enumerate(zip_longest(left, right)):
        if before is None:
            return f"output {number} is new: {after[0]}: {_short(after[1])}"
        if after is None:
            return f"output {number} is gone: {before[0]}: {_short(before[1])}"
        if before[0] != after[0]:
            return f"output {number}: {before[0]} → {after[0]}"
        if before[1] != after[1]:
            if before[0].startswith("image/"):
                return f"output {number}: another picture ({before[0]})"
            return f"output {number} ({before[0]}): {_first_line(before[1], after[1])}"
    return ""


def _first_line(left: str, right: str) -> str:
    """Say which line differs first, counted from 1."""
    pairs = zip_longest(left.splitlines(), right.splitlines())
    for number, (before, after) in enumerate(pairs, start=1):
        if before != after:
            return f"line {number}: {_short(before)} → {_short(after)}"
    return "the ends of lines differ"


def _short(text: str | None) -> str:
    if text is None:
        return "nothing"
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def steady_text(text: str) -> str:
    """Return what a cell has shown without what no two executions share."""
    for pattern, replacement in _UNSTEADY:
        text = pattern.sub(replacement, text)
    return text


def _text(value: Any) -> str:  # Any: nbformat has texts whole, or as a list of lines
    return "".join(value) if isinstance(value, list) else str(value)


def _different(detail: str) -> Difference:
    return Difference(outcome="different", detail=detail)
