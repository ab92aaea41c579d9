"""The papermill engine `rasen`, reached through papermill's own entry point: `papermill --engine rasen` works.

It differs from papermill's engine where that one misleads (a kernel that died, a time-out and an interrupt are errors
in the notebook, and cells that were never reached say so) and where its time goes (no fixed waits, no rewriting of the
notebook). What it does is in `execution.py`; this file speaks papermill's language.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat

from rasen.batch.execution import Options, execute_notebook


class RasenEngine:
    """Executes notebooks for papermill.

    It has the methods of `papermill.engines.Engine` and does not derive from it: papermill loads its entry points while
    it is itself being imported, so whichever of the two was imported first would find the other half made.
    """

    @classmethod
    def execute_notebook(
        cls,
        nb: nbformat.NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        **given: Any,  # Any: papermill hands on whatever its caller gave
    ) -> nbformat.NotebookNode:
        """Execute `nb` in place and return it.

        papermill's own `execution_timeout` (of a cell) and `start_timeout` are honoured, both in seconds; `rasen` may
        hold `Options` with everything else.
        """
        options: Options = given.get("rasen") or Options(
            cell_timeout_seconds=given.get("execution_timeout"),
            start_timeout_seconds=given.get("start_timeout") or 60.0,
        )
        if output_path is not None and options.output is None:
            options = replace(options, output=Path(output_path))
        execute_notebook(nb, kernel_name, options)
        return nb

    @classmethod
    def nb_kernel_name(cls, nb: nbformat.NotebookNode, name: str | None = None) -> str:
        """Return the kernel to use: `name`, or what the notebook says."""
        from papermill.utils import nb_kernel_name

        found: str = nb_kernel_name(nb, name)
        return found

    @classmethod
    def nb_language(cls, nb: nbformat.NotebookNode, language: str | None = None) -> str:
        """Return the language to use: `language`, or what the notebook says."""
        from papermill.utils import nb_language

        found: str = nb_language(nb, language)
        return found
