"""References to secrets: what stands in a parameter, a record and a cell in place of the secret itself.

`secret://env/NAME` is a variable of the operator's environment, `secret://file/PATH` a file below the secrets folder,
`secret://gcp/PROJECT/NAME[/VERSION]` a secret of Google Secret Manager. A reference says where, never what, so it may
be written anywhere. Here it is only read; `secret_values.py` fetches what it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

SCHEME = "secret://"
FORMS = "secret://env/NAME, secret://file/PATH or secret://gcp/PROJECT/NAME[/VERSION]"
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE = re.compile(r"(?!\.)[\w.@+-]+(?:/(?!\.)[\w.@+-]+)*", re.ASCII)
_GCP = re.compile(
    r"([a-z][a-z0-9.:-]{4,60}|[0-9]+)/([A-Za-z0-9_-]{1,255})(?:/([0-9]+|latest|[A-Za-z][A-Za-z0-9_-]{0,62}))?"
)

Secret = Annotated[str, "a reference to a secret"]
"""The annotation of a parameter that must be a reference; to Python it is a text."""


class Place(StrEnum):
    """Where secrets are kept."""

    ENV = "env"
    FILE = "file"
    GCP = "gcp"


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """A reference that was read.

    Args:
        place: Where the secret is kept.
        path: The variable's name, the file's path, or `PROJECT/NAME`.
        version: The version, `latest` by default; of `gcp` only.
    """

    place: Place
    path: str
    version: str = "latest"

    @property
    def name(self) -> str:
        """What stands for the secret where it was masked."""
        return self.path.rpartition("/")[2] if self.place is Place.GCP else self.path

    def __str__(self) -> str:
        """Return the reference as it is written."""
        version = "" if self.version == "latest" else f"/{self.version}"
        return f"{SCHEME}{self.place}/{self.path}{version}"


def is_reference(value: object) -> bool:
    """Return whether a value claims to be a reference."""
    return isinstance(value, str) and value.startswith(SCHEME)


def parse_reference(text: str) -> SecretReference:
    """Read a reference.

    Raises:
        ValueError: It is none. The message repeats the text only when that claims to be a reference: anything else may
            be the secret itself.
    """
    if not is_reference(text):
        raise ValueError(f"a secret is given by a reference ({FORMS}), not by its value")
    place, _, path = text.removeprefix(SCHEME).partition("/")
    match place:
        case Place.ENV if _ENV.fullmatch(path):
            return SecretReference(place=Place.ENV, path=path)
        case Place.FILE if _FILE.fullmatch(path):
            return SecretReference(place=Place.FILE, path=path)
        case Place.GCP if found := _GCP.fullmatch(path):
            return SecretReference(
                place=Place.GCP, path=f"{found[1]}/{found[2]}", version=found[3] or "latest"
            )
        case _:
            shown = text if len(text) <= 80 else f"{text[:77]}..."
            raise ValueError(f"{shown!r} is no reference to a secret; write {FORMS}")


def find_references(value: object) -> Iterator[str]:
    """Yield the references in a parameter's value, those in lists and mappings too."""
    if isinstance(value, str):
        if is_reference(value):
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from find_references(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from find_references(item)
