"""Findings in JupyterLab, in the real Chromium, against a real server: `make test-browser`."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any  # of playwright, whose types are not there when mypy runs

import pytest

from stand.browser import running_browser
from stand.jupyter import Jupyter, free_port, notebook_text
from stand.lab import running_lab
from stand.lab_page import LabPage, change_setting, open_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

TITLE = "# Departures"
Open = Callable[..., LabPage]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def open_cells(browser: Any, lab: Jupyter, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a notebook with these cells; what the page does wrong fails the test in the end."""
    contexts: list[tuple[AbstractContextManager[LabPage], LabPage]] = []

    def open_cells(*sources: str, options: dict[str, Any] | None = None, **notebook: Any) -> LabPage:
        name = f"{request.node.originalname}-{len(contexts)}.ipynb"
        (lab.root / name).write_text(notebook_text(*sources, **notebook))
        context = open_notebook(browser, lab, name, **(options or {}))
        page = context.__enter__()
        contexts.append((context, page))
        return page

    yield open_cells
    for context, _ in contexts:
        context.__exit__(None, None, None)
    lab.stop_kernels()
    # JupyterLab's own warning, on a machine so busy that a long notebook's cells need more than ten seconds.
    said = [text for _, page in contexts for text in page.faults.said if "did not appear within" not in text]
    assert ([text for _, page in contexts for text in page.faults.foreign], said) == ([], [])


