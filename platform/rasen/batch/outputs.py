"""What a cell showed: messages of the kernel become the outputs of the notebook, within limits.

Everything a cell shows is kept up to a limit for the cell and one for the notebook. What is over it goes into the
step's log, and a note in the cell says so: a million prints must neither fill the notebook nor the runner's memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from rasen.batch.messages import Message
from rasen.batch.terminal_text import TerminalText, text_bytes

Output = dict[str, Any]  # Any: JSON, of the notebook format

_ERROR_CHARACTERS = (
    20_000  # of each of its parts, when there is no room for the whole: an error is never left out
)
_OUTPUT_BYTES = 200  # of an output besides what it shows
_LAST_BYTES = 64  # with less than this left, a text is not cut to fit any more
_OURS = {"output_type": "stream", "name": "stderr"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept, in bytes of text or of JSON."""

    cell_bytes: int = 5_000_000
    notebook_bytes: int = 50_000_000
    spill_bytes: int = 200_000_000


class Spill:
    """Where outputs over the limit go: a file that is itself limited. A full disk is a limit too."""

    def __init__(self, file: IO[bytes] | None, limit_bytes: int) -> None:
        self._file = file
        self._left = limit_bytes if file is not None else 0
        self._cell: int | None = None
        self.kept_bytes = 0
        self.dropped_bytes = 0

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        return self._left <= 0

    def add(self, cell: int, data: bytes) -> int:
        """Append what cell number `cell` showed, as much as fits; return how many bytes of it were kept."""
        kept = data[: self._left]
        if kept and self._file is not None:
            head = f"\n--- cell {cell}, output over the limit ---\n" if cell != self._cell else ""
            try:
                self._file.write(head.encode() + kept)
                self._file.flush()
            except OSError:
                kept, self._left = b"", 0
            self._cell = cell
            self._left -= len(kept)
        self.kept_bytes += len(kept)
        self.dropped_bytes += len(data) - len(kept)
        return len(kept)


@dataclass(kw_only=True)
class Budget:
    """What is left of the notebook's limit, shared by its cells, and what they share besides."""

    limits: Limits
    spill: Spill
    left_bytes: int = field(init=False)
    touched: set[int] = field(
        default_factory=set
    )  # cells whose outputs have changed since this was last emptied
    displays: dict[str, list[tuple[CellOutputs, Output]]] = field(default_factory=dict)  # by their display id

    def __post_init__(self) -> None:
        self.left_bytes = self.limits.notebook_bytes


