"""One notebook that belongs to no pipeline: what `rasen notebook run` does, with papermill's options and our engine.

papermill parses, parameterises and reports; the engine executes; the engine's verdict counts, because papermill's takes
an expected error for a failure. The notebook is handed to papermill already read: so standard input is read once, what
older tools left out (a kernel's name, unique ids) is put right before papermill trips over it, and the output is
written by us, atomically.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import nbformat
from papermill import execute_notebook
from papermill.exceptions import PapermillException, PapermillExecutionError
from papermill.iorw import LocalHandler, load_notebook_node, papermill_io
from papermill.log import logger
from papermill.parameterize import add_builtin_parameters, parameterize_path

from rasen.batch.cell_notes import as_node
from rasen.batch.execution import Options
from rasen.batch.given_parameters import GivenParameters, read_defaults, read_given
from rasen.batch.outcome import Outcome
from rasen.batch.saver import Saver, sweep_parts
from rasen.batch.secret_channel import keep_secrets
from rasen.errors import InvalidInput, NotebookError, NotFound, PlatformFailed
from rasen.settings import load_settings, notebook_environment
from rasen.tracking.records import Verdict

_ENGINE = "rasen"
_TOO_LATE = "the run was told to stop when its notebook had ended"


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a notebook is executed; the words are papermill's.

    Args:
        kernel: Name of the kernel; by default the notebook's own.
        language: Language of the parameters that are put in; by default the notebook's own, or its kernel's.
        folder: Working directory of the kernel; by default this process's.
        cell_timeout_seconds: How long a cell may take.
        start_timeout_seconds: How long the kernel may take to answer.
        progress_bar: Show a progress bar on standard error.
        log_output: Hand what cells print to papermill's log.
        stdout_file: Where what cells print goes besides.
        stderr_file: Where what cells print on standard error goes besides.
        report_mode: Mark the inputs as hidden.
        prepare_only: Put the parameters in and execute nothing.
    """

    kernel: str | None = None
    language: str | None = None
    folder: Path | None = None
    cell_timeout_seconds: float | None = None
    start_timeout_seconds: float = 60.0
    progress_bar: bool = False
    log_output: bool = False
    stdout_file: IO[str] | None = None
    stderr_file: IO[str] | None = None
    report_mode: bool = False
    prepare_only: bool = False


def run_notebook(source: str, target: str, given: GivenParameters, manner: Manner) -> Outcome | None:
    """Execute the notebook at `source`, write what became of it to `target`, and return how it ended.

    Both are paths, `-` for standard input and output, or an address that papermill has a handler for. As with
    papermill, `{name}` in them stands for the value of a parameter, unless a file of exactly that name exists.
    `None` is returned when the notebook was only prepared. While it runs there is a hidden journal beside the output;
    when this process is killed it stays, until the next run with the same output.

    Raises:
        InvalidInput: The notebook, a parameter, the kernel or the place of the output is wrong; nothing was executed.
        PlatformFailed: There is no verdict.
        KeyboardInterrupt: This process was told to stop; the output was saved and says so.
    """
    untyped = given.untyped(source=source, target=target)
    source, target = _fill_in(source, untyped, keep=True), _fill_in(target, untyped, keep=False)
    if manner.folder is not None and not manner.folder.is_dir():
        raise NotFound(f"the working directory {str(manner.folder)!r} does not exist")
    local = _local_target(target)
    notebook = _read(source)
    kernel, language = _choose_kernel(notebook, source, manner)
    parameters = read_given(notebook, given, language=language, source=source, target=target)
    names = {"input_path": source, "output_path": target}
    # What stands in the cell as a default may be a reference as well as what was given.
    known = read_defaults(notebook, language=language, source=source) | parameters
    with (
        tempfile.TemporaryDirectory(prefix="rasen-") as scratch,
        keep_secrets(load_settings(), {} if manner.prepare_only else known) as keeper,
    ):
        output = local or Path(scratch) / "output.ipynb"
        options = Options(
            environment=notebook_environment(**keeper.environment),
            mask=keeper.mask,
            folder=str(manner.folder.resolve()) if manner.folder is not None else None,
            cell_timeout_seconds=manner.cell_timeout_seconds,
            start_timeout_seconds=manner.start_timeout_seconds,
            output=output,
            journal=journal_of(output),
            names=names,
        )
        sweep_parts(output)
        try:
            prepared = _through_papermill(notebook, parameters, kernel, language, manner, options)
            if manner.prepare_only:
                prepared.metadata.papermill.update(names)
                Saver(output).save(prepared)
        except KeyboardInterrupt as error:
            _mark_interrupted(output)
            raise error from None
        finally:
            journal_of(output).unlink(missing_ok=True)
            if local is None and output.is_file():
                papermill_io.write(output.read_text(encoding="utf-8"), target, [])
        if manner.prepare_only:
            return None
        outcome = Outcome.read(output)
    if outcome is None:
        raise PlatformFailed(f"{target!r} holds no verdict")
    return outcome


def journal_of(output: Path) -> Path:
    """Return the file beside an output that holds its journal while it is executed, and after its runner was killed.

    `salvage_notebook` makes the notebook from it.
    """
    return output.with_name(f".{output.name}.journal")


