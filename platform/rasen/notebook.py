"""Notebooks as the platform reads them: parsed once, into frozen cells.

Read with `json` alone. `nbformat` would validate against a JSON schema (0.3 s of imports, then milliseconds a
notebook) and its messages name places in that schema; what a step needs of a notebook is checked here in a few lines,
with the line or the cell to look at.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rasen.errors import NotebookError

PARAMETERS_TAG = "parameters"
_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*")

CellType = Literal["code", "markdown", "raw"]
_CELL_TYPES: dict[str, CellType] = {"code": "code", "markdown": "markdown", "raw": "raw"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell. `index` counts all cells from 0; `id` is `None` in notebooks older than nbformat 4.5."""

    index: int
    id: str | None
    type: CellType
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """A notebook without its outputs.

    `language` is the lower-case language of its kernel, or `None` when the notebook names no kernel.
    """

    name: str
    cells: tuple[Cell, ...]
    language: str | None

    @property
    def title(self) -> str:
        """The heading of the first markdown cell, or the empty text."""
        return _heading_and_paragraph(self._first_markdown())[0]

    @property
    def description(self) -> str:
        """The first paragraph of the first markdown cell, in one line, or the empty text."""
        return _heading_and_paragraph(self._first_markdown())[1]

    @property
    def parameters_cell(self) -> Cell:
        """The code cell tagged `parameters`.

        Raises:
            NotebookError: There is none, or more than one.
        """
        tagged = [cell for cell in self.cells if PARAMETERS_TAG in cell.tags]
        if not tagged:
            raise NotebookError(
                f"{self.name}: no cell is tagged 'parameters'; tag one code cell so (in JupyterLab: the gear at the "
                "top right, 'Cell Tags'). It may be empty"
            )
        if len(tagged) > 1:
            cells = ", ".join(str(cell.index) for cell in tagged)
            raise NotebookError(
                f"{self.name}: cells {cells} are tagged 'parameters', only one may be; move the assignments into one"
            )
        if tagged[0].type != "code":
            raise NotebookError(
                f"{self.name}: cell {tagged[0].index} is tagged 'parameters' but is a {tagged[0].type} cell; tag a "
                "code cell"
            )
        return tagged[0]

    def _first_markdown(self) -> str:
        return next((cell.source for cell in self.cells if cell.type == "markdown"), "")


