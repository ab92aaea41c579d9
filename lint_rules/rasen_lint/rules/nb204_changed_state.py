"""NB204: a notebook does not change the state that the cells around it stand on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity

# Each with what it changes. `%load_ext` only brings magics, `%matplotlib` and `%config` change what is shown.
_MAGICS = {
    "autoreload": "replaces modules while the notebook runs",
    "cd": "changes the working directory",
    "popd": "changes the working directory",
    "pushd": "changes the working directory",
    "reset": "deletes the variables of the cells above",
    "reset_selective": "deletes variables of the cells above",
    "set_env": "changes the environment of the kernel",
    "store": "reads and writes variables of other sessions",
    "xdel": "deletes a variable of the cells above",
}
_ENV_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\s*=|\s+\S)")
_CHDIR = ("os.chdir", "os.fchdir")
_MAGIC_CALLS = frozenset({"magic", "run_line_magic"})


class ChangedState:
    """Check that no cell changes the working directory, the environment, modules or variables behind the others.

    What it does:
        Finds `%cd`, `%pushd`, `%popd`, `%env NAME=value`, `%set_env`, `%reset`, `%reset_selective`, `%xdel`, `%store`,
        `%autoreload`, also written as `get_ipython().run_line_magic(…)`, and `os.chdir`. What only shows or sets up
        (`%env NAME`, `%matplotlib`, `%config`, `%load_ext`, `%time`) is left alone.

    Why it is bad:
        The cells below mean something else from there on, and the second time they are run something else again:
        `%cd data` works once. A run starts in the pipeline's folder with an environment that the platform made; what a
        cell changes there is in no record, and a model that was trained so cannot be trained again.

    Example:
        `%cd ../data`, `%autoreload 2`, `os.chdir("/srv/flights")`

    Use instead:
        Paths relative to the notebook, parameters instead of variables of the environment, and a restarted kernel
        instead of `%reset` and `%autoreload`.
    """

    code = "NB204"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each magic and each call."""
        for code_cell in document.other_cells():
            for magic in code_cell.magics:
                if change := _change(magic.name, magic.arguments):
                    message = _message(f"%{magic.name}", change)
                    yield finding_at(self.code, self.severity, message, code_cell.cell, line=magic.line)
            yield from self._check_magic_calls(code_cell)
        for call in document.calls_of(*_CHDIR):
            if not call.code_cell.is_parameters:
                message = _message(call.name, _MAGICS["cd"])
                yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node)

    def _check_magic_calls(self, code_cell: CodeCell) -> Iterator[Finding]:
        for node in code_cell.nodes.of(ast.Call):
            if not (isinstance(node.func, ast.Attribute) and node.func.attr in _MAGIC_CALLS):
                continue
            words = [each.value for each in node.args if isinstance(each, ast.Constant)]
            text = " ".join(each for each in words if isinstance(each, str)).lstrip("%")
            name, _, arguments = text.partition(" ")
            if change := _change(name, arguments.strip()):
                yield finding_at(
                    self.code, self.severity, _message(f"%{name}", change), code_cell.cell, node=node
                )


def _change(name: str, arguments: str) -> str | None:
    if name == "env":
        return _MAGICS["set_env"] if _ENV_ASSIGNMENT.match(arguments) else None
    return _MAGICS.get(name)


def _message(what: str, change: str) -> str:
    remedies = {
        _MAGICS["cd"]: "write paths relative to the notebook",
        _MAGICS["set_env"]: "make it a parameter",
        _MAGICS["store"]: "hand tables on with `rasen.save_table`",
        _MAGICS["autoreload"]: "restart the kernel instead",
    }
    return f"`{what}` {change} for all cells below; {remedies.get(change, 'restart the kernel instead')}"
