"""IPython's additions to Python, taken out of a cell so that `ast` can read the rest.

Written here instead of asking IPython, because importing it costs more (0.3 s) than linting a hundred notebooks, and
because rules need to know which line said what: every line keeps its number. What is recognised follows
`IPython.core.inputtransformer2`, and a property test compares the two; a cell that still does not parse is shown to
IPython itself before it is called broken (`rasen_lint.document`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

PYTHON_CELL_MAGICS = frozenset({"capture", "prun", "time", "timeit", "mprun", "memit", "memray", "debug"})
"""Cell magics that run their body as Python in the kernel; the body of every other one is some other language."""

_CELL_MAGIC = re.compile(r"%%(?P<name>\w\S*|!)(?P<arguments>[^\n]*)")
_ESCAPE = re.compile(r"\s*(?P<escape>%%?|!!?|\?\??|[,;/])(?P<rest>.*)", re.DOTALL)
_HELP = re.compile(r"\s*%{0,2}(?!\d)[\w*]+(\.(?!\d)[\w*]+|\[-?[0-9]+\])*\?\??\s*")
_ASSIGNMENT = re.compile(
    r"""(?P<target>\s*(?:[^=!%#'"]|'[^']*'|"[^"]*")+)=\s*(?P<escape>%|!!?)(?P<rest>\s*[\w{$./~].*)""",
    re.DOTALL,
)
# IPython runs `pip install x` without a `%` as well (automagic); no Python statement looks like it.
_AUTOMAGIC = re.compile(r"\s*(?P<name>pip3?|conda|mamba|micromamba|uv)\s+(?P<rest>[a-z]+\b.*)", re.DOTALL)
# No magic is without one of these; most cells have none of them and need not be read character by character.
_SUSPECT = re.compile(r"[%!?]|^[^\S\n]*(?:[,;/]|(?:pip3?|conda|mamba|micromamba|uv)\s)", re.MULTILINE)
_IN_CODE = re.compile(r"""[\\#'"()\[\]{}]""")
_IN_QUOTE = {quote: re.compile(rf"[\\{quote}]") for quote in "'\""}
_OPENING, _CLOSING = "([{", ")]}"


class MagicKind(StrEnum):
    """How a magic is written: `%name`, `!command`, or `%%name` over a whole cell."""

    LINE = "line"
    SHELL = "shell"
    CELL = "cell"


@dataclass(frozen=True, kw_only=True)
class Magic:
    """One magic. `line` counts from 1; `name` is empty for a shell command; `body` belongs to cell magics."""

    kind: MagicKind
    line: int
    name: str
    arguments: str
    body: str = ""


@dataclass(frozen=True, kw_only=True)
class MaskedCell:
    """A cell's Python with every line where it was, and the magics that were taken out."""

    python: str
    magics: tuple[Magic, ...]


def mask_magics(source: str, *, first_line: int = 1) -> MaskedCell:
    """Replace magics, shell commands and help requests by Python that does nothing.

    Args:
        source: A code cell.
        first_line: Number of the cell's first line, for bodies of cell magics.
    """
    if _SUSPECT.search(source) is None:
        return MaskedCell(python=_dedent(source), magics=())
    lines = _dedent(source).splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    opening = _CELL_MAGIC.match(lines[start]) if start < len(lines) else None
    if opening is None or lines[start].rstrip().endswith("?"):
        python, magics = _mask_lines(lines, first_line)
        return MaskedCell(python="".join(python), magics=tuple(magics))
    body = "".join(lines[start + 1 :])
    magic = Magic(
        kind=MagicKind.CELL,
        line=first_line + start,
        name=opening["name"],
        arguments=opening["arguments"].strip(),
        body=body,
    )
    if magic.name in PYTHON_CELL_MAGICS:
        inner = mask_magics(body, first_line=magic.line + 1)
        return MaskedCell(python="\n" * (start + 1) + inner.python, magics=(magic, *inner.magics))
    return MaskedCell(python="\n" * len(lines), magics=(magic,))


def _dedent(source: str) -> str:
    """Take the first line's indentation from every line that has it, as IPython does with pasted cells."""
    first = next((line for line in source.splitlines() if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip(" \t"))]
    if not indent:
        return source
    return "".join(line.removeprefix(indent) for line in source.splitlines(keepends=True))


def _mask_lines(lines: list[str], first_line: int) -> tuple[list[str], list[Magic]]:
    python: list[str] = []
    magics: list[Magic] = []
    scanner = _Scanner()
    index = 0
    while index < len(lines):
        line = lines[index]
        magic = _find_magic(line) if scanner.at_statement else None
        if magic is None:
            scanner.read(line)
            python.append(line)
            index += 1
            continue
        replacement, kind, name = magic
        end = index + 1
        while lines[end - 1].rstrip("\r\n").endswith("\\") and end < len(lines):
            end += 1
        text = " ".join(part.rstrip("\r\n").removesuffix("\\").strip() for part in lines[index:end])
        magics.append(Magic(kind=kind, line=first_line + index, name=name, arguments=_arguments(text, name)))
        python.extend([replacement + "\n", *["\n"] * (end - index - 1)])
        index = end
    return python, magics


def _find_magic(line: str) -> tuple[str, MagicKind, str] | None:
    """Return what stands for the line in Python, the kind of magic and its name, or `None` for Python."""
    indent = line[: len(line) - len(line.lstrip())].rstrip("\r\n")
    if line.lstrip().startswith("#") or not line.strip():
        return None
    if _HELP.fullmatch(line.rstrip("\r\n")):
        return f"{indent}pass", MagicKind.LINE, "pinfo"
    if escaped := _ESCAPE.match(line):
        if escaped["escape"].startswith("!"):
            return f"{indent}pass", MagicKind.SHELL, ""
        name = {"%": "", "?": "pinfo"}.get(escaped["escape"][0], "autocall")
        return f"{indent}pass", MagicKind.LINE, name or _first_word(escaped["rest"])
    if assigned := _ASSIGNMENT.match(line):
        shell = assigned["escape"].startswith("!")
        kind = MagicKind.SHELL if shell else MagicKind.LINE
        return f"{assigned['target']}= None", kind, "" if shell else _first_word(assigned["rest"])
    if automagic := _AUTOMAGIC.match(line):
        return f"{indent}pass", MagicKind.LINE, automagic["name"]
    return None


def _first_word(text: str) -> str:
    return (text.split() or [""])[0]


def _arguments(text: str, name: str) -> str:
    """Return what follows the escape character and the name."""
    if name and name in text:
        return text.split(name, 1)[1].strip()
    return text.split("!", 1)[-1].lstrip("!").strip()


class _Scanner:
    """Knows, line by line, whether the next line begins a statement or goes on with a string or a bracket."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._continued = False

    @property
    def at_statement(self) -> bool:
        return self._depth == 0 and not self._quote and not self._continued

    def read(self, line: str) -> None:
        text = line.rstrip("\r\n")
        position = 0
        self._continued = False
        while position < len(text):
            # Most characters mean nothing here; a regular expression passes them faster than a loop.
            found = (_IN_QUOTE[self._quote[0]] if self._quote else _IN_CODE).search(text, position)
            if found is None:
                break
            position, character = found.start(), found[0]
            if character == "\\":
                self._continued = position == len(text) - 1
                position += 2
            elif self._quote:
                closed = text.startswith(self._quote, position)
                position += len(self._quote) if closed else 1
                self._quote = "" if closed else self._quote
            elif character == "#":
                break
            elif character in "'\"":
                self._quote = character * 3 if text.startswith(character * 3, position) else character
                position += len(self._quote)
            else:
                self._depth = max(0, self._depth + (character in _OPENING) - (character in _CLOSING))
                position += 1
        if len(self._quote) == 1 and not self._continued:
            self._quote = ""  # an open string ends with its line, and the cell does not parse anyway
