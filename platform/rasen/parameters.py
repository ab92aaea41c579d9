"""A notebook's parameters: read from its `parameters` cell, and given their values for a run.

The cell is parsed, never executed, so that a pipeline can be checked where none of its libraries are installed. It
holds annotated assignments of literals, and the imports that the annotations need (a notebook evaluates them):
anything else could make the checked defaults differ from the ones that the run sees.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum

from rasen.errors import NotebookError, ParameterError
from rasen.notebook import Notebook
from rasen.parameter_conversion import Clock, convert_text, convert_value
from rasen.parameter_types import SUPPORTED, JsonValue, parse_annotation
from rasen.scheduled_time import is_scheduled
from rasen.suggestion import suggest

_ANNOTATION_MODULES = ("__future__", "datetime", "rasen", "typing")


class Layer(StrEnum):
    """Where a value may come from, lowest precedence first. The values of `COMMAND_LINE` are texts as typed."""

    DEFAULT = "cell default"
    PIPELINE = "parameters"
    STEP = "step.parameters"
    SAMPLE = "sample"
    REQUEST = "request"
    YAML = "-y"
    COMMAND_LINE = "-p"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a notebook; `annotation` is the text of its type, `default` a JSON value of that type."""

    name: str
    annotation: str
    default: JsonValue
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The values of a step's parameters, all of them, and for each the layer that it came from."""

    values: Mapping[str, JsonValue]
    layers: Mapping[str, str]


def read_parameters(source: str, *, name: str = "the parameters cell") -> tuple[Parameter, ...]:
    """Read the parameters from the source of a `parameters` cell; `name` stands for the cell in messages.

    Raises:
        NotebookError: Something in it is no annotated assignment of a literal that fits; the message has the line.
    """
    try:
        statements = ast.parse(source).body
        comments = _comments(source)
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        text = (source.splitlines() or [""])[min(line, len(source.splitlines()) or 1) - 1].strip()
        hint = "; magics and shell commands belong into another cell" if text.startswith(("%", "!")) else ""
        raise NotebookError(f"{name}, line {line}: {text[:80]!r} is not Python{hint}") from None
    parameters: dict[str, Parameter] = {}
    for statement in statements:
        where = f"{name}, line {statement.lineno}"
        if _is_annotation_import(statement):
            continue
        parameter = _read_statement(statement, where, comments)
        if parameter.name in parameters:
            raise NotebookError(f"{where}: {parameter.name!r} is assigned twice; keep one")
        parameters[parameter.name] = parameter
    return tuple(parameters.values())


def notebook_parameters(notebook: Notebook) -> tuple[Parameter, ...]:
    """Read the parameters of a notebook from its `parameters` cell.

    Raises:
        NotebookError: It has not exactly one, or `read_parameters` refuses it.
    """
    cell = notebook.parameters_cell
    return read_parameters(cell.source, name=f"{notebook.name}, cell {cell.index} (parameters)")


def convert(parameter: Parameter, value: object, *, clock: Clock | None = None) -> JsonValue:
    """Return a typed value (from YAML, JSON or Python) as a value of the parameter's type.

    Raises:
        ParameterError: It does not fit.
    """
    try:
        return convert_value(parse_annotation(parameter.annotation), value, clock=clock)
    except ValueError as error:
        raise ParameterError(f"parameter {parameter.name!r}: {error}") from None


