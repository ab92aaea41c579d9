"""JupyterLab as a person uses it: a notebook is opened, cells are typed into, panels are looked at."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any  # of playwright, whose types are not there when mypy runs

from stand.browser import Faults, open_page
from stand.jupyter import TOKEN, Jupyter

SECONDS = 30.0


class LabPage:
    """A page that shows one notebook."""

    def __init__(self, page: Any, faults: Faults) -> None:
        self.page = page
        self.faults = faults

    def editor(self, cell: int) -> Any:
        """Return the text of a cell, all cells counted from 0; it must have come into view."""
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{cell}"] .cm-content')

    def cell(self, cell: int) -> Any:
        """Return a cell, all cells counted from 0."""
        return self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{cell}"]')

    def marks(self, cell: int) -> Any:
        """Return the marked places of a cell, also those that are a point."""
        return self.cell(cell).locator(".cm-lintRange, .cm-lintPoint")

    def type_into(self, cell: int, text: str) -> None:
        """Type at the end of a cell."""
        self.editor(cell).click()
        self.page.keyboard.press("Control+End")
        self.page.keyboard.type(text)

    def source(self, cell: int) -> str:
        """Return what the model of the notebook holds."""
        return str(self.ask(f"notebook.model.cells.get({cell}).sharedModel.getSource()"))

    def ask(self, expression: str) -> Any:
        """Return the value of an expression about `notebook`, the widget with the cells."""
        return self.page.evaluate(
            f"(() => {{ const notebook = window.jupyterapp.shell.currentWidget.content; return {expression}; }})()"
        )

    def execute(self, command: str) -> None:
        """Execute a command, as the palette does; nobody waits for its end."""
        self.page.evaluate(f"void window.jupyterapp.commands.execute({command!r})")

    def show(self, panel: str) -> Any:
        """Open the panel of `findings` or `snippets`, and return it."""
        self.execute(f"rasen-{panel}:open")
        found = self.page.locator(f"#rasen-{panel}")
        found.wait_for()
        return found

    def wait(self, expression: str) -> None:
        """Wait until an expression about `notebook` is true."""
        self.page.wait_for_function(
            f"(() => {{ const notebook = window.jupyterapp.shell.currentWidget.content; return {expression}; }})()"
        )

    def keep_picture(self, name: str) -> None:
        """Keep a screenshot where the variable BROWSER_PICTURES says, if it says so."""
        folder = os.environ.get("BROWSER_PICTURES")
        if folder:
            self.page.screenshot(path=f"{folder}/lab-{name}.png")


@contextmanager
def open_notebook(browser: Any, lab: Jupyter, path: str, **options: Any) -> Iterator[LabPage]:
    """Open a notebook in a JupyterLab that nobody has used before, and wait for its first cell."""
    options = {"viewport": {"width": 1280, "height": 800}} | options
    with open_page(browser, lab.url, **options) as (page, faults):
        page.set_default_timeout(SECONDS * 1000)
        name = path.replace("/", "-").removesuffix(".ipynb")
        page.goto(f"{lab.url}/lab/workspaces/{name}/tree/{path}?reset&token={TOKEN}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.wait_for_function("window.jupyterapp.shell.currentWidget?.context?.isReady")
        yield LabPage(page, faults)


def change_setting(lab: Jupyter, plugin: str, values: dict[str, object]) -> None:
    """Set a setting of JupyterLab for everybody who opens it from now on."""
    with lab.client() as client:
        answer = client.put(f"/lab/api/settings/{plugin}", json={"raw": json.dumps(values)})
        answer.raise_for_status()
