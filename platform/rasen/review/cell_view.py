"""The cells of a compared notebook as HTML, as far as a page has room for them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rasen.linter import LintFinding
from rasen.review.cleaning import frame, render_markdown
from rasen.review.comparing import CellChange, CellState, NotebookChange, Side
from rasen.review.images import decode_image, same_image
from rasen.review.markup import colour_text, escape, escape_attribute
from rasen.review.outputs import Output
from rasen.review.report import title_of
from rasen.review.sources import language_of_cell, show_difference, show_source

_MOST_TEXT = 20_000
_MOST_MARKUP = 200_000
_MOST_MARKDOWN = 50_000
_MOST_PICTURE = 3_000_000
_MOST_PIXELS = 50_000_000
_MOST_FOLDED = 300
_STATES = {
    CellState.CHANGED: "changed",
    CellState.ADDED: "added",
    CellState.REMOVED: "removed",
    CellState.MOVED: "moved",
    CellState.OUTPUTS: "outputs differ",
    CellState.SAME: "unchanged",
}


class Room:
    """How many characters a page may still take: one that no browser opens is worth nothing."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def fit(self, text: str, what: str) -> str:
        """Return the text, or a note when the page is full."""
        if len(text) > self._left:
            self._left = min(self._left, 0)  # what is smaller is left out too: a page ends once
            return f'<p class="cut">{escape(what)}: left out, the page is full</p>'
        self._left -= len(text)
        return text

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        return self._left <= 0


def show_cells(
    notebook: NotebookChange,
    *,
    prefix: str,
    room: Room,
    new: Sequence[LintFinding] = (),
    old: Sequence[LintFinding] = (),
) -> str:
    """Return the cells; those that are the same are folded, unless there is a new finding in one.

    Args:
        notebook: The comparison.
        prefix: Begins the names of the places in the page, such as `f3`.
        room: What the page may still take.
        new: Findings of the new version that the old one had not.
        old: Findings that it had.
    """
    found = _by_cell(new), _by_cell(old)

    def is_quiet(cell: CellChange) -> bool:
        index = cell.new.cell.index if cell.new else None
        return cell.state is CellState.SAME and index not in found[0]

    written = []
    number = 0
    for quiet, group in groupby(notebook.cells, key=is_quiet):
        cells = list(group)
        if quiet:
            written.append(room.fit(_folded(cells, room), f"{len(cells)} unchanged cells"))
            continue
        for cell in cells:
            number += 1
            name = f"{prefix}c{number}"
            if room.full:
                continue
            written.append(room.fit(_show(cell, name, *found, room), _title(cell)))
    return "".join(written)


def list_findings(findings: Iterable[LintFinding], *, old: bool = False) -> str:
    """Return findings as a list."""
    rows = "".join(
        f'<li class="{"error" if one.severity == "error" else "warning"}"><b>{escape(one.code)}</b> '
        f"{f'line {one.line}: ' if one.line is not None else ''}{escape(one.message)}</li>"
        for one in findings
    )
    return f'<ul class="findings {"known" if old else ""}">{rows}</ul>' if rows else ""


def _by_cell(findings: Iterable[LintFinding]) -> dict[int, list[LintFinding]]:
    found: dict[int, list[LintFinding]] = {}
    for finding in findings:
        if finding.cell is not None:
            found.setdefault(finding.cell, []).append(finding)
    return found


def _folded(cells: Sequence[CellChange], room: Room) -> str:
    rows = []
    for change in cells[:_MOST_FOLDED]:
        side = change.new or change.old
        assert side is not None
        source = side.cell.source
        if side.cell.type == "markdown" or room.full or len(source) > _MOST_TEXT:
            rows.append(f'<p class="line">{side.cell.index} · {escape(title_of(source))}</p>')
        else:
            rows.append(
                # Without colours: of all that a page shows this is most and is looked at least.
                f'<p class="line">{side.cell.index}</p>' + show_source(source, "")
            )
    if len(cells) > _MOST_FOLDED:
        rows.append(f'<p class="cut">and {len(cells) - _MOST_FOLDED:,} more</p>')
    count = "1 unchanged cell" if len(cells) == 1 else f"{len(cells):,} unchanged cells"
    return f'<details class="same"><summary>{count}</summary>{"".join(rows)}</details>'


def _title(change: CellChange) -> str:
    side = change.new or change.old
    assert side is not None
    return f"cell {side.cell.index}"


def _show(
    change: CellChange,
    name: str,
    new: Mapping[int, Sequence[LintFinding]],
    old: Mapping[int, Sequence[LintFinding]],
    room: Room,
) -> str:
    side = change.new or change.old
    assert side is not None
    index = change.new.cell.index if change.new else -1
    findings = list_findings(new.get(index, ()))
    known = list_findings(old.get(index, ()), old=True)
    if known:
        findings += f'<details class="known"><summary>known before</summary>{known}</details>'
    words = [_STATES[change.state]]
    if change.moved and change.old is not None:
        words = [*(word for word in words if word != "moved"), f"moved, was cell {change.old.cell.index}"]
    elif change.old is not None and change.new is not None and change.old.cell.index != index:
        words.append(f"was cell {change.old.cell.index}")
    head = (
        f'<span class="where">cell {side.cell.index}</span> <span class="badge {change.state.value}">'
        f'{escape(", ".join(words))}</span> <span class="kind">{_kind(change)}</span>'
    )
    if change.state is CellState.OUTPUTS:
        title = f' <span class="title">{escape(title_of(side.cell.source))}</span>'
        return (
            f'<details class="cell outputs" id="{name}" data-change tabindex="-1"><summary>{head}{title}</summary>'
            f"{findings}{_outputs(change, room)}</details>"
        )
    return (
        f'<section class="cell {change.state.value}" id="{name}" data-change tabindex="-1"><header>{head}</header>'
        f"{findings}{_source(change)}{_outputs(change, room)}</section>"
    )


