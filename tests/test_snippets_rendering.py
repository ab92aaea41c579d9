"""Values become part of a cell and nothing else: they leave no text, split no expression, end no line."""

import ast
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import InvalidInput
from rasen.snippets import Snippet, parse_snippet, placeholder_spans, render, render_with_spans

LITERALS = {
    "double": '"{}"',
    "single": "'{}'",
    "triple": '"""\n{}\n"""',
    "triple single": "'''{}'''",
    "formatted": 'f"{} {{1}}"',
    "formatted triple": "f'''{} {{1}}'''",
    "joined": '"a" "{}" \'b\'',
}


def snippet(body: str, **placeholders: str) -> Snippet:
    """Return a snippet of a body; each placeholder's entry is YAML without its description."""
    entries = "".join(
        f"#   {name}: {{{entry}, description: for the test}}\n" for name, entry in placeholders.items()
    )
    text = f"# ---\n# title: T\n# description: D\n# tags: [t]\n# placeholders:\n{entries}# ---\n{body}\n"
    made = parse_snippet(text, path=Path("try_it.py"), source="test")
    assert made.problem is None, made.problem
    return made


def value_of(code: str) -> Any:
    return eval(compile(ast.parse(code, mode="eval"), "cell", "eval"))


@pytest.mark.parametrize("literal", LITERALS)
@given(value=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12))
def test_any_text_stays_in_the_text_that_it_stands_in(literal: str, value: str) -> None:
    template = LITERALS[literal].replace("{}", "__it__")
    made = snippet(f"x = {template}", it="default: abc")
    got = value_of(render(made, {"it": value}).removeprefix("x = "))
    assert got == value_of(template.replace("__it__", "abc")).replace("abc", value)


@pytest.mark.parametrize(
    ("value", "said"), [('a"b', "raw text"), ("a\\", "raw text"), ("a\nb", "raw text"), ("\\d+'", None)]
)
def test_a_raw_text_refuses_what_it_cannot_say(value: str, said: str | None) -> None:
    made = snippet('x = r"__it__"', it="default: abc")
    if said is None:
        assert value_of(render(made, {"it": value}).removeprefix("x = ")) == value
    else:
        with pytest.raises(InvalidInput, match=said):
            render(made, {"it": value})


@pytest.mark.parametrize("value", ["it's", 'a"b', "a\\b", "a\nb"])
def test_a_text_in_the_braces_of_an_f_string_takes_no_quotes(value: str) -> None:
    made = snippet("x = f\"{rows['__it__']:,}\"", it="default: abc")
    assert render(made, {"it": "späte Flüge"}) == "x = f\"{rows['späte Flüge']:,}\""
    with pytest.raises(InvalidInput, match=r"placeholder 'it' = .* f-string's braces"):
        render(made, {"it": value})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("name", ["rows", "特徴", "_x"], ["a.b", "for", "1a", "", "a b", "a\n", "x; y"]),
        ("number", ["5", "-0.25", "1_000", "1e-3", ".5"], ["five", "1 + 1", "0x1", "", "1\n", "nan", "007"]),
        ("expression", ["a or b", "[1, 2]", "f(x)"], ["a = 1", "a; b", "a # b", "a\n", "a)", "(a", "", "*a"]),
        ("list", ["a", "a, b c", "['a', \"b'\"]"], ["", "a,,b", "[1]", "[a]", ","]),
    ],
)
def test_a_value_must_be_of_its_type(kind: str, good: list[str], bad: list[str]) -> None:
    default = {"name": "a", "number": "1", "expression": "a", "list": "a"}[kind]
    made = snippet("x = __it__\ny = 2", it=f'default: "{default}", type: {kind}')
    for value in good:
        tree = ast.parse(render(made, {"it": value}))
        assert [type(node).__name__ for node in tree.body] == ["Assign", "Assign"]
    for value in bad:
        with pytest.raises(InvalidInput, match="placeholder 'it' = "):
            render(made, {"it": value})


