"""Patterns of paths as people know them from ruff and git: `notebooks/scratch/**`, `*_draft.ipynb`, `old/`."""

from __future__ import annotations

import re
from functools import lru_cache


def matches_glob(path: str, pattern: str) -> bool:
    """Return whether a relative path, with `/`, is what the pattern means, or lies in a folder that is.

    `**` means any folders, `*` and `?` anything but `/`; a pattern without `/` means a name in any folder.
    """
    return _compile(pattern).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    folder = pattern.rstrip("/").removeprefix("./")
    anywhere = "" if "/" in folder else "(?:.*/)?"
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", folder)
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    said = "".join(
        meanings.get(part) or (_class(part) if part.startswith("[") and len(part) > 2 else re.escape(part))
        for part in parts
    )
    return re.compile(f"{anywhere}{said}(?:/.*)?", re.DOTALL)


def _class(part: str) -> str:
    inside = part[1:-1].replace("\\", "\\\\")
    return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
