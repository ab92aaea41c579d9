"""Magics come out of a cell without moving a line, and the verdict is the one IPython would come to."""

import ast
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

from rasen_lint.magics import MagicKind, mask_magics

# Lines as analysts write them, right and wrong, with what opens and closes brackets, strings and blocks.
LINES = st.sampled_from(
    [
        "x = 1",
        "if x:",
        "    y = 2",
        "    !ls -l",
        "    %cd /tmp",
        "%matplotlib inline",
        "%timeit f(",
        "%time x = f(1)",
        "!pip list | grep 'x",
        "!!ls",
        "!echo a \\",
        "files = !ls",
        "a, b = %env HOME",
        "d['k'] = !ls {x}",
        "rest = x % 2",
        "print(1,",
        "  2)",
        "values = [1,",
        "% 3]",
        "]",
        "s = '''",
        "!not a command",
        "'''",
        "s = 'it'  # isn't a string",
        "# 100% !sure?",
        "len?",
        "?len",
        "x.y??",
        "f(x)?",
        "x = 5 if y else 'a=%d' % 7",
        "x == !ls",
        "total = 1 + \\",
        "  2",
        "def f(a=1, *b): return a",
        "@wraps",
        "",
        "await g()",
        "f'{x!r}'",
        "x != y",
        "d = {'a': 1, # }",
        "}",
        ";f a b",
    ]
)


def parses(python: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(python)
        except SyntaxError:
            return False
    return True


def transform(source: str) -> str | None:
    try:
        return str(TransformerManager().transform_cell(source))  # type: ignore[no-untyped-call]
    except SyntaxError:
        return None


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_masked_cell_parses_when_ipython_makes_python_of_it(source: str) -> None:
    transformed = transform(source)
    # A help request inside an open bracket makes IPython forget the lines above it: not ours to repeat.
    if transformed is not None and parses(transformed) and "'pinfo" not in transformed:
        assert parses(mask_magics(source).python)


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_masking_keeps_the_number_of_every_line(source: str) -> None:
    python = mask_magics(source).python
    kept = python.splitlines()
    for number, line in enumerate(source.splitlines()):
        if number < len(kept) and kept[number].strip() not in {"", "pass"} and "= None" not in kept[number]:
            assert kept[number].strip() == line.strip()


@given(st.text(max_size=80))
def test_any_text_is_masked_without_an_error(source: str) -> None:
    mask_magics(source)


@pytest.mark.parametrize(
    ("source", "kind", "name", "arguments", "line"),
    [
        ("%pip install -q x", MagicKind.LINE, "pip", "install -q x", 1),
        ("pip install x", MagicKind.LINE, "pip", "install x", 1),
        ("a = 1\n!ls \\\n  -l", MagicKind.SHELL, "", "ls -l", 2),
        ("!!ls", MagicKind.SHELL, "", "ls", 1),
        ("out = !ls", MagicKind.SHELL, "", "ls", 1),
        ("out = %env HOME", MagicKind.LINE, "env", "HOME", 1),
        ("\n%%bash -s x\nls", MagicKind.CELL, "bash", "-s x", 2),
        ("%%time\n%pip list", MagicKind.CELL, "time", "", 1),
    ],
)
def test_magic_is_taken_out_with_its_place(
    source: str, kind: MagicKind, name: str, arguments: str, line: int
) -> None:
    magic = mask_magics(source).magics[0]
    assert (magic.kind, magic.name, magic.arguments, magic.line) == (kind, name, arguments, line)


@pytest.mark.parametrize(
    "source",
    [
        "x % y",
        "a = b % c",
        "print('%d' % 3)",
        "f(\n8\n% 3\n)",
        "x != y",
        "a = 'b' if c else d",
        "x = y = 1",
    ],
)
def test_python_is_left_as_it_is(source: str) -> None:
    masked = mask_magics(source)
    assert (masked.python, masked.magics) == (source, ())


def test_python_under_a_timing_magic_keeps_its_line_numbers() -> None:
    masked = mask_magics("%%time\n%%capture out\nx = 1\n!ls")
    assert masked.python.splitlines() == ["", "", "x = 1", "pass"]
    assert [magic.line for magic in masked.magics] == [1, 2, 4]


def test_body_of_another_language_is_not_python() -> None:
    assert mask_magics("%%sql\nSELECT 'it''s'").python.strip() == ""
