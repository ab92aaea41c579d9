"""YAML is read as people mean it: no lost duplicates, no surprising scalars, a line for everything."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rasen.strict_yaml import YamlProblem, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("True", "True"),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("007", "007"),
        ("0", 0),
        ("-12", -12),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("12:30", "12:30"),
        ("2013-06-01", "2013-06-01"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        ("2%", "2%"),
        ("'5'", "5"),
        ('"@scheduled"', "@scheduled"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_value_knows_its_line() -> None:
    document = parse_yaml("a: 1\nb:\n  - x\n  - {c: 2,\n     d: 3}\n")
    assert document.data == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert document.line_of(("b",)) == 2
    assert document.line_of(("b", 0)) == 3
    assert document.line_of(("b", 1, "c")) == 4
    assert document.line_of(("b", 1, "d")) == 5
    assert document.line_of(("b", 1, "not there")) == 4
    assert document.line_of(()) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key 'a' is there twice, first in line 1"),
        ("a: {b: 1, b: 2}", 1, "key 'b' is there twice"),
        ("a: &x [1]", 1, "anchors and aliases"),
        ("a: 1\nb: *x", 2, "anchors and aliases"),
        ("a:\n  <<: {b: 1}", 2, "merge keys"),
        (
            "a: !!python/object/apply:os.system [true]",
            1,
            "tag `tag:yaml.org,2002:python/object/apply:os.system`",
        ),
        ("a: !env X", 1, "tag `!env`"),
        ("a: !!int x", 1, "'x' is no int"),
        ("a: !!bool x", 1, "'x' is no bool"),
        ("1: a", 1, "key '1' is a int"),
        ("? [a]\n: b", 1, "keys are texts"),
        ("a: [1,\n", 2, "not YAML"),
        ("a: b: c", 1, "not YAML"),
        ("a: 1\n\tb: 2", 2, "not YAML"),
        ("a: 1\n---\nb: 2", 2, "not YAML"),
        ("a: \x07", 1, "is not allowed"),
        ("a: " + "[" * 3000, 1, "nested too deeply"),
    ],
)
def test_what_is_not_read_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(YamlProblem) as caught:
        parse_yaml(text)
    assert message in str(caught.value)
    assert caught.value.line == line


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text().filter("<<".__ne__), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(data=PLAIN)
def test_plain_data_written_by_pyyaml_is_read_back(data: object) -> None:
    text = yaml.safe_dump(data, default_style='"')
    assert parse_yaml(text).data == data