def _mark_interrupted(output: Path) -> None:
    """See to it that an output tells of the interrupt: it may have come when the notebook had ended already."""
    outcome = Outcome.read(output)
    if outcome is None or outcome.verdict is Verdict.INTERRUPTED:
        return
    notebook = as_node(json.loads(output.read_bytes()))
    ended = replace(outcome, verdict=Verdict.INTERRUPTED, error_name="Interrupted", error_message=_TOO_LATE)
    notebook.metadata["rasen"] = as_node(ended.to_json())
    notebook.metadata.papermill["exception"] = True
    Saver(output).save(notebook)


def _through_papermill(
    notebook: nbformat.NotebookNode,
    parameters: dict[str, Any],  # Any: whatever YAML holds
    kernel: str,
    language: str,
    manner: Manner,
    options: Options,
) -> nbformat.NotebookNode:
    # papermill's own verdict is not asked: it takes every error output for a failure, expected ones too.
    with suppress(PapermillExecutionError):
        executed: nbformat.NotebookNode = execute_notebook(
            notebook,
            None,
            parameters=parameters,
            engine_name=_ENGINE,
            kernel_name=kernel,
            language=language,
            prepare_only=manner.prepare_only,
            report_mode=manner.report_mode,
            progress_bar=manner.progress_bar,
            log_output=manner.log_output,
            stdout_file=manner.stdout_file,
            stderr_file=manner.stderr_file,
            rasen=options,
        )
        return executed
    return notebook


def _fill_in(path: str, parameters: dict[str, Any], *, keep: bool) -> str:  # Any: whatever YAML holds
    """Put parameters into a path as papermill does; with `keep`, a file that is named like this is meant itself."""
    if "{" not in path or (keep and Path(path).exists()):
        return path
    try:
        filled: str = parameterize_path(path, add_builtin_parameters(parameters))
    except (PapermillException, ValueError, IndexError, AttributeError) as error:
        raise InvalidInput(
            f"{path!r}: {error}; braces in a path stand for parameters, a brace itself is written twice"
        ) from None
    return filled


def _local_target(target: str) -> Path | None:
    """Return the output as an absolute path, or `None` for standard output and addresses.

    Raises:
        NotFound: Its folder does not exist: said now, not after an hour of work.
    """
    if not _is_local(target):
        return None
    path = Path(target).absolute()
    if not path.parent.is_dir():
        raise NotFound(f"the folder of the output {target!r} does not exist; make it first")
    if path.is_dir():
        raise InvalidInput(f"the output {target!r} is a folder; name a file in it")
    return path


def _is_local(path: str) -> bool:
    return isinstance(papermill_io.get_handler(path), LocalHandler)


def _read(source: str) -> nbformat.NotebookNode:
    """Read a notebook of any format as one of format 4.

    Raises:
        NotFound: There is no such file.
        NotebookError: It is no notebook.
    """
    try:
        text = Path(source).read_text("utf-8") if _is_local(source) else papermill_io.read(source, [])
    except UnicodeDecodeError as error:
        raise NotebookError(f"{source!r} is no notebook: {error}") from None
    except OSError as error:
        raise NotFound(f"notebook {source!r} cannot be read: {error.strerror or error}") from None
    # nbformat warns of what it repairs, such as a cell id that stands twice; each is one line of the log.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notebook = _parse(text, source)
    for warning in caught:
        if not issubclass(warning.category, DeprecationWarning):
            logger.warning("%s: %s", source, warning.message)
    return notebook


def _parse(text: str, source: str) -> nbformat.NotebookNode:
    try:
        read = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call] # nbformat annotates little
        node = nbformat.from_dict(read)  # type: ignore[no-untyped-call] # as above; of format 3 it had a class of its own
        loaded: nbformat.NotebookNode = load_notebook_node(node)
        return loaded
    except Exception as error:  # noqa: BLE001  # nbformat falls over wrong JSON in every way there is
        problem = (str(error).splitlines() or [""])[0][:200]
        raise NotebookError(f"{source!r} is no notebook: {problem or type(error).__name__}") from None


def _choose_kernel(notebook: nbformat.NotebookNode, source: str, manner: Manner) -> tuple[str, str]:
    """Return the name of the kernel and the language of the parameters.

    A notebook that names no kernel is executed by that of its language, where papermill gives up.

    Raises:
        NotebookError: The kernel is not installed here, or there is none for the language.
    """
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel

    metadata = notebook.metadata
    manager = KernelSpecManager()
    language = (
        manner.language
        or metadata.get("language_info", {}).get("name")
        or metadata.get("kernelspec", {}).get("language")
    )
    name = manner.kernel or metadata.get("kernelspec", {}).get("name")
    if not name and (language or "python").lower() in ("python", "ipython"):
        name = NATIVE_KERNEL_NAME
    if name == "python":  # as older tools call it
        name = NATIVE_KERNEL_NAME
    if not name:
        raise NotebookError(f"{source!r} names no kernel, its language is {language!r}; choose one with -k")
    try:
        spec = manager.get_kernel_spec(name)
    except NoSuchKernel:
        there = ", ".join(sorted(manager.find_kernel_specs()))
        raise NotebookError(
            f"{source!r} asks for the kernel {name!r}, which is not installed here; there are {there}: "
            "choose one with -k"
        ) from None
    return name, language or spec.language
