"""What becomes of messages: text as a terminal shows it, limits that hold, secrets taken out, huge contents."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.batch.messages import LargeContent, Message
from rasen.batch.output_mask import MaskedStream, mask_text, mask_value
from rasen.batch.outputs import Budget, CellOutputs, Limits, Spill
from rasen.batch.reception import Reception, reply_of
from rasen.batch.terminal_text import TerminalText, text_bytes

TEXTS = st.text(alphabet="ab é\n\r日\x1b[m")


def shown(*pieces: str) -> str:
    text = TerminalText()
    for piece in pieces:
        text.write(piece)
        assert text.size_bytes == text_bytes(text.text())
    return text.text()


@given(st.lists(TEXTS))
def test_pieces_give_what_the_whole_gives(pieces: list[str]) -> None:
    assert shown(*pieces) == shown("".join(pieces))


@given(st.text(alphabet="ab\n"))
def test_text_without_returns_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("10%\r20%\r100%\n", "100%\n"),
        ("abcdef\rxy", "xycdef"),
        ("windows\r\nline\r\n", "windows\nline\n"),
        ("a\rb\rc", "c"),
        ("\x1b[31mlong and red\x1b[0m\rdone", "done"),
    ],
)
def test_a_return_goes_back_to_the_start_of_the_line(written: str, seen: str) -> None:
    assert shown(*written) == shown(written) == seen


def test_the_last_line_is_the_one_that_says_something() -> None:
    text = TerminalText()
    assert text.last_line(most_characters=10) == ""
    text.write("first\nsecond\n\n  \n")
    assert text.last_line(most_characters=10) == "second"
    text.write("third" * 10)
    assert text.last_line(most_characters=5) == "third"


def message(kind: str, parent: str = "request", **content: Any) -> Message:
    return Message(channel="iopub", kind=kind, parent=parent, content=content)


def stream(text: str, name: str = "stdout") -> Message:
    return message("stream", name=name, text=text)


def display(data: dict[str, Any], display_id: str | None = None, kind: str = "display_data") -> Message:
    transient = {"display_id": display_id} if display_id else {}
    return message(kind, data=data, metadata={}, transient=transient)


def budget(
    cell: int = 10_000, notebook: int = 30_000, spill: int = 5_000, file: BytesIO | None = None
) -> Budget:
    limits = Limits(cell_bytes=cell, notebook_bytes=notebook, spill_bytes=spill)
    return Budget(limits=limits, spill=Spill(file, spill))


MESSAGES = st.one_of(
    st.builds(stream, st.integers(0, 8_000).map("x".__mul__) | TEXTS, st.sampled_from(["stdout", "stderr"])),
    st.builds(lambda size: display({"text/plain": "y" * size}, "id"), st.integers(0, 8_000)),
    st.builds(
        lambda size: display({"text/plain": "é" * size}, "id", "update_display_data"), st.integers(0, 8_000)
    ),
    st.just(message("clear_output", wait=True)),
    st.just(message("clear_output", wait=False)),
)


@given(st.lists(st.tuples(st.integers(0, 3), MESSAGES), max_size=30))
def test_no_limit_is_ever_passed(sent: list[tuple[int, Message]]) -> None:
    shared = budget()
    cells = [CellOutputs(number, shared) for number in range(4)]
    for number, each in sent:
        cells[number].handle(each)
        sizes = []
        for cell in cells:
            kept = [output for output in cell.render() if not str(output.get("text")).startswith("\n[rasen]")]
            sizes.append(len(json.dumps(kept, ensure_ascii=False).encode()))
        # JSON writes a line break as two bytes; nothing else here is longer than it was counted.
        assert max(sizes) <= 2 * 10_000
        assert sum(sizes) <= 2 * 30_000
        assert 0 <= shared.left_bytes <= 30_000


@given(st.lists(st.text(alphabet="ab日\n", max_size=3_000), max_size=20))
def test_what_is_kept_logged_and_left_out_is_all_there_was(texts: list[str]) -> None:
    file = BytesIO()
    shared = budget(cell=2_000, spill=1_000, file=file)
    outputs = CellOutputs(7, shared)
    for text in texts:
        outputs.handle(stream(text))
    kept = "".join(output["text"] for output in outputs.render() if output["name"] == "stdout")
    everything = "".join(texts)
    assert everything.startswith(kept)
    assert text_bytes(kept) + outputs.spilled_bytes == text_bytes(everything)
    assert shared.spill.kept_bytes + shared.spill.dropped_bytes == outputs.spilled_bytes
    head = b"\n--- cell 7, output over the limit ---\n"
    logged = file.getvalue().removeprefix(head)
    assert len(logged) == shared.spill.kept_bytes <= 1_000
    assert everything.encode()[text_bytes(kept) :].startswith(logged)


@pytest.mark.parametrize(
    ("file", "spill", "said"),
    [
        (BytesIO(), 10**6, "they are in the step's log"),
        (BytesIO(), 100, "the first 100 of them"),
        (None, 100, "left out"),
    ],
    ids=["all", "some", "none"],
)
def test_the_note_says_where_the_rest_is(file: BytesIO | None, spill: int, said: str) -> None:
    outputs = CellOutputs(0, budget(spill=spill, file=file))
    outputs.handle(stream("x" * 50_000))
    outputs.handle(display({"text/plain": "small enough"}))
    note = outputs.render()[-1]["text"]
    assert said in note
    assert f"{outputs.spilled_bytes:,} bytes more" in note


class Full(BytesIO):
    """A file on a full disk."""

    def write(self, _data: Any) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_a_limit_of_the_log() -> None:
    outputs = CellOutputs(0, budget(file=Full()))
    outputs.handle(stream("x" * 50_000))
    assert "left out" in outputs.render()[-1]["text"]


def test_an_error_is_never_left_out() -> None:
    outputs = CellOutputs(0, budget(cell=1_000))
    outputs.handle(stream("x" * 5_000))
    outputs.handle(
        message("error", ename="ValueError", evalue="v" * 10**6, traceback=["t" * 10**6, "the end"])
    )
    error = next(output for output in outputs.render() if output["output_type"] == "error")
    assert error["ename"] == "ValueError"
    assert error["traceback"][-1] == "the end"
    assert len(json.dumps(error)) < 50_000


def test_a_display_that_was_cleared_is_not_updated() -> None:
    shared = budget()
    outputs = CellOutputs(0, shared)
    outputs.handle(display({"text/plain": "one"}, "id"))
    outputs.handle(message("clear_output", wait=False))
    outputs.handle(display({"text/plain": "two"}, "id", "update_display_data"))
    assert outputs.render() == []
    assert shared.left_bytes == 30_000


def test_incomplete_messages_of_strange_kernels_are_survived() -> None:
    outputs = CellOutputs(0, budget())
    for kind in (
        "clear_output",
        "stream",
        "display_data",
        "execute_result",
        "update_display_data",
        "error",
        "x",
    ):
        outputs.handle(message(kind))
    assert [output["output_type"] for output in outputs.render()] == [
        "display_data",
        "execute_result",
        "error",
    ]


SECRET = "s3cr3t-value"


def hide(text: str) -> str:
    return text.replace(SECRET, "[secret]")


@given(st.lists(st.sampled_from(["a", "\n", "\r", SECRET]), max_size=30), st.data())
def test_a_secret_is_found_wherever_the_pieces_are_cut(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    masked = MaskedStream(hide)
    free = [masked.add(whole[start:end]) for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert "".join([*free, masked.end()]) == hide(whole)


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    masked = MaskedStream(hide)
    pieces = ["x" * 65_530, SECRET[:6], SECRET[6:], "y" * 70_000]
    free = [masked.add(piece) for piece in pieces]
    assert len("".join(free)) > 65_536
    assert "".join([*free, masked.end()]) == "x" * 65_530 + "[secret]" + "y" * 70_000


def test_colours_do_not_hide_a_secret() -> None:
    assert mask_text(hide, f"\x1b[31m{SECRET[:4]}\x1b[0m{SECRET[4:]}") == "[secret]"
    assert mask_text(hide, "\x1b[31mred\x1b[0m") == "\x1b[31mred\x1b[0m"
    assert mask_value(hide, {SECRET: [1, {"a": SECRET}]}) == {"[secret]": [1, {"a": "[secret]"}]}


def test_the_order_of_what_is_shown_survives_the_mask() -> None:
    heard: list[Message] = []
    reception = Reception(budget(), mask=hide, hear=heard.append)
    outputs = reception.expect("request", 0)
    for each in (
        stream("one"),
        display({"text/plain": SECRET}),
        stream("two"),
        stream(SECRET, "stderr"),
        stream("3"),
    ):
        reception.take(each)
    reception.take(message("stream", "nobody's", name="stdout", text="lost"))
    reception.complete()
    found = [output.get("text") or output["data"]["text/plain"] for output in outputs.render()]
    assert found == ["one", "[secret]", "two", "[secret]", "3"]
    assert [each.content.get("text") for each in heard] == ["one", None, "two", "[secret]", "3"]


@given(st.text(), st.integers(20, 60), st.booleans())
def test_a_large_content_is_read_in_pieces(text: str, size: int, ascii_only: bool) -> None:
    raw = json.dumps({"name": "stdout", "text": text, "after": "x"}, ensure_ascii=ascii_only).encode(
        "utf-8", "replace"
    )
    large = LargeContent(memoryview(raw))
    assert "".join(large.pieces("text", piece_bytes=size)) == text
    assert large.text("name") == "stdout"
    assert large.text("after") == "x"
    assert large.text("nothing") == ""
    assert "".join(large.everything(piece_bytes=size)) == raw.decode()


def test_a_key_inside_of_a_text_is_no_key() -> None:
    content = {
        "traceback": ['he said "ename": "wrong"', "more"],
        "ename": "KeyError",
        "evalue": "v",
        "status": "error",
    }
    large = LargeContent(memoryview(json.dumps(content).encode()))
    reply = reply_of(Message(channel="shell", kind="execute_reply", parent="request", large=large))
    assert (reply["status"], reply["ename"], reply["evalue"]) == ("error", "KeyError", "v")
    assert reply["traceback"] == ['he said "ename": "wrong"']
