"""Which libraries run here: the environment digest that is compared when a model moves from batch to serving.

The digest covers the Python minor version and the serving set only, so that an image rebuilt from the same lock, or
with another notebook tool, does not block a rollback.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version

SERVING_SET = ("cloudpickle", "numpy", "onnxruntime", "pandas", "scikit-learn", "scipy", "xgboost-cpu")


@cache
def serving_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a model may need in order to predict."""
    versions = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in SERVING_SET:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions


@cache
def environment_digest() -> str:
    """Return `sha256:` and the digest of `serving_versions`; without an image it stands for the image, too."""
    listed = json.dumps(serving_versions(), sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(listed).hexdigest()}"
