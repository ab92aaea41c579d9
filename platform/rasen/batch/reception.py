"""Where the messages of a kernel arrive: each finds the cell that it belongs to, and is masked before anybody sees it.

A message belongs to the cell whose request it names, however long ago that was: a thread that an earlier cell left
behind still shows its work there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rasen.batch.messages import LargeContent, Message
from rasen.batch.output_mask import Mask, MaskedStream, mask_value
from rasen.batch.outputs import Budget, CellOutputs

_NAME_BYTES = 1_000
_TEXT_BYTES = 20_000


class Reception:
    """Takes the messages of one kernel.

    Args:
        budget: The limits of what is kept.
        mask: What takes secrets out of a text.
        hear: Whom to tell of every message, masked, besides.
    """

    def __init__(
        self, budget: Budget, *, mask: Mask | None = None, hear: Callable[[Message], None] | None = None
    ) -> None:
        self._budget = budget
        self._mask = mask
        self._hear = hear
        self._cells: dict[str, CellOutputs] = {}
        self._held: dict[tuple[str, str], MaskedStream] = {}

    def expect(self, request: str, index: int) -> CellOutputs:
        """Make the place for what the cell `index`, executed by `request`, will show."""
        outputs = CellOutputs(index, self._budget)
        self._cells[request] = outputs
        return outputs

    def take(self, message: Message) -> None:
        """Take a message of the iopub channel; one that is nobody's is passed over."""
        outputs = self._cells.get(message.parent)
        if outputs is None:
            return
        if message.large is not None:
            self._take_large(message, message.large, outputs)
        elif self._mask is None:
            self._give(message, outputs)
        elif message.kind == "stream":
            name = str(message.content.get("name", "stdout"))
            self._release(message.parent, but=name)
            held = self._held.setdefault((message.parent, name), MaskedStream(self._mask))
            self._give_text(message.parent, name, held.add(str(message.content.get("text", ""))))
        else:
            if message.kind != "update_display_data":
                self._release(message.parent)
            self._give(replace(message, content=mask_value(self._mask, message.content)), outputs)

    def complete(self) -> None:
        """Let go of what was held back: a cell has ended."""
        for request, _ in list(self._held):
            self._release(request)

    def _release(self, request: str, *, but: str = "") -> None:
        for key in [key for key in self._held if key[0] == request and key[1] != but]:
            self._give_text(*key, self._held.pop(key).end())

    def _give_text(self, request: str, name: str, text: str) -> None:
        if text:
            content = {"name": name, "text": text}
            message = Message(channel="iopub", kind="stream", parent=request, content=content)
            self._give(message, self._cells[request])

    def _give(self, message: Message, outputs: CellOutputs) -> None:
        outputs.handle(message)
        if self._hear is not None:
            self._hear(message)

    def _take_large(self, message: Message, large: LargeContent, outputs: CellOutputs) -> None:
        if (
            outputs.full
            and self._hear is None
            and message.kind in ("stream", "display_data", "execute_result")
        ):
            outputs.count(large.size_bytes)
            return
        match message.kind:
            case "stream":
                name = large.text("name", most_bytes=_NAME_BYTES)
                for piece in large.pieces("text"):
                    self.take(replace(message, content={"name": name, "text": piece}, large=None))
            case "error":
                self.take(replace(message, content=error_of(large), large=None))
            case "display_data" | "execute_result" | "update_display_data":
                self._release(message.parent)
                outputs.leave_out(self._masked(large.everything()))
            case _:
                pass  # nothing that is shown

    def _masked(self, pieces: Iterator[str]) -> Iterator[str]:
        if self._mask is None:
            yield from pieces
            return
        stream = MaskedStream(self._mask)
        for piece in pieces:
            yield stream.add(piece)
        yield stream.end()


def error_of(large: LargeContent) -> dict[str, object]:
    """Return what can be kept of an error that is too large."""
    return {
        "ename": large.text("ename", most_bytes=_NAME_BYTES),
        "evalue": large.text("evalue", most_bytes=_TEXT_BYTES),
        "traceback": [large.text("traceback", most_bytes=_TEXT_BYTES)],
    }


def reply_of(message: Message) -> dict[str, Any]:  # Any: JSON
    """Return the content of a cell's reply; of one that is too large, what can be kept."""
    if message.large is None:
        return message.content
    status = message.large.text("status", most_bytes=_NAME_BYTES)
    return {"status": status, **(error_of(message.large) if status != "ok" else {})}


def exits_well(reply: dict[str, Any]) -> bool:  # Any: JSON
    """Return whether an error is none: `sys.exit()` or `sys.exit(0)`, by which an author ends a notebook on purpose."""
    return reply.get("ename") == "SystemExit" and reply.get("evalue") in ("", "0", "None")


def asks_to_exit(reply: dict[str, Any]) -> bool:  # Any: JSON
    """Return whether a cell has called `exit()` or `quit()`: the kernel ends a moment later."""
    return any(payload.get("source") == "ask_exit" for payload in reply.get("payload", ()))
