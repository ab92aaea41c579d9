"""One version of a notebook with all that a review compares: cells, outputs, kernel; or why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rasen.errors import NotebookError
from rasen.notebook import Cell, Notebook, build_notebook, parse_document
from rasen.review.images import decode_image

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, kw_only=True)
class Content:
    """A notebook's cells, and beside each its outputs and attached pictures.

    Args:
        cells: As the platform reads them, with line feeds as the only ends of lines.
        outputs: Of each cell, as nbformat has them.
        attachments: Of each cell: data URIs by name.
        kernel: The name of the kernel, `""` if none is named.
        notebook: The notebook itself, `None` if it cannot be read.
        problem: Why it cannot be read.
    """

    cells: tuple[Cell, ...] = ()
    outputs: tuple[tuple[dict[str, Any], ...], ...] = ()  # Any: JSON of nbformat
    attachments: tuple[dict[str, str], ...] = field(default=())
    kernel: str = ""
    notebook: Notebook | None = None
    problem: str | None = None


def read_content(data: bytes, *, name: str) -> Content:
    """Read a notebook; one that cannot be read is a content with a `problem`, so that the other version is shown."""
    if data.startswith(_LFS_POINTER):
        return Content(
            problem=f"{name}: a pointer of Git LFS; the notebook itself is not here, `git lfs pull` brings it"
        )
    try:
        document = parse_document(data, name=name)
        notebook = build_notebook(document, name=name)
    except NotebookError as error:
        return Content(problem=str(error))
    raw = document["cells"]
    return Content(
        cells=tuple(_unix(cell) for cell in notebook.cells),
        outputs=tuple(_outputs(cell) for cell in raw),
        attachments=tuple(_attachments(cell.get("attachments")) for cell in raw),
        kernel=_kernel(document.get("metadata")),
        notebook=notebook,
    )


def text_of(value: Any) -> str:  # Any: JSON of nbformat
    """Return a text that nbformat has whole or as a list of lines; anything else is none."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _unix(cell: Cell) -> Cell:
    if "\r" not in cell.source:
        return cell
    source = cell.source.replace("\r\n", "\n").replace("\r", "\n")
    return Cell(index=cell.index, id=cell.id, type=cell.type, source=source, tags=cell.tags)


def _outputs(cell: dict[str, Any]) -> tuple[dict[str, Any], ...]:  # Any: JSON of nbformat
    outputs = cell.get("outputs")
    if cell["cell_type"] != "code" or not isinstance(outputs, list):
        return ()
    return tuple(output for output in outputs if isinstance(output, dict))


def _attachments(attachments: Any) -> dict[str, str]:  # Any: JSON of nbformat
    found = {}
    for name, bundle in attachments.items() if isinstance(attachments, dict) else ():
        for mime, value in bundle.items() if isinstance(bundle, dict) else ():
            if decode_image(mime, text_of(value)) is not None:
                found[str(name)] = f"data:{mime};base64,{''.join(text_of(value).split())}"
    return found


def _kernel(metadata: Any) -> str:  # Any: JSON of nbformat
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = kernel.get("name") if isinstance(kernel, dict) else None
    return name if isinstance(name, str) else ""
