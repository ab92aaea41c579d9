"""Outputs: anybody's input, the largest part of a notebook, and what they must not show."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen_lint import Severity, check_notebook
from rasen_lint.context import Context
from rasen_lint.finding import Finding
from rasen_lint.mail_addresses import find_addresses, shorten
from rasen_lint.output_texts import readable_texts
from rasen_lint.rules import RULES

KEY = "AKIA" + "IOSFODNN7EXAMPLE"  # in two pieces: this file is looked at by searchers of secrets, too
OUTPUT_RULES = [RULES[code] for code in ("NB201", "NB302", "NB303", "NB304")]


def check(*cells: dict[str, Any], context: Context | None = None) -> tuple[Finding, ...]:
    content = [{"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], **cell} for cell in cells]
    data = json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": content}).encode()
    checked = check_notebook(data, name="n.ipynb", rules=OUTPUT_RULES, context=context or Context())
    assert (checked.problem, checked.faults) == (None, ())
    return checked.findings


def stream(text: object) -> dict[str, Any]:
    return {"outputs": [{"output_type": "stream", "name": "stdout", "text": text}]}


@pytest.mark.parametrize(
    "text",
    [
        "taro@acme.com",
        "taro.yamada+flights@mail.acme.co.jp",
        "<taro@acme.com>",
        "mailto:taro@acme.com",
        "user=taro@acme.com;",
        "'taro@acme.com\\n'",
        "Contact taro@acme.com: he knows",
        "0   taro@ACME.COM  842",
        "a_b-c%d@x-y.io.",
    ],
)
def test_an_address_is_found_wherever_it_stands(text: str) -> None:
    assert len(list(find_addresses(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "taro@example.com",
        "taro@sub.example.org",
        "taro@host.local",
        "taro@localhost",
        "taro@10.0.0.1",
        "git@github.com:team/repository.git",
        "taro@acme.com:/data",
        "https://taro:secret@acme.com/path",
        "postgresql://taro@db.acme.com/flights",
        "/srv/taro@acme.com/file",
        "https://medium.com/@taro.acme",
        "noreply@acme.com",
        "X@weights.T",
        "X @ weights.mean",
        "X@beta.sum(axis=0)",
        "X@w.at[0]",
        "logo@2x.png",
        "package@1.2.3",
        "<Handler@0x7f.io9>",
        "@app.get",
        "@",
        "a@",
        "@b.com",
        "..@b.com",
        "run@script.py",
    ],
)
def test_what_only_looks_like_an_address_is_none(text: str) -> None:
    assert list(find_addresses(text)) == []


@given(st.text(alphabet="ab@._-:/ 0\n", max_size=60))
def test_any_text_can_be_searched_and_what_is_found_stands_in_it(text: str) -> None:
    for address in find_addresses(text):
        assert address in text
        assert address.count("@") == 1


def test_the_message_shows_no_more_of_an_address_than_its_domain() -> None:
    (finding,) = check(stream("taro@acme.com hanako@acme.com taro@acme.com"))
    assert "t…@acme.com, h…@acme.com" in finding.message
    assert "taro" not in finding.message
    assert shorten("taro@acme.com") == "t…@acme.com"


def test_the_message_does_not_show_the_secret() -> None:
    (finding,) = check(stream(f"key {KEY}"))
    assert finding.code == "NB302"
    assert "AWS key" in finding.message
    assert KEY[6:] not in finding.message


def test_counts_out_of_order_warn_in_the_editor_and_are_an_error_in_review() -> None:
    cells: list[dict[str, Any]] = [{"execution_count": count} for count in (2, None, 1, 1)]
    (finding,) = check(*cells)
    assert (finding.code, finding.cell, finding.severity) == ("NB201", 2, Severity.WARNING)
    assert finding.fix is not None
    assert finding.fix.cleared == {0, 2, 3}
    (finding,) = check(*cells, context=Context(stage="review"))
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize("counts", [[], [3], [None, None], [1, 2, 9], [5, None, 6], [True, "x", 1.5]])
def test_rising_counts_are_fine(counts: list[object]) -> None:
    assert check(*({"execution_count": count} for count in counts)) == ()


@pytest.mark.parametrize(
    "outputs",
    [
        "text",
        {"output_type": "stream"},
        [None, 3, "text", []],
        [{"output_type": "stream", "text": None}],
        [{"output_type": "stream", "text": [1, None]}],
        [{"output_type": "error", "traceback": None, "evalue": 3}],
        [{"data": None}, {"data": []}, {"data": {"text/plain": {"a": [1]}}}],
        [{"output_type": None}],
    ],
)
def test_outputs_of_any_shape_are_no_fault(outputs: object) -> None:
    assert {finding.code for finding in check({"outputs": outputs})} <= {"NB304"}


def test_an_error_shows_its_name_and_what_its_text_holds() -> None:
    traceback = ["Traceback", f"{KEY} was refused"]
    found = check({"outputs": [{"output_type": "error", "ename": "KeyError", "traceback": traceback}]})
    assert [finding.code for finding in found] == ["NB302", "NB304"]
    assert "KeyError" in found[1].message


def test_programs_and_pictures_in_html_are_not_read() -> None:
    html = (
        "<SCRIPT src=x>a@b.com</SCRIPT><p>seen</p><style>c@d.com</style><img src='x' "
        'alt="e"/><img src="data:image/png;base64,f@g.com"/><script>never closed h@i.com'
    )
    (text,) = readable_texts(
        [{"output_type": "display_data", "data": {"text/html": html, "image/png": "j@k.com"}}]
    )
    assert "seen" in text
    assert list(find_addresses(text)) == []


def test_megabytes_of_pictures_and_scripts_are_passed_over_once() -> None:
    many = "@" * 200_000 + "<script" * 50_000
    found = check(
        stream("a" * 2_000_000 + "@" + "b." * 500_000), {"outputs": [{"data": {"text/html": many}}]}
    )
    assert found == ()
    (finding,) = check(stream("-----BEGIN PRIVATE KEY-----\n" * 50_000))
    assert finding.code == "NB302"
