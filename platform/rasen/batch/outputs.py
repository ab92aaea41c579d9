"""What a cell showed: messages of the kernel become the outputs of the notebook, within limits.

Everything a cell shows is kept up to a limit for the cell and one for the notebook. What is over it goes into the
step's log, and a note in the cell says so: a million prints must neither fill the notebook nor the runner's memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import IO, Any

from rasen.batch.kernel import Message

Output = dict[str, Any]  # Any: JSON, of the notebook format


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept, in bytes of text or of JSON."""

    cell_bytes: int = 5_000_000
    notebook_bytes: int = 50_000_000
    spill_bytes: int = 200_000_000


class Spill:
    """Where outputs over the limit go: a file that is itself limited, and counts what it had to drop."""

    def __init__(self, file: IO[bytes] | None, limit_bytes: int) -> None:
        self._file = file
        self._left = limit_bytes if file is not None else 0
        self.dropped_bytes = 0

    def add(self, cell: int, data: bytes) -> None:
        """Append what cell number `cell` showed; what does not fit is counted only."""
        kept = data[: self._left]
        if kept and self._file is not None:
            self._file.write(f"\n--- cell {cell}, output over the limit ---\n".encode())
            self._file.write(kept)
            self._left -= len(kept)
        self.dropped_bytes += len(data) - len(kept)


@dataclass(kw_only=True)
class Budget:
    """What is left of the notebook's limit, shared by its cells."""

    limits: Limits
    spill: Spill
    left_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.left_bytes = self.limits.notebook_bytes


class CellOutputs:
    """The outputs of one cell while it runs."""

    def __init__(self, cell: int, budget: Budget, displays: dict[str, list[Output]]) -> None:
        self.outputs: list[Output] = []
        self.changed = False
        self._cell = cell
        self._budget = budget
        self._displays = displays
        self._left = budget.limits.cell_bytes
        self._spilled_bytes = 0
        self._note: Output | None = None
        self._clear_next = False

    def handle(self, message: Message) -> None:
        """Take one message of the iopub channel."""
        content = message.content
        match message.kind:
            case "stream":
                self._add_stream(content["name"], content["text"])
            case "display_data" | "execute_result":
                self._add_display(message)
            case "update_display_data":
                self._update_display(content)
            case "error":
                self._clear_if_asked()
                self._append(
                    {
                        "output_type": "error",
                        "ename": content["ename"],
                        "evalue": content["evalue"],
                        "traceback": content["traceback"],
                    },
                    force=True,
                )
            case "clear_output":
                if content.get("wait"):
                    self._clear_next = True
                else:
                    self._clear()
            case _:
                pass  # status, execute_input, comm: no output

    def last_line(self) -> str:
        """Return the newest line of text, for people who watch."""
        for output in reversed(self.outputs):
            if output["output_type"] == "stream":
                return next((line for line in reversed(output["text"].splitlines()) if line.strip()), "")
        return ""

    def add_error(self, name: str, message: str) -> None:
        """Add an error of ours: what the kernel could not say itself, because it was gone."""
        line = f"{name}: {message}"
        self._append(
            {"output_type": "error", "ename": name, "evalue": message, "traceback": [line]}, force=True
        )

    def _add_stream(self, name: str, text: str) -> None:
        self._clear_if_asked()
        shown_before = self.outputs[:-1] if self._note is not None else self.outputs
        last = shown_before[-1] if shown_before else None
        if last is not None and last.get("name") == name:
            before: str = last["text"]
        else:
            last, before = None, ""
        shown = fold_returns(before, text)
        allowed = len(before) + max(0, min(self._left, self._budget.left_bytes))
        if len(shown) > allowed:
            self._over(shown[allowed:].encode("utf-8", "replace"))
            shown = shown[:allowed]
        self._spend(len(shown) - len(before))
        if last is not None:
            last["text"] = shown
        elif shown:
            self.outputs.insert(len(self.outputs) - (self._note is not None), _stream(name, shown))
        self.changed = True

    def _add_display(self, message: Message) -> None:
        self._clear_if_asked()
        content = message.content
        output: Output = {
            "output_type": message.kind,
            "data": content["data"],
            "metadata": content["metadata"],
        }
        if message.kind == "execute_result":
            output["execution_count"] = content["execution_count"]
        if not self._append(output):
            return
        display_id = content.get("transient", {}).get("display_id")
        if display_id:
            self._displays.setdefault(display_id, []).append(output)

    def _update_display(self, content: dict[str, Any]) -> None:  # Any: JSON
        for output in self._displays.get(content.get("transient", {}).get("display_id"), ()):
            size = _size(content["data"])
            if size > self._budget.limits.cell_bytes:
                self._over(_dump(content["data"]))
                continue
            output["data"], output["metadata"] = content["data"], content["metadata"]
            self.changed = True

    def _append(self, output: Output, *, force: bool = False) -> bool:
        size = _size(output)
        if size > min(self._left, self._budget.left_bytes) and not force:
            self._over(_dump(output))
            return False
        self._spend(size)
        # The note of what was left out stays last.
        self.outputs.insert(len(self.outputs) - (self._note is not None), output)
        self.changed = True
        return True

    def _spend(self, size: int) -> None:
        self._left -= size
        self._budget.left_bytes -= size

    def _over(self, data: bytes) -> None:
        self._spilled_bytes += len(data)
        self._budget.spill.add(self._cell, data)
        text = (
            f"\n[rasen] {self._spilled_bytes:,} bytes more were shown here than the limit of "
            f"{self._budget.limits.cell_bytes:,} bytes a cell, {self._budget.limits.notebook_bytes:,} a notebook; "
            "they are in the step's log\n"
        )
        if self._note is None:
            self._note = _stream("stderr", text)
            self.outputs.append(self._note)
        else:
            self._note["text"] = text
        self.changed = True

    def _clear_if_asked(self) -> None:
        if self._clear_next:
            self._clear()

    def _clear(self) -> None:
        self._clear_next = False
        freed = sum(_size(output) for output in self.outputs if output is not self._note)
        self._spend(-freed)
        self.outputs[:] = [self._note] if self._note is not None else []
        self.changed = True


def fold_returns(before: str, text: str) -> str:
    """Return what a terminal shows after `text` was written behind `before`.

    A carriage return goes back to the start of the line, so a progress bar is one line and not a thousand. Only the
    last line of `before` can still change, so only it is looked at again.
    """
    if "\r" not in text and not before.endswith("\r"):
        return before + text
    start = before.rfind("\n") + 1
    lines = (before[start:] + text).replace("\r\n", "\n").split("\n")
    return before[:start] + "\n".join(_fold_line(line) for line in lines)


def _fold_line(line: str) -> str:
    if "\r" not in line:
        return line
    shown = ""
    for part in line.rstrip("\r").split("\r"):
        shown = part + shown[len(part) :]
    return shown + ("\r" if line.endswith("\r") else "")  # what comes next will overwrite it


def _stream(name: str, text: str) -> Output:
    return {"output_type": "stream", "name": name, "text": text}


def _size(value: object) -> int:
    """Return about how many bytes a value takes in the notebook, without encoding large texts."""
    match value:
        case str():
            return len(value)
        case dict():
            return sum(len(key) + _size(item) for key, item in value.items())
        case list():
            return sum(_size(item) for item in value)
        case _:
            return 8


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
