"""Which libraries run here: the environment digest that is compared when a model moves from batch to serving.

The digest covers the Python minor version and the serving set only, so that an image rebuilt from the same lock, or
with another notebook tool, does not block a rollback.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_ABSENT = "absent"
SERVING_SET = ("cloudpickle", "numpy", "onnxruntime", "pandas", "scikit-learn", "scipy", "xgboost-cpu")


@cache
def serving_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a model may need in order to predict."""
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in SERVING_SET:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = _ABSENT
    return versions


@dataclass(frozen=True, kw_only=True)
class VersionDifference:
    """A library of the serving set that is of another version here than where a model was made."""

    name: str
    recorded: str
    here: str

    @property
    def breaks(self) -> bool:
        """Whether a model may answer otherwise here, or not at all: major or minor version differ, or it is absent."""
        return self.recorded.split(".")[:2] != self.here.split(".")[:2]

    def __str__(self) -> str:
        return f"{self.name} was {self.recorded}, is {self.here}"


def compare_versions(
    recorded: Mapping[str, str], here: Mapping[str, str] | None = None
) -> list[VersionDifference]:
    """Return where the serving set differs from what was recorded with a model, those that break it first.

    What was absent where the model was made, the model cannot need.

    Args:
        recorded: Versions by name; what is not in the serving set is not compared.
        here: Versions here; those of this process by default.
    """
    present = serving_versions() if here is None else here
    differing = [
        VersionDifference(name=name, recorded=version, here=present[name])
        for name, version in sorted(recorded.items())
        if name in present and present[name] != version and version != _ABSENT
    ]
    return sorted(differing, key=lambda each: not each.breaks)


@cache
def environment_digest() -> str:
    """Return `sha256:` and the digest of `serving_versions`; without an image it stands for the image, too."""
    listed = json.dumps(serving_versions(), sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(listed).hexdigest()}"
