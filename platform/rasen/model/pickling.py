"""A model as bytes that load without the notebook: what lies beside the notebook is pickled by value.

cloudpickle writes classes, lambdas and closures of the notebook itself by value; a module beside it would be written
as a name, and serving has no such module. The same notebook gives the same bytes in every run (`stable_pickle.py`): the
id that cloudpickle gives a class, by which a process that holds two versions tells their classes apart, follows from
the bytes of the whole model, so only two equal models share one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from rasen.errors import PublishError
from rasen.model.stable_pickle import dumps

_DEPTH = 4
_CONTAINERS = (list, tuple, set, frozenset)


def pickle_model(model: object, *, folder: Path) -> bytes:
    """Return the model as bytes that any process with the same libraries can load.

    Args:
        model: What is to be published.
        folder: The notebook's folder: modules imported from it are written by value.

    Raises:
        PublishError: Some part of it cannot be pickled; the message names the part.
    """
    with _by_value(_modules_beside(folder)):
        try:
            data = dumps(model, folder=folder.resolve())
        except Exception as error:  # the boundary to analysts' code
            place = _find_culprit(model, "model", _DEPTH) or f"the model ({type(model).__name__})"
            raise PublishError(
                f"{place} cannot be pickled: {error}. Keep connections, locks, generators and open files out of the "
                "model, or open them inside predict"
            ) from error
    return data


def _modules_beside(folder: Path) -> list[ModuleType]:
    """Return the imported modules that were found through `folder`: `folder/name.py` or `folder/name/__init__.py`."""
    root = folder.resolve()
    found = []
    loaded: list[tuple[str, Any]] = list(sys.modules.items())  # Any: whatever somebody put there
    for name, module in loaded:
        file = getattr(module, "__file__", None)
        if not isinstance(module, ModuleType) or not file or name == "__main__":
            continue
        place = root.joinpath(*name.split("."))
        if Path(file).resolve() in (place.with_name(place.name + ".py"), place / "__init__.py"):
            found.append(module)
    return found


@contextmanager
def _by_value(modules: list[ModuleType]) -> Iterator[None]:
    import cloudpickle

    known = set(cloudpickle.list_registry_pickle_by_value())
    ours = [module for module in modules if module.__name__ not in known]
    for module in ours:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in ours:
            cloudpickle.unregister_pickle_by_value(module)


def _find_culprit(value: object, path: str, depth: int) -> str | None:
    """Return the innermost part that cannot be pickled on its own, as an expression with its type."""
    if _can_pickle(value):
        return None
    if depth:
        for name, part in _parts(value):
            found = _find_culprit(part, path + name, depth - 1)
            if found is not None:
                return found
    return f"{path} (of type {type(value).__name__})"


def _can_pickle(value: object) -> bool:
    import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001  # any failure of analysts' code means the same: no
        return False
    return True


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, FunctionType):
        yield from ((f", variable {name!r}", part) for name, part in _captured(value))
    elif isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, _CONTAINERS):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    else:
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())
        if not isinstance(value, type):
            members = vars(type(value)).items()
            yield from ((f".{name}", part) for name, part in members if isinstance(part, FunctionType))


def _captured(function: FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a cell that is still empty
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield name, function.__globals__[name]
