"""What a cell has shown, in the one form of it that a review shows, and whether two executions have shown the same.

Of a result that comes in several forms the richest harmless one counts. Scripts and widgets are never run; what they
would have shown is their text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from rasen.batch.notebook_difference import steady_text
from rasen.batch.terminal_text import TerminalText
from rasen.review.cleaning import clean_output
from rasen.review.content import text_of
from rasen.review.images import RASTER_TYPES, decode_image, same_image

Kind = Literal["stdout", "stderr", "text", "error", "image", "svg", "html", "markdown", "note"]
# Longer ones are compared as they stand: cleaning them would take longer than it is worth.
_MOST_CLEANED = 200_000


@dataclass(frozen=True, kw_only=True)
class Output:
    """One output; `text` is its text, or its picture in base64; `mime` is the type of a picture."""

    kind: Kind
    text: str
    mime: str = ""


def read_outputs(outputs: Iterable[dict[str, Any]]) -> tuple[Output, ...]:  # Any: JSON of nbformat
    """Return what is shown of a cell's outputs; pieces of one stream are one output, however they were cut."""
    return tuple(_joined(_each(outputs)))


def same_outputs(left: tuple[Output, ...], right: tuple[Output, ...]) -> bool:
    """Tell whether two executions have shown the same, apart from what no two share (times, addresses, ids)."""
    if len(left) != len(right):
        return False
    return all(_same(old, new) for old, new in zip(left, right, strict=True))


def _same(old: Output, new: Output) -> bool:
    if (old.kind, old.mime) != (new.kind, new.mime):
        return False
    if old.text == new.text:
        return True
    if old.kind == "image":
        return same_image(old.mime, old.text, new.text)
    if old.kind == "html" and max(len(old.text), len(new.text)) <= _MOST_CLEANED:
        return steady_text(clean_output(old.text)) == steady_text(clean_output(new.text))
    return steady_text(old.text) == steady_text(new.text)


def _joined(outputs: Iterator[Output]) -> Iterator[Output]:
    """Join the pieces of streams; a progress bar, which writes over itself, is its last state."""
    kind: Kind | None = None
    pieces: list[str] = []
    for output in outputs:
        if output.kind == kind:
            pieces.append(output.text)
            continue
        if kind is not None:
            yield Output(kind=kind, text=_as_shown("".join(pieces)))
        kind, pieces = None, []
        if output.kind in ("stdout", "stderr"):
            kind, pieces = output.kind, [output.text]
        else:
            yield output
    if kind is not None:
        yield Output(kind=kind, text=_as_shown("".join(pieces)))


def _as_shown(text: str) -> str:
    if "\r" not in text:
        return text
    terminal = TerminalText()
    terminal.write(text)
    return terminal.text()


def _each(outputs: Iterable[dict[str, Any]]) -> Iterator[Output]:  # Any: JSON of nbformat
    for output in outputs:
        match output.get("output_type"):
            case "stream":
                kind: Kind = "stderr" if output.get("name") == "stderr" else "stdout"
                yield Output(kind=kind, text=text_of(output.get("text")))
            case "error":
                lines = output.get("traceback")
                traceback = (
                    "\n".join(line for line in lines if isinstance(line, str))
                    if isinstance(lines, list)
                    else ""
                )
                said = f"{text_of(output.get('ename'))}: {text_of(output.get('evalue'))}"
                yield Output(kind="error", text=traceback or said)
            case "display_data" | "execute_result" | "update_display_data":
                data = output.get("data")
                if isinstance(data, dict) and data:
                    yield _richest(data)
            case other:
                yield Output(kind="note", text=f"an output of the unknown type {other!r}")


def _richest(data: dict[str, Any]) -> Output:  # Any: JSON of nbformat
    for mime in sorted(
        RASTER_TYPES & data.keys(), reverse=True
    ):  # image/webp and image/png before image/jpeg
        text = text_of(data[mime])
        if decode_image(mime, text) is not None:
            return Output(kind="image", text="".join(text.split()), mime=mime)
    if "image/svg+xml" in data:
        return Output(kind="svg", text=text_of(data["image/svg+xml"]), mime="image/svg+xml")
    if "text/html" in data and (text := text_of(data["text/html"])):
        # Of a chart that a script draws nothing is left: then its text says more.
        if len(text) > _MOST_CLEANED or "text/plain" not in data or clean_output(text).strip():
            return Output(kind="html", text=text)
    elif "text/markdown" in data:
        return Output(kind="markdown", text=text_of(data["text/markdown"]))
    for mime in ("text/plain", "text/latex", "application/json"):
        if mime in data:
            value = data[mime]
            plain = isinstance(value, (str, list)) and mime != "application/json"
            return Output(
                kind="text", text=text_of(value) if plain else json.dumps(value, indent=1, ensure_ascii=False)
            )
    return Output(kind="note", text=f"not shown: {', '.join(sorted(map(str, data)))}")
