"""Which snippets somebody means by a few words: all words must occur, and where they occur decides the order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from rasen.errors import NotFound
from rasen.snippets.snippet import Snippet
from rasen.suggestion import suggest

_WEIGHTS = {"name": 8, "title": 8, "tags": 5, "description": 3, "body": 1}


def search_snippets(
    snippets: Iterable[Snippet], words: Collection[str] = (), *, tags: Collection[str] = ()
) -> tuple[Snippet, ...]:
    """Return the snippets in which every word occurs and that have every tag, the best first; then by name.

    Broken snippets are found by their name alone, and by no tag.

    Raises:
        NotFound: No snippet has one of the tags.
    """
    candidates = tuple(snippets)
    known = {tag for snippet in candidates for tag in snippet.tags}
    for tag in tags:
        if tag not in known:
            raise NotFound(f"no snippet has the tag {tag!r}; {suggest(tag, known)}")
    wanted = [word.casefold() for text in words for word in text.split()]
    scored = [
        (score, snippet)
        for snippet in candidates
        if set(tags) <= set(snippet.tags) and (score := _score(snippet, wanted)) is not None
    ]
    return tuple(
        snippet
        for _, snippet in sorted(
            scored, key=lambda pair: (pair[1].problem is not None, -pair[0], pair[1].name)
        )
    )


def _score(snippet: Snippet, words: Sequence[str]) -> int | None:
    """Return how well the words fit, `None` when one of them occurs nowhere."""
    fields = {
        "name": snippet.name.replace("_", " "),
        "title": snippet.title,
        "tags": " ".join(snippet.tags),
        "description": snippet.description,
        "body": snippet.body,
    }
    folded = {name: f" {text.casefold()}" for name, text in fields.items()}
    total = 0
    for word in words:
        # The beginning of a word counts twice: `plot` means plots, not subplots.
        best = max(
            (
                _WEIGHTS[name] * (2 if f" {word}" in text else 1)
                for name, text in folded.items()
                if word in text
            ),
            default=0,
        )
        if not best:
            return None
        total += best
    return total
