"""`rasen notebook`: a notebook that belongs to no pipeline."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand

from rasen.cli.output import JsonFlag, colour_verdict, print_json

_ASSIGNMENTS = ("-p", "--parameters", "-r", "--parameters_raw")
_CANCELLED_EXIT_CODE = 130


class PapermillStyle(TyperCommand):
    """A command that takes `-p name value` too, as papermill does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: typer does not export its own click
        """Read the arguments after `-p name value` has become `-p name=value`; a name holds no `=`."""
        joined: list[str] = []
        given = iter(args)
        for argument in given:
            joined.append(argument)
            if argument == "--":
                break
            if argument in _ASSIGNMENTS:
                name = next(given, None)
                if name is not None and "=" not in name:
                    value = next(given, None)
                    name = name if value is None else f"{name}={value}"
                joined += [] if name is None else [name]
        return super().parse_args(ctx, [*joined, *given])


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    notebook = typer.Typer(help="Notebooks that belong to no pipeline.", no_args_is_help=True)
    notebook.command("run", cls=PapermillStyle)(run_single)
    app.add_typer(notebook, name="notebook")


def run_single(
    source: Annotated[str, typer.Argument(metavar="IN", help="notebook; - is standard input")],
    target: Annotated[str, typer.Argument(metavar="OUT", help="executed notebook; - is standard output")],
    *,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameters", metavar="NAME=VALUE", help="read by the notebook's annotation"),
    ] = None,
    raw: Annotated[
        list[str] | None,
        typer.Option("-r", "--parameters_raw", metavar="NAME=TEXT", help="a text, whatever it looks like"),
    ] = None,
    yaml_file: Annotated[
        list[str] | None, typer.Option("-f", "--parameters_file", help="YAML file of parameters; -y wins")
    ] = None,
    yaml_text: Annotated[
        list[str] | None, typer.Option("-y", "--parameters_yaml", help="YAML text of parameters; -p wins")
    ] = None,
    base64_text: Annotated[
        list[str] | None, typer.Option("-b", "--parameters_base64", help="YAML in base64; -f wins")
    ] = None,
    inject_input_path: Annotated[
        bool, typer.Option("--inject-input-path", help="tell the notebook PAPERMILL_INPUT_PATH")
    ] = False,
    inject_output_path: Annotated[
        bool, typer.Option("--inject-output-path", help="tell the notebook PAPERMILL_OUTPUT_PATH")
    ] = False,
    inject_paths: Annotated[bool, typer.Option("--inject-paths", help="tell it both")] = False,
    kernel: Annotated[
        str | None, typer.Option("-k", "--kernel", help="the kernel; by default the one that it names")
    ] = None,
    language: Annotated[
        str | None, typer.Option("-l", "--language", help="language of the parameters that are put in")
    ] = None,
    cwd: Annotated[Path | None, typer.Option(help="working directory of the kernel")] = None,
    execution_timeout: Annotated[
        float | None, typer.Option(min=0, help="seconds that a cell may take; by default for ever")
    ] = None,
    start_timeout: Annotated[
        float,
        typer.Option("--start-timeout", "--start_timeout", min=0, help="seconds for the kernel to start"),
    ] = 60.0,
    prepare_only: Annotated[
        bool, typer.Option("--prepare-only/--prepare-execute", help="put the parameters in, execute nothing")
    ] = False,
    progress_bar: Annotated[
        bool | None,
        typer.Option(
            "--progress-bar/--no-progress-bar", help="by default on a terminal, without --log-output"
        ),
    ] = None,
    log_output: Annotated[
        bool, typer.Option("--log-output/--no-log-output", help="show what cells print on standard error")
    ] = False,
    stdout_file: Annotated[
        typer.FileTextWrite | None, typer.Option(encoding="utf-8", help="file for what cells print")
    ] = None,
    stderr_file: Annotated[
        typer.FileTextWrite | None, typer.Option(encoding="utf-8", help="file for what cells print as errors")
    ] = None,
    report_mode: Annotated[
        bool, typer.Option("--report-mode/--no-report-mode", help="mark the inputs as hidden")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Execute one notebook with papermill's options; exit with the code of the verdict.

    The parameters are typed where the `parameters` cell is annotated (`alpha: float = 0.6`), and guessed from the text
    as papermill guesses them where it is not. `-p NAME VALUE`, papermill's way to write it, works too.
    """
    logging.basicConfig(level=logging.INFO if log_output else logging.WARNING, format="%(message)s")
    signal.signal(signal.SIGTERM, _terminate)
    if as_json and target == "-":
        raise typer.BadParameter("--json and an output to standard output exclude one another")

    from rasen.batch.light_validation import import_validation

    import_validation()  # before the first import of nbformat
    from rasen.batch.exit_codes import exit_code_of
    from rasen.batch.given_parameters import GivenParameters
    from rasen.batch.single import Manner, run_notebook
    from rasen.tracking.records import Verdict

    # Where papermill reads and writes is no news; that it was given a parameter which it does not know is.
    logging.getLogger("papermill").addFilter(
        lambda record: record.module != "execute" or record.levelno > logging.INFO
    )
    told = Console(stderr=True, highlight=False)
    if progress_bar is None:
        progress_bar = told.is_terminal and not log_output and target != "-"
    given = GivenParameters(
        base64_texts=base64_text or (),
        files=yaml_file or (),
        yaml_texts=yaml_text or (),
        assignments=parameter or (),
        raw_assignments=raw or (),
        inject_input_path=inject_input_path or inject_paths,
        inject_output_path=inject_output_path or inject_paths,
    )
    manner = Manner(
        kernel=kernel,
        language=language,
        folder=cwd,
        cell_timeout_seconds=execution_timeout or None,
        start_timeout_seconds=start_timeout,
        progress_bar=progress_bar,
        log_output=log_output,
        stdout_file=stdout_file,
        stderr_file=stderr_file,
        report_mode=report_mode,
        prepare_only=prepare_only,
    )
    try:
        outcome = run_notebook(source, target, given, manner)
    except _Terminated:
        told.print(f"{colour_verdict(Verdict.INTERRUPTED)}  {escape(target)}", soft_wrap=True)
        raise typer.Exit(exit_code_of(Verdict.INTERRUPTED)) from None
    except KeyboardInterrupt:
        told.print(f"{colour_verdict(Verdict.INTERRUPTED)}  {escape(target)}", soft_wrap=True)
        raise typer.Exit(_CANCELLED_EXIT_CODE) from None
    if as_json:
        print_json(outcome if outcome is not None else {"verdict": None, "prepared": target})
    if outcome is None:
        return
    if not as_json and outcome.verdict is not Verdict.SUCCEEDED:
        where = f"cell {outcome.cell}" if outcome.cell is not None else "no cell"
        if outcome.traceback:
            told.print(escape(outcome.traceback), soft_wrap=True, highlight=False)
        told.print(
            f"{colour_verdict(outcome.verdict)}  {where} of {escape(source)} (counted from 0)  "
            f"{escape(outcome.error_name)}: {escape(outcome.error_message)}",
            soft_wrap=True,
        )
    raise typer.Exit(exit_code_of(outcome.verdict))


class _Terminated(KeyboardInterrupt):
    """The process was told to end by SIGTERM."""


def _terminate(_signal: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; what follows saves what there is
    raise _Terminated
