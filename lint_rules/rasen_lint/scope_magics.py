"""What IPython's magics do to the names of a notebook: some assign names, some may define anything.

Nothing is run to find out, so whatever is not known to leave the names alone counts as being able to define any name:
a rule about names is then silent from there on, instead of wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rasen_lint.magics import PYTHON_CELL_MAGICS, Magic, MagicKind

LOCAL_BODIES = frozenset({"timeit"})
"""Cell magics that run their body in a function: what it assigns is gone after the cell."""

_WORD = re.compile(r"[^\W\d]\w*")
_ASSIGNED = re.compile(r"([^\W\d]\w*)\s*(?:,\s*[^\W\d]\w*\s*)*=(?!=)")
# Line magics whose arguments are Python that runs: the names before a "=" are assigned, the others are only read.
_STATEMENT_MAGICS = frozenset({"lprun", "memit", "mprun", "prun", "time", "timeit"})
# Line magics that never define a name, whatever stands behind them.
_HARMLESS_LINES = frozenset(
    {
        *{"alias", "alias_magic", "autoawait", "autocall", "automagic", "autosave", "bookmark", "cat", "cd"},
        *{"clear", "colors", "conda", "config", "connect_info", "dhist", "dirs", "doctest_mode", "env"},
        *{"gui", "hist", "history", "killbgscripts", "ldir", "less", "lf", "lk", "ll", "logoff", "logon"},
        *{"logstart", "logstate", "logstop", "ls", "lsmagic", "lx", "magic", "mamba", "man", "matplotlib"},
        *{"micromamba", "mkdir", "more", "mv", "notebook", "page", "pdb", "pdef", "pdoc", "pfile", "pinfo"},
        *{"pinfo2", "pip", "pip3", "popd", "pprint", "precision", "psearch", "psource", "pushd", "pwd"},
        *{"pycat", "qtconsole", "quickref", "rehashx", "reset", "reset_selective", "rm", "rmdir", "save"},
        *{"set_env", "subplots", "tb", "tensorboard", "unalias", "unload_ext", "uv", "watermark", "who"},
        *{
            "who_ls",
            "whos",
            "xdel",
            "xmode",
            "aimport",
            "autoreload",
            "autocall",
            "dotenv",
            "cp",
            "unset_env",
        },
    }
)
# Line magics that define what their arguments name, and nothing else.
_NAMING_LINES = frozenset({"R", "bigquery", "macro", "sc", "script", "sql", "store", "sx", "system"})
# Cell magics whose body is text or another program; only names in their arguments come into being.
_FOREIGN_BODIES = frozenset(
    {
        *{"!", "HTML", "R", "SVG", "bash", "bigquery", "cmd", "file", "html", "javascript", "js", "latex"},
        *{"markdown", "perl", "pypy", "python", "python2", "python3", "ruby", "script", "sh", "sql", "svg"},
        *{"sx", "system", "writefile"},
    }
)
_HARMLESS_EXTENSIONS = frozenset(
    {
        *{
            "autoreload",
            "bigquery_magics",
            "cudf.pandas",
            "cuml.accel",
            "cython",
            "dotenv",
            "google.cloud.bigquery",
        },
        *{
            "jupyter_black",
            "lab_black",
            "line_profiler",
            "memory_profiler",
            "nb_black",
            "rpy2.ipython",
            "sql",
        },
        *{"sklearnex", "tensorboard", "tensorboard.notebook", "watermark", "cython.ipython", "Cython"},
    }
)


def words(text: str) -> list[str]:
    """Return everything in a text that could be a name."""
    return _WORD.findall(text)


def assigned_names(magic: Magic) -> Iterable[str]:
    """Return the names that a magic assigns, or may: `%%capture printed`, `%time model = fit()`."""
    if magic.kind is MagicKind.CELL:
        return words(magic.arguments)
    if magic.kind is MagicKind.SHELL or magic.name in _HARMLESS_LINES:
        return ()
    if magic.name in _STATEMENT_MAGICS:
        # `%time a, b = f()`: every name up to the last "=" that is an assignment's.
        return [name for found in _ASSIGNED.finditer(magic.arguments) for name in words(found[0])]
    return words(magic.arguments)


def may_define_anything(magic: Magic) -> bool:
    """Return whether any name may exist after a magic: `%run`, `%pylab`, an extension that nobody here knows."""
    if magic.kind is MagicKind.SHELL:
        return False
    if magic.kind is MagicKind.CELL:
        return magic.name not in PYTHON_CELL_MAGICS and magic.name not in _FOREIGN_BODIES
    return line_may_define_anything(magic.name, magic.arguments)


def line_may_define_anything(name: str, arguments: str) -> bool:
    """Return the same for a line magic, by its name and arguments."""
    if name in {"load_ext", "reload_ext"}:
        return not set(arguments.split()) <= _HARMLESS_EXTENSIONS
    if name == "store":  # without names it brings back all that was ever stored
        return not [word for word in arguments.split() if not word.startswith("-")]
    known = name in _HARMLESS_LINES or name in _NAMING_LINES or name in _STATEMENT_MAGICS
    return not known and name != "autocall"
