"""What the serving image holds, and a hook that refuses to import anything else.

The image installs `rasen[serving]`, and a notebook's environment holds far more: a model that was pickled here may
refer to a library that is not there, and would fail at the first request. So the set is computed from what the
installed distributions say that they require, and the process that tries the model may import nothing beyond it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

EXTRA = "serving"


def serving_distributions(name: str = "rasen", extras: Iterable[str] = (EXTRA,)) -> set[str]:
    """Return the distributions that an image with `name[extras]` would hold, as far as they are installed here.

    Raises:
        PackageNotFoundError: `name` is not installed, so what it requires is not known.
    """
    from packaging.utils import canonicalize_name

    metadata.distribution(name)
    pending = [(str(canonicalize_name(name)), frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while pending:
        each = pending.pop()
        if each not in seen:
            seen.add(each)
            pending += _required(*each)
    return {each for each, _ in seen}


def _required(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        lines = metadata.requires(name) or ()
    except metadata.PackageNotFoundError:
        return []  # for another system, or another version of Python
    found = []
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
            found.append((str(canonicalize_name(requirement.name)), frozenset(requirement.extras)))
    return found


def modules_left_out(distributions: set[str]) -> dict[str, str]:
    """Return the modules that are installed here and belong to none of the distributions: each with its own."""
    from packaging.utils import canonicalize_name

    return {
        module: owners[0]
        for module, owners in metadata.packages_distributions().items()
        if not any(str(canonicalize_name(owner)) in distributions for owner in owners)
    }


class ServingImage(MetaPathFinder):
    """Refuses the import of what the serving image would not have, as if it were not installed.

    Args:
        left_out: Top-level modules, each with the distribution that it belongs to.
    """

    def __init__(self, left_out: Mapping[str, str]) -> None:
        self._left_out = left_out

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Leave a module to the finders behind this one, or refuse it.

        Raises:
            ModuleNotFoundError: It is not in the image.
        """
        top = fullname.partition(".")[0]
        if top in self._left_out:
            raise ModuleNotFoundError(
                f"the serving image has no {self._left_out[top]} (module {fullname!r})", name=fullname
            )
        return None

    def enter(self) -> None:
        """Refuse from now on, in this process."""
        sys.meta_path.insert(0, self)
