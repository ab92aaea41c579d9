"""The papermill engine `rasen`, reached through papermill's own entry point: `papermill --engine rasen` works.

It differs from papermill's engine where that one misleads (a kernel that died, a time-out and an interrupt are errors
in the notebook, and cells that were never reached say so) and where its time goes (no fixed waits, no rewriting of the
notebook). What it does is in `execution.py`; this file speaks papermill's language.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar

import nbformat

from rasen.batch.execution import Options, Progress, execute_notebook
from rasen.batch.messages import Message
from rasen.batch.secret_channel import keep_secrets
from rasen.settings import load_settings, notebook_environment
from rasen.tracking.records import Verdict

_Told = TypeVar("_Told")
_log = logging.getLogger("papermill")


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
        *,
        progress_bar: bool | dict[str, Any] = True,  # Any: options of tqdm
        log_output: bool = False,
        stdout_file: IO[str] | None = None,
        stderr_file: IO[str] | None = None,
        **given: Any,  # Any: papermill hands on whatever its caller gave
    ) -> nbformat.NotebookNode:
        """Execute `nb` in place and return it.

        papermill's own options mean what they mean there: `execution_timeout` (of a cell) and `start_timeout`, both in
        seconds, the progress bar, the log and the files for what is printed. `rasen` may hold `Options` with
        everything else.
        """
        options: Options = given.get("rasen") or Options(
            cell_timeout_seconds=given.get("execution_timeout"),
            start_timeout_seconds=given.get("start_timeout") or 60.0,
        )
        if output_path is not None and options.output is None:
            options = replace(options, output=_local_path(output_path))
        files = {"stdout": stdout_file, "stderr": stderr_file}
        if log_output or stdout_file is not None or stderr_file is not None:
            options = replace(options, hear=_both(options.hear, _Echo(files, log_output=log_output).hear))
        if given.get("rasen") is not None:
            return cls._execute(nb, kernel_name, options, progress_bar)
        parameters = nb.metadata.get("papermill", {}).get("parameters", {})
        with keep_secrets(load_settings(), parameters) as keeper:
            environment = notebook_environment(**keeper.environment)
            options = replace(options, environment=environment, mask=keeper.mask)
            return cls._execute(nb, kernel_name, options, progress_bar)

    @classmethod
    def _execute(
        cls,
        nb: nbformat.NotebookNode,
        kernel_name: str,
        options: Options,
        progress_bar: bool | dict[str, Any],  # Any: options of tqdm  # noqa: FBT001  # papermill's
    ) -> nbformat.NotebookNode:
        if not progress_bar:
            execute_notebook(nb, kernel_name, options)
            return nb

        from tqdm.auto import tqdm  # type: ignore[import-untyped] # ships no types

        wanted = progress_bar if isinstance(progress_bar, dict) else {}
        with tqdm(**{"total": len(nb.cells), "unit": "cell", "desc": "Executing", **wanted}) as bar:

            def advance(progress: Progress) -> None:
                bar.update(progress.cell - bar.n)

            options = replace(options, observe=_both(options.observe, advance))
            outcome = execute_notebook(nb, kernel_name, options)
            if outcome.verdict is Verdict.SUCCEEDED:
                bar.update(len(nb.cells) - bar.n)
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


def _local_path(output_path: str) -> Path | None:
    """Return the file that papermill means, or `None` for an address: there it writes once, at the end.

    papermill executes in the working directory of the notebook and remembers its own for reading and writing.
    """
    from papermill.iorw import LocalHandler, papermill_io

    handler = papermill_io.get_handler(output_path)
    if not isinstance(handler, LocalHandler):
        return None
    folder = handler.cwd(None)
    handler.cwd(folder)
    return Path(folder or "", output_path)


class _Echo:
    """Hands what cells print to papermill's log and files, message by message."""

    def __init__(self, files: dict[str, IO[str] | None], *, log_output: bool) -> None:
        self._files = files
        self._log_output = log_output

    def hear(self, message: Message) -> None:
        """Take one message of a cell."""
        content = message.content
        match message.kind:
            case "stream":
                if self._log_output:
                    (_log.info if content["name"] == "stdout" else _log.warning)("%s", content["text"])
                file = self._files.get(content["name"])
                if file is not None:
                    file.write(content["text"])
                    file.flush()
            case "display_data" | "execute_result":
                if self._log_output and "text/plain" in content["data"]:
                    _log.info("%s", content["data"]["text/plain"])
            case _:
                pass


def _both(first: Callable[[_Told], None] | None, second: Callable[[_Told], None]) -> Callable[[_Told], None]:
    if first is None:
        return second

    def call(given: _Told) -> None:
        first(given)
        second(given)

    return call