class CellOutputs:
    """The outputs of one cell while it runs, and later, when a thread of it or an update has something to add."""

    def __init__(self, cell: int, budget: Budget) -> None:
        self.spilled_bytes = 0
        self._cell = cell
        self._budget = budget
        self._left = budget.limits.cell_bytes
        self._shown: list[Output | _Stream] = []
        self._sizes: dict[int, int] = {}  # of what is shown and is no stream, by `id`
        self._logged_bytes = 0
        self._clear_next = False

    @property
    def full(self) -> bool:
        """Whether nothing more that is shown will be kept anywhere: it may be counted without being read."""
        return self._room() < _LAST_BYTES and self._budget.spill.full

    def render(self) -> list[Output]:
        """Return the outputs as they stand in a notebook; the note of what was left out comes last."""
        shown = [output.render() if isinstance(output, _Stream) else output for output in self._shown]
        return [*shown, {**_OURS, "text": self._note()}] if self.spilled_bytes else shown

    def handle(self, message: Message) -> None:
        """Take one message of the iopub channel."""
        content = message.content
        match message.kind:
            case "stream":
                self._add_stream(str(content.get("name", "stdout")), str(content.get("text", "")))
            case "display_data" | "execute_result":
                self._add_display(message)
            case "update_display_data":
                self._update_display(content)
            case "error":
                self._clear_if_asked()
                self._add_error(content)
            case "clear_output":
                if content.get("wait"):
                    self._clear_next = True
                else:
                    self._clear()
            case _:
                pass  # status, execute_input, comm: no output

    def leave_out(self, pieces: Iterable[str]) -> None:
        """Take note of something that is too large to be shown, and put it into the log."""
        self._clear_if_asked()
        for piece in pieces:
            self._over(piece)

    def count(self, size_bytes: int) -> None:
        """Take note of something that is left out everywhere."""
        self.spilled_bytes += size_bytes
        self._budget.spill.dropped_bytes += size_bytes
        self._touch()

    def last_line(self, *, most_characters: int) -> str:
        """Return the end of the newest line of text, for people who watch."""
        streams = (output for output in reversed(self._shown) if isinstance(output, _Stream))
        lines = (stream.text.last_line(most_characters=most_characters) for stream in streams)
        return next((line for line in lines if line), "")

    def add_error(self, name: str, message: str) -> None:
        """Add an error of ours: what the kernel could not say itself, because it was gone."""
        self._add_error({"ename": name, "evalue": message, "traceback": [f"{name}: {message}"]})

    def _room(self) -> int:
        return min(self._left, self._budget.left_bytes)

    def _add_stream(self, name: str, text: str) -> None:
        self._clear_if_asked()
        if not text:
            return
        last = self._shown[-1] if self._shown else None
        if not isinstance(last, _Stream) or last.name != name:
            if self._room() < _LAST_BYTES:
                self._over(text)
                return
            last = _Stream(name)
            self._shown.append(last)
            self._spend(_OUTPUT_BYTES)
        while text:
            room = self._room()
            if room < _LAST_BYTES:
                self._over(text)
                return
            part = text
            if len(text) > room or not text.isascii():
                part = text[: room // 4]  # a character has at most four bytes
            before = last.text.size_bytes
            last.text.write(part)
            self._spend(last.text.size_bytes - before)
            text = text[len(part) :]
        self._touch()

    def _add_display(self, message: Message) -> None:
        self._clear_if_asked()
        content = message.content
        output: Output = {
            "output_type": message.kind,
            "data": content.get("data", {}),
            "metadata": content.get("metadata", {}),
        }
        if message.kind == "execute_result":
            output["execution_count"] = content.get("execution_count")
        if self._append(output):
            display_id = content.get("transient", {}).get("display_id")
            if display_id:
                self._budget.displays.setdefault(display_id, []).append((self, output))

    def _update_display(self, content: dict[str, Any]) -> None:  # Any: JSON
        display_id = content.get("transient", {}).get("display_id")
        for owner, output in self._budget.displays.get(display_id, ()):
            owner.replace(output, content)

    def replace(self, output: Output, content: dict[str, Any]) -> None:  # Any: JSON
        """Show in place of what an output shows what the content of an update says."""
        before = self._sizes.get(id(output))
        if before is None:
            return  # cleared since
        new = {**output, "data": content.get("data", {}), "metadata": content.get("metadata", {})}
        size = _size(new)
        if size - before > self._room():
            self._over(_dump(new))
            return
        output.update(new)
        self._sizes[id(output)] = size
        self._spend(size - before)
        self._touch()

    def _add_error(self, content: dict[str, Any]) -> None:  # Any: JSON
        output: Output = {
            "output_type": "error",
            "ename": str(content.get("ename", "")),
            "evalue": str(content.get("evalue", "")),
            "traceback": [str(line) for line in content.get("traceback", ())],
        }
        if _size(output) > self._room():
            self._over(_dump(output))
            tail = "\n".join(output["traceback"])[-_ERROR_CHARACTERS:]
            name, value = output["ename"][:_ERROR_CHARACTERS], output["evalue"][:_ERROR_CHARACTERS]
            output.update(ename=name, evalue=value, traceback=tail.split("\n"))
        self._append(output, force=True)

    def _append(self, output: Output, *, force: bool = False) -> bool:
        size = _size(output)
        if size > self._room() and not force:
            self._over(_dump(output))
            return False
        self._spend(size)
        self._sizes[id(output)] = size
        self._shown.append(output)
        self._touch()
        return True

    def _spend(self, size: int) -> None:
        self._left -= size
        self._budget.left_bytes -= size

    def _over(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self.spilled_bytes += len(data)
        self._logged_bytes += self._budget.spill.add(self._cell, data)
        self._touch()

    def _note(self) -> str:
        limits = self._budget.limits
        logged = self._logged_bytes
        if logged == self.spilled_bytes:
            where = "they are in the step's log"
        elif logged:
            where = f"the first {logged:,} of them are in the step's log"
        else:
            where = "they were left out"
        return (
            f"\n[rasen] {self.spilled_bytes:,} bytes more were shown here than the limit of {limits.cell_bytes:,} "
            f"bytes a cell, {limits.notebook_bytes:,} a notebook; {where}\n"
        )

    def _touch(self) -> None:
        self._budget.touched.add(self._cell)

    def _clear_if_asked(self) -> None:
        if self._clear_next:
            self._clear()

    def _clear(self) -> None:
        self._clear_next = False
        streams = [output for output in self._shown if isinstance(output, _Stream)]
        self._spend(-sum(self._sizes.values()))
        self._spend(-sum(stream.text.size_bytes + _OUTPUT_BYTES for stream in streams))
        self._shown.clear()
        self._sizes.clear()
        self._touch()


class _Stream:
    """What was printed, until something else was shown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = TerminalText()

    def render(self) -> Output:
        return {"output_type": "stream", "name": self.name, "text": self.text.text()}


def _size(output: Output) -> int:
    return _OUTPUT_BYTES + _bytes_of(output)


def _bytes_of(value: object) -> int:
    """Return about how many bytes a value takes in the notebook, without encoding large texts."""
    match value:
        case str():
            return text_bytes(value)
        case dict():
            return sum(len(key) + 8 + _bytes_of(item) for key, item in value.items())
        case list():
            return sum(8 + _bytes_of(item) for item in value)
        case _:
            return 8


def _dump(value: object) -> str:
    with suppress(ValueError, TypeError, RecursionError):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)
