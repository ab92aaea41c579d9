"""NB210: a notebook runs without anybody answering it."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity

_QUESTIONS = ("input", "builtins.input", "raw_input", "getpass", "getpass.getpass")
_DEBUGGERS = (
    "breakpoint",
    "builtins.breakpoint",
    "IPython.core.debugger.set_trace",
    "IPython.embed",
    "IPython.start_ipython",
    "code.interact",
    "debugpy.breakpoint",
    "debugpy.wait_for_client",
    "ipdb.set_trace",
    "ipdb.post_mortem",
    "ipdb.pm",
    "ipdb.run",
    "ipdb.runcall",
    "ipdb.sset_trace",
    "pdb.post_mortem",
    "pdb.pm",
    "pdb.run",
    "pdb.runcall",
    "pdb.runeval",
    "pdb.set_trace",
    "pudb.set_trace",
    "pdb.Pdb.set_trace",
)
_MAGICS = frozenset({"debug", "pdb"})


class AsksAPerson:
    """Check that no cell waits for a person: no `input()`, no password prompt, no debugger.

    What it does:
        Finds calls of `input` and `getpass`, `breakpoint()` and what starts pdb, ipdb, pudb, debugpy or an inner
        IPython, and the magics `%debug`, `%%debug` and `%pdb`. A function of the notebook's own that is called `input`
        is left alone.

    Why it is bad:
        At night nobody answers. The run ends with `StdinNotImplementedError`, or waits until its timeout, after
        everything above has been computed.

    Example:
        `day = input("Which day? ")`

    Use instead:
        A parameter: `day: str = "2013-07-01"`. A secret comes from `rasen.secret(reference)`. Take debuggers out once
        the fault is found.
    """

    code = "NB210"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each call and each magic."""
        for call in document.calls_of(*_QUESTIONS, *_DEBUGGERS):
            if not call.code_cell.is_parameters:
                message = (
                    f"`{call.name}` waits for a person, and at night nobody answers; {_advice(call.name)}"
                )
                yield finding_at(self.code, self.severity, message, call.code_cell.cell, node=call.node)
        for code_cell in document.other_cells():
            for magic in code_cell.magics:
                if magic.name in _MAGICS and magic.arguments.split("#")[0].strip().lower() not in {
                    "off",
                    "0",
                }:
                    message = f"`%{magic.name}` waits for a person; take it out"
                    yield finding_at(self.code, self.severity, message, code_cell.cell, line=magic.line)


def _advice(name: str) -> str:
    if name not in _QUESTIONS:
        return "take it out"
    return "use `rasen.secret(reference)`" if "getpass" in name else "make the answer a parameter"
