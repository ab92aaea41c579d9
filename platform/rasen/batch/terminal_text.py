"""What a terminal shows after something was written to it: a progress bar is one line and not a thousand.

Text comes in pieces that may be cut anywhere, so the place where the next character goes is remembered, and the pieces
give what the whole would have given. Only the line that is being written can still change.
"""

from __future__ import annotations

_ESCAPE = "\x1b"


class TerminalText:
    """Text as it stands after carriage returns have had their effect."""

    def __init__(self) -> None:
        self._finished: list[str] = []  # each with its line break, or several lines
        self._line: list[str] = []  # parts of the line that is being written
        self._length = 0  # of that line, in characters
        self._cursor = 0  # where in it the next character goes
        self.size_bytes = 0

    def write(self, text: str) -> None:
        """Write behind what is there, as a terminal would."""
        if "\r" not in text and self._cursor == self._length:
            lines, line_break, rest = text.rpartition("\n")
            if line_break:
                self._finished += [*self._line, lines, "\n"]
                self._line, self._length = [], 0
                self.size_bytes += text_bytes(lines) + 1
            self._append(rest)
            return
        for number, line in enumerate(text.split("\n")):
            if number:
                self._finished += [*self._line, "\n"]
                self._line, self._length, self._cursor = [], 0, 0
                self.size_bytes += 1
            for part_number, part in enumerate(line.split("\r")):
                if part_number:
                    self._cursor = 0
                self._overwrite(part)

    def text(self) -> str:
        """Return everything that is shown."""
        self._finished = ["".join(self._finished)]
        return self._finished[0] + "".join(self._line)

    def last_line(self, *, most_characters: int) -> str:
        """Return the end of the newest line that shows something."""
        end = "".join(self._line)
        for part in reversed(self._finished):
            if end.strip():
                break
            end = part[-2 * most_characters :] + end
        return next((line for line in reversed(end.splitlines()) if line.strip()), "")[-most_characters:]

    def _overwrite(self, part: str) -> None:
        if not part:
            return
        if self._cursor == self._length:
            self._append(part)
            return
        before = "".join(self._line)
        self.size_bytes -= text_bytes(before)
        # A colour of which half is written over would run on for ever.
        kept = "" if self._cursor == 0 and _ESCAPE in before else before
        cursor = self._cursor + len(part)
        self._line, self._length = [], 0
        self._append(kept[: self._cursor] + part + kept[cursor:])
        self._cursor = cursor

    def _append(self, part: str) -> None:
        if part:
            self._line.append(part)
            self._length += len(part)
            self.size_bytes += text_bytes(part)
        self._cursor = self._length


def text_bytes(text: str) -> int:
    """Return how many bytes a text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
