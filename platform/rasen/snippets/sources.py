"""Where snippets come from: Rasen's own, then a team's folders and repositories.

A team names its sources in the nearest `pyproject.toml` (`[tool.rasen.snippets] sources = […]`) and in
`RASEN_SNIPPETS`. A later source stands before an earlier one, so a team's snippet replaces ours of the same name. One
that cannot be read is told, and costs nobody the others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rasen.errors import InvalidInput, NotFound, RasenError
from rasen.snippets.git_address import GitAddress, looks_like_address, parse_address
from rasen.snippets.git_copies import GitCopy, fetch_copy, read_copy
from rasen.snippets.reading import SnippetFolder, load_snippets
from rasen.snippets.snippet import Snippet
from rasen.suggestion import suggest

if TYPE_CHECKING:
    from rasen.settings import Settings

SHIPPED = "rasen"
"""What the source of Rasen's own snippets is called."""
_COPIES = "snippets"  # folder of the copies of repositories, in the platform's cache


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """A source that gave nothing, or not its newest."""

    source: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that a team named; `place` is its folder, or its address and where copies of it are kept."""

    name: str
    place: Path | GitAddress


@dataclass(frozen=True, kw_only=True)
class SnippetLibrary:
    """Everything that there is to insert, and what could not be read."""

    snippets: tuple[Snippet, ...]
    problems: tuple[SourceProblem, ...] = ()

    def find(self, name: str) -> Snippet:
        """Return the snippet of a name.

        Raises:
            NotFound: There is none; the message suggests one.
            InvalidInput: Its file is broken; the message says where.
        """
        for snippet in self.snippets:
            if snippet.name == name:
                if snippet.problem is not None:
                    raise InvalidInput(f"snippet {name!r} cannot be used: {snippet.problem}")
                return snippet
        known = [snippet.name for snippet in self.snippets]
        raise NotFound(f"there is no snippet {name!r}; {suggest(name, known)}")


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What became of one repository that was asked for its newest state."""

    source: str
    copy: GitCopy | None
    changed: bool
    problem: str | None = None


def load_library(settings: Settings, *, start: Path) -> SnippetLibrary:
    """Return all snippets for somebody who works in `start`; a repository is cloned when it is first asked for.

    Args:
        settings: For `RASEN_SNIPPETS`, and where copies of repositories are kept.
        start: A folder; its `pyproject.toml`, or that of the nearest folder above, names the team's sources.
    """
    copies = settings.cache_dir / _COPIES
    sources, problems = named_sources(settings, start=start)
    folders = [SnippetFolder(path=shipped_folder(), source=SHIPPED)]
    for source in sources:
        if isinstance(source.place, Path):
            if source.place.is_dir():
                folders.append(SnippetFolder(path=source.place, source=source.name))
            else:
                problems.append(_problem(source, f"there is no folder {str(source.place)!r}"))
            continue
        try:
            copy = read_copy(copies, source.place)
            if copy is None:
                copy = fetch_copy(copies, source.place, patient=False)
        except RasenError as error:
            problems.append(_problem(source, str(error)))
        else:
            folders.append(SnippetFolder(path=copy.files, source=source.name))
    return SnippetLibrary(snippets=load_snippets(folders), problems=tuple(problems))


def update_sources(
    settings: Settings, *, start: Path
) -> tuple[tuple[Refreshed, ...], tuple[SourceProblem, ...]]:
    """Ask every repository for its newest state; where one is down, its last copy stays in use.

    Returns:
        What became of each repository, and the sources that are named wrongly.
    """
    copies = settings.cache_dir / _COPIES
    sources, problems = named_sources(settings, start=start)
    refreshed = []
    for source in sources:
        if isinstance(source.place, Path):
            continue
        before = read_copy(copies, source.place)
        try:
            copy = fetch_copy(copies, source.place)
        except RasenError as error:
            kept = f"; the copy of {before.fetched_at:%Y-%m-%d %H:%M} UTC stays in use" if before else ""
            refreshed.append(
                Refreshed(source=source.name, copy=before, changed=False, problem=f"{error}{kept}")
            )
        else:
            changed = before is None or before.commit != copy.commit
            refreshed.append(Refreshed(source=source.name, copy=copy, changed=changed))
    return tuple(refreshed), tuple(problems)


def shipped_folder() -> Path:
    """Return the folder of Rasen's own snippets: in the wheel beside this package, in a clone the repository's."""
    in_wheel = Path(__file__).parents[1] / "snippet_files"
    return in_wheel if in_wheel.is_dir() else Path(__file__).parents[3] / "snippets"


def named_sources(settings: Settings, *, start: Path) -> tuple[list[Source], list[SourceProblem]]:
    """Return the sources that `pyproject.toml` and `RASEN_SNIPPETS` name, and what is wrong with the others."""
    sources: list[Source] = []
    problems: list[SourceProblem] = []
    project = _find_project(start)
    stated: Sequence[object] = ()
    if project is not None:
        try:
            stated = _read_project(project)
        except InvalidInput as error:
            problems.append(SourceProblem(source=str(project), message=str(error)))
    named = [(text, project.parent if project else start) for text in stated]
    named += [(text, start) for text in settings.snippets]
    for text, base in named:
        try:
            sources.append(_parse_source(text, base))
        except InvalidInput as error:
            problems.append(SourceProblem(source=str(text), message=str(error)))
    return sources, problems


def _parse_source(text: object, base: Path) -> Source:
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(f"{text!r} is no source; write a folder or the address of a git repository")
    if looks_like_address(text):
        return Source(name=text, place=parse_address(text))
    return Source(name=text, place=(base / Path(text).expanduser()))


def _find_project(start: Path) -> Path | None:
    folder = start.absolute()
    candidates = (each / "pyproject.toml" for each in (folder, *folder.parents))
    return next((path for path in candidates if path.is_file()), None)


def _read_project(path: Path) -> Sequence[object]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot be read: {error}") from None
    table = data.get("tool", {})
    for key in ("rasen", "snippets"):
        table = table.get(key, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise InvalidInput("[tool.rasen.snippets] must be a table with the key `sources`")
    for key in table:
        if key != "sources":
            raise InvalidInput(f"[tool.rasen.snippets] has no key {key!r}; {suggest(key, ['sources'])}")
    sources = table.get("sources", [])
    if not isinstance(sources, list):
        raise InvalidInput(
            f"[tool.rasen.snippets] sources = {sources!r} must be a list of folders and git addresses"
        )
    return sources


def _problem(source: Source, message: str) -> SourceProblem:
    return SourceProblem(source=source.name, message=message)
