"""From files to snippets: the front matter is checked key by key, the body is one cell.

A file opens with YAML, each line behind `# `, between two lines `# ---`. The rest is the cell; of a markdown cell each
line stands behind `# ` too, so that every snippet is a Python file that ruff can read. Nothing of a file is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rasen.errors import InvalidInput
from rasen.snippets.rendering import check_value, render
from rasen.snippets.slots import PLACEHOLDER, PYTHONS_OWN, find_slots
from rasen.snippets.snippet import (
    CellType,
    Place,
    Placeholder,
    PlaceholderType,
    Slot,
    Snippet,
    SnippetProblem,
)
from rasen.strict_yaml import Document, YamlProblem, parse_yaml
from rasen.suggestion import suggest

MOST_BYTES = 100_000
"""Of one file."""
MOST_FILES = 1000
"""In one folder."""
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_EXAMPLE = "read_and_check_table"
# Acts on a terminal, or shows a reader other code than what runs (CVE-2021-42574): a repository may be a stranger's.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True)
class SnippetFolder:
    """A folder of snippets, and what people call the place that it comes from."""

    path: Path
    source: str


def _as_text(value: object) -> object:
    """Return a number of YAML as the text that it was, near enough to be a default in code."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value


_Text = Annotated[str, Field(min_length=1), BeforeValidator(_as_text)]
_Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class _Placeholder(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    default: _Text
    description: str = Field(min_length=1)
    type: PlaceholderType | None = None
    choices: tuple[_Text, ...] = ()


class _Cell(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["code", "markdown"] = "code"
    tags: tuple[str, ...] = ()


class _FrontMatter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(min_length=1, max_length=100, pattern=r"^[^\n]*$")
    description: str = Field(min_length=1)
    tags: tuple[_Tag, ...] = Field(min_length=1)
    placeholders: dict[str, _Placeholder] = {}
    cell: _Cell = _Cell()


class _Broken(ValueError):
    """A file is no snippet; `line` counts from 1 in the file."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line = line
        self.message = message


def load_snippets(folders: Iterable[SnippetFolder | Path]) -> tuple[Snippet, ...]:
    """Return the snippets of all folders by name; of equal names the last folder's counts, and says so.

    Files that are no snippets come last, each with its problem; none of them stands before a snippet that works.

    Args:
        folders: The least important first. A folder that is not there has none.
    """
    named: dict[str, Snippet] = {}
    broken: list[Snippet] = []
    for each in folders:
        folder = each if isinstance(each, SnippetFolder) else SnippetFolder(path=each, source=str(each))
        for snippet in read_folder(folder):
            if snippet.problem is not None:
                broken.append(snippet)
                continue
            before = named.get(snippet.name)
            named[snippet.name] = replace(snippet, overrides=before.source) if before else snippet
    return (*(named[name] for name in sorted(named)), *broken)


def read_folder(folder: SnippetFolder) -> tuple[Snippet, ...]:
    """Return every snippet of one folder, broken ones included; files that begin with `_` or `test_` are none."""
    try:
        names = sorted(
            name
            for name in (each.name for each in folder.path.iterdir())
            if name.endswith(".py") and not name.startswith(("_", ".", "test_")) and name != "conftest.py"
        )
    except OSError:
        return ()
    snippets = [read_snippet(folder.path / name, source=folder.source) for name in names[:MOST_FILES]]
    if len(names) > MOST_FILES:
        message = (
            f"{str(folder.path)!r} holds {len(names)} files; of one folder the first {MOST_FILES} are read"
        )
        snippets.append(_problem(folder.path / names[MOST_FILES], folder.source, _Broken(1, message)))
    return tuple(snippets)


def read_snippet(path: Path, *, source: str) -> Snippet:
    """Return the snippet of one file; if it is none, its `problem` says why and where."""
    try:
        return parse_snippet(_read_text(path), path=path, source=source)
    except _Broken as broken:
        return _problem(path, source, broken)


def parse_snippet(text: str, *, path: Path, source: str) -> Snippet:
    """Return the snippet that a file's text is; if it is none, its `problem` says why and where."""
    try:
        return _parse(text, path=path, source=source)
    except _Broken as broken:
        return _problem(path, source, broken)


def _problem(path: Path, source: str, broken: _Broken) -> Snippet:
    problem = SnippetProblem(file=str(path), line=broken.line, message=broken.message)
    return Snippet(name=path.stem, source=source, path=path, problem=problem)


def _read_text(path: Path) -> str:
    try:
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise _Broken(1, f"{path.name!r} is a link that leads out of its folder; commit a copy")
        if not path.is_file():
            raise _Broken(1, f"{path.name!r} is no file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself, before Python 3.13
        raise _Broken(1, f"{path.name!r} cannot be read: {error}") from None
    if len(data) > MOST_BYTES:
        raise _Broken(1, f"{path.name!r} is larger than {MOST_BYTES:,} bytes; a snippet is one cell")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Broken(line, f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse(text: str, *, path: Path, source: str) -> Snippet:
    if not NAME.fullmatch(path.stem):
        raise _Broken(
            1, f"{path.name!r} must be called <verb>_<thing>.py in small letters, such as {_EXAMPLE}.py"
        )
    hidden = _HIDDEN.search(text)
    if hidden:
        line = text.count("\n", 0, hidden.start()) + 1
        raise _Broken(line, f"character {hidden[0]!r} is not shown to whoever reads it; take it out")
    yaml_lines, body, body_line = _split(text)
    document, stated = _front_matter(yaml_lines)
    _check_shown(stated, document)
    body = _body(body, stated.cell.type, body_line)
    slots = find_slots(body, cell_type=stated.cell.type)
    _check_declared(stated, document, body, slots, body_line)
    placeholders = tuple(
        _placeholder(name, each, [slot for slot in slots if slot.name == name], document)
        for name, each in stated.placeholders.items()
    )
    snippet = Snippet(
        name=path.stem,
        source=source,
        path=path,
        title=stated.title,
        description=stated.description.strip(),
        tags=tuple(sorted(set(stated.tags))),
        placeholders=placeholders,
        cell_type=stated.cell.type,
        cell_tags=stated.cell.tags,
        body=body,
        slots=slots,
    )
    try:
        render(snippet)
    except InvalidInput as error:
        raise _Broken(body_line, f"its own defaults do not fit: {error}") from None
    return snippet


def _split(text: str) -> tuple[list[str], str, int]:
    """Return the front matter's lines without their `# `, the rest, and the line on which that begins."""
    lines = [line.rstrip() for line in text.rstrip().split("\n")]
    if lines[0] != "# ---":
        raise _Broken(1, "must open with front matter: YAML behind `# `, between two lines `# ---`")
    if "# ---" not in lines[1:]:
        raise _Broken(len(lines), "the front matter never ends: a second line `# ---` is missing")
    end = lines.index("# ---", 1)
    for number, line in enumerate(lines[1:end], start=2):
        if line != "#" and not line.startswith("# "):
            raise _Broken(number, f"{line[:60]!r} stands in the front matter without `# ` before it")
    rest = "\n".join(text.rstrip().split("\n")[end + 1 :])
    body = rest.lstrip("\n")
    if not body.strip():
        raise _Broken(end + 1, "there is no cell behind the front matter")
    return [line[2:] for line in lines[1:end]], body, end + 2 + len(rest) - len(body)


def _front_matter(lines: Sequence[str]) -> tuple[Document, _FrontMatter]:
    try:
        document = parse_yaml("\n".join(lines))
    except YamlProblem as problem:
        raise _Broken(problem.line + 1, problem.message) from None
    if not isinstance(document.data, dict):
        raise _Broken(2, "the front matter must be keys and values, such as `title: Read a table`")
    try:
        return document, _FrontMatter.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        raise _Broken(
            document.line_of(first["loc"]) + 1, _say(first["loc"], first["type"], first["msg"])
        ) from None


def _say(place: tuple[str | int, ...], kind: str, message: str) -> str:
    key = ".".join(map(str, place))
    if kind == "extra_forbidden":
        models: dict[str, type[BaseModel]] = {"placeholders": _Placeholder, "cell": _Cell}
        model = models.get(str(place[0]), _FrontMatter)
        return f"unknown key {key!r}; {suggest(str(place[-1]), model.model_fields)}"
    if kind == "missing":
        return f"the key {key!r} is missing"
    return f"{key!r}: {message[:1].lower()}{message[1:]}"


def _body(text: str, cell_type: CellType, first_line: int) -> str:
    """Return the cell's text, without the `# ` of a markdown cell's lines."""
    if cell_type == "code":
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines, start=first_line):
        if line.rstrip() != "#" and not line.startswith("# "):
            raise _Broken(number, f"{line[:60]!r}: each line of a markdown cell stands behind `# `")
    return "\n".join(line[2:] for line in lines)


def _check_shown(stated: _FrontMatter, document: Document) -> None:
    """Refuse what YAML's escapes can bring into texts that are shown."""
    texts: dict[tuple[str, ...], tuple[str, ...]] = {
        ("title",): (stated.title,),
        ("description",): (stated.description,),
        ("cell",): stated.cell.tags,
    }
    for name, each in stated.placeholders.items():
        texts["placeholders", name] = (name, each.default, each.description, *each.choices)
    for place, values in texts.items():
        for value in values:
            hidden = _HIDDEN.search(value)
            if hidden:
                line = document.line_of(place) + 1
                raise _Broken(line, f"character {hidden[0]!r} is not shown to whoever reads it; take it out")


def _check_declared(
    stated: _FrontMatter, document: Document, body: str, slots: Sequence[Slot], body_line: int
) -> None:
    """Hold what the body uses against what the front matter declares."""
    for name in stated.placeholders:
        line = document.line_of(("placeholders", name)) + 1
        if not PLACEHOLDER.fullmatch(f"__{name}__"):
            raise _Broken(line, f"placeholder {name!r} must be small letters, digits and single underscores")
        if name in PYTHONS_OWN:
            raise _Broken(
                line, f"placeholder {name!r} cannot be told from Python's own `__{name}__`; rename it"
            )
        if name not in {slot.name for slot in slots}:
            raise _Broken(line, f"placeholder {name!r} is never used; write it as __{name}__, or take it out")
    for slot in slots:
        if slot.name not in stated.placeholders:
            line = body_line + body.count("\n", 0, slot.start)
            raise _Broken(
                line, f"__{slot.name}__ is no placeholder; {suggest(slot.name, stated.placeholders)}"
            )


def _placeholder(name: str, stated: _Placeholder, slots: Sequence[Slot], document: Document) -> Placeholder:
    line = document.line_of(("placeholders", name)) + 1
    in_code = any(slot.place is Place.CODE for slot in slots)
    kind = stated.type or _guess(document.data["placeholders"][name]["default"], in_code=in_code)
    if in_code and kind is PlaceholderType.TEXT:
        raise _Broken(
            line,
            f"placeholder {name!r} stands outside of a text; its type must be name, number, list or expression",
        )
    placeholder = Placeholder(
        name=name, default=stated.default, description=stated.description, type=kind, choices=stated.choices
    )
    for value in (stated.default, *stated.choices):
        try:
            check_value(placeholder, value)
        except InvalidInput as error:
            raise _Broken(line, str(error)) from None
    return placeholder


def _guess(written: object, *, in_code: bool) -> PlaceholderType:
    """Return the type of a placeholder that states none."""
    if isinstance(written, bool):
        return PlaceholderType.EXPRESSION
    if isinstance(written, int | float):
        return PlaceholderType.NUMBER
    if isinstance(written, list):
        return PlaceholderType.LIST
    return PlaceholderType.NAME if in_code else PlaceholderType.TEXT
