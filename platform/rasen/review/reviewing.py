"""A review put together: the files that differ, their cells, what the linter says and what runs have measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from rasen.errors import NotebookError
from rasen.linter import Linter
from rasen.notebook import parse_notebook
from rasen.pipeline import PIPELINE_FILE
from rasen.review.changes import ChangedFile, find_changes, pipeline_folders
from rasen.review.comparing import compare_contents
from rasen.review.content import read_content
from rasen.review.findings import compare_findings
from rasen.review.report import FileReview, Findings, Review
from rasen.review.revisions import State, open_states, repository_paths
from rasen.review.runs import compare_pipeline_runs
from rasen.review.twins import is_twin, twin_bytes
from rasen.settings import Settings

_LARGEST_BYTES = 256 * 1024**2
_LARGEST_TEXT_BYTES = 2_000_000


def review_change(
    folder: Path,
    base: str,
    head: str,
    *,
    paths: Sequence[Path] = (),
    linter: Linter | None = None,
    settings: Settings | None = None,
) -> Review:
    """Compare all notebooks and all files of pipelines of two revisions.

    Args:
        folder: Somewhere in the repository; `paths` are counted from there.
        base: What the change is meant for; compared is the last commit that both have in common.
        head: The change; `.` is the work tree.
        paths: Only these files and folders.
        linter: Who checks the notebooks, `None` if nobody does.
        settings: Where runs are looked for, `None` for nowhere.

    Raises:
        InvalidInput: There is no such revision, or a path lies outside the repository.
        PlatformFailed: A file cannot be read.
    """
    old, new = open_states(folder, base, head)
    below = repository_paths(new, folder, paths)
    changes, others = find_changes(old, new, below=below)
    notes = []
    if others:
        notes.append(f"{others:,} other files differ that belong to no pipeline; they are not shown here")
    if linter is None:
        notes.append("the notebooks were not checked: no linter is installed (extra `rasen[lint]`)")
    files = []
    twins = 0
    for change in changes:
        file = _review_file(old, new, change, linter)
        twins += file is None
        if file is not None:
            files.append(file)
    if twins:
        notes.append(f"{twins} generated .py twins differ as well; they say what their notebooks say")
    runs, problem = (
        compare_pipeline_runs(settings, old, new, _folders(old, new, changes)) if settings else ((), "")
    )
    return Review(
        asked_base=base,
        base=old.revision,
        head=new.revision,
        files=tuple(files),
        runs=runs,
        notes=(*notes, problem) if problem else tuple(notes),
    )


def _review_file(old: State, new: State, change: ChangedFile, linter: Linter | None) -> FileReview | None:
    """Compare one file; `None` for a generated twin, and for what differs in nothing that is shown."""
    entries = [
        state.files[path] if path is not None else None
        for state, path in ((old, change.old), (new, change.new))
    ]
    others = [entry for entry in entries if entry is not None and not entry.is_file]
    renamed = change.old if change.change == "renamed" else None
    if others:
        return FileReview(
            path=change.path,
            old_path=renamed,
            change=change.change,
            note=" → ".join(
                f"{entry.kind} ({entry.id[:12]})" if entry is not None else "nothing" for entry in entries
            ),
        )
    largest = max(entry.size_bytes for entry in entries if entry is not None)
    if largest > _LARGEST_BYTES:
        note = f"has {largest:,} bytes, too many to be shown"
        return FileReview(path=change.path, old_path=renamed, change=change.change, note=note)
    before, after = (
        state.read([path])[path] if path is not None else None
        for state, path in ((old, change.old), (new, change.new))
    )
    if change.path.endswith(".ipynb"):
        return _review_notebook(change, before, after, new.top, linter)
    sides = ((old, change.old, before), (new, change.new, after))
    if all(path is None or data is None or _is_generated(state, path, data) for state, path, data in sides):
        return None
    texts = [_text(data) for data in (before, after)]
    modes = [entry.mode for entry in entries if entry is not None]
    note = f"mode {modes[0]} → {modes[1]}" if len(set(modes)) > 1 else ""
    if before != after and texts[0] == texts[1] and texts[0] is not None:
        note = "only the ends of its lines differ"
    if any(text is None and data is not None for text, data in zip(texts, (before, after), strict=True)):
        sizes = " → ".join(
            f"{len(data):,} bytes" if data is not None else "nothing" for data in (before, after)
        )
        return FileReview(
            path=change.path, old_path=renamed, change=change.change, note=f"no text, or a long one: {sizes}"
        )
    return FileReview(
        path=change.path, old_path=renamed, change=change.change, old=texts[0], new=texts[1], note=note
    )


def _review_notebook(
    change: ChangedFile, before: bytes | None, after: bytes | None, top: Path, linter: Linter | None
) -> FileReview:
    contents = [
        read_content(data, name=path) if data is not None and path is not None else None
        for data, path in ((before, change.old), (after, change.new))
    ]
    compared = compare_contents(*contents)
    findings = Findings()
    if linter is not None and after is not None and compared.new_problem is None:
        readable = before if compared.old_problem is None else None
        findings = compare_findings(linter, readable, after, path=top / change.path, change=compared)
    return FileReview(
        path=change.path,
        old_path=change.old if change.change == "renamed" else None,
        change=change.change,
        notebook=compared,
        findings=findings,
        note="" if compared.counts or compared.is_real else "nothing differs but ids, counts or metadata",
    )


def _is_generated(state: State, path: str, data: bytes) -> bool:
    """Tell whether a file is the twin of the notebook beside it; the mark alone is a word that anybody can write."""
    notebook = str(PurePosixPath(path).with_suffix(".ipynb"))
    entry = state.files.get(notebook)
    if not is_twin(data) or entry is None or not entry.is_file or entry.size_bytes > _LARGEST_BYTES:
        return False
    try:
        parsed = parse_notebook(state.read([notebook])[notebook], name=notebook)
    except NotebookError:
        return False
    return twin_bytes(parsed, PurePosixPath(notebook).name) == data.replace(b"\r\n", b"\n")


def _text(data: bytes | None) -> str | None:
    if data is None or len(data) > _LARGEST_TEXT_BYTES or b"\0" in data:
        return None
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _folders(old: State, new: State, changes: Sequence[ChangedFile]) -> dict[str, str | None]:
    """Return the folders of the pipelines that changed, and where each was before."""
    before, after = pipeline_folders(old), pipeline_folders(new)
    moved = {
        str(PurePosixPath(change.new).parent): str(PurePosixPath(change.old).parent)
        for change in changes
        if change.old and change.new and PurePosixPath(change.new).name == PIPELINE_FILE
    }
    touched = {
        folder
        for change in changes
        for folder in map(str, PurePosixPath(change.path).parents)
        if folder in after
    }
    return {folder: moved.get(folder, folder if folder in before else None) for folder in sorted(touched)}
