"""A clone of the sample pipelines in which the demo may edit and commit.

The clone is kept between demos and only ever goes forward: releases are numbered by the commits of a history, so a
demo that started over from the same commit would register older numbers than the last one did.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rasen.errors import NotFound, PlatformFailed

_AUTHOR = ("-c", "user.name=Rasen demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
# The line that the second lap edits, and the values that it goes round.
_EDITED = re.compile(r"^(C: float = )([0-9.]+)(.*)$", re.MULTILINE)
_VALUES = ("0.5", "0.25", "1.0")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One changed line of a notebook, committed."""

    before: str
    after: str
    commit: str


@dataclass(frozen=True, kw_only=True)
class SampleRepository:
    """The clone."""

    folder: Path
    uncommitted: bool

    def commit(self) -> str:
        """Return the current commit."""
        return _git(self.folder, "rev-parse", "HEAD")

    def pipeline(self, name: str) -> Path:
        """Return the folder of a pipeline."""
        return self.folder / "notebooks" / name

    def edit_cell(self, pipeline: str) -> Edit:
        """Change the regularisation in the pipeline's notebook, as an analyst would, and commit it.

        Raises:
            NotFound: No notebook of the pipeline has the line.
        """
        for path in sorted(self.pipeline(pipeline).glob("*.ipynb")):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                source = "".join(cell["source"])
                found = _EDITED.search(source)
                if cell["cell_type"] != "code" or found is None:
                    continue
                value = next(value for value in _VALUES if value != found[2])
                if found[2] in _VALUES:
                    value = _VALUES[(_VALUES.index(found[2]) + 1) % len(_VALUES)]
                changed = source.replace(found[0], f"{found[1]}{value}{found[3]}", 1)
                cell["source"] = changed.splitlines(keepends=True)
                path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
                message = f"Try another regularisation: C {found[2]} to {value}"
                _git(self.folder, *_AUTHOR, "commit", "--quiet", "--all", "--message", message)
                return Edit(before=found[0], after=f"{found[1]}{value}{found[3]}", commit=self.commit())
        raise NotFound(f"no notebook of {pipeline!r} has the line 'C: float = …' that the second lap edits")


def open_sample_repository(origin: Path, folder: Path) -> SampleRepository:
    """Clone `origin`'s current commit into `folder`, or bring the clone that is there up to date with it.

    Raises:
        NotFound: `origin` is no git repository with the sample pipelines in a commit.
    """
    if not (origin / ".git").exists():
        raise NotFound(
            f"{str(origin)!r} is no git repository; run the demo where you cloned Rasen, or give --repository"
        )
    head = _git(origin, "rev-parse", "HEAD")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)  # of a demo that was killed
        _git(origin, "clone", "--quiet", "--local", str(origin), str(part))
        _git(part, "checkout", "--quiet", "-B", "demo", head)
        part.rename(folder)
    else:
        _git(folder, "reset", "--quiet", "--hard")  # an edit that was killed before its commit
        _git(folder, "fetch", "--quiet", str(origin), "HEAD")
        message = "Take over what is new"
        _git(
            folder,
            *_AUTHOR,
            "merge",
            "--quiet",
            "--strategy-option=theirs",
            "--message",
            message,
            "FETCH_HEAD",
        )
    if not (folder / "notebooks").is_dir():
        raise NotFound(f"the current commit of {str(origin)!r} has no folder notebooks/")
    dirty = _git(origin, "status", "--porcelain", "--", "notebooks")
    return SampleRepository(folder=folder, uncommitted=bool(dirty))


def _git(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    if finished.returncode != 0:
        raise PlatformFailed(
            f"git {' '.join(arguments)} in {str(folder)!r} failed: {finished.stderr.strip()}"
        )
    return finished.stdout.strip()
