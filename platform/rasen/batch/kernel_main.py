"""`python -m rasen.batch.kernel_main -f FILE`: the kernel of the kernel specification `rasen`.

It is ipykernel's own, with three differences. What a notebook defines is pickled to the same bytes in every run. What
it shows is never dropped, and nothing that it prints makes it grow (`kernel_streams.py`). And the list of loaded
modules, which ipykernel makes for its debugger, is made when a debugger asks for it: to look at every module copies
18 MB of the memory that a fork shares with its warm process.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# Decided when they were imported, perhaps in the warm process, that this is no notebook: they are to look again.
_LOOK_WHERE_THEY_ARE = ("tqdm.auto", "tqdm.autonotebook")

# For any kernel of ipykernel in an environment that has this package.
STREAM_OPTION = "--IPKernelApp.outstream_class=rasen.batch.kernel_streams.BoundedStream"
_OPTIONS = (
    # A parent of 1 means: there is one, and no thread is needed that looks whether it still lives; the supervisor does.
    "--IPKernelApp.parent_handle=1",
    STREAM_OPTION,
)


def main(arguments: list[str]) -> int:
    """Run a kernel for the connection file that the arguments name, until it is told to end."""
    from ipykernel.kernelapp import IPKernelApp

    from rasen.model.stable_pickle import stabilise_cloudpickle

    stabilise_cloudpickle()
    _tell_pandas()
    for name in _LOOK_WHERE_THEY_ARE:
        sys.modules.pop(name, None)
    launcher = importlib.util.find_spec("ipykernel_launcher")
    # Libraries tell a notebook from a script by the name that every other kernel has there.
    sys.argv = [launcher.origin if launcher and launcher.origin else "ipykernel_launcher", *arguments]
    # A crash says where it was. ipykernel takes descriptor 2 for its own, so this is a copy, for as long as we live.
    faulthandler.enable(os.dup(2))
    application = IPKernelApp.instance()
    with _modules_unlisted():
        application.initialize([*arguments, *_OPTIONS])  # type: ignore[no-untyped-call] # ipykernel annotates little
    debugger = getattr(application.kernel, "debugger", None)
    if debugger is not None:
        debugger.kernel_modules = _LoadedFiles()
    application.start()  # type: ignore[no-untyped-call] # as above
    return 0


def _tell_pandas() -> None:
    """Have pandas show frames as in a notebook: imported where there was none, it has taken this for a terminal."""
    if "pandas" not in sys.modules:
        return
    from pandas._config import config

    name, of_notebook = "display.max_columns", 20
    options = vars(config).get("_registered_options", {})
    if name in options and options[name].defval == 0:
        options[name] = options[name]._replace(defval=of_notebook)
        config.set_option(name, of_notebook)


class _LoadedFiles:
    """The files of all modules, found anew whenever somebody goes through them."""

    def __iter__(self) -> Iterator[str]:
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file:
                yield file


@contextmanager
def _modules_unlisted() -> Iterator[None]:
    """Show ipykernel's kernel, while it is being made, a `sys` without modules."""
    import ipykernel.ipkernel

    class Sys(ModuleType):
        modules: dict[str, ModuleType] = {}  # noqa: RUF012  # a module's attribute, not a class's

        def __getattr__(self, name: str) -> object:
            return getattr(sys, name)

    ipykernel.ipkernel.sys = Sys("sys")  # type: ignore[attr-defined] # it imports the real one under that name
    try:
        yield
    finally:
        ipykernel.ipkernel.sys = sys  # type: ignore[attr-defined] # as above


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
