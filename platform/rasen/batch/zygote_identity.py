"""Which requests one warm process may serve: those that agree in all that a fork cannot change.

That is what is installed, what is preloaded, what the interpreter and the libraries read from the environment when
they are loaded, and what confines the process (user, control groups, namespaces, hard limits): a fork must not escape
a limit that its asker is under. Everybody computes the same key from the same facts; it names the socket.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import rasen
from rasen.batch.process_request import limit_numbers, own_status
from rasen.settings import secret_names

# Read when the interpreter or a library is loaded, so they belong to the warm process.
_AT_START = (
    "ARROW_",
    "BLIS_",
    "DEBUGPY_",
    "GLIBC_",
    "GOMP_",
    "JOBLIB_",
    "JUPYTER_ALLOW_INSECURE_WRITES",
    "KMP_",
    "LANG",
    "LC_",
    "LD_",
    "LOKY_",
    "MALLOC_",
    "MKL_",
    "MPLCONFIGDIR",
    "NPY_",
    "NUMEXPR_",
    "OMP_",
    "OPENBLAS_",
    "PANDAS_",
    "PANDERA_",
    "PYDEVD_",
    "PYTHON",
    "SCIPY_",
    "SKLEARN_",
    "TQDM_",
    "VECLIB_",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)
_EXACTLY = ("HOME", "VIRTUAL_ENV")
# Besides, what a library may need while it is imported; what it says makes no difference to a fork.
_USEFUL = ("LOGNAME", "PATH", "TMPDIR", "TZ", "USER")
_SECRET = ("KEY", "PASSWORD", "SECRET", "TOKEN")
# Of the above, those that make no difference: set again in every fork (`process_start`), or set by libraries themselves
# when they are imported, so that whoever has imported one would seem to ask for something else.
_INDIFFERENT = (
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "OPENBLAS_NUM_THREADS",
    "PYDEVD_USE_FRAME_EVAL",
    "PYTHONEXECUTABLE",
)
# One thread, because only a process with one can be forked soundly.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_CONFINEMENT = (
    "CapAmb",
    "CapBnd",
    "CapEff",
    "CapInh",
    "CapPrm",
    "Gid",
    "Groups",
    "NoNewPrivs",
    "Seccomp",
    "Uid",
)


def start_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the warm process that serves requests with `environment`: an allow-list, no secret."""
    useful = {name: environment[name] for name in _USEFUL if name in environment}
    return useful | _frozen(environment) | _ONE_THREAD


def _frozen(environment: Mapping[str, str]) -> dict[str, str]:
    secrets = secret_names(environment)
    return {
        name: value
        for name, value in sorted(environment.items())
        if (name in _EXACTLY or name.startswith(_AT_START))
        and name not in _INDIFFERENT
        and name not in secrets
        and not any(part in name for part in _SECRET)
    }


def identity_key(installed: str, environment: Mapping[str, str], preload: Sequence[str]) -> str:
    """Return the name of the warm process for requests of this process with `environment`, 16 hex digits."""
    facts = [installed, _frozen(environment), list(preload), _confinement()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _confinement() -> list[object]:
    status = own_status()
    namespaces = sorted(Path("/proc/self/ns").iterdir())
    return [
        {name: status.get(name) for name in _CONFINEMENT},
        {place.name: os.readlink(place) for place in namespaces},  # noqa: PTH115  # a label, not a path
        Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace"),
        Path("/proc/self/oom_score_adj").read_text(encoding="ascii"),
        os.getpriority(os.PRIO_PROCESS, 0),
        [resource.getrlimit(number)[1] for number in limit_numbers()],
    ]


def installed_digest() -> str:
    """Return a digest that changes with the interpreter and with every package that is installed, ours included."""
    digest = hashlib.sha256(f"{sys.version}\n{sys.executable}\n{sys.prefix}\n".encode())
    for line in _installed():
        digest.update(f"{line}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _installed() -> Iterator[str]:
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        paths.add(site.getusersitepackages())
    for path in sorted(paths):
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from sorted(
                f"{entry.path} {entry.stat().st_mtime_ns}"
                for entry in os.scandir(path)
                if entry.name.endswith((".dist-info", ".egg-info", ".egg-link", ".pth"))
            )
    # The code of this package by its files: where it is worked on, its version says nothing.
    for folder in rasen.__path__:
        yield from sorted(
            f"{entry.path} {entry.stat().st_mtime_ns}"
            for place in (folder, *_folders(folder))
            for entry in os.scandir(place)
            if entry.name.endswith(".py")
        )


def _folders(folder: str) -> Iterator[str]:
    for entry in os.scandir(folder):
        if entry.is_dir() and entry.name != "__pycache__":
            yield entry.path
            yield from _folders(entry.path)