def _kind(change: CellChange) -> str:
    """Say of which type a cell is, and its tags, both with what they were."""
    kinds = list(dict.fromkeys(side.cell.type for side in (change.old, change.new) if side))
    tags = [", ".join(sorted(side.cell.tags)) for side in (change.old, change.new) if side]
    said = escape(" → ".join(kinds))
    if len(set(tags)) > 1:
        said += f" · tags: <del>{escape(tags[0] or 'none')}</del> → <ins>{escape(tags[1] or 'none')}</ins>"
    elif tags[0]:
        said += f" · tags: {escape(tags[0])}"
    return said


def _source(change: CellChange) -> str:
    old, new = change.old, change.new
    if old is not None and new is not None:
        if old.cell.source == new.cell.source:
            source = show_source(new.cell.source, language_of_cell(new.cell.type, new.cell.source))
            same = old.attachments == new.attachments
            return source if same else source + _pair(_text(old), _text(new))
        language = language_of_cell(new.cell.type, new.cell.source)
        shown = show_difference(old.cell.source, new.cell.source, language)
        if "markdown" in (old.cell.type, new.cell.type):
            shown += _pair(_text(old), _text(new))
        return shown
    side = new or old
    assert side is not None
    mark = "added" if old is None else "removed"
    if side.cell.type == "markdown":
        text = _text(side)
    else:
        text = show_source(side.cell.source, language_of_cell(side.cell.type, side.cell.source), mark=mark)
    return _pair("", text) if old is None else _pair(text, "")


def _text(side: Side) -> str:
    if side.cell.type != "markdown":
        return ""
    if len(side.cell.source) > _MOST_MARKDOWN:
        return _cut(side.cell.source)
    return f'<div class="text">{render_markdown(side.cell.source, side.attachments)}</div>'


def _outputs(change: CellChange, room: Room) -> str:
    old, new = change.old, change.new
    if old is not None and new is not None:
        if not change.outputs_changed:
            return '<p class="note">outputs: the same</p>' if new.raw_outputs else ""
        return _output_pairs(old.outputs, new.outputs, room)
    side = new or old
    assert side is not None
    if not side.raw_outputs:
        return ""
    shown = "".join(room.fit(show_output(output), "an output") for output in side.outputs)
    if new is None:
        return f'<details class="gone"><summary>its outputs</summary>{_pair(shown, "")}</details>'
    return _pair("", shown)


def _output_pairs(old: Sequence[Output], new: Sequence[Output], room: Room) -> str:
    """Show outputs side by side; texts that changed as differences."""
    written = []
    for place in range(max(len(old), len(new))):
        before = old[place] if place < len(old) else None
        after = new[place] if place < len(new) else None
        if before == after or (
            before is not None
            and after is not None
            and (before.kind, before.mime) == (after.kind, after.mime) == ("image", before.mime)
            and same_image(before.mime, before.text, after.text)
        ):
            written.append('<p class="note">the same output</p>')
            continue
        left, right = (
            room.fit(show_output(one), "an output") if one is not None else '<p class="note">no output</p>'
            for one in (before, after)
        )
        written.append(_pair(left, right))
    return "".join(written)


def _pair(left: str, right: str) -> str:
    return f'<div class="pair"><div class="side old">{left}</div><div class="side new">{right}</div></div>'


def show_output(output: Output) -> str:
    """Return one output as HTML that can do nothing."""
    match output.kind:
        case "image":
            return _picture(output)
        case "svg":
            if len(output.text) > _MOST_MARKUP * 5:
                return _note(f"an SVG picture of {len(output.text):,} characters, too large to show")
            # As an <img> it is a picture: its scripts do not run and what it refers to is not fetched.
            data = base64.b64encode(output.text.encode("utf-8", "replace")).decode()
            return f'<img alt="SVG output" loading="lazy" src="data:image/svg+xml;base64,{data}">'
        case "html":
            if len(output.text) > _MOST_MARKUP:
                cut = f"… of {len(output.text):,} characters of HTML the first {_MOST_MARKUP:,} are shown"
                return frame(output.text[:_MOST_MARKUP]) + _note(cut)
            return frame(output.text)
        case "markdown" if len(output.text) <= _MOST_MARKDOWN:
            return f'<div class="text">{render_markdown(output.text)}</div>'
        case "note":
            return _note(output.text)
        case _:
            kind = output.kind if output.kind in ("stderr", "error") else "stdout"
            return f'<pre class="out {kind}">{_cut(output.text)}</pre>'


def _picture(output: Output) -> str:
    data = decode_image(output.mime, output.text)
    if data is None or len(data) > _MOST_PICTURE:
        return _note(f"a picture of {len(output.text):,} characters, too large to show")
    if output.mime == "image/png":
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
        if width * height > _MOST_PIXELS:
            return _note(f"a picture of {width:,} × {height:,} pixels, too large to show")
    return (
        f'<img alt="{escape_attribute(output.mime)} output" loading="lazy" '
        f'src="data:{output.mime};base64,{output.text}">'
    )


def _cut(text: str) -> str:
    """Return a text with its colours, the end of a long one left out."""
    shown = colour_text(text[:_MOST_TEXT])
    if len(text) > _MOST_TEXT:
        shown += f'<span class="cut">… {len(text) - _MOST_TEXT:,} more characters</span>'
    return shown


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
