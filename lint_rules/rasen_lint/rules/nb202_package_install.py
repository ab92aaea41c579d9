"""NB202: a notebook installs no packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.magics import Magic, MagicKind

_SHELL_CELLS = frozenset({"!", "bash", "sh", "script", "system", "sx"})
_INSTALLERS = frozenset({"pip", "pip3", "conda", "mamba", "micromamba", "uv"})
_ACTION = r"(?:\s+(?:pip|env|-{1,2}[\w-]+(?:=\S+)?))*\s+(?P<action>install|add|update|upgrade|create|sync)\b"
_COMMAND = re.compile(
    rf"(?:^|[\s;&|(`/'\"])(?P<installer>pip[\d.]*|conda|mamba|micromamba|uv){_ACTION}", re.MULTILINE
)
_AFTER_NAME = re.compile(rf"^{_ACTION}")
# Functions that hand a command to the system, by the last part of their name.
_RUNNERS = frozenset(
    {
        "Popen",
        "call",
        "check_call",
        "check_output",
        "getoutput",
        "getstatusoutput",
        "popen",
        "run",
        "run_cell_magic",
        "run_line_magic",
        "system",
    }
)


class PackageInstall:
    """Check that no cell installs packages.

    What it does:
        Looks for pip, conda, mamba and uv that install something: as magic (`%pip`), in a shell command (`!pip`), in
        a cell of shell (`%%bash`), and handed to the system from Python (`subprocess.run`, `os.system`).

    Why it is bad:
        A run happens in the platform's image, whose versions were tested together and are written into the manifest.
        A package installed on the way changes them behind its back: the model loads in the notebook and not in
        serving, and next month's run gets next month's version.

    Example:
        `%pip install lightgbm`

    Use instead:
        Add the package to `requirements.lock` by a pull request; the next image has it everywhere.
    """

    code = "NB202"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each command that installs."""
        for code_cell in document.other_cells():
            for line, command in find_installs(code_cell):
                message = (
                    f"`{command}` changes the environment of the run; add the package to requirements.lock"
                )
                yield finding_at(self.code, self.severity, message, code_cell.cell, line=line)


def find_installs(code_cell: CodeCell) -> list[tuple[int, str]]:
    """Return the commands of a cell that install packages, each with its line."""
    return sorted({*_from_magics(code_cell), *_from_calls(code_cell)})


def _from_magics(code_cell: CodeCell) -> Iterator[tuple[int, str]]:
    for magic in code_cell.magics:
        if magic.kind is MagicKind.CELL:
            yield from _from_shell_cell(magic)
        elif magic.kind is MagicKind.SHELL or magic.name in {"sx", "system"}:
            if found := _COMMAND.search(magic.arguments):
                yield magic.line, _show(found)
        elif magic.name in _INSTALLERS and (action := _AFTER_NAME.match(f" {magic.arguments}")):
            yield magic.line, f"{magic.name} {action[0].strip()}"


def _from_shell_cell(magic: Magic) -> Iterator[tuple[int, str]]:
    if magic.name in _INSTALLERS and (action := _AFTER_NAME.match(f" {magic.arguments}")):
        yield magic.line, f"{magic.name} {action[0].strip()}"
    if magic.name not in _SHELL_CELLS:
        return
    for number, line in enumerate(magic.body.splitlines(), start=magic.line + 1):
        if not line.lstrip().startswith("#") and (found := _COMMAND.search(line)):
            yield number, _show(found)


def is_install(call: ast.Call) -> bool:
    """Return whether a call hands the system a command that installs packages."""
    return _installed(call) is not None


def _from_calls(code_cell: CodeCell) -> Iterator[tuple[int, str]]:
    for node in code_cell.nodes.of(ast.Call):
        if (command := _installed(node)) is not None:
            yield node.lineno, command


def _installed(call: ast.Call) -> str | None:
    name = _last_name(call.func)
    if name in _RUNNERS:
        found = _COMMAND.search(" ".join(word for argument in call.args for word in _texts(argument)))
        return None if found is None else _show(found)
    if name == "main" and ast.unparse(call.func) in {"pip.main", "pip._internal.main"}:
        return "pip.main"
    return None


def _last_name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _texts(argument: ast.expr) -> Iterator[str]:
    """Yield the texts of an argument in the order they are written: of a string, an f-string, a list."""
    for node in ast.iter_child_nodes(argument):
        yield from _texts(node) if isinstance(node, ast.expr) else ()
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value


def _show(found: re.Match[str]) -> str:
    return " ".join(found[0][found.start("installer") - found.start() :].split())
