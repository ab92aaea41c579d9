"""Differences that are understood: each with the reason why it is no fault of ours.

A row covers as little as possible: notebooks by name, the kind of difference, and a pattern that what we show has to
match. Whatever no row covers fails the suite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wild.comparison import Difference


@dataclass(frozen=True, kw_only=True)
class Known:
    """One understood difference.

    Args:
        notebooks: Pattern of `source/name`.
        what: The kind of difference, as in `comparison.Difference`.
        papermill: A regular expression found in papermill's side.
        rasen: A regular expression found in ours.
        reason: Why it is right as it is.
    """

    notebooks: str
    what: str
    papermill: str
    rasen: str
    reason: str


KNOWN = (
    Known(
        notebooks="papermill/blank-vscode.ipynb",
        what="verdict",
        papermill="^broken ValueError: No kernel name found",
        rasen="^succeeded$",
        reason="papermill gives up on a notebook that names no kernel; we take the kernel of its language",
    ),
    Known(
        notebooks="papermill/line_magic_error.ipynb",
        what="verdict",
        papermill="^failed CellExecutionError:",
        rasen="^failed UsageError: Line magic function",
        reason="IPython prints a wrong magic instead of sending an error output; papermill then names its own "
        "exception and no message, we name the error of the kernel's reply",
    ),
)


def reason_for(label: str, difference: Difference) -> str | None:
    """Return why a difference is right as it is, or `None` when nobody knows."""
    for known in KNOWN:
        if (
            known.what == difference.what
            and fnmatchcase(label, known.notebooks)
            and re.search(known.papermill, difference.papermill)
            and re.search(known.rasen, difference.rasen)
        ):
            return known.reason
    return None
