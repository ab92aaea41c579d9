"""Texts of notebooks as HTML: escaped, with what is invisible made visible, and with the colours of a terminal.

Characters that change the direction of a text, or that nobody sees, can make code read as something else than it is:
a review names them.
"""

from __future__ import annotations

import html
import re

from rasen.batch.plain_text import clean_text

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")


def escape(text: str) -> str:
    """Return a text for a place in a page, with invisible characters named."""
    escaped = html.escape(text)
    if escaped.isascii() and escaped.isprintable():
        return escaped
    return _HIDDEN.sub(lambda found: f'<span class="hidden">U+{ord(found[0]):04X}</span>', escaped)


def escape_attribute(text: str) -> str:
    """Return a text for a quoted attribute, with invisible characters named."""
    return _HIDDEN.sub(lambda found: f"U+{ord(found[0]):04X}", html.escape(text))


def colour_text(text: str) -> str:
    """Return a text that was written for a terminal, with its colours as classes: `t1` is bold, `t31` red."""
    pieces = _COLOUR.split(clean_text(text))
    written = [escape(pieces[0])]
    classes: set[str] = set()
    for codes, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        classes = _after(classes, codes)
        if piece:
            shown = escape(piece)
            written.append(f'<span class="{" ".join(sorted(classes))}">{shown}</span>' if classes else shown)
    return "".join(written)


def _after(classes: set[str], codes: str) -> set[str]:
    """Return the classes in force after a sequence that sets colours; backgrounds are left out."""
    after = set(classes)
    numbers = [int(code) if code.isdecimal() and len(code) < 4 else 0 for code in re.split("[;:]", codes)]
    while numbers:
        number = numbers.pop(0)
        if number in (38, 48):
            # Of the 256 colours the first 16 have names; others are the colour of the text.
            named = numbers[1] if len(numbers) > 1 and numbers[0] == 5 else 99
            numbers = numbers[4 if numbers[:1] == [2] else 2 :]
            if number == 38 and named < 16:
                after = {name for name in after if name == "t1"} | {f"t{30 + named % 8}"}
        elif number in (0, 39):
            after = {"t1"} & after if number else set()
        elif number in (1, 22):
            after = after | {"t1"} if number == 1 else after - {"t1"}
        elif 30 <= number <= 37 or 90 <= number <= 97:
            after = ({"t1"} & after) | {f"t{30 + number % 10}"}
    return after
