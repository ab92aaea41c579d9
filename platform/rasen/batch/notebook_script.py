"""A notebook as a Python script, for comparing: cells behind `# %%`, as editors and jupytext write them."""

from __future__ import annotations

from rasen.notebook import Notebook


def to_script(notebook: Notebook) -> str:
    """Return the cells' sources without outputs, texts as comments, tags beside the marks."""
    pieces = []
    for cell in notebook.cells:
        kind = "" if cell.type == "code" else f" [{cell.type}]"
        tags = f" tags={list(cell.tags)!r}" if cell.tags else ""
        source = cell.source.rstrip()
        if cell.type != "code":
            source = "\n".join(f"# {line}".rstrip() for line in source.splitlines())
        pieces.append(f"# %%{kind}{tags}\n{source}\n" if source else f"# %%{kind}{tags}\n")
    return "\n".join(pieces)
