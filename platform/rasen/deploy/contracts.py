"""Two versions' contracts side by side: what clients of the one would notice of the other."""

from __future__ import annotations

from rasen.errors import InvalidInput
from rasen.model.schema import ModelSchema, breaking_changes
from rasen.tracking.records import PublishedModel


def what_breaks(live: PublishedModel, candidate: PublishedModel) -> list[str]:
    """Return what breaks for clients of the live version; nothing where nobody can say.

    Serving refuses a version whose schema it cannot read, so such a one breaks nobody.
    """
    try:
        old, new = ModelSchema.from_dict(live.schema_), ModelSchema.from_dict(candidate.schema_)
    except InvalidInput:
        return []
    return breaking_changes(old, new)
