"""From a snippet to the text of a cell: each placeholder replaced by a value, written as its place demands.

A value is what a person typed. It may spoil neither the code around it nor leave the string literal that it stands in:
outside texts it must be a name, a number or one whole expression; inside texts it is escaped for the very quotes.
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from rasen.errors import InvalidInput
from rasen.snippets.snippet import Place, Placeholder, PlaceholderType, Slot, Snippet
from rasen.suggestion import suggest

_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_FORMAT = re.compile(r"[\w.,%+<>^= -]*", re.ASCII)
_COMPLETE = (
    *(ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript, ast.JoinedStr),
    *(ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp),
)
_VALUE_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """The text of a cell, and where the values stand in it: name, first character, behind the last.

    Positions count characters as Python does. An editor that counts UTF-16 units must convert them.
    """

    text: str
    spans: tuple[tuple[str, int, int], ...]


def render(snippet: Snippet, values: Mapping[str, str] | None = None) -> str:
    """Return the text of the cell with the values, or the defaults, filled in.

    Raises:
        InvalidInput: The snippet is broken, has no such placeholder, or a value cannot stand where it would.
    """
    return render_with_spans(snippet, values).text


def placeholder_spans(
    snippet: Snippet, values: Mapping[str, str] | None = None
) -> list[tuple[str, int, int]]:
    """Return name, start and end of every value in the rendered text, so that an editor can tab through them.

    Raises:
        InvalidInput: As `render`.
    """
    return list(render_with_spans(snippet, values).spans)


def render_with_spans(snippet: Snippet, values: Mapping[str, str] | None = None) -> Rendered:
    """Return the cell's text together with the places of its values.

    Raises:
        InvalidInput: As `render`.
    """
    if snippet.problem is not None:
        raise InvalidInput(f"snippet {snippet.name!r} cannot be used: {snippet.problem}")
    known = {placeholder.name: placeholder for placeholder in snippet.placeholders}
    for name in values or {}:
        if name not in known:
            raise InvalidInput(
                f"snippet {snippet.name!r} has no placeholder {name!r}; {suggest(name, known)}"
            )
    given = {name: check_value(each, (values or {}).get(name, each.default)) for name, each in known.items()}
    pieces: list[str] = []
    spans: list[tuple[str, int, int]] = []
    done = length = 0
    for slot in snippet.slots:
        before = snippet.body[done : slot.start]
        written = _write(known[slot.name], given[slot.name], slot, snippet.body)
        start = length + len(before)
        spans.append((slot.name, start, start + len(written)))
        pieces += [before, written]
        done, length = slot.end, start + len(written)
    text = "".join(pieces) + snippet.body[done:]
    return Rendered(text=text, spans=tuple(spans))


def check_value(placeholder: Placeholder, value: str) -> str:
    """Return a value as it will be written outside of texts.

    Raises:
        InvalidInput: It is not what the placeholder's type or choices allow.
    """
    if placeholder.choices and value not in placeholder.choices:
        raise _refused(placeholder, value, f"must be one of {', '.join(map(repr, placeholder.choices))}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise _refused(placeholder, value, "is no text that a notebook can hold")
    match placeholder.type:
        case PlaceholderType.TEXT:
            return value
        case PlaceholderType.NAME:
            if not value.isidentifier() or keyword.iskeyword(value):
                raise _refused(placeholder, value, "must be a Python name, such as 'rows'")
            return value
        case PlaceholderType.NUMBER:
            if not _NUMBER.fullmatch(value) or _expression(value) is None:
                raise _refused(placeholder, value, "must be a number, such as 5 or 0.25")
            return value
        case PlaceholderType.LIST:
            return ", ".join(_items(placeholder, value))
        case PlaceholderType.EXPRESSION:
            if _expression(value) is None:
                raise _refused(placeholder, value, "must be one Python expression on one line")
            return value
        case _:
            assert_never(placeholder.type)


def _write(placeholder: Placeholder, value: str, slot: Slot, body: str) -> str:
    """Return the value as its place demands."""
    match slot.place:
        case Place.CODE:
            return _as_code(placeholder, value, slot, body)
        case Place.TEXT:
            return _as_text(placeholder, value, slot)
        case Place.FORMAT:
            if not _FORMAT.fullmatch(value):
                raise _refused(
                    placeholder, value, "stands in a format such as `.3f`, and cannot be written there"
                )
            return value
        case Place.COMMENT:
            return " ".join(value.split())
        case Place.PLAIN:
            return value
        case _:
            assert_never(slot.place)


def _as_code(placeholder: Placeholder, value: str, slot: Slot, body: str) -> str:
    """Return the value as code that binds as tightly as what is around it needs."""
    if placeholder.type is PlaceholderType.LIST:
        value = json.dumps(_items(placeholder, value), ensure_ascii=False)
    if slot.nested and re.search(r"['\"\\]", value):
        raise _refused(placeholder, value, "stands in an f-string's braces: no quotes and no backslashes")
    if placeholder.type not in (PlaceholderType.NUMBER, PlaceholderType.EXPRESSION):
        return value
    tree = _expression(value)
    loose_tuple = isinstance(tree, ast.Tuple) and not _parenthesised(tree)
    complete = isinstance(tree, _COMPLETE) or (isinstance(tree, ast.Tuple) and not loose_tuple)
    if slot.nested:
        complete = isinstance(tree, ast.Name | ast.Constant)  # a brace would end the f-string's own
    elif not loose_tuple and _stands_alone(slot, body):
        return value
    if isinstance(tree, ast.Constant) and body[slot.end :].lstrip(" ").startswith("."):
        complete = False  # `5.real` is no attribute
    return value if complete else f"({value})"


def _as_text(placeholder: Placeholder, value: str, slot: Slot) -> str:
    """Return the value escaped for the string literal that it stands in."""
    if "b" in slot.flags and not value.isascii():
        raise _refused(placeholder, value, "stands in bytes, which hold ASCII only")
    short = len(slot.quote) == 1
    if slot.nested and re.search(r"['\"\\]|[^\S ]|[\x00-\x1f\x7f]", value):
        raise _refused(
            placeholder, value, "stands in an f-string's braces: no quotes, backslashes or line ends"
        )
    if "r" in slot.flags:
        if slot.quote[0] in value or value.endswith("\\") or "\r" in value or (short and "\n" in value):
            raise _refused(placeholder, value, "stands in a raw text, where it cannot be written")
        written = value
    else:
        escaped = value.replace("\\", "\\\\").replace(slot.quote[0], "\\" + slot.quote[0])
        written = "".join(_escape(character, keep_lines=not short) for character in escaped)
    if {"f", "t"} & set(slot.flags):
        written = written.replace("{", "{{").replace("}", "}}")
    return written


def _escape(character: str, *, keep_lines: bool) -> str:
    if character == "\n":
        return character if keep_lines else "\\n"
    if character == "\t" or (character >= " " and character != "\x7f"):
        return character
    return f"\\x{ord(character):02x}"


def _items(placeholder: Placeholder, value: str) -> list[str]:
    """Return the texts of a list: separated by commas, or written as Python writes a list of texts."""
    if value.lstrip().startswith("["):
        try:
            read = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            read = None
        if isinstance(read, list) and read and all(isinstance(each, str) and each for each in read):
            return read
        raise _refused(placeholder, value, "must be texts separated by commas, such as 'origin, carrier'")
    items = [" ".join(each.split()) for each in value.split(",")]
    if not all(items):
        raise _refused(placeholder, value, "must be texts separated by commas, such as 'origin, carrier'")
    return items


def _expression(value: str) -> ast.expr | None:
    """Return the tree of a value that is one expression by itself: no comment, no second line, no loose end."""
    try:
        tree = ast.parse(value, mode="eval").body
        tokens = list(tokenize.generate_tokens(io.StringIO(value).readline))
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError):
        return None
    if value != value.strip() or "\n" in value or "\r" in value or "\f" in value:
        return None
    return None if any(token.type == tokenize.COMMENT for token in tokens) else tree


def _parenthesised(tree: ast.Tuple) -> bool:
    return not tree.elts or tree.elts[0].col_offset > 0


def _stands_alone(slot: Slot, body: str) -> bool:
    """Return whether nothing around the slot binds to it: it is an argument, or a value that is assigned."""
    before, after = body[: slot.start].rstrip(), body[slot.end :].lstrip(" ")
    if re.search(r"(?<![=!<>:])=$", before) and after[:1] in ("", "\n", "#"):
        return True
    opened = before.endswith(("(", "[", "{", ",")) or bool(re.search(r"(?<![=!<>:])=$", before))
    return opened and after.lstrip()[:1] in (")", "]", "}", ",")


def _refused(placeholder: Placeholder, value: str, why: str) -> InvalidInput:
    shown = value if len(value) <= _VALUE_CHARACTERS else value[:_VALUE_CHARACTERS] + "…"
    return InvalidInput(f"placeholder {placeholder.name!r} = {shown!r} {why}")
