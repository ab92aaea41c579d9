"""The checks that need no cell to run: what is certain now is said now, not after an hour of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rasen.errors import NotebookError, PipelineError, RasenError
from rasen.interface_test.checks import Outcome
from rasen.interface_test.notebook_calls import Calls, join_calls, read_calls, read_module_calls
from rasen.interface_test.plan import PUBLISH, Plan, gate_check, gate_notebooks, wanted_by
from rasen.linter import Linter, LintFinding
from rasen.metric_directions import DIRECTIONS
from rasen.notebook import Notebook, check_runnable, read_notebook
from rasen.parameters import notebook_parameters
from rasen.pipeline import PIPELINE_FILE, parse_pipeline
from rasen.pipeline_schema import Pipeline

_SHOWN_FINDINGS = 20
_OF_QUALIFICATION = ("profile_mean", "profile_coverage")  # metrics that no notebook logs


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a check came to."""

    outcome: Outcome
    message: str
    details: tuple[str, ...] = ()


def passed(message: str, *details: str) -> Found:
    """Return that a check passed."""
    return Found(outcome=Outcome.PASSED, message=message, details=details)


def failed(message: str, *details: str) -> Found:
    """Return that a check failed."""
    return Found(outcome=Outcome.FAILED, message=message, details=details)


def skipped(message: str) -> Found:
    """Return that a check was not made."""
    return Found(outcome=Outcome.SKIPPED, message=message)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """A pipeline's files as far as they can be read.

    Args:
        pipeline: As declared.
        parameters: What the check of each step's parameters came to.
        calls: By step.
        helpers: Of the modules in the folder.
        gate_calls: By notebook.
    """

    pipeline: Pipeline
    parameters: Mapping[str, Found]
    calls: Mapping[str, Calls]
    helpers: Calls
    gate_calls: Mapping[str, Calls] = field(default_factory=dict)


def read_sources(folder: Path) -> Sources:
    """Read `pipeline.yaml` and what the notebooks and modules of a folder say.

    Raises:
        PipelineError: There is no `pipeline.yaml`, or it is wrong by itself.
    """
    file = folder / PIPELINE_FILE
    source = f"{folder.resolve().name}/{PIPELINE_FILE}"
    try:
        pipeline = parse_pipeline(file.read_text(encoding="utf-8-sig"), source=source)
    except UnicodeDecodeError as error:
        raise PipelineError(f"{source}: {error}") from None
    except OSError as error:
        raise PipelineError(f"{source} cannot be read: {error.strerror}") from None
    parameters: dict[str, Found] = {}
    calls: dict[str, Calls] = {}
    for name, step in pipeline.steps.items():
        try:
            notebook = read_notebook(folder / step.notebook)
            calls[name] = read_calls(notebook)
            parameters[name] = _check_parameters(notebook)
        except NotebookError as error:
            parameters[name] = failed(str(error))
    gate_calls: dict[str, Calls] = {}
    for path in gate_notebooks(pipeline):
        try:
            gate_calls[path] = read_calls(read_notebook(folder / path))
        except NotebookError:
            continue  # the check of the folder says so
    return Sources(
        pipeline=pipeline,
        parameters=parameters,
        calls=calls,
        helpers=join_calls(map(_read_module, _modules(folder))),
        gate_calls=gate_calls,
    )


def _modules(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _read_module(path: Path) -> Calls:
    try:
        return read_module_calls(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return Calls()


def _check_parameters(notebook: Notebook) -> Found:
    check_runnable(notebook)
    names = [f"{each.name}: {each.annotation}" for each in notebook_parameters(notebook)]
    if not names:
        return passed("there are no parameters")
    return passed(f"{len(names)} typed: {', '.join(names)}")


def check_lint(linter: Linter, file: Path) -> Found:
    """Ask the linter about a notebook; its errors fail the check, its warnings are counted."""
    try:
        report = linter.check(file.read_bytes(), path=file, stage="editor")
    except OSError as error:
        return failed(f"{file.name!r} cannot be read: {error.strerror}")
    except RasenError as error:
        return skipped(f"the linter cannot be asked: {error}")
    if report.problem is not None:
        return failed(report.problem)
    errors = [finding for finding in report.findings if finding.severity == "error"]
    warnings = len(report.findings) - len(errors)
    also = f"{warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else "nothing found"
    if report.faults:
        also += f"; a fault of the linter's own: {', '.join(report.faults)}"
    if not errors:
        return passed(also)
    told = [_tell(finding) for finding in errors]
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return failed(f"{told[0]}{more}", *told[1:_SHOWN_FINDINGS])


def _tell(finding: LintFinding) -> str:
    place = "" if finding.cell is None else f"cell {finding.cell}"
    if finding.cell is not None and finding.line is not None:
        place += f", line {finding.line}"
    return f"{finding.code} {place}: {finding.message}" if place else f"{finding.code}: {finding.message}"


def certain_faults(plan: Plan) -> Iterator[tuple[str, Found]]:
    """Yield the checks of later stages of which it is certain by now that they fail."""
    together = plan.together
    publishes = _check_publish(plan, together)
    if publishes is not None:
        yield PUBLISH, publishes
    for name, table in plan.spec.tables.items():
        calls = plan.calls.get(table.step)
        if calls is not None:
            own = calls.join(plan.helpers)
            if table.table not in own.tables and own.knows_all("save_table"):
                yield (
                    f"table {name}",
                    failed(
                        f"step {table.step!r} never saves {table.table!r}; it calls save_table with "
                        f"{_listed(own.tables)}. Add rasen.save_table({table.table!r}, …) to its notebook"
                    ),
                )
        for gate in table.gates:
            missing = _missing_metrics(wanted_by(gate).metrics, together)
            if missing:
                yield gate_check(gate, table=name), _no_metrics(missing, together)
    if not plan.whole:
        return
    for each in plan.spec.deploy.gates or ():
        wanted = wanted_by(each)
        calls = together if wanted.notebook is None else plan.gate_calls.get(wanted.notebook)
        if calls is None:
            continue
        if wanted.notebook is not None:
            calls = calls.join(plan.helpers)
        missing = _missing_metrics(wanted.metrics, calls)
        if missing:
            yield gate_check(each), _no_metrics(missing, calls)


def _check_publish(plan: Plan, together: Calls) -> Found | None:
    places = together.published_at
    if len(places) > 1:
        return failed(
            f"a run publishes one model, but publish is called {len(places)} times: {'; '.join(places)}"
        )
    if plan.expects_model and not together.mentions_publish and together.knows_all("publish"):
        return failed(
            "`deploy` in pipeline.yaml says how a model goes live, but no notebook calls rasen.publish: call it once "
            "in the step that trains, or remove `deploy`"
        )
    return None


def _missing_metrics(wanted: tuple[str, ...], calls: Calls) -> list[str]:
    if not calls.knows_all("log_metrics"):
        return []
    return [name for name in wanted if not can_come(name, calls.metrics)]


def can_come(name: str, logged: set[str]) -> bool:
    """Return whether a metric is logged, or computed by the qualification because its counterpart is."""
    of_profile = name.removeprefix("profile_")
    computed = of_profile != name and of_profile in logged and of_profile in DIRECTIONS
    return name in logged or computed or name in _OF_QUALIFICATION


def _no_metrics(missing: list[str], calls: Calls) -> Found:
    names = " and ".join(map(repr, missing))
    return failed(
        f"{names} is never logged; logged are {_listed(calls.metrics)}. Add rasen.log_metrics({missing[0]}=…)"
    )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
