"""`rasen run`: run a release, or a working copy, on this machine."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from rasen.cli.control import ServerOption, open_client
from rasen.cli.output import JsonFlag, colour_verdict, console, print_json
from rasen.settings import load_settings


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands to `app`."""
    app.command("run")(run_pipeline)


def run_pipeline(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            help="name of a registered pipeline; with --dev the folder of a working copy; not needed with --resume"
        ),
    ] = None,
    *,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", help="name=value, read by the notebook's annotation"),
    ] = None,
    parameters_file: Annotated[
        Path | None,
        typer.Option("-y", "--parameters-file", help="YAML file of parameters; -p wins", exists=True),
    ] = None,
    dev: Annotated[
        bool,
        typer.Option("--dev", help="run the files as they are in a folder; never deployable outside dev"),
    ] = False,
    release_id: Annotated[
        str | None, typer.Option("--release", help="an older release than the current one")
    ] = None,
    deploy: Annotated[
        bool | None,
        typer.Option("--deploy/--no-deploy", help="may the model go live? yes for a release, no with --dev"),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(help="your own name for this wish: asking again with it continues the same run"),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=1,
            help="most steps that run at once; as many as there are processors by default",
        ),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(help="a run that did not succeed: run what failed and what follows, keep the rest"),
    ] = None,
    from_step: Annotated[
        str | None,
        typer.Option("--from", help="with --resume: run this step and all that follows again, keep the rest"),
    ] = None,
    qualify: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="a run that published a model: qualify that again, beside what is live now; its steps are kept",
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="only show where each parameter's value would come from")
    ] = False,
    server: ServerOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a pipeline's notebooks, qualify and publish its model; exit with the code of the verdict."""
    from rasen.batch import execute
    from rasen.cli.live_view import open_view
    from rasen.parameter_explanation import render_explanation
    from rasen.store import open_store

    changes = bool(parameter or parameters_file or request or explain)
    _check_combination(pipeline, resume=resume, from_step=from_step, changes=changes, qualify=qualify)
    if qualify is not None and (changes or dev or release_id or deploy is not None):
        _refuse_with_qualify()
    given = _read_yaml(parameters_file) if parameters_file else {}
    client = open_client(server)
    if client is not None:
        from rasen.cli.remote_run import run_remotely

        _check_remote(resume=resume, qualify=qualify, explain=explain, jobs=jobs)
        assert pipeline is not None  # held above
        raise typer.Exit(
            run_remotely(
                client,
                pipeline,
                dev=dev,
                release_id=release_id,
                given=given,
                typed=parameter or [],
                deploy=deploy,
                request=request,
                as_json=as_json,
            )
        )
    settings = load_settings()
    now = datetime.now(tz=UTC)
    if explain:
        assert pipeline is not None  # held above
        rows = execute.explain(
            settings, pipeline, dev=dev, release_id=release_id, given=given, typed=parameter or [], now=now
        )
        if as_json:
            print_json([row.to_dict() for row in rows])
        else:
            for line in render_explanation(rows):
                console().print(escape(line), soft_wrap=True)
        return
    with open_view(open_store(settings), as_json=as_json) as view:
        if qualify is not None:
            executed = execute.requalify(
                settings, qualify, by=getpass.getuser(), now=now, observe=view.observe, jobs=jobs
            )
        elif resume is not None:
            executed = execute.resume(
                settings,
                resume,
                folder=Path(pipeline or ".") if dev else None,
                release_id=release_id,
                from_step=from_step,
                deploy=deploy,
                observe=view.observe,
                jobs=jobs,
            )
        else:
            assert pipeline is not None  # held above
            executed = execute.execute(
                settings,
                pipeline,
                dev=dev,
                release_id=release_id,
                given=given,
                typed=parameter or [],
                deploy=(not dev) if deploy is None else deploy,
                request=request,
                by=getpass.getuser(),
                now=now,
                observe=view.observe,
                jobs=jobs,
            )
    if as_json:
        print_json(executed.report())
    else:
        out = console()
        out.print(
            f"\n[bold]{escape(executed.pipeline)}[/bold]  {executed.run}  {colour_verdict(executed.verdict)}"
        )
        for line in executed.explanation():
            out.print(escape(line), soft_wrap=True)
    raise typer.Exit(executed.exit_code)


def _check_remote(*, resume: str | None, qualify: str | None, explain: bool, jobs: int | None) -> None:
    from rasen.errors import InvalidInput

    given = {"--resume": resume, "--qualify": qualify, "--explain": explain or None, "--jobs": jobs}
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise InvalidInput(
            f"{', '.join(wrong)} and --server exclude one another: the control API starts new runs, and its platform "
            "says how many steps run at once"
        )


def _refuse_with_qualify() -> None:
    from rasen.errors import InvalidInput

    raise InvalidInput(
        "--qualify RUN takes everything from the run that published the version: parameters, release, and whether it "
        "may go live; leave the other options out"
    )


def _check_combination(
    pipeline: str | None, *, resume: str | None, from_step: str | None, changes: bool, qualify: str | None
) -> None:
    from rasen.errors import InvalidInput

    if qualify is not None and (pipeline is not None or resume is not None):
        raise InvalidInput(f"--qualify {qualify!r} names a run; leave the pipeline and --resume out")
    if pipeline is None and resume is None and qualify is None:
        raise InvalidInput("which pipeline? give its name, or a folder with --dev, or --resume RUN")
    if from_step is not None and resume is None:
        raise InvalidInput(f"--from {from_step!r} says where to resume; add --resume RUN")
    if resume is not None and changes:
        raise InvalidInput(
            "a resumed run keeps the parameters of the run that it resumes; leave -p, -y, --request and --explain out, "
            "or start a new run"
        )


def _read_yaml(path: Path) -> dict[str, Any]:  # Any: JSON-like
    from rasen.errors import ParameterError
    from rasen.strict_yaml import YamlProblem, parse_yaml

    try:
        data = parse_yaml(path.read_text(encoding="utf-8")).data
    except YamlProblem as problem:
        raise ParameterError(f"{str(path)!r}, line {problem.line}: {problem.message}") from None
    if not isinstance(data, dict):
        raise ParameterError(f"{str(path)!r} must hold a mapping of parameters, not {type(data).__name__}")
    return data
