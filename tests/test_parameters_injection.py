"""What papermill writes into the injected cell is exactly our values, whatever they hold, and never code."""

import ast
from datetime import UTC, datetime
from typing import Any

import nbformat
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.parameters import Layer, Parameter, resolve
from stand.pipeline_folder import notebook

NASTY = st.sampled_from(
    [
        '__import__("os").system("true")',
        "'''",
        '"""',
        "\\",
        '\\"',
        "\\N{BULLET}",
        "a\nb\r\n\x00\x1b",
        "{x}",
        "%s",
        "# no comment",
        "café ☃ 日本語 𝒳",
        "\u2028\u0085",
        "\N{ZERO WIDTH JOINER}",
        "true",
        "None",
        "x" * 100_000,
    ]
)
TEXT = st.text() | NASTY
INT = st.integers() | st.integers(min_value=-(10**4000), max_value=10**4000)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
TYPED: dict[str, st.SearchStrategy[Any]] = {  # Any: values of every type
    "int": INT,
    "float": FLOAT,
    "bool": st.booleans(),
    "str": TEXT,
    "date": st.dates().map(lambda day: day.isoformat()),
    "datetime": st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda at: at.isoformat()),
    "str | None": st.none() | TEXT,
    "list[int]": st.lists(INT, max_size=4),
    "list[list[str]]": st.lists(st.lists(TEXT, max_size=3), max_size=3),
    "list[float | None]": st.lists(st.none() | FLOAT, max_size=4),
}
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True).filter(lambda name: not _is_keyword(name))


def _is_keyword(name: str) -> bool:
    try:
        ast.parse(f"{name} = 1")
    except SyntaxError:
        return True
    return False


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[list[Parameter], dict[str, object]]:
    names = draw(st.lists(NAMES, max_size=5, unique=True))
    parameters = []
    values: dict[str, object] = {}
    for name in names:
        annotation = draw(st.sampled_from(sorted(TYPED)))
        parameters.append(Parameter(name=name, annotation=annotation, default=None))
        values[name] = draw(TYPED[annotation])
    return parameters, values


def injected(values: dict[str, object]) -> dict[str, object]:
    """Return what the cell that papermill injects assigns, read as literals."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    source = nbformat.reads(notebook(), as_version=4)  # type: ignore[no-untyped-call] # no types
    with_cell = parameterize_notebook(load_notebook_node(source), values)
    (cell,) = [cell for cell in with_cell.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assigned: dict[str, object] = {}
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.Assign)
        (target,) = statement.targets
        assert isinstance(target, ast.Name)
        assigned[target.id] = ast.literal_eval(statement.value)
    return assigned


@settings(max_examples=60)
@given(typed=typed_values())
def test_the_injected_cell_gives_back_exactly_our_values(
    typed: tuple[list[Parameter], dict[str, object]],
) -> None:
    parameters, values = typed
    at = datetime(2013, 7, 1, tzinfo=UTC)
    resolved = resolve(parameters, [(Layer.REQUEST, values)], scheduled_at=at, timezone=UTC)
    assert repr(injected(dict(resolved.values))) == repr(dict(resolved.values))


def test_ints_that_python_would_not_write_are_refused_and_the_largest_others_are_not() -> None:
    assert injected({"x": 2**14_000 - 1}) == {"x": 2**14_000 - 1}