def convert_typed(parameter: Parameter, text: str, *, clock: Clock | None = None) -> JsonValue:
    """Return what was typed after `-p name=` as a value of the parameter's type.

    Raises:
        ParameterError: It does not fit.
    """
    try:
        return convert_text(parse_annotation(parameter.annotation), text, clock=clock)
    except ValueError as error:
        raise ParameterError(f"parameter {parameter.name!r}: {error}") from None


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """Read the arguments of `-p`, each `name=text`, as the layer `Layer.COMMAND_LINE`.

    Raises:
        ParameterError: One has no `=`, or a name comes twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise ParameterError(f"-p {assignment!r} is not of the form name=value, such as -p max_depth=6")
        if name.strip() in values:
            raise ParameterError(f"-p gives {name.strip()!r} twice; give it once")
        values[name.strip()] = text
    return values


def resolve(
    parameters: Sequence[Parameter],
    layers: Sequence[tuple[str, Mapping[str, object]]],
    *,
    scheduled_at: datetime,
    timezone: tzinfo,
) -> Resolved:
    """Give a notebook's parameters their values.

    Args:
        parameters: What the notebook has.
        layers: Name and values of each source above the cell's defaults, lowest precedence first.
        scheduled_at: The instant of the run's trigger, aware: what `@scheduled` stands for.
        timezone: The pipeline's time zone.

    Raises:
        ParameterError: A layer names a parameter that the notebook has not, or a value does not fit.
    """
    clock = Clock(scheduled_at=scheduled_at, timezone=timezone)
    known = {parameter.name: parameter for parameter in parameters}
    values = {parameter.name: parameter.default for parameter in parameters}
    origins = dict.fromkeys(values, str(Layer.DEFAULT))
    for layer, given in layers:
        for name, value in given.items():
            if name not in known:
                raise _unknown(name, layer, known)
            try:
                if layer == Layer.COMMAND_LINE:
                    values[name] = convert_typed(known[name], str(value), clock=clock)
                else:
                    values[name] = convert(known[name], value, clock=clock)
            except ParameterError as error:
                raise ParameterError(f"{error} (from {layer})") from None
            origins[name] = str(layer)
    return Resolved(values=values, layers=origins)


def resolve_steps(
    steps: Mapping[str, Sequence[Parameter]],
    *,
    pipeline: Mapping[str, object],
    own: Mapping[str, Mapping[str, object]],
    layers: Sequence[tuple[str, Mapping[str, object]]] = (),
    scheduled_at: datetime,
    timezone: tzinfo,
) -> dict[str, Resolved]:
    """Give the parameters of all steps of a pipeline their values.

    A value that is meant for the whole pipeline must be known by at least one step, and reaches those that know it.

    Args:
        steps: Each step's parameters.
        pipeline: `parameters` of `pipeline.yaml`.
        own: `parameters` of each step in `pipeline.yaml`; steps without may be absent.
        layers: What comes above them, lowest precedence first: `Layer.SAMPLE`, `REQUEST`, `YAML`, `COMMAND_LINE`.
        scheduled_at: The instant of the run's trigger, aware.
        timezone: The pipeline's time zone.

    Raises:
        ParameterError: A parameter is unknown, or a value does not fit; the message names step and layer.
    """
    shared = [(str(Layer.PIPELINE), pipeline), *layers]
    everywhere = {parameter.name for parameters in steps.values() for parameter in parameters}
    for layer, given in shared:
        for name in given:
            if name not in everywhere:
                raise _unknown(name, layer, everywhere)
    resolved: dict[str, Resolved] = {}
    for step, parameters in steps.items():
        names = {parameter.name for parameter in parameters}
        reaching = [
            (layer, {name: given[name] for name in given if name in names}) for layer, given in shared
        ]
        try:
            resolved[step] = resolve(
                parameters,
                [reaching[0], (Layer.STEP, own.get(step, {})), *reaching[1:]],
                scheduled_at=scheduled_at,
                timezone=timezone,
            )
        except ParameterError as error:
            raise ParameterError(f"step {step!r}: {error}") from None
    return resolved


def _unknown(name: str, layer: str, known: Iterable[str]) -> ParameterError:
    return ParameterError(f"unknown parameter {name!r} (from {layer}): {suggest(name, known)}")


def _is_annotation_import(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import(names=names):
            return all(alias.name in _ANNOTATION_MODULES for alias in names)
        case ast.ImportFrom(module="rasen", level=0, names=names):
            return all(alias.name == "Secret" for alias in names)
        case ast.ImportFrom(module=module, level=0):
            return module in _ANNOTATION_MODULES
        case _:
            return False


def _read_statement(statement: ast.stmt, where: str, comments: Mapping[int, _Comment]) -> Parameter:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), simple=1, value=None):
            raise NotebookError(
                f"{where}: {name!r} has no default; a notebook must run without being given any value"
            )
        case ast.AnnAssign(target=ast.Name(id=name), simple=1, value=ast.expr() as value):
            annotation = ast.unparse(statement.annotation)
        case ast.Assign(targets=[ast.Name(id=name)]):
            guess = _guess_annotation(statement.value)
            raise NotebookError(
                f"{where}: {name!r} has no annotation; write `{name}: {guess} = "
                f"{ast.unparse(statement.value)[:60]}` (types: {SUPPORTED})"
            )
        case ast.Import() | ast.ImportFrom():
            raise NotebookError(
                f"{where}: `{ast.unparse(statement)[:80]}` does not belong here: this cell imports only what its "
                f"annotations need ({', '.join(_ANNOTATION_MODULES)}); move it into the next cell"
            )
        case _:
            raise NotebookError(
                f"{where}: `{ast.unparse(statement).splitlines()[0][:80]}` is no parameter; this cell holds only "
                "assignments such as `max_depth: int = 6`; move the rest into the next cell"
            )
    return Parameter(
        name=name,
        annotation=annotation,
        default=_read_default(name, annotation, value, where),
        description=_description(statement, comments),
    )


def _read_default(name: str, annotation: str, value: ast.expr, where: str) -> JsonValue:
    try:
        kind = parse_annotation(annotation)
    except ValueError as error:
        raise NotebookError(f"{where}: {name!r}: {error}") from None
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise NotebookError(
            f"{where}: the default of {name!r}, `{ast.unparse(value)[:80]}`, is not a literal; write the value itself "
            "(dates as ISO texts) and compute in the next cell"
        ) from None
    if is_scheduled(literal):
        raise NotebookError(
            f"{where}: the default of {name!r} is {literal!r}, which means nothing in JupyterLab; write a fixed value "
            "here and this one under `parameters` in pipeline.yaml"
        )
    try:
        return convert_value(kind, literal)
    except ValueError as error:
        raise NotebookError(f"{where}: the default of {name!r}: {error}") from None


def _guess_annotation(value: ast.expr) -> str:
    try:
        literal = ast.literal_eval(value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return "<type>"
    if isinstance(literal, list) and literal:
        return f"list[{type(literal[0]).__name__}]"
    return "str | None" if literal is None else type(literal).__name__


@dataclass(frozen=True, kw_only=True)
class _Comment:
    text: str
    alone: bool


def _comments(source: str) -> dict[int, _Comment]:
    """Return the comments by line, and whether each stands alone in its line."""
    found: dict[int, _Comment] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            found[token.start[0]] = _Comment(text=token.string.lstrip("#: ").rstrip(), alone=alone)
    return found


def _description(statement: ast.stmt, comments: Mapping[int, _Comment]) -> str:
    """Take the comment behind the assignment, else the block of comments right above it."""
    trailing = comments.get(statement.end_lineno or statement.lineno)
    if trailing is not None and not trailing.alone:
        return trailing.text
    lines: list[str] = []
    line = statement.lineno - 1
    while (comment := comments.get(line)) is not None and comment.alone:
        lines.insert(0, comment.text)
        line -= 1
    return " ".join(lines)
