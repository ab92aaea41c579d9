"""`rasen lint --watch`: looks again at what was saved, until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rasen.errors import InvalidInput, RasenError
from rasen_lint.checking import find_notebooks
from rasen_lint.configuration import FILE
from rasen_lint.linting import Linted, Linting
from rasen_lint.roles import PIPELINE_FILE

_WHOLE = frozenset({FILE, PIPELINE_FILE, "ruff.toml", ".ruff.toml"})
Show = Callable[[Linted], None]


def watch(
    paths: Sequence[Path],
    linting: Linting,
    show: Show,
    complain: Callable[[str], None],
    *,
    stop: threading.Event | None = None,
) -> None:
    """Lint, then lint what changes; ends with `stop`, or with the KeyboardInterrupt of Ctrl-C.

    Raises:
        InvalidInput: watchfiles is not installed, or a path does not exist.
    """
    try:
        import watchfiles
    except ImportError:
        raise InvalidInput("watchfiles is not installed; `rasen[lint]` brings it") from None
    # A file is watched through its folder: editors put another file in its place.
    folders = {path if path.is_dir() else path.absolute().parent for path in paths}
    changes = watchfiles.watch(
        *folders,
        watch_filter=_meant,
        stop_event=stop,
        debounce=400,
        step=50,
        yield_on_timeout=True,
        rust_timeout=500,
    )
    follow(paths, linting, ({Path(file) for _, file in change} for change in changes), show, complain)


def follow(
    paths: Sequence[Path],
    linting: Linting,
    changes: Iterable[set[Path]],
    show: Show,
    complain: Callable[[str], None],
) -> None:
    """Lint all notebooks, then after each set of changed files those that they concern; empty sets are passed over."""
    show(linting.check_files(find_notebooks(paths)))
    for changed in changes:
        concerned = list(_concerned(paths, changed)) if changed else []
        if not concerned:
            continue
        try:
            show(linting.check_files(concerned))
        except RasenError as error:  # a configuration that is being edited; the next save may be right
            complain(str(error))


def _meant(_: object, file: str) -> bool:
    path = Path(file)
    hidden = any(part.startswith(".") and part not in _WHOLE for part in path.parts[-2:])
    return not hidden and (path.suffix in {".ipynb", ".py"} or path.name in _WHOLE)


def _concerned(paths: Sequence[Path], changed: set[Path]) -> Iterator[Path]:
    """Yield the notebooks that the changes concern: themselves, and all where something else has changed."""
    try:
        notebooks = find_notebooks(paths)
    except InvalidInput:  # the last notebook of a folder was deleted or is being renamed
        return
    others = any(file.suffix != ".ipynb" for file in changed)
    names = {file.resolve() for file in changed}
    yield from (notebook for notebook in notebooks if others or notebook.resolve() in names)
