"""The repository as tests read it: its packages, its files, and what pyproject.toml says."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "rasen": ROOT / "platform" / "rasen",
    "rasen_labextension": ROOT / "platform" / "labextension" / "rasen_labextension",
    "rasen_lint": ROOT / "lint_rules" / "rasen_lint",
    "rasen_serving": ROOT / "serving" / "rasen_serving",
}


def source_files(package: str) -> Iterator[Path]:
    """Yield the Python files of a package, or of a folder in the root that is none."""
    yield from sorted(PACKAGES.get(package, ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    """Return the name under which a source file is imported, or would be."""
    for package, folder in PACKAGES.items():
        if path.is_relative_to(folder):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            return ".".join(part for part in parts if part != "__init__")
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def tracked_files() -> list[Path]:
    """Return the files that git tracks and that are there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def requirements() -> dict[str, list[str]]:
    """Return the requirements of the distribution by extra; the base is the extra ''."""
    table = project()
    return {"": table["dependencies"], **table["optional-dependencies"]}


def normalise(name: str) -> str:
    """Return a distribution's name as locks and indexes write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;@]", name.strip(), maxsplit=1)[0]).lower()


def declared_distributions() -> set[str]:
    """Return the names of everything that the base and the extras require."""
    return {normalise(line) for lines in requirements().values() for line in lines} - {"rasen"}
