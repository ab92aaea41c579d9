"""What papermill writes into the injected cell is exactly our values, whatever they hold, and never code."""

import ast
import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rasen.batch.given_parameters import GivenParameters, read_given
from rasen.errors import ParameterError
from rasen.parameters import Layer, Parameter, read_parameters, resolve, resolve_steps
from rasen.pipeline import parse_pipeline
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


def injected_source(values: dict[str, object]) -> str:
    """Return the source of the cell that papermill injects."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    source = nbformat.reads(notebook(), as_version=4)  # type: ignore[no-untyped-call] # no types
    with_cell = parameterize_notebook(load_notebook_node(source), values)
    (cell,) = [cell for cell in with_cell.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    text: str = cell.source
    return text


def injected(values: dict[str, object]) -> dict[str, object]:
    """Return what the cell that papermill injects assigns, read as literals."""
    assigned: dict[str, object] = {}
    for statement in ast.parse(injected_source(values)).body:
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


PARAMETERS = """\
n: int = 1
x: float = 0.5
flag: bool = False
text: str = ""
day: date | None = None
items: list[str] = []
"""
JSON = st.recursive(
    st.none() | st.booleans() | INT | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def read(parameters: str, asked: GivenParameters) -> dict[str, object]:
    """Return what `rasen notebook run` would give a notebook with such a `parameters` cell."""
    from papermill.iorw import load_notebook_node

    source = nbformat.reads(notebook(parameters), as_version=4)  # type: ignore[no-untyped-call] # no types
    return read_given(
        load_notebook_node(source), asked, language="python", source="in.ipynb", target="out.ipynb"
    )


@settings(max_examples=80)
@given(
    name=NAMES | TEXT | st.sampled_from(["n", "x", "flag", "text", "day", "items"]),
    value=JSON,
    typed=st.booleans(),
)
def test_anything_given_to_a_typed_notebook_is_refused_or_becomes_a_literal_of_its_type(
    name: str, value: object, typed: bool
) -> None:
    kinds: dict[str, Any] = {"n": int, "x": float, "flag": bool, "text": str, "day": str, "items": list}
    if typed:
        asked = GivenParameters(assignments=[f"{name}={value}"])
    else:
        document = yaml.safe_dump({name: value}, allow_unicode=True)
        asked = GivenParameters(base64_texts=[base64.b64encode(document.encode(errors="replace")).decode()])
    try:
        values = read(PARAMETERS, asked)
    except ParameterError:
        return
    assert repr(injected(values)) == repr(values)
    for found, item in values.items():
        assert type(item) is kinds[found] or (found == "day" and item is None)


@settings(max_examples=80)
@given(
    name=NAMES | TEXT | st.sampled_from(["__import__('os').system('true');a", "a\nb", "print(1) or a"]),
    value=JSON,
)
def test_anything_given_to_an_untyped_notebook_is_refused_or_becomes_an_assignment_of_a_literal(
    name: str, value: object
) -> None:
    document = yaml.safe_dump({name: value}, allow_unicode=True)
    asked = GivenParameters(base64_texts=[base64.b64encode(document.encode(errors="replace")).decode()])
    try:
        values = read("alpha = 1", asked)
    except ParameterError:
        return
    assert list(values) == [name]
    assert name.isidentifier()
    # The only call that papermill writes is that of a number which Python has no literal for.
    cell = injected_source(values)
    for number in ("float('nan')", "float('inf')", "float('-inf')"):
        cell = cell.replace(number, "0.0")
    (statement,) = ast.parse(cell).body
    assert isinstance(statement, ast.Assign)
    ast.literal_eval(statement.value)


@pytest.mark.parametrize(
    "asked",
    [
        GivenParameters(assignments=["__import__('os').system('true');a=1"]),
        GivenParameters(raw_assignments=["a b=1"]),
        GivenParameters(assignments=["a.b=1"]),
        *(
            GivenParameters(yaml_texts=[text])
            for text in (
                "a: !!binary IjtpbXBvcnQgb3M7Ig==",
                "a: [1, !!set {x}]",
                "'1a': 1",
                "1: 1",
                "a: {2013-01-01: !!binary aaaa}",
                "class: 1",
            )
        ),
    ],
)
def test_what_papermill_would_write_as_code_is_refused(asked: GivenParameters) -> None:
    with pytest.raises(ParameterError, match="parameter"):
        read("alpha = 1", asked)


def test_a_megabyte_of_anything_is_passed_as_it_is() -> None:
    text = "\\'\"\n☃{}%s" * 130_000
    assert injected(read("text: str = ''", GivenParameters(raw_assignments=[f"text={text}"]))) == {
        "text": text
    }
    assert injected(read("alpha = 1", GivenParameters(raw_assignments=[f"text={text}"]))) == {"text": text}


def test_each_option_overrides_those_before_it_and_is_named_when_it_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("{b: 2, c: 2, d: 2, e: '2'}")
    cell = "a: int = 0\nb: int = 0\nc: int = 0\nd: int = 0\ne: str = '0'\nf: int = 0"
    asked = GivenParameters(
        base64_texts=[base64.b64encode(b"{a: 1, b: 1, c: 1, d: 1, e: '1'}").decode()],
        files=[str(file)],
        yaml_texts=["{c: 3, d: 3, e: '3'}"],
        assignments=["d=4", "e=4"],
        raw_assignments=["e=5"],
    )
    assert read(cell, asked) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": "5"}
    for option, text in (("-b", ""), ("-f", ""), ("-y", "f: x"), ("-p", "f=x"), ("-r", "f=x")):
        file.write_text("f: x")
        wrong = {
            "-b": GivenParameters(base64_texts=[base64.b64encode(b"f: x").decode()]),
            "-f": GivenParameters(files=[str(file)]),
            "-y": GivenParameters(yaml_texts=[text]),
            "-p": GivenParameters(assignments=[text]),
            "-r": GivenParameters(raw_assignments=[text]),
        }[option]
        with pytest.raises(ParameterError, match=f"from {option}"):
            read(cell, wrong)


KINDS = """\
from datetime import date, datetime
from typing import Literal, Optional
n: int = 1
x: float = 1
flag: bool = False
text: str = "a"
day: date = "2013-01-01"
at: datetime = "2013-01-01T00:00:00"
kind: Literal["a", "b", 3] = "a"
items: list[int] = [1]
maybe: Optional[float] = None
"""
VALUES = {
    "n": 7,
    "x": 0.25,
    "flag": True,
    "text": "007",
    "day": "2013-02-03",
    "at": "2013-02-03T04:05:06+09:00",
    "kind": 3,
    "items": [1, 2],
    "maybe": 2.0,
}


def test_every_type_comes_through_every_way_of_giving_it(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(VALUES))
    typed = [
        f"{name}={json.dumps(value) if isinstance(value, bool | list) else value}"
        for name, value in VALUES.items()
    ]
    for asked in (
        GivenParameters(assignments=typed),
        GivenParameters(files=[str(file)]),
        GivenParameters(yaml_texts=[file.read_text()]),
        GivenParameters(base64_texts=[base64.b64encode(file.read_bytes()).decode()]),
    ):
        assert read(KINDS, asked) == VALUES
    at = datetime(2013, 7, 1, tzinfo=UTC)
    parameters = read_parameters(KINDS)
    pipeline = parse_pipeline(
        "name: demand\nowner: us\nsteps: {train: {notebook: train.ipynb, parameters: "
        f"{json.dumps(VALUES)}}}}}\nparameters: {json.dumps({'n': 1, 'day': '1999-01-01'})}\n"
    )
    (resolved,) = resolve_steps(
        {"train": parameters},
        pipeline=pipeline.parameters,
        own={"train": pipeline.steps["train"].parameters},
        scheduled_at=at,
        timezone=UTC,
    ).values()
    assert resolved.values == VALUES
    assert injected(dict(resolved.values)) == VALUES
