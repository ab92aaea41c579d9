"""NB203: a notebook does not hand work to a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.document import Call, CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.magics import MagicKind
from rasen_lint.rules.nb202_package_install import find_installs, is_install

_SHELL_CELLS = frozenset({"!", "bash", "sh", "zsh", "script", "system", "sx", "cmd", "powershell"})
_SHELL_MAGICS = frozenset({"sx", "system"})
_ALWAYS_SHELL = ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
_SHELL_IF_ASKED = tuple(
    f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")
)


class ShellEscape:
    """Check that no cell runs shell commands.

    What it does:
        Finds `!command`, `!!command`, `x = !command`, `%sx`, `%system`, cells of shell (`%%bash`, `%%sh`, `%%script`,
        `%%!`), `os.system`, `os.popen` and `subprocess` with `shell=True`. A command that installs packages is NB202's.

    Why it is bad:
        A failing shell command stops nothing: the notebook goes on with yesterday's file and the run succeeds. What the
        command needs (`wget`, `unzip`, a mounted folder) is in no lock file, and what it reads is in no snapshot.

    Example:
        `!wget -q https://example.com/flights.csv`

    Use instead:
        Python: `rasen.read_file("flights.csv")`, `shutil`, `zipfile`, `pathlib`; `subprocess.run([…], check=True)`
        where a program is really needed.
    """

    code = "NB203"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each command, or for each cell of shell."""
        for code_cell in document.other_cells():
            commands = list(_commands(code_cell))
            installs = {line for line, _ in find_installs(code_cell)} if commands else set()
            for line, last, shown in commands:
                if installs.isdisjoint(range(line, last + 1)):
                    message = f"`{shown}` runs in a shell, whose failures stop nothing; write it in Python"
                    yield finding_at(self.code, self.severity, message, code_cell.cell, line=line)
        for call in _calls(document):
            if not call.code_cell.is_parameters and not is_install(call.node):
                message = f"`{call.name}` runs in a shell, whose failures stop nothing; write it in Python"
                yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node)


def _commands(code_cell: CodeCell) -> Iterator[tuple[int, int, str]]:
    """Yield first line, last line and text of what magics hand to a shell."""
    for magic in code_cell.magics:
        if magic.kind is MagicKind.CELL:
            if magic.name in _SHELL_CELLS:
                yield magic.line, magic.line + len(magic.body.splitlines()), f"%%{magic.name}"
        elif magic.kind is MagicKind.SHELL:
            yield magic.line, magic.line, _shorten(f"!{magic.arguments}")
        elif magic.name in _SHELL_MAGICS:
            yield magic.line, magic.line, _shorten(f"%{magic.name} {magic.arguments}")


def _calls(document: Document) -> Iterator[Call]:
    yield from document.calls_of(*_ALWAYS_SHELL)
    for call in document.calls_of(*_SHELL_IF_ASKED):
        for keyword in call.node.keywords:
            if (
                keyword.arg == "shell"
                and isinstance(keyword.value, ast.Constant)
                and keyword.value.value is True
            ):
                yield call


def _shorten(command: str) -> str:
    return command if len(command) <= 60 else command[:59] + "…"