def test_an_error_is_marked_on_its_cell_while_it_is_typed(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1", "print(rows)")
    lab.page.locator(".rasen-Counts-button").first.wait_for()
    assert lab.page.locator(".cm-lintRange").count() == 0
    lab.type_into(1, "\nrows = (")
    begun = time.perf_counter()
    lab.marks(1).first.wait_for()
    print(f"\nfrom the last key to the mark: {1000 * (time.perf_counter() - begun):.0f} ms")
    assert lab.marks(2).count() == 0
    lab.marks(1).first.hover()
    tooltip = lab.page.locator(".cm-tooltip")
    tooltip.get_by_text("was never closed").wait_for()
    lab.keep_picture("mark")
    tooltip.get_by_role("button", name="Explain NB205").click()
    dialog = lab.page.get_by_role("dialog")
    dialog.get_by_text("A cell parses.").wait_for()
    dialog.get_by_role("button", name="Close").click()
    lab.type_into(1, ")")
    lab.marks(1).first.wait_for(state="detached")


def test_marks_move_with_what_is_typed_above_them(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = None\nrows == None")
    lab.marks(1).first.wait_for()
    lab.editor(1).click()
    lab.page.keyboard.press("Control+Home")
    lab.page.keyboard.type("first = '🌀'; ")
    lab.page.keyboard.press("Enter")
    lab.page.wait_for_timeout(150)
    assert "".join(lab.marks(1).all_inner_texts()) == "== None"


def test_a_finding_is_mended_by_its_button_and_undone_by_the_keyboard(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1\nrows == None  # kept", "rows == None")
    lab.marks(1).first.hover()
    lab.page.locator(".cm-tooltip").get_by_role("button", name="Fix").click()
    lab.wait("notebook.model.cells.get(1).sharedModel.getSource().includes('rows is None  # kept')")
    lab.marks(1).first.wait_for(state="detached")
    assert lab.source(2) == "rows == None"
    assert lab.ask("notebook.model.cells.get(1).id") == "cell1"
    lab.editor(1).click()
    lab.page.keyboard.press("Control+z")
    lab.wait("notebook.model.cells.get(1).sharedModel.getSource() === 'rows = 1\\nrows == None  # kept'")
    lab.marks(1).first.wait_for()


def test_an_error_that_is_deleted_and_typed_again_at_once_is_marked_again(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1")
    for _ in range(3):
        lab.type_into(1, "\nrows = (")
        lab.marks(1).first.wait_for()
        lab.page.keyboard.press("Control+A")
        lab.page.keyboard.type("rows = 1")
        lab.marks(1).first.wait_for(state="detached")


def test_the_panel_lists_jumps_filters_and_mends_all(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1\nrows == None", "", "x = (", "rows == None")
    lab.marks(1).first.wait_for()  # a panel that opens with findings begins at the first of them
    panel = lab.show("findings")
    panel.get_by_role("heading", name="Cell 5").wait_for()
    assert panel.locator("h3").all_inner_texts() == ["Cell 2\n1", "Cell 3\n1", "Cell 4\n1", "Cell 5\n1"]
    lab.keep_picture("panel")
    # By the keyboard alone: down to the third row, and there.
    assert lab.page.evaluate("document.activeElement.className") == "rasen-Row-main"
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("ArrowDown")
    lab.page.keyboard.press("Enter")
    lab.wait("notebook.activeCellIndex === 3 && notebook.mode === 'edit'")
    assert lab.page.evaluate("document.activeElement.classList.contains('cm-content')")
    lab.page.keyboard.press("F8")
    lab.wait("notebook.activeCellIndex === 4")
    panel.get_by_role("button", name="warnings").click()
    assert panel.locator("h3").all_inner_texts() == ["Cell 4\n1"]
    panel.get_by_role("button", name="Fix all (3)").click()
    lab.wait("notebook.model.cells.length === 4")
    assert [lab.source(index) for index in range(4)] == [
        TITLE,
        "rows = 1\nrows is None",
        "x = (",
        "rows is None",
    ]
    lab.page.get_by_role("button", name="Undo", exact=True).click()
    lab.wait("notebook.model.cells.length === 5")
    assert [lab.source(index) for index in range(1, 5)] == [
        "rows = 1\nrows == None",
        "",
        "x = (",
        "rows == None",
    ]


def test_what_was_edited_meanwhile_is_left_alone(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1\nrows == None", "rows == None")
    panel = lab.show("findings")
    panel.get_by_role("button", name="Fix all (2)").wait_for()
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    lab.page.route("**/rasen/fix*", hold)
    with lab.page.expect_request("**/rasen/fix*"):
        panel.get_by_role("button", name="Fix all (2)").click()
    lab.type_into(1, "  # mine")
    held[0].continue_()
    lab.page.get_by_text("1 cell was edited meanwhile").wait_for()
    assert lab.source(1) == "rows = 1\nrows == None  # mine"
    assert lab.source(2) == "rows is None"


def test_a_cell_far_below_gets_its_marks_when_it_comes_into_view(open_cells: Open) -> None:
    lab = open_cells(TITLE, *[f"x{number} = {number}" for number in range(298)], "rows = (")
    panel = lab.show("findings")
    row = panel.get_by_role("button", name="was never closed")
    row.wait_for()
    row.click()
    lab.marks(299).first.wait_for()
    lab.wait("notebook.activeCellIndex === 299 && notebook.widgets[299].inViewport")


def test_marks_follow_a_cell_that_is_moved_and_go_with_one_that_is_deleted(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1", "rows == None")
    lab.marks(2).first.wait_for()
    lab.cell(2).locator(".jp-InputPrompt").click()
    lab.page.keyboard.press("Control+Shift+ArrowUp")
    lab.wait("notebook.model.cells.get(1).id === 'cell2'")
    lab.marks(1).first.wait_for()
    assert lab.marks(2).count() == 0
    panel = lab.show("findings")
    panel.get_by_role("heading", name="Cell 2").wait_for()
    lab.cell(1).locator(".jp-InputPrompt").click()
    lab.page.keyboard.press("d")
    lab.page.keyboard.press("d")
    panel.get_by_text("Nothing to mend.").wait_for()


def test_two_views_of_a_notebook_show_the_same(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows == None")
    lab.marks(1).first.wait_for()
    lab.execute("docmanager:clone")
    lab.page.wait_for_function("document.querySelectorAll('.jp-Notebook').length === 2")
    lab.page.wait_for_function(
        "[...document.querySelectorAll('.jp-Notebook')].every(view => view.querySelector('.cm-lintRange'))"
    )


def test_faults_of_rules_other_languages_and_missing_titles_are_told_in_the_panel(open_cells: Open) -> None:
    lab = open_cells("x = 1", metadata={"stand": {"fault": True}})
    panel = lab.show("findings")
    panel.get_by_role("heading", name="Notebook").wait_for()
    panel.get_by_text("the notebook has no title").wait_for()
    assert "a fault of Rasen, not of your notebook" in panel.get_by_role("alert").inner_text()
    kernel = {"name": "ir", "display_name": "R", "language": "R"}
    lab = open_cells("x <- 1", metadata={"kernelspec": kernel, "language_info": {"name": "R"}})
    lab.page.keyboard.press("Escape")  # there is no kernel of R here, and JupyterLab asks for another
    panel = lab.show("findings")
    panel.get_by_text("This notebook runs R; only Python is checked.").wait_for()


def test_cells_whose_results_are_out_of_date_are_marked_until_they_run(open_cells: Open) -> None:
    lab = open_cells(TITLE, "rows = 1", "total = rows + 1", "other = 3")
    lab.wait("notebook.parent.sessionContext.session?.kernel?.status === 'idle'")
    lab.execute("notebook:run-all-cells")
    lab.wait("notebook.model.cells.get(3).executionCount === 3")
    old = lab.page.locator(".rasen-mod-outOfDate")
    assert old.count() == 0
    lab.type_into(1, "0")
    old.first.wait_for()
    assert lab.cell(1).locator(".jp-InputPrompt").get_attribute("title") == "Edited since it ran"
    lab.page.keyboard.press("Shift+Enter")
    lab.cell(2).locator('.jp-InputPrompt[title*="was set again above"]').wait_for()
    assert old.count() == 1
    lab.keep_picture("out-of-date")
    panel = lab.show("findings")
    panel.get_by_text("1 cell is out of date").click()
    panel.get_by_role("button", name="Cell 3: Ran before").click()
    lab.wait("notebook.activeCellIndex === 2")
    lab.execute("notebook:run-cell")
    old.first.wait_for(state="detached")


@pytest.mark.parametrize("zoom", [1, 2])
def test_in_the_dark_and_enlarged_all_can_be_read(lab: Jupyter, open_cells: Open, zoom: int) -> None:
    change_setting(lab, "@jupyterlab/apputils-extension:themes", {"theme": "JupyterLab Dark"})
    try:
        size = {"viewport": {"width": 1280 // zoom, "height": 800 // zoom}, "device_scale_factor": zoom}
        page = open_cells(TITLE, "rows == None", "x = (", options=size)
        panel = page.show("findings")
        panel.get_by_role("heading", name="Cell 2").wait_for()
        dark = "getComputedStyle(document.querySelector('#rasen-findings')).backgroundColor.match(/\\d+/)[0] < 80"
        page.page.wait_for_function(dark)
        page.keep_picture(f"dark-{zoom}")
        buttons = "[...document.querySelectorAll('#rasen-findings button')]"
        inside = f"{buttons}.every(one => one.getBoundingClientRect().right <= innerWidth)"
        assert page.page.evaluate(inside)
    finally:
        change_setting(lab, "@jupyterlab/apputils-extension:themes", {"theme": "JupyterLab Light"})


def test_in_japanese(lab: Jupyter, open_cells: Open) -> None:
    change_setting(lab, "@jupyterlab/translation-extension:plugin", {"locale": "ja_JP"})
    try:
        page = open_cells(TITLE, "rows == None")
        panel = page.show("findings")
        panel.get_by_role("heading", name="セル 2").wait_for()
        assert panel.get_by_role("button", name="警告 1 件").count() == 1
        assert page.page.get_by_role("tab", name="指摘").count() == 1
        page.keep_picture("japanese")
    finally:
        change_setting(lab, "@jupyterlab/translation-extension:plugin", {"locale": "default"})


def test_a_server_that_is_down_is_told_and_comes_back_by_itself(browser: Any, tmp_path: Path) -> None:
    port = free_port()
    name = "one.ipynb"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / name).write_text(notebook_text(TITLE, "rows == None"))
    running = running_lab(tmp_path, port=port)
    lab = running.__enter__()
    try:
        with open_notebook(browser, lab, name) as page:
            panel = page.show("findings")
            panel.get_by_role("heading", name="Cell 2").wait_for()
            running.__exit__(None, None, None)
            # By the model: JupyterLab's own dialog about the server may lie above the cell.
            page.ask("notebook.model.cells.get(1).sharedModel.setSource('rows == None\\nx = (')")
            panel.get_by_text("The server does not answer.").wait_for()
            assert "What stands below is from before." in panel.inner_text()
            assert panel.get_by_role("button", name="Fix all").is_disabled()
            page.keep_picture("server-down")
            running = running_lab(tmp_path, port=port)
            running.__enter__()
            panel.get_by_text("was never closed").wait_for()
            assert "does not answer" not in panel.inner_text()
            assert page.faults.foreign == []
    finally:
        running.__exit__(None, None, None)
