"""The file that a new snippet begins as: complete, so that it can be inserted before a word of it is changed."""

from __future__ import annotations

from pathlib import Path

from rasen.errors import InvalidInput, PlatformFailed
from rasen.snippets.reading import NAME

_CODE = """# ---
# title: {title}
# description: >-
#   What the cell does, and why it is done this way.
# tags: [team]
# placeholders:
#   rows: {{default: rows, description: DataFrame to look at}}
#   column: {{default: origin, description: column that must not be missing}}
# ---
if __rows__["__column__"].isna().any():
    raise ValueError("rows without __column__: drop them, or find out why they are there")
print(f"{{len(__rows__):,}} rows, {{__rows__['__column__'].nunique():,}} values of __column__")
"""
_MARKDOWN = """# ---
# title: {title}
# description: >-
#   What the reader learns from it.
# tags: [team]
# cell: {{type: markdown}}
# placeholders:
#   question: {{default: "What do we want to know?", description: "the question, in one sentence"}}
# ---
# ## {title}
#
# __question__
"""


def create_snippet(name: str, folder: Path, *, markdown: bool = False) -> Path:
    """Write the file of a new snippet into a folder, which is made if need be, and return its path.

    Raises:
        InvalidInput: The name is no `<verb>_<thing>`, or is taken.
        PlatformFailed: The folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is no name of a snippet: <verb>_<thing> in small letters, such as 'read_and_check_table'"
        )
    path = folder / f"{name}.py"
    title = name.replace("_", " ").capitalize()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write((_MARKDOWN if markdown else _CODE).format(title=title))
    except FileExistsError:
        raise InvalidInput(f"{str(path)!r} is there already; choose another name, or edit it") from None
    except OSError as error:
        raise PlatformFailed(f"{str(path)!r} could not be written: {error}") from None
    return path
