"""Who checks notebooks, as the rest of the platform asks for it.

The linter lives in a package beside this one (`rasen_lint`), which brings itself in through the entry point group
`rasen.linters`. So the review, the control API and JupyterLab's server side show the very findings of `rasen lint`
without importing it, and an image that leaves it out says so in a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal, Protocol

from rasen.errors import PlatformFailed

GROUP = "rasen.linters"

Stage = Literal["editor", "review"]
"""Where a notebook is looked at: some rules only warn while it is being written and are errors before a merge."""


@dataclass(frozen=True, kw_only=True)
class LintFinding:
    """One finding; `cell` counts all cells from 0, lines and columns count from 1 within the cell.

    `severity` is `error` or `warning`; `fixable` says that `fix` can mend it; `url` documents the rule, if it is known.
    """

    code: str
    severity: str
    message: str
    cell: int | None = None
    cell_id: str | None = None
    line: int | None = None
    column: int | None = None
    end_line: int | None = None
    end_column: int | None = None
    fixable: bool = False
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class LintReport:
    """What came of one notebook: `problem` if it could not be read; `faults` name rules that failed: our fault."""

    findings: tuple[LintFinding, ...] = ()
    faults: tuple[str, ...] = ()
    problem: str | None = None


class Linter(Protocol):
    """A linter of notebooks."""

    def check(self, data: bytes, *, path: Path, stage: Stage = "editor") -> LintReport:
        """Check the bytes of a notebook; `path`, where it lies or would, leads to configuration and pipeline."""

    def fix(
        self, data: bytes, *, path: Path, codes: Sequence[str] | None = None, cell: int | None = None
    ) -> bytes:
        """Return the notebook with the safe fixes made: of all rules or of `codes`, in all cells or in one.

        Raises:
            NotebookError: The bytes are no notebook.
        """

    def explain(self, code: str) -> str:
        """Return the documentation of a rule, in plain text.

        Raises:
            InvalidInput: There is no such rule.
        """


def installed_linter() -> Linter:
    """Return the linter that is installed.

    Raises:
        PlatformFailed: There is none, or it cannot be imported.
    """
    for point in entry_points(group=GROUP):
        try:
            linter: Linter = point.load()()
        except ImportError as error:
            raise PlatformFailed(
                f"notebooks cannot be checked here: {error}; install the extra `rasen[lint]`"
            ) from None
        return linter
    raise PlatformFailed(
        "notebooks cannot be checked here: no linter is installed; install the extra `rasen[lint]`"
    )
