"""Keeping secrets out of everything that is stored: each text passes through a `Mask` before it is.

A secret is found as it is and as programs usually write it: quoted by `repr`, JSON, a URL or HTML, in base64 or hex,
cut short by a table. What a program transforms in other ways (reversed, encrypted, in pieces) cannot be found by
looking; a mask prevents accidents, not intent. Lines that are not complete yet, and colours in a text, are seen to by
whoever masks outputs (`output_mask.py`). Searching is by plain substring: one to three milliseconds a megabyte and
secret in ordinary text, where a regular expression of as many alternatives mostly took several times as long.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from rasen.secret_reference import parse_reference
from rasen.secret_shapes import SHAPES
from rasen.secret_values import SHORTEST

_CUT_SHORT = 12  # characters of a long secret's beginning or end that are masked where the rest is missing
_LONG = 2 * _CUT_SHORT
_LONG_TEXT = 16  # characters of a text in a JSON document from which on it is taken for a part of the secret
_CHUNK_BYTES = 1 << 20
_NEEDLE = 4  # characters of the row of letters and digits that is worth being searched for first
_KEY_CHARACTERS = re.compile(r"[^A-Za-z0-9_.-]")


class Mask:
    """Replaces every known secret by `[secret NAME]`; call it with a text. May be used by several threads.

    Args:
        patterns: Also replace what looks like a private key or a well-known token.
    """

    def __init__(self, *, patterns: bool = True) -> None:
        self._patterns = SHAPES if patterns else ()
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._forms: tuple[
            tuple[str, str, str], ...
        ] = ()  # what is replaced, what it cannot be without, the name
        self._needles: frozenset[str] = frozenset()
        self._long: tuple[tuple[str, str], ...] = ()

    def learn(self, reference: str, value: str) -> None:
        """Mask a secret from now on, and its parts: the lines of one with several, the long texts of JSON."""
        with self._lock:
            name = parse_reference(reference).name
            for part in _parts(value):
                self._names.setdefault(part, name)
            forms = {
                form: (form, needle, name)
                for value, name in self._names.items()
                for form, needle in _forms(value).items()
            }
            # The longest first: no form may be broken by the replacement of a part of it.
            self._forms = tuple(sorted(forms.values(), key=lambda item: (-len(item[0]), item[0])))
            self._needles = frozenset(needle for _, needle, _ in self._forms)
            self._long = tuple((value, name) for value, name in self._names.items() if len(value) >= _LONG)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if not (self._forms or self._patterns) or len(text) < SHORTEST:
            return text
        text = self._replace(text)
        for shape in self._patterns:
            if shape.needle in text:
                text = shape.pattern.sub(shape.replacement, text)
        return text

    def key(self, text: str) -> str:
        """Return a name or a path without secrets, in characters that a key of the store may have."""
        masked = self(text)
        if masked == text:
            return text
        return "/".join(_KEY_CHARACTERS.sub("_", part).lstrip(".") or "_" for part in masked.split("/"))

    def find_in_file(self, path: Path) -> str | None:
        """Return the name of a secret that stands in a file as it is, or `None`."""
        wanted = [(form.encode(), needle.encode(), name) for form, needle, name in self._forms]
        if not wanted:
            return None
        needles = {needle for _, needle, _ in wanted}
        overlap = max(len(form) for form, _, _ in wanted) - 1
        before = b""
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                data = before + chunk
                there = {needle for needle in needles if needle in data}
                for form, needle, name in wanted:
                    if needle in there and form in data:
                        return name
                before = data[-overlap:]
        return None

    def _replace(self, text: str) -> str:
        forms, needles = self._forms, self._needles
        there = {needle for needle in needles if needle in text}
        if there:
            for form, needle, name in forms:
                if needle in there and form in text:
                    text = text.replace(form, f"[secret {name}]")
        for value, name in self._long:
            if value[:_CUT_SHORT] in text:
                text = _replace_beginnings(text, value, f"[secret {name}]")
            if value[-_CUT_SHORT:] in text:
                text = _replace_ends(text, value, f"[secret {name}]")
        return text


def _parts(value: str) -> Iterator[str]:
    """Yield a secret, and what of it a program may well show alone."""
    yield value
    for text in (value, *_texts_of_json(value)):
        yield from (line.strip() for line in text.splitlines() if len(line.strip()) >= SHORTEST)


def _texts_of_json(value: str) -> Iterator[str]:
    """Yield the long texts of a JSON object, such as the private key of a service account; addresses are none."""
    try:
        waiting = [json.loads(value)] if value.lstrip().startswith("{") else []
    except ValueError:
        return
    while waiting:
        match waiting.pop():
            case str() as text if len(text) >= _LONG_TEXT and not text.startswith("http"):
                yield text
            case dict() as fields:
                waiting += fields.values()
            case list() as items:
                waiting += items
            case _:
                pass


def _forms(value: str) -> dict[str, str]:
    """Return a secret as programs write it, each form with a part of it that is searched for first.

    However a text is quoted, its letters and digits stay what they are, so the longest row of them is in every quoted
    form. What is too short to be told from other text is left out.
    """
    quoted = {value}
    for _ in range(2):  # JSON in JSON, a quoted URL
        quoted |= {written for form in quoted for written in _escaped(form)}
    row = max(re.findall(r"[A-Za-z0-9]+", value), key=len, default="")
    forms = {form: row if len(row) >= _NEEDLE and row in form else form for form in quoted}
    data = value.encode()
    coded = {
        base64.b64encode(data).decode(),
        *_inside_base64(data),
        *base64.encodebytes(data).decode().splitlines(),
    }
    coded |= {form.replace("+", "-").replace("/", "_") for form in coded}
    forms |= {form: form for form in (*coded, data.hex(), data.hex().upper())}
    return {form: needle for form, needle in forms.items() if len(form) >= SHORTEST}


def _escaped(text: str) -> Iterator[str]:
    yield text.replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n")  # as pandas shows it
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(text.encode())[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text)[1:-1].replace("/", "\\/")  # pandas, and whoever writes for HTML
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    for quoted in (quote(text), quote(text, safe=""), quote_plus(text)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)


def _inside_base64(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of a secret in the midst of other bytes: three texts, by its place in a group."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        yield encoded[first:last]


def _replace_beginnings(text: str, value: str, replacement: str) -> str:
    start = 0
    while (start := text.find(value[:_CUT_SHORT], start)) >= 0:
        length = _common(text[start : start + len(value)], value)
        text = text[:start] + replacement + text[start + length :]
        start += len(replacement)
    return text


def _replace_ends(text: str, value: str, replacement: str) -> str:
    end = 0
    while (found := text.find(value[-_CUT_SHORT:], end)) >= 0:
        end = found + _CUT_SHORT
        length = _common(text[max(0, end - len(value)) : end][::-1], value[::-1])
        text = text[: end - length] + replacement + text[end:]
        end += len(replacement) - length
    return text


def _common(text: str, value: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    return next(
        (at for at, (a, b) in enumerate(zip(text, value, strict=False)) if a != b), min(len(text), len(value))
    )
