"""What a reader can read in the outputs of a cell: printed text, tables, error messages; no images, no scripts.

Outputs are the largest part of many notebooks and anybody's input, so nothing here takes more than one pass over them,
and nothing is expected to be well-formed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_READ = frozenset({"text/plain", "text/html", "text/markdown", "text/latex", "text/csv", "application/json"})
# What of HTML is program or picture, by its beginning and its end.
_UNREAD = (("<script", "</script"), ("<style", "</style"), ("data:image/", '"'))


def readable_texts(outputs: Sequence[Mapping[str, Any]]) -> Iterator[str]:  # Any: JSON
    """Yield the texts in the outputs of a cell."""
    for output in outputs:
        match output:
            case {"output_type": "stream", "text": text}:
                yield _join(text)
            case {"output_type": "error"}:
                yield _join(output.get("evalue"))
                yield _join(output.get("traceback"), "\n")
            case {"data": dict() as data}:
                for mime, content in data.items():
                    if mime in _READ:
                        yield _without_programs(_join(content)) if mime == "text/html" else _join(content)
            case _:
                pass


def _join(content: Any, between: str = "") -> str:  # Any: JSON
    """Return a text that the notebook format may split into lines; other JSON is written out."""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(line, str) for line in content):
        return between.join(content)
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def _without_programs(html: str) -> str:
    for beginning, end in _UNREAD:
        html = _cut(html, beginning, end)
    return html


def _cut(text: str, beginning: str, end: str) -> str:
    """Cut what stands between each beginning and the next end; without an end, everything behind."""
    lower = text.lower() if len(text) == len(text.lower()) else text
    kept: list[str] = []
    position = 0
    while (start := lower.find(beginning, position)) >= 0:
        kept.append(text[position:start])
        stop = lower.find(end, start)
        position = len(text) if stop < 0 else stop
    return "".join([*kept, text[position:]]) if kept else text
