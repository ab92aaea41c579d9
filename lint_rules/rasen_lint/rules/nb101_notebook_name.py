"""NB101: a notebook has a name of its own that every machine can write."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rasen_lint.document import Document
from rasen_lint.finding import Finding, Severity

_SUFFIX = ".ipynb"
_DEFAULT = re.compile(
    r"(?:untitled|notebook|new[ _-]?notebook)[ _.(-]*\d*\)?"
    r"|copy[ _]of[ _].*|.*-copy\d*|.*[ _]copy(?:[ _]?\d+)?|.*\(\d+\)",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"[^A-Za-z0-9_.-]")
# Windows knows these as devices, with any ending.
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


class NotebookName:
    """Check that the file's name says something and can be written on every machine.

    What it does:
        Finds names that Jupyter, VS Code and Colab give by themselves (`Untitled1`, `sales-Copy2`), characters other
        than ASCII letters, digits, `_`, `-` and `.`, a name that begins with `-` or `.`, names that Windows keeps for
        devices, and two names in a folder that differ in upper and lower case only.

    Why it is bad:
        Nobody finds `Untitled3.ipynb` again. Spaces break commands, an umlaut is two different file names on macOS and
        Linux, and of two files that differ in case a Mac checks out one: the other is lost without a word.

    Example:
        `Untitled.ipynb`, `Umsätze März.ipynb`, `Train.ipynb` beside `train.ipynb`

    Use instead:
        `monthly_sales.ipynb`: what it is about, in lower-case letters, digits and `_`.
    """

    code = "NB101"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield at most one finding, for the whole notebook, with all that is wrong with its name."""
        name = document.notebook.name.rpartition("/")[2]
        stem = name.removesuffix(_SUFFIX)
        if not name.endswith(_SUFFIX):
            return  # standard input, or an editor that has not saved yet
        problems = [*_problems(stem), *_twins(name, document.context.siblings or frozenset())]
        if problems:
            yield Finding(
                code=self.code,
                severity=self.severity,
                message=f"the file name {name!r} {'; it '.join(problems)}; call it what it is about, "
                "in lower-case letters, digits and `_`",
            )


def _problems(stem: str) -> Iterator[str]:
    if not stem:
        yield "is empty"
    elif _DEFAULT.fullmatch(stem):
        yield "was given by the editor"
    if foreign := dict.fromkeys(_FOREIGN.findall(stem)):
        shown = ", ".join("a space" if each == " " else repr(each) for each in list(foreign)[:5])
        yield f"holds {shown}, which not every machine and command can write"
    if stem.startswith(("-", ".")):
        yield f"begins with {stem[0]!r}: " + (
            "commands take it for an option" if stem[0] == "-" else "it is hidden"
        )
    if _DEVICES.fullmatch(stem):
        yield "is the name of a device on Windows"


def _twins(name: str, siblings: frozenset[str]) -> Iterator[str]:
    for sibling in sorted(siblings):
        if sibling != name and sibling.casefold() == name.casefold():
            yield f"differs from {sibling!r} in upper and lower case only: some machines can hold but one of them"