@pytest.mark.parametrize(
    ("body", "value", "text"),
    [
        ("x = __it__", "a or b", "x = a or b"),
        ("x = __it__ == 3", "a or b", "x = (a or b) == 3"),
        ("f(__it__, 1)", "a, b", "f((a, b), 1)"),
        ("f(__it__, 1)", "(a, b)", "f((a, b), 1)"),
        ("f(\n    __it__,\n)", "a or b", "f(\n    a or b,\n)"),
        ("x = __it__.real", "5", "x = (5).real"),
        ("x = 2 ** __it__ ** 2", "-1", "x = 2 ** (-1) ** 2"),
        ('x = f"{__it__}"', "{1}", 'x = f"{({1})}"'),
        ('x = f"{__it__:.2f}"', "a if b else c", 'x = f"{(a if b else c):.2f}"'),
    ],
)
def test_an_expression_binds_as_one(body: str, value: str, text: str) -> None:
    assert render(snippet(body, it="default: abc, type: expression"), {"it": value}) == text


def test_a_list_is_a_list_in_code_and_words_in_a_text() -> None:
    made = snippet('x = __columns__\nsql = "SELECT __columns__"', columns="default: [origin, hour]")
    assert render(made) == 'x = ["origin", "hour"]\nsql = "SELECT origin, hour"'
    assert render(made, {"columns": "it's"}) == 'x = ["it\'s"]\nsql = "SELECT it\'s"'


def test_formats_comments_and_joined_names() -> None:
    body = 'a__rows__ = 1  # __what__\nx = f"{a__rows__:.__digits__f} {{__what__}}"'
    made = snippet(body, rows="default: _b", what="default: why", digits="default: 2")
    assert render(made, {"what": "two\nlines"}) == ('a_b = 1  # two lines\nx = f"{a_b:.2f} {{two\\nlines}}"')
    with pytest.raises(InvalidInput, match="placeholder 'digits' = '2x' must be a number"):
        render(made, {"digits": "2x"})


def test_magics_and_pythons_own_names_are_left_alone() -> None:
    made = snippet('%%bigquery __rows__\nSELECT "__table__"', rows="default: rows", table="default: t")
    assert render(made, {"table": 'a"b'}) == '%%bigquery rows\nSELECT "a"b"'
    made = snippet('if __name__ == "__main__":\n    __rows__', rows="default: rows")
    assert render(made) == 'if __name__ == "__main__":\n    rows'


def test_choices_are_listed_and_unknown_names_answered() -> None:
    made = snippet('x = "__how__"', how="default: mean, choices: [mean, median]")
    assert render(made, {"how": "median"}) == 'x = "median"'
    with pytest.raises(InvalidInput, match="'max' must be one of 'mean', 'median'"):
        render(made, {"how": "max"})
    with pytest.raises(InvalidInput, match="has no placeholder 'hwo'; did you mean 'how'"):
        render(made, {"hwo": "mean"})
    for value in ("a\0b", "\ud83d"):
        with pytest.raises(InvalidInput, match="no text that a notebook can hold"):
            render(snippet('x = "__it__"', it="default: abc"), {"it": value})


@given(rows=st.sampled_from(["r", "flights", "特徴"]), text=st.text("a\"'\\\n{}é🙂", max_size=6))
def test_spans_are_where_the_values_stand(rows: str, text: str) -> None:
    body = '# __what__\n__rows__ = f("__what__")\n__rows__'
    made = snippet(body, rows="default: rows", what="default: why")
    rendered = render_with_spans(made, {"rows": rows, "what": text})
    assert [name for name, _, _ in rendered.spans] == ["what", "rows", "what", "rows"]
    assert [rendered.text[start:end] for name, start, end in rendered.spans if name == "rows"] == [rows, rows]
    _, start, end = rendered.spans[2]
    assert ast.literal_eval(f'"{rendered.text[start:end]}"') == text
    assert placeholder_spans(made, {"rows": rows, "what": text}) == list(rendered.spans)
