"""What to say to somebody who misspelt a name: the nearest right one, or all of them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LISTED = 12


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, or `None`."""
    choices = sorted(set(known))
    # Case is the commonest slip, and difflib takes it for a difference.
    folded = {choice.lower(): choice for choice in reversed(choices)}
    close = get_close_matches(name.lower(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown `name`: "did you mean 'x'?", or the list of known names."""
    choices = sorted(set(known))
    close = nearest(name, choices)
    if close is not None:
        return f"did you mean {close!r}?"
    if not choices:
        return "there are none"
    rest = f" and {len(choices) - _LISTED} more" if len(choices) > _LISTED else ""
    return f"known: {', '.join(map(repr, choices[:_LISTED]))}{rest}"
