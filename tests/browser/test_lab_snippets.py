"""The panel of snippets in JupyterLab, in the real Chromium, against a real server: `make test-browser`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any  # of playwright, whose types are not there when mypy runs

import pytest

from stand.browser import running_browser
from stand.jupyter import Jupyter, free_port, notebook_text
from stand.lab import running_lab
from stand.lab_page import LabPage, open_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

GREETING = """# ---
# title: Greet somebody
# description: Says a name twice.
# tags: [greeting]
# cell: {type: code, tags: [hello]}
# placeholders:
#   who: {default: world, description: whom to greet}
#   mark: {default: "!", description: how it ends}
# ---
print("🌀 __who____mark__")
print("again, __who__")
"""
ADDING = """# ---
# title: Add a number
# description: Adds.
# tags: [greeting]
# placeholders:
#   total: {default: total, description: the sum}
# ---
__total__ = 1

__total__ += 1
"""
Open = Callable[..., LabPage]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


def write_team(folder: Path) -> None:
    own = folder / "own"
    own.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[tool.rasen.snippets]\nsources = ["own"]\n')
    (own / "greet_somebody.py").write_text(GREETING)
    (own / "add_number.py").write_text(ADDING)
    (own / "greet_nobody.py").write_text("print('no front matter')\n")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        write_team(lab.root / "team")
        yield lab


@pytest.fixture
def team(browser: Any, lab: Jupyter, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """Open a notebook of a team with snippets of its own; what the page does wrong fails the test in the end."""
    name = f"team/{request.node.originalname}.ipynb"
    (lab.root / name).write_text(notebook_text("# Title", "rows = 1", "if rows:\n    rows = 2"))
    with open_notebook(browser, lab, name) as page:
        yield page
    lab.stop_kernels()
    assert (page.faults.foreign, page.faults.said) == ([], [])


def options(panel: Any) -> Any:
    """Return the snippets in the list, and not the tags to choose from."""
    return panel.get_by_role("listbox").get_by_role("option")


def search(team: LabPage, words: str) -> Any:
    panel = team.show("snippets")
    options(panel).first.wait_for()
    assert team.page.evaluate("document.activeElement.type") == "search"
    team.page.keyboard.type(words)
    return panel


def test_a_snippet_is_found_inserted_and_filled_in_by_the_keyboard_alone(team: LabPage) -> None:
    team.editor(1).click()
    panel = search(team, "greet")
    assert [one.split("\n")[0] for one in options(panel).all_inner_texts()] == [
        "Greet somebody",
        "Add a number",
    ]
    team.page.keyboard.press("ArrowDown")
    panel.get_by_role("region", name="Preview of Add a number").wait_for()
    team.page.keyboard.press("ArrowUp")
    preview = panel.get_by_role("region", name="Preview of Greet somebody")
    assert preview.locator("mark").all_inner_texts() == ["world", "!", "world"]
    team.keep_picture("snippets")
    team.page.keyboard.press("Enter")
    team.wait(
        "notebook.model.cells.length === 4 && notebook.activeCellIndex === 2 && notebook.mode === 'edit'"
    )
    team.cell(2).locator(".rasen-Placeholder.rasen-mod-active").first.wait_for()
    assert team.ask("notebook.model.cells.get(2).getMetadata('tags')") == ["hello"]
    team.page.keyboard.type("Ann")
    team.page.keyboard.press("Tab")
    team.page.keyboard.type("?")
    team.page.keyboard.press("Shift+Tab")
    team.page.keyboard.type("Bob")
    team.keep_picture("placeholders")
    assert team.source(2) == 'print("🌀 Bob?")\nprint("again, Bob")'
    team.page.keyboard.press("Tab")
    team.page.keyboard.press("Tab")
    team.cell(2).locator(".rasen-Placeholder").first.wait_for(state="detached")
    team.page.keyboard.type("  # done")
    assert team.source(2) == 'print("🌀 Bob?")\nprint("again, Bob")  # done'
    team.page.keyboard.press("Escape")
    team.page.keyboard.press("z")
    team.wait("notebook.model.cells.length === 3")


def test_a_snippet_stands_below_the_line_of_the_cursor_with_its_indent(team: LabPage) -> None:
    team.editor(2).click()
    team.page.keyboard.press("Control+End")
    panel = search(team, "add")
    panel.get_by_role("button", name="Insert at the cursor").click()
    team.cell(2).locator(".rasen-Placeholder").first.wait_for()
    team.page.keyboard.type("count")
    assert team.source(2) == "if rows:\n    rows = 2\n    count = 1\n\n    count += 1"
    # Escape ends it: what is typed next stands in one place, and the cell is still being edited.
    team.page.keyboard.press("Escape")
    team.page.keyboard.type("er")
    assert team.source(2).count("counter") == 1
    for _ in range(3):
        team.page.keyboard.press("Control+z")
    team.wait("notebook.model.cells.get(2).sharedModel.getSource() === 'if rows:\\n    rows = 2'")


def test_broken_snippets_are_listed_and_tags_narrow_the_list(team: LabPage) -> None:
    panel = search(team, "")
    panel.get_by_text("1 snippet cannot be read").click()
    panel.get_by_text("front matter").wait_for()
    everything = options(panel).count()
    panel.get_by_label("Tag").select_option("greeting")
    assert options(panel).count() == 2 < everything
    panel.get_by_role("combobox", name="Search snippets").fill("nobody says this")
    panel.get_by_text("No snippet has all these words.").wait_for()


def test_snippets_need_a_notebook_and_a_server(browser: Any, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "work").mkdir()
    write_team(tmp_path / "work" / "team")
    (tmp_path / "work" / "team" / "one.ipynb").write_text(notebook_text("x = 1"))
    running = running_lab(tmp_path, port=port)
    lab = running.__enter__()
    try:
        with open_notebook(browser, lab, "team/one.ipynb") as page:
            panel = search(page, "greet")
            running.__exit__(None, None, None)
            # Not by the mouse: JupyterLab's own dialog about the server may lie above the panel.
            panel.get_by_role("button", name="Read the snippets again").dispatch_event("click")
            panel.get_by_text("The server does not answer.").wait_for()
            assert options(panel).count() == 2  # those from before can be inserted all the same
            running = running_lab(tmp_path, port=port)
            running.__enter__()
            panel.get_by_text("The server does not answer.").wait_for(state="detached")
            assert page.faults.foreign == []
    finally:
        running.__exit__(None, None, None)
