"""Where notebooks lie that nobody here wrote: documentation packages of Debian, and papermill's own tests."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """One collection of notebooks.

    Args:
        name: What it is called in the report.
        folder: Where it lies once it is installed; searched with its sub-folders.
        install: What installs it.
        notebooks: How many there are in the version this was written for; only to say what was skipped.
    """

    name: str
    folder: Path
    install: str
    notebooks: int


@dataclass(frozen=True, kw_only=True)
class WildNotebook:
    """A notebook of a source; `name` is its file name without `.gz`."""

    source: str
    name: str
    path: Path

    @property
    def label(self) -> str:
        """How the report and the table of known differences call it."""
        return f"{self.source}/{self.name}"

    def read(self) -> bytes:
        """Return the notebook; Debian compresses documentation of more than 4 kB."""
        data = self.path.read_bytes()
        return gzip.decompress(data) if self.path.suffix == ".gz" else data


def sources() -> tuple[Source, ...]:
    """Return all collections, installed or not."""
    papermill = importlib.util.find_spec("papermill")
    assert papermill is not None
    assert papermill.origin is not None
    documentation = Path("/usr/share/doc")
    return (
        Source(
            name="papermill",
            folder=Path(papermill.origin).parent / "tests" / "notebooks",
            install="make install",
            notebooks=22,
        ),
        Source(
            name="sklearn",
            folder=documentation / "python-sklearn-doc" / "html" / "_downloads",
            install="apt-get install --no-install-recommends python-sklearn-doc",
            notebooks=285,
        ),
        Source(
            name="statsmodels",
            folder=documentation / "python-statsmodels-doc" / "examples" / "notebooks",
            install="apt-get install --no-install-recommends python-statsmodels-doc",
            notebooks=69,
        ),
    )


def find_notebooks(source: Source) -> list[WildNotebook]:
    """Return the notebooks of a source by name; none when it is not installed."""
    return sorted(_notebooks(source), key=lambda notebook: notebook.name)


def _notebooks(source: Source) -> Iterator[WildNotebook]:
    for path in source.folder.rglob("*.ipynb*"):
        name = path.name.removesuffix(".gz")
        if path.is_file() and name.endswith(".ipynb"):
            yield WildNotebook(source=source.name, name=name, path=path)
