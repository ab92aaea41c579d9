"""Which names can be imported in the image: the distributions of its lock file, and what each of them brings.

A lock file names distributions, a notebook imports modules. What this environment has installed tells most of it (it
is made from the same lock); a table has the ones whose names differ and that people use, for where it is not.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==|@|~=|>=|;|$)", re.MULTILINE)
_SEPARATORS = re.compile(r"[-_.]+")

_DIFFERENT: dict[str, tuple[str, ...]] = {
    "attrs": ("attr", "attrs"),
    "beautifulsoup4": ("bs4",),
    "catboost": ("catboost",),
    "fastapi-swagger": ("fastapi_swagger",),
    "gitpython": ("git",),
    "google-api-core": ("google",),
    "google-auth": ("google",),
    "google-cloud-bigquery": ("google",),
    "google-cloud-storage": ("google",),
    "grpcio": ("grpc",),
    "imbalanced-learn": ("imblearn",),
    "ipython": ("IPython",),
    "jupyter-core": ("jupyter", "jupyter_core"),
    "markdown-it-py": ("markdown_it",),
    "matplotlib": ("matplotlib", "mpl_toolkits", "pylab"),
    "mistune": ("mistune",),
    "opencv-python": ("cv2",),
    "opencv-python-headless": ("cv2",),
    "pandas": ("pandas",),
    "pillow": ("PIL",),
    "protobuf": ("google",),
    "psycopg2-binary": ("psycopg2",),
    "pyjwt": ("jwt",),
    "python-dateutil": ("dateutil",),
    "python-dotenv": ("dotenv",),
    "pyyaml": ("yaml",),
    "pyzmq": ("zmq",),
    "scikit-image": ("skimage",),
    "scikit-learn": ("sklearn",),
    "setuptools": ("pkg_resources", "setuptools"),
    "typing-extensions": ("typing_extensions",),
    "xgboost-cpu": ("xgboost",),
}


def modules_of_lock(file: Path, data: bytes) -> frozenset[str]:
    """Return the top-level names that can be imported where the lock file `file` is installed.

    The standard library and the platform's own packages are among them.
    """
    wanted = {_normal(name) for name in _PINNED.findall(data.decode(errors="replace"))}
    installed = _installed(wanted)
    names = set(sys.stdlib_module_names) | {"rasen", "rasen_lint", "rasen_serving"}
    for distribution in wanted:
        names.update(installed.get(distribution, ()))
        names.update(_DIFFERENT.get(distribution, ()))
        if distribution not in installed and distribution not in _DIFFERENT:
            names.add(distribution.replace("-", "_"))
    return frozenset(names)


def _normal(name: str) -> str:
    return _SEPARATORS.sub("-", name).lower()


def _installed(wanted: set[str]) -> dict[str, set[str]]:
    """Return what the installed ones of the distributions bring.

    `importlib.metadata.packages_distributions` reads every list of files there is, which takes a second.
    """
    found: dict[str, set[str]] = {}
    for folder in dict.fromkeys(sys.path):
        try:
            entries = {entry.name for entry in os.scandir(folder or ".")}
        except OSError:
            continue
        for entry in entries:
            stem, _, kind = entry.rpartition(".")
            name = _normal(stem.partition("-")[0])
            if kind == "dist-info" and name in wanted and name not in found:
                found[name] = _modules_of(Path(folder, entry), name, entries)
    return found


def _modules_of(information: Path, name: str, beside: set[str]) -> set[str]:
    try:
        told = information.joinpath("top_level.txt").read_text(encoding="utf-8").split()
        return {each.split("/")[0] for each in told}
    except (OSError, ValueError):
        pass
    module = name.replace("-", "_")
    same = {each for each in (module, f"{module}.py") if each in beside}
    return {module} if same else _recorded(information)


def _recorded(information: Path) -> set[str]:
    try:
        lines = information.joinpath("RECORD").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    return set(_top_names(line.partition(",")[0] for line in lines))


def _top_names(files: Iterable[str]) -> Iterable[str]:
    for file in files:
        first, slash, _ = file.partition("/")
        if first.endswith((".dist-info", ".data")) or first in {"..", "__pycache__"}:
            continue
        name = first if slash else first.partition(".")[0]
        if name.isidentifier():
            yield name
