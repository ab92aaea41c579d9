"""Which findings `# noqa` takes away, and NB001: the comments that take nothing away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rasen.suggestion import suggest
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.noqa_comments import NoqaComment, read_comments

if TYPE_CHECKING:
    from collections.abc import Collection

_OURS = "NB"


class UnusedNoqa:
    """Check that every `# noqa` still takes a finding away.

    What it does:
        Compares the `NB` codes in `# noqa: NB201`, `# rasen: noqa: NB102` and `<!-- noqa: NB102 -->` with what the
        rules that ran have found there. Codes of ruff are ruff's business (its rule RUF100). A bare `# noqa` hides
        ruff's findings only: an error that blocks a merge is waved through by name.

    Why it is bad:
        A comment that was needed once hides the next finding of its kind, which nobody has looked at.

    Example:
        `total = flights.sum()  # noqa: NB206`

    Use instead:
        `total = flights.sum()`. `rasen lint --fix` removes what is not needed.
    """

    code = "NB001"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterable[Finding]:
        """Return nothing: only the findings of the other rules tell which comments are needed (`suppress`)."""
        return ()


UNUSED_NOQA = UnusedNoqa()


def suppress(
    document: Document, findings: Sequence[Finding], *, ran: Collection[str], known: Collection[str]
) -> list[Finding]:
    """Return the findings that no comment takes away, with those about the comments themselves.

    Args:
        document: The notebook.
        findings: What the rules found.
        ran: Codes of the rules that ran to their end; about others nothing is known, so no comment is called unused.
        known: Codes of all rules of ours.
    """
    comments = read_comments(document)
    if not comments:
        return list(findings)
    by_cell: dict[int | None, list[NoqaComment]] = {}
    for comment in comments:
        by_cell.setdefault(None if comment.whole_notebook else comment.cell, []).append(comment)
    used: set[tuple[NoqaComment, str]] = set()
    remaining = []
    for finding in findings:
        covering = _covering(by_cell, finding)
        used.update((comment, finding.code) for comment in covering)
        if not covering:
            remaining.append(finding)
    if UNUSED_NOQA.code not in ran:
        return remaining
    left: dict[int | None, list[Finding]] = {}
    for finding in remaining:
        left.setdefault(finding.cell, []).append(finding)
    for comment in comments:
        cell = document.notebook.cells[comment.cell]
        here = left.get(comment.cell, [])
        for message, unused in _complaints(comment, here, used, ran=ran, known=known):
            finding = finding_at(
                UNUSED_NOQA.code,
                UNUSED_NOQA.severity,
                message,
                cell,
                line=comment.line,
                column=comment.start + 1,
                fix=_fix(cell.source, comment, unused) if unused else None,
            )
            if not _covering(by_cell, finding):
                remaining.append(finding)
    return remaining


def _covering(by_cell: Mapping[int | None, Sequence[NoqaComment]], finding: Finding) -> list[NoqaComment]:
    """Return the comments that take a finding away: those of the whole notebook, then those of its cell."""
    places = (None,) if finding.cell is None else (None, finding.cell)
    return [comment for place in places for comment in by_cell.get(place, ()) if _covers(comment, finding)]


def _covers(comment: NoqaComment, finding: Finding) -> bool:
    if finding.code not in comment.codes:
        return False
    if comment.whole_notebook:
        return True
    return finding.cell == comment.cell and (finding.line or 1) in comment.lines


def _complaints(
    comment: NoqaComment,
    findings: Sequence[Finding],
    used: Collection[tuple[NoqaComment, str]],
    *,
    ran: Collection[str],
    known: Collection[str],
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield what is wrong with a comment, and the codes that can be taken out of it."""
    if not comment.codes:
        here = {each.code for each in findings if (each.line or 1) in comment.lines}
        ours = sorted(code for code in here if code.startswith(_OURS))
        if comment.whole_notebook:
            yield "names no rule, and so does nothing; write `# rasen: noqa: NB102`", frozenset()
        elif ours:
            said = ", ".join(ours)
            yield (
                f"a bare `# noqa` hides ruff's findings only; write `# noqa: {said}` if it must be",
                frozenset(),
            )
        return
    mine = [code for code in dict.fromkeys(comment.codes) if code.startswith(_OURS)]
    for code in mine:
        if code not in known:
            yield f"there is no rule {code!r}; {suggest(code, known)}", frozenset()
    unused = [
        code for code in mine if code in ran and code != UNUSED_NOQA.code and (comment, code) not in used
    ]
    if unused:
        where = "in this notebook" if comment.whole_notebook else "here"
        yield f"`noqa: {', '.join(unused)}` takes nothing away {where}; remove it", frozenset(unused)


def _fix(source: str, comment: NoqaComment, unused: frozenset[str]) -> Fix:
    """Take the codes out; with the last one the directive goes, and with it a comment that says nothing else."""
    lines = source.split("\n")
    line = lines[comment.line - 1]
    kept = [code for code in comment.codes if code not in unused]
    before, directive, after = line[: comment.start], line[comment.start : comment.end], line[comment.end :]
    if kept:
        head = directive[: directive.index(":", directive.lower().index("noqa")) + 1]
        tail = " -->" if directive.endswith("-->") else ""
        lines[comment.line - 1] = f"{before}{head} {', '.join(kept)}{tail}{after}"
    else:
        opening = (
            "" if directive.startswith("<!--") else directive[: 2 if directive[:2] in {"--", "//"} else 1]
        )
        text = after.lstrip(" \t,;:-")
        text = text if not opening or not text or text.startswith(opening) else f"{opening} {text}"
        lines[comment.line - 1] = (before + text).rstrip() if not text else before + text
        if not lines[comment.line - 1].strip():
            del lines[comment.line - 1]
    return Fix(title="Remove what `noqa` does not need", sources={comment.cell: "\n".join(lines)})
