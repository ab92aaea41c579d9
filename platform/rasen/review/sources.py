"""Sources as HTML: in colours, and two of them side by side with the words that differ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from rasen.errors import PlatformFailed
from rasen.review.lines import Row, Span, compare_lines
from rasen.review.markup import escape

_MOST_COLOURED = 60_000
_MOST_LINES = 3_000
_MOST_LINE = 2_000
_AROUND = 4
_MAGICS = {"%%bigquery": "sql", "%%sql": "sql", "%%bash": "bash", "%%sh": "bash", "%%html": "html"}
_NAMES = {".py": "python", ".sql": "sql", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}

Token = tuple[str, str]  # class, text


def language_of_cell(cell_type: str, source: str) -> str:
    """Return the language that a cell's source is coloured as, `""` for none."""
    if cell_type != "code":
        return "markdown" if cell_type == "markdown" else ""
    return _MAGICS.get(source.split(maxsplit=1)[0] if source[:2] == "%%" else "", "python")


def language_of_file(suffix: str) -> str:
    """Return the language of a file by the end of its name, `""` for none."""
    return _NAMES.get(suffix.lower(), "")


def show_source(source: str, language: str, *, mark: str = "") -> str:
    """Return one source with the numbers of its lines; `mark` is the class of every line, such as `added`."""
    source = source.removesuffix("\n")
    lines = source.split("\n")
    tokens = _colour(source, language)
    rows = [
        f'<tr><td class="n">{number + 1}</td><td class="c {mark}">{_line(tokens[number], ())}</td></tr>'
        for number in range(min(len(lines), _MOST_LINES))
    ]
    if len(lines) > _MOST_LINES:
        rows.append(_skipped(len(lines) - _MOST_LINES, "more lines", columns=2))
    return f'<table class="code one">{"".join(rows)}</table>'


def show_difference(old: str, new: str, language: str) -> str:
    """Return two sources side by side; of long parts that are the same only the ends are shown."""
    if old.endswith("\n") and new.endswith("\n"):
        old, new = old[:-1], new[:-1]  # the end of the last line, not a line of its own
    rows = compare_lines(old.split("\n"), new.split("\n"))
    left, right = _colour(old, language), _colour(new, language)
    written: list[str] = []
    for skipped, part in _without_middles(rows):
        if skipped:
            written.append(_skipped(skipped, "equal lines", columns=4))
        written += [_pair(row, left, right) for row in part[: max(0, _MOST_LINES - len(written))]]
    if len(written) >= _MOST_LINES:
        written.append(
            '<tr class="skipped"><td colspan="4">… the rest of this long difference is left out</td></tr>'
        )
    return (
        '<table class="code two"><colgroup><col class="n"><col><col class="n"><col></colgroup>'
        f"{''.join(written)}</table>"
    )


def _without_middles(rows: Sequence[Row]) -> list[tuple[int, list[Row]]]:
    """Return the parts to show, and before each how many equal lines are left out."""
    near = [False] * len(rows)
    for place, row in enumerate(rows):
        if row.kind != "same":
            near[max(0, place - _AROUND) : place + _AROUND + 1] = [True] * (
                min(len(rows), place + _AROUND + 1) - max(0, place - _AROUND)
            )
    parts: list[tuple[int, list[Row]]] = [(0, [])]
    skipped: list[Row] = []
    for shown, row in zip(near, rows, strict=True):
        if not shown:
            skipped.append(row)
            continue
        if len(skipped) > 2:
            parts.append((len(skipped), []))
        else:
            parts[-1][1].extend(skipped)
        skipped = []
        parts[-1][1].append(row)
    if len(skipped) > 2:
        parts.append((len(skipped), []))
    else:
        parts[-1][1].extend(skipped)
    return parts


def _pair(row: Row, left: list[list[Token]], right: list[list[Token]]) -> str:
    old = _half(row.old, left, "removed" if row.kind in ("changed", "removed") else "", row.old_spans, "del")
    new = _half(row.new, right, "added" if row.kind in ("changed", "added") else "", row.new_spans, "ins")
    return f"<tr>{old}{new}</tr>"


def _half(line: int | None, tokens: list[list[Token]], mark: str, spans: Sequence[Span], element: str) -> str:
    if line is None:
        return '<td class="n"></td><td class="c none"></td>'
    return f'<td class="n">{line + 1}</td><td class="c {mark}">{_line(tokens[line], spans, element)}</td>'


def _skipped(count: int, what: str, *, columns: int) -> str:
    return f'<tr class="skipped"><td colspan="{columns}">… {count:,} {what}</td></tr>'


def _line(tokens: Sequence[Token], spans: Sequence[Span], element: str = "") -> str:
    """Write one line; a token is cut where a span begins or ends."""
    written: list[str] = []
    place = 0
    for kind, text in tokens:
        end = place + len(text)
        cuts = sorted({place, end, *(cut for span in spans for cut in span if place < cut < end)})
        for start, stop in pairwise(cuts):
            if start >= _MOST_LINE:
                written.append(
                    f'<span class="cut">… {sum(len(one) for _, one in tokens) - start:,} characters</span>'
                )
                return "".join(written)
            piece = escape(text[start - place : min(stop, _MOST_LINE) - place])
            if kind:
                piece = f'<span class="{kind}">{piece}</span>'
            if any(first <= start < last for first, last in spans):
                piece = f"<{element}>{piece}</{element}>"
            written.append(piece)
        place = end
    return "".join(written)


def _colour(source: str, language: str) -> list[list[Token]]:
    """Return the tokens of each line; without colours when there is nothing to colour by, or too much to colour."""
    lines = source.split("\n")
    plain: list[list[Token]] = [[("", line)] if line else [] for line in lines]
    if not language or len(source) > _MOST_COLOURED:
        return plain
    coloured: list[list[Token]] = [[]]
    for kind, text in _lexer(language).get_tokens(source):
        name = _class(str(kind))
        for number, piece in enumerate(text.split("\n")):
            if number:
                coloured.append([])
            if piece:
                coloured[-1].append((name, piece))
    same = ["".join(text for _, text in line) for line in coloured] == lines
    return coloured if same else plain


@cache
def _lexer(language: str) -> Any:  # Any: a lexer of pygments, which ships no types
    try:
        from pygments.lexers import get_lexer_by_name
    except ImportError as error:
        raise PlatformFailed(
            f"sources cannot be shown here: {error}; install the extra `rasen[review]`"
        ) from None
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@cache
def _class(kind: str) -> str:
    """Return the class of a token's kind; a handful, so that a page's colours stay few."""
    for beginning, name in _CLASSES:
        if kind.startswith(beginning):
            return name
    return ""


_CLASSES = (
    ("Token.Comment", "com"),
    ("Token.Literal.String", "str"),
    ("Token.Literal.Number", "num"),
    ("Token.Keyword", "key"),
    ("Token.Operator.Word", "key"),
    ("Token.Name.Function", "fun"),
    ("Token.Name.Class", "fun"),
    ("Token.Name.Decorator", "fun"),
    ("Token.Name.Builtin", "bui"),
    ("Token.Name.Tag", "key"),
    ("Token.Generic.Heading", "key"),
    ("Token.Generic.Subheading", "key"),
)
