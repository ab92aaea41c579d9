"""Snippets as the picker inserts them: front matter read, placeholders filled in."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "snippets"
PLACEHOLDER = re.compile(r"__([a-z]+(?:_[a-z]+)*)__")
_FRONT_MATTER = re.compile(r"# ---\n(?P<lines>(?:# .*\n)+)# ---\n(?P<code>.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """A snippet's front matter, and its cell with the placeholders still in it."""

    front_matter: dict[str, Any]
    code: str

    def fill(self, **values: str) -> str:
        """Return the cell with every placeholder replaced, by its default unless a value is given."""
        defaults = {name: str(entry["default"]) for name, entry in self.front_matter["placeholders"].items()}
        return PLACEHOLDER.sub(lambda found: (defaults | values)[found[1]], self.code)


def read_snippet(name: str) -> Snippet:
    """Read a snippet by its name, without the ending."""
    found = _FRONT_MATTER.fullmatch((FOLDER / f"{name}.py").read_text())
    assert found is not None, f"{name}.py must open with front matter between two lines `# ---`"
    front_matter = "".join(line.removeprefix("# ") for line in found["lines"].splitlines(keepends=True))
    return Snippet(front_matter=yaml.safe_load(front_matter), code=found["code"])