def read_notebook(path: Path) -> Notebook:
    """Read a notebook file.

    Raises:
        NotebookError: It is not there, or `parse_notebook` refuses it.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise NotebookError(f"there is no notebook file {str(path)!r}") from None
    return parse_notebook(data, name=path.name)


def parse_notebook(data: bytes, *, name: str) -> Notebook:
    """Parse the bytes of a notebook; `name` stands for it in messages.

    Raises:
        NotebookError: It is not JSON (with the line), not of nbformat 4, or its cells are malformed (with the cell).
    """
    return build_notebook(parse_document(data, name=name), name=name)


def build_notebook(document: Any, *, name: str) -> Notebook:  # Any: whatever the JSON held
    """Make a notebook of parsed JSON; `name` stands for it in messages.

    Raises:
        NotebookError: It is not of nbformat 4, or its cells are malformed (with the cell).
    """
    if not isinstance(document, dict) or not isinstance(document.get("nbformat"), int):
        raise NotebookError(f"{name}: this is JSON but no notebook: it has no `nbformat`")
    version = document["nbformat"]
    if version < 4:
        raise NotebookError(
            f"{name}: nbformat {version} is too old, 4 is read; convert the file once with "
            f"`jupyter nbconvert --to notebook --inplace {name}`"
        )
    if version > 4:
        raise NotebookError(
            f"{name}: nbformat {version} is newer than 4, the one that is read; save it as nbformat 4"
        )
    cells = document.get("cells")
    if not isinstance(cells, list):
        raise NotebookError(f"{name}: `cells` is {type(cells).__name__}, it must be a list")
    return Notebook(
        name=name,
        cells=tuple(_parse_cell(cell, index, name) for index, cell in enumerate(cells)),
        language=_language(document.get("metadata")),
    )


def check_runnable(notebook: Notebook) -> None:
    """Refuse a notebook that cannot be a step.

    Raises:
        NotebookError: Its kernel is not Python or not named, or it has not exactly one `parameters` cell.
    """
    if notebook.language is None:
        raise NotebookError(
            f"{notebook.name}: names no kernel (`metadata.kernelspec` is missing); open it in JupyterLab, choose a "
            "Python kernel and save"
        )
    if notebook.language != "python":
        raise NotebookError(
            f"{notebook.name}: is written for a {notebook.language!r} kernel; a step runs Python notebooks only"
        )
    notebook.parameters_cell  # noqa: B018 - asked for its refusal


def parse_document(data: bytes, *, name: str) -> Any:  # Any: whatever the file holds
    """Parse the JSON of a notebook, whose pieces are still to be looked at; `name` stands for it in messages.

    Raises:
        NotebookError: It is not JSON, with the line.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotebookError(f"{name}, line {line}: byte {data[error.start]:#04x} is not UTF-8") from None
    except json.JSONDecodeError as error:
        text = error.doc.split("\n")[error.lineno - 1]
        if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise NotebookError(
                f"{name}, line {error.lineno}: holds a merge conflict ({text[:40]!r}); resolve it first"
            ) from None
        raise NotebookError(
            f"{name}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}"
            + (f" at {text.strip()[:40]!r}" if text.strip() else "")
        ) from None
    except RecursionError:
        raise NotebookError(f"{name}: nested too deeply for a notebook") from None


def _parse_cell(cell: Any, index: int, name: str) -> Cell:  # Any: a piece of JSON that is looked at here
    if not isinstance(cell, dict):
        raise NotebookError(f"{name}, cell {index}: is {type(cell).__name__}, it must be an object")
    kind = cell.get("cell_type")
    if not isinstance(kind, str) or kind not in _CELL_TYPES:
        raise NotebookError(
            f"{name}, cell {index}: `cell_type` is {kind!r}, it must be one of {sorted(_CELL_TYPES)}"
        )
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise NotebookError(f"{name}, cell {index}: `source` must be a text or a list of lines")
    metadata = cell.get("metadata")
    tags = metadata.get("tags", []) if isinstance(metadata, dict) else []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise NotebookError(f"{name}, cell {index}: `metadata.tags` is {tags!r}, it must be a list of texts")
    identifier = cell.get("id")
    return Cell(
        index=index,
        id=identifier if isinstance(identifier, str) else None,
        type=_CELL_TYPES[kind],
        source=source,
        tags=tuple(tags),
    )


def _language(metadata: Any) -> str | None:  # Any: a piece of JSON that is looked at here
    """Ask the places where Jupyter, VS Code and stripped notebooks leave the language, the surest first."""
    for section, key in (("kernelspec", "language"), ("language_info", "name")):
        block = metadata.get(section) if isinstance(metadata, dict) else None
        language = block.get(key) if isinstance(block, dict) else None
        if isinstance(language, str) and language:
            # "ipython" is what IPython itself wrote into language_info for some years.
            return {"ipython": "python", "python3": "python"}.get(language.lower(), language.lower())
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    kernel_name = kernel.get("name") if isinstance(kernel, dict) else None
    if not isinstance(kernel_name, str) or not kernel_name:
        return None
    return "python" if "python" in kernel_name.lower() else kernel_name.lower()


def _heading_and_paragraph(markdown: str) -> tuple[str, str]:
    heading = ""
    paragraph: list[str] = []
    for line in markdown.splitlines():
        text = line.strip()
        match = _HEADING.fullmatch(text)
        if match is not None and not heading and not paragraph:
            heading = match[1]
        elif match is not None or (not text and paragraph):
            break
        elif text:
            paragraph.append(text)
    return heading, " ".join(paragraph)
