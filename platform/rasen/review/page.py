"""The page of a review: one file that needs nothing else, opened from a disk or an artifact of CI.

Its policy allows one script, its own, by its digest. Whatever a notebook may hold reaches the page through
`rasen.review.markup` (texts) or `rasen.review.cleaning` (HTML, Markdown), or as a picture.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from pathlib import PurePosixPath

from rasen.batch.comparison import MetricChange
from rasen.review.cell_view import Room, list_findings, show_cells
from rasen.review.comparing import CellState, NotebookChange, compare_contents
from rasen.review.content import read_content
from rasen.review.markup import escape, escape_attribute
from rasen.review.report import FileReview, PipelineRuns, Review, Revision, SideRun
from rasen.review.sources import language_of_file, show_difference, show_source

_ROOM_CHARACTERS = 24_000_000
_MOST_FILE = 400_000
_KEYS = (
    '<p class="keys dim"><kbd>j</kbd> <kbd>k</kbd> next and previous change · <kbd>n</kbd> <kbd>p</kbd> next and '
    "previous file · <kbd>o</kbd> fold outputs out and in</p>"
)
_SIGNS = {
    CellState.ADDED: ("+", "plus"),
    CellState.REMOVED: ("−", "minus"),
    CellState.CHANGED: ("~", ""),
    CellState.MOVED: ("↕", ""),
    CellState.OUTPUTS: ("▦", ""),
}


def render_page(review: Review) -> str:
    """Return the page of a review, complete in itself."""
    room = Room(_ROOM_CHARACTERS)
    shown = "".join(_file(file, f"f{number}", room) for number, file in enumerate(review.files))
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in review.notes)
    nothing = "" if review.files else "<p>No notebook and no file of a pipeline differs.</p>"
    head = (
        f"<h1>{escape(review.asked_base)} … {escape(review.head.name)}</h1>"
        f'<p class="dim">what {_revision(review.head)} changes since {_revision(review.base)}, the last commit that '
        f"both have in common</p>{_KEYS}"
    )
    content = f"{_contents(review)}<main>{head}{notes}{_runs(review.runs)}{nothing}{shown}</main>"
    return _document(f"Review of {review.head.name}", content, whole=True)


def render_comparison(
    old: bytes | None, new: bytes | None, *, title_old: str, title_new: str, scripted: bool = True
) -> str:
    """Return a page that compares two versions of one notebook.

    Args:
        old: Its bytes before, `None` if it was not there.
        new: Its bytes now, `None` if it is gone.
        title_old: What the old version is called.
        title_new: What the new one is called.
        scripted: Whether the page has its script, for the keyboard; a frame that forbids scripts complains of it.

    Raises:
        PlatformFailed: nh3 or pygments is not installed.
    """
    contents = [
        read_content(data, name=title) if data is not None else None
        for data, title in ((old, title_old), (new, title_new))
    ]
    change = compare_contents(*contents)
    names = f"<del>{escape(title_old)}</del> → <ins>{escape(title_new)}</ins>"
    shown = _notebook(change, "f0", Room(_ROOM_CHARACTERS))
    if not change.counts and not change.is_real:
        shown = "<p>Nothing differs.</p>" + shown
    counts = ", ".join(f"{count} {state.value}" for state, count in change.counts.items())
    told = f"Cells: {counts}." if counts else _counts(change)
    body = f"<main data-file><h1>{names}</h1><p>{told}</p>{_KEYS if scripted else ''}{shown}</main>"
    return _document(f"{title_old} → {title_new}", body, whole=False, scripted=scripted)


def _document(title: str, content: str, *, whole: bool, scripted: bool = True) -> str:
    folder = files("rasen.review")
    style = folder.joinpath("page.css").read_text("utf-8")
    script = folder.joinpath("page.js").read_text("utf-8") if scripted else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "frame-src 'none'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape_attribute(title)}</title><style>{style}</style></head>"
        f'<body class="{"whole" if whole else ""}">{content}'
        f"{f'<script>{script}</script>' if scripted else ''}</body></html>\n"
    )


def _revision(revision: Revision) -> str:
    if revision.commit is None:
        return "the work tree"
    return f"<code>{escape(revision.commit[:12])}</code> ({escape(revision.subject)})"


def _contents(review: Review) -> str:
    rows = []
    for number, file in enumerate(review.files):
        counts = _counts(file.notebook) if file.notebook is not None else escape(file.change)
        found = len(file.findings.new)
        folder, _, name = file.path.rpartition("/")
        said = f' · <span class="minus">{found} new finding{"s" * (found != 1)}</span>' if found else ""
        rows.append(
            f'<li><a href="#f{number}"><i>{escape(folder)}</i>{escape(name)}<br>'
            f"<small>{counts}{said}</small></a></li>"
        )
    return f'<nav aria-label="Files"><b>{len(rows)} file{"s" * (len(rows) != 1)}</b><ol>{"".join(rows)}</ol></nav>'


def _counts(change: NotebookChange) -> str:
    said = [
        f'<span class="{_SIGNS[state][1]}" title="{state.value}">{_SIGNS[state][0]}{count}</span>'
        for state, count in change.counts.items()
    ]
    if change.old_problem or change.new_problem:
        said.append('<span class="minus">cannot be read</span>')
    return " ".join(said) or "no cell differs"


def _file(file: FileReview, name: str, room: Room) -> str:
    renamed = f' <span class="dim">was {escape(file.old_path)}</span>' if file.old_path else ""
    counts = f' <span class="dim">{_counts(file.notebook)}</span>' if file.notebook is not None else ""
    note = f'<p class="note">{escape(file.note)}</p>' if file.note else ""
    if file.notebook is not None:
        body = _findings(file) + _notebook(file.notebook, name, room, file)
    else:
        body = room.fit(_text_file(file), file.path)
    # What is only a rerun is folded away: it is there for who wants to see it.
    is_open = file.notebook is None or file.notebook.is_real or file.findings.new
    return (
        f'<details class="file" id="{name}" data-file {"" if file.notebook else "data-change"} tabindex="-1" '
        f"{'open' if is_open else ''}><summary><h2>{escape(file.path)}</h2> "
        f'<span class="badge {file.change}">{file.change}</span>{renamed}{counts}</summary>{note}{body}</details>'
    )


def _findings(file: FileReview) -> str:
    found = file.findings
    shown = list_findings(one for one in found.new if one.cell is None)
    if found.note:
        shown += f'<p class="note">{escape(found.note)}</p>'
    if found.solved:
        shown += f'<p class="note">{found.solved} earlier finding{"s" * (found.solved != 1)} solved</p>'
    return shown


def _notebook(change: NotebookChange, name: str, room: Room, file: FileReview | None = None) -> str:
    problems = "".join(
        f'<p class="problem" data-change tabindex="-1">{side} version cannot be shown: {escape(problem)}</p>'
        for side, problem in (("old", change.old_problem), ("new", change.new_problem))
        if problem
    )
    kernel = ""
    if change.kernel is not None:
        before, after = (escape(one or "none") for one in change.kernel)
        kernel = f"<h3>Kernel</h3><p><del>{before}</del> → <ins>{after}</ins></p>"
    findings = file.findings if file is not None else None
    cells = show_cells(
        change,
        prefix=name,
        room=room,
        new=findings.new if findings else (),
        old=findings.old if findings else (),
    )
    full = '<p class="cut">the rest is left out: the page is full; --json has all</p>' if room.full else ""
    return problems + kernel + _parameters(change) + cells + full


def _parameters(change: NotebookChange) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one.name)}</code></td>"
        f"<td>{_default(one.old_annotation, one.old_default)}</td>"
        f"<td>{_default(one.new_annotation, one.new_default)}</td></tr>"
        for one in change.parameters
    )
    if not rows:
        return ""
    return (
        f'<h3>Parameters</h3><table class="grid"><tr><th>name</th><th>was</th><th>is</th></tr>{rows}</table>'
    )


def _default(annotation: str | None, default: object) -> str:
    if annotation is None:
        return '<span class="dim">–</span>'
    text = json.dumps(default, ensure_ascii=False)
    return f"<code>{escape(annotation)} = {escape(text if len(text) < 200 else text[:200] + '…')}</code>"


def _text_file(file: FileReview) -> str:
    old, new = file.old, file.new
    language = language_of_file(PurePosixPath(file.path).suffix)
    if len(old or "") + len(new or "") > _MOST_FILE:
        return '<p class="note">too long to show; --json has the difference</p>'
    if old is not None and new is not None:
        return show_difference(old, new, language) if old != new else ""
    text, mark = (new, "added") if new is not None else (old, "removed")
    return show_source(text, language, mark=mark) if text is not None else ""


def _runs(runs: tuple[PipelineRuns, ...]) -> str:
    written = []
    for one in runs:
        rows = "".join(_metric(metric) for metric in one.metrics)
        table = (
            '<table class="grid"><tr><th>metric</th><th class="right">base</th><th class="right">head</th>'
            f'<th class="right">change</th><th></th></tr>{rows}</table>'
            if rows
            else ""
        )
        parameters = "".join(
            f"<li><code>{escape(change.name)}</code>: {escape(json.dumps(change.left, default=str))} → "
            f"{escape(json.dumps(change.right, default=str))}</li>"
            for change in one.parameters
        )
        written.append(
            f"<h3>Runs of {escape(one.pipeline)}</h3><p>base: {_run(one.base)}<br>head: {_run(one.head)}</p>{table}"
            + (f"<p>They ran with other parameters:</p><ul>{parameters}</ul>" if parameters else "")
            + (f'<p class="note">{escape(one.note)}</p>' if one.note else "")
        )
    return "".join(written)


def _run(side: SideRun | None) -> str:
    if side is None:
        return '<span class="dim">no run of this version</span>'
    return (
        f"<code>{escape(side.run)}</code> of release <code>{escape(side.release)}</code>, "
        f"{side.started_at:%Y-%m-%d %H:%M} UTC"
    )


def _metric(metric: MetricChange) -> str:
    where = ", ".join(f"{name}={value}" for name, value in sorted(metric.slice.items()))
    change = f"{metric.difference:+.4g}" if metric.difference is not None else ""
    if metric.percent is not None:
        change += f" ({metric.percent:+.3g} %)"
    judged = {True: "better", False: "worse", None: ""}[metric.better]
    values = "".join(
        f'<td class="right">{"–" if value is None else f"{value:.6g}"}</td>'
        for value in (metric.left, metric.right)
    )
    return (
        f"<tr><td>{escape(f'{metric.name} {where}'.strip())}</td>{values}"
        f'<td class="right">{change}</td><td class="{judged}">{judged}</td></tr>'
    )
