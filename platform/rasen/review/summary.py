"""A review in a few lines of Markdown, for a comment on a pull request or the summary of a workflow."""

from __future__ import annotations

import re

from rasen.batch.plain_text import clean_line
from rasen.review.report import FileReview, PipelineRuns, Review, SideRun, count_cells

_MOST_FILES = 60
_MOST_FINDINGS = 30
_MOST_METRICS = 20
# Whatever could become markup or a link; before each stands a backslash.
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:@$&<>])")


def render_summary(review: Review) -> str:
    """Return the summary; names and messages of others stand in it as text."""
    changed = sum(file.notebook is not None for file in review.files)
    errors = sum(finding.severity == "error" for finding in review.new_findings)
    warnings = len(review.new_findings) - errors
    counts = f"{errors} new error{'s' * (errors != 1)}, {warnings} new warning{'s' * (warnings != 1)}"
    lines = [f"### {changed} notebook{'s differ' if changed != 1 else ' differs'}, {counts}", ""]
    if review.files:
        lines += ["| file | | cells | findings |", "|---|---|---|---|"]
        lines += [_row(file) for file in review.files[:_MOST_FILES]]
    if len(review.files) > _MOST_FILES:
        lines += ["", f"and {len(review.files) - _MOST_FILES} more files"]
    lines += _findings(review)
    for runs in review.runs:
        lines += _runs(runs)
    lines += [line for note in review.notes for line in ("", text(note))]
    return "\n".join(lines) + "\n"


def text(value: str) -> str:
    """Return a text of somebody's as Markdown that shows it, in one line."""
    marked = _SPECIAL.sub(r"\\\1", clean_line(value)).replace("\\<", "&lt;").replace("\\>", "&gt;")
    # GitHub looks for mentions and numbers in what is shown, where a backslash is no more.
    return marked.replace("\\@", "@<!-- -->").replace("\\#", "#<!-- -->")


def _row(file: FileReview) -> str:
    cells = ""
    if file.notebook is not None:
        cells = count_cells(file.notebook)
        if file.notebook.old_problem or file.notebook.new_problem:
            cells = "cannot be read"
        elif not file.notebook.is_real:
            cells = cells or "nothing but ids, counts or metadata"
    found = file.findings
    said = ", ".join(
        f"{count} {word}" for count, word in ((len(found.new), "new"), (found.solved, "solved")) if count
    )
    renamed = f" (was {text(file.old_path)})" if file.old_path else ""
    return f"| {text(file.path)}{renamed} | {file.change} | {cells} | {said} |"


def _findings(review: Review) -> list[str]:
    every = [(file, finding) for file in review.files for finding in file.findings.new]
    every.sort(key=lambda one: one[1].severity != "error")
    lines = [
        f"- **{text(finding.code)}** {text(finding.severity)} in {text(file.path)}"
        f"{f', cell {finding.cell}' if finding.cell is not None else ''}"
        f"{f', line {finding.line}' if finding.line is not None else ''}: {text(finding.message)}"
        for file, finding in every[:_MOST_FINDINGS]
    ]
    if len(every) > _MOST_FINDINGS:
        lines.append(f"- and {len(every) - _MOST_FINDINGS} more")
    return ["", *lines] if lines else []


def _runs(runs: PipelineRuns) -> list[str]:
    lines = ["", f"**Runs of {text(runs.pipeline)}**: {_run(runs.base)} → {_run(runs.head)}"]
    shown = sorted(runs.metrics, key=lambda one: bool(one.slice))[:_MOST_METRICS]
    if shown:
        lines += ["", "| metric | base | head | change | |", "|---|---:|---:|---:|---|"]
    for one in shown:
        where = ", ".join(f"{name}={value}" for name, value in sorted(one.slice.items()))
        left, right = ("–" if value is None else f"{value:.6g}" for value in (one.left, one.right))
        change = f"{one.difference:+.4g}" if one.difference is not None else ""
        judged = {True: "better", False: "worse", None: ""}[one.better]
        lines.append(f"| {text(f'{one.name} {where}'.strip())} | {left} | {right} | {change} | {judged} |")
    return [*lines, "", text(runs.note)] if runs.note else lines


def _run(side: SideRun | None) -> str:
    return f"`{side.run}`" if side is not None else "no run"
