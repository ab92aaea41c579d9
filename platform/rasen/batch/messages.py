"""Messages of a kernel as they come over a socket, without holding more of a huge one in memory than its own bytes.

A cell may show 200 MB in one message, and to parse that as JSON takes several times as much. So a message whose content
is larger than anything that will be kept is not parsed: it becomes a `LargeContent`, which reads what is asked of it
out of the raw bytes, a piece at a time. The messages of our own kernel never get that large (`kernel_main.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import zmq
from jupyter_client.session import DELIM

_PIECE_BYTES = 1_000_000
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_BACKSLASH, _U = ord("\\"), ord("u")


class LargeContent:
    """The content of a message that is too large to be parsed: the bytes of one JSON object."""

    def __init__(self, raw: memoryview) -> None:
        self._raw = raw
        self.size_bytes = len(raw)

    def text(self, key: str, *, most_bytes: int = _PIECE_BYTES) -> str:
        """Return the beginning of the text, or of the first in a list, under a key; empty when there is none."""
        return next(self.pieces(key, piece_bytes=most_bytes), "")

    def pieces(self, key: str, *, piece_bytes: int = _PIECE_BYTES) -> Iterator[str]:
        """Yield the text, or the first in a list, that stands under a key, piece by piece."""
        # Inside of a text every quotation mark has a backslash before it, so this is found where it is a key only.
        found = re.search(rb'"%s"\s*:\s*\[?\s*"' % key.encode(), self._raw)
        if found is None:
            return
        position, ended, half = found.end(), False, ""
        while not ended:
            piece, position, ended = self._piece(position, piece_bytes)
            piece, half = half + piece, ""
            if not ended and "\ud800" <= piece[-1:] <= "\udbff":  # the other half of the character comes next
                piece, half = piece[:-1], piece[-1]
            if piece:
                yield _SURROGATES.sub(_join_halves, piece)

    def everything(self, *, piece_bytes: int = _PIECE_BYTES) -> Iterator[str]:
        """Yield the JSON as it came, piece by piece."""
        position = 0
        while position < self.size_bytes:
            end = self._between_characters(position, min(position + piece_bytes, self.size_bytes))
            yield _decode(self._raw[position:end])
            position = end

    def _piece(self, begin: int, piece_bytes: int) -> tuple[str, int, bool]:
        """Return a piece of the text from `begin`, where the next one begins, and whether it was the last."""
        end = self._between_characters(begin, min(begin + piece_bytes, self.size_bytes))
        end = self._between_escapes(begin, end)
        piece = bytes(self._raw[begin:end])
        quote = _closing_quote(piece)
        ended = quote is not None or end >= self.size_bytes
        try:
            text = json.loads('"' + _decode(piece[:quote]) + '"', strict=False)
        except ValueError:  # no JSON after all: shown as it is
            text = _decode(piece[:quote])
        return text, end, ended

    def _between_characters(self, begin: int, end: int) -> int:
        while (
            begin < end < self.size_bytes and self._raw[end] & 0xC0 == 0x80
        ):  # the middle of a UTF-8 sequence
            end -= 1
        return end

    def _between_escapes(self, begin: int, end: int) -> int:
        """Return where to cut instead of at `end`, so that no escape sequence is cut into two."""
        for place in range(end - 1, max(begin, end - 6) - 1, -1):
            if self._raw[place] == _BACKSLASH and self._starts_escape(begin, place):
                long = place + 1 < self.size_bytes and self._raw[place + 1] == _U
                return place if place + (6 if long else 2) > end and place > begin else end
        return end

    def _starts_escape(self, begin: int, place: int) -> bool:
        before = place
        while before > begin and self._raw[before - 1] == _BACKSLASH:
            before -= 1
        return (place - before) % 2 == 0


def _join_halves(found: re.Match[str]) -> str:
    return found[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _closing_quote(piece: bytes) -> int | None:
    position = piece.find(b'"')
    while position > 0:
        slashes = (
            len(piece[:position]) - len(piece[:position].rstrip(b"\\")) if piece[position - 1] == 92 else 0
        )
        if slashes % 2 == 0:
            return position
        position = piece.find(b'"', position + 1)
    return position if position == 0 else None


def _decode(raw: bytes | memoryview) -> str:
    return str(raw, "utf-8", "replace")


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of the kernel; `parent` is the id of the request that it belongs to.

    `large` holds the content when there is too much of it; `content` is empty then.
    """

    channel: str
    kind: str
    parent: str
    content: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    large: LargeContent | None = None


def read_message(channel: str, frames: list[zmq.Frame], *, largest_bytes: int) -> Message | None:
    """Return the message that was received as `frames`, or `None` when they are none.

    Signatures are not checked: the sockets lie in a folder that nobody else can enter.

    Args:
        channel: The channel that it came over.
        frames: What was received, `copy=False`.
        largest_bytes: The largest content that is parsed.
    """
    parts = [frame.buffer for frame in frames]
    begin = next((number for number, part in enumerate(parts) if part == DELIM), len(parts))
    if len(parts) < begin + 6:  # the delimiter, the signature, header, parent, metadata, content
        return None
    try:
        header, parent = _parse(parts[begin + 2]), _parse(parts[begin + 3])
        content = parts[begin + 5]
        large = LargeContent(content) if len(content) > largest_bytes else None
        parsed = {} if large is not None else _parse(content)
    except ValueError:
        return None
    kind, parent_id = str(header.get("msg_type", "")), str(parent.get("msg_id", ""))
    return Message(channel=channel, kind=kind, parent=parent_id, content=parsed, large=large)


def _parse(raw: memoryview) -> dict[str, Any]:  # Any: JSON
    # Half a character, which Python's own texts may hold, comes as bytes that are no UTF-8.
    found = json.loads(_decode(raw))
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
