"""Pickling so that the same notebook gives the same bytes in every run.

cloudpickle writes two things into a class or function of a notebook that differ from run to run: a random id per
class, and the file that ipykernel pretends to have compiled a cell from, which holds the process id. Both are replaced
by something that follows from the content. Equal ids then mean equal content: an id that did not follow from it would
make a process that holds two versions of a model take the class of the one for that of the other. What remains is the
order of sets, which is the same in processes with the same hash seed (`PYTHONHASHSEED`).
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import uuid
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, TypeVar

_CELL = re.compile(r".*[/\\]ipykernel_\d+[/\\](\d+)\.py")
_CLASS_ID = re.compile(r"[0-9a-f]{32}")
# What the import system knows of a module; it names files of this machine, and nothing pickled by value needs it.
_IMPORT_STATE = ("__cached__", "__loader__", "__spec__")
_UNNAMED = "0" * 32
_state = (
    threading.local()
)  # `dumping`: whether this thread is in `_dump`, where a class needs no id of its own


def dumps(value: object, *, folder: Path | None = None) -> bytes:
    """Return `value` as `cloudpickle.dumps` would, in bytes that depend on its content only.

    Args:
        value: What to pickle.
        folder: Names of files below it are written relative to it.
    """
    data, placeholders = _dump(value, folder)
    digest = hashlib.sha256(data).hexdigest()
    for number, placeholder in enumerate(placeholders):
        data = data.replace(placeholder.encode(), _id(f"{digest} {number}").encode())
    return data


def stabilise_cloudpickle() -> None:
    """Make cloudpickle itself, in this process, give classes and code of a notebook stable names.

    For pickles that a notebook writes on its own. A class keeps its id as long as it lives, as cloudpickle has it: two
    pickles of one class are one class when they are loaded.
    """
    import cloudpickle.cloudpickle as target

    # There is no public way to name a class; the test of this module holds these names to cloudpickle's version.
    by_class = target._DYNAMIC_CLASS_TRACKER_BY_CLASS
    by_id = target._DYNAMIC_CLASS_TRACKER_BY_ID
    lock = target._DYNAMIC_CLASS_TRACKER_LOCK
    reduce_code = target._code_reduce

    def class_id(definition: Any) -> str:  # Any: a class or a TypeVar
        if getattr(_state, "dumping", False):
            return _UNNAMED
        with lock:
            known = by_class.get(definition)
        if known is not None:
            return str(known)
        content = _content_id(definition)
        with lock:
            found = content
            while (
                by_id.setdefault(found, definition) is not definition
            ):  # another class of the very same content
                found = _id(f"again {found}")
            by_class[definition] = found
        return found

    def reduce_named(code: CodeType) -> Any:  # Any: pickle's own protocol
        return reduce_code(code.replace(co_filename=_file_name(code.co_filename, None)))

    target._get_or_create_tracker_id = class_id
    target.Pickler.dispatch_table[CodeType] = reduce_named


def _content_id(definition: object) -> str:
    try:
        return _id(_dump(definition, None)[0].hex())
    except Exception:  # noqa: BLE001  # whatever is wrong with it will be said by the pickling that asks
        return uuid.uuid4().hex


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _dump(value: object, folder: Path | None) -> tuple[bytes, list[str]]:
    """Return the pickle with placeholders in the place of class ids, and the placeholders in their order."""
    import cloudpickle

    names = _Names(folder)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
        def reducer_override(self, value: Any) -> Any:  # Any: pickle's own protocol
            if isinstance(value, CodeType):
                return self.dispatch_table[CodeType](value.replace(co_filename=names.file(value.co_filename)))
            if isinstance(value, ModuleType):
                return names.in_module(self.dispatch_table[ModuleType](value))
            if isinstance(value, TypeVar):
                return names.of_class(self.dispatch_table[TypeVar](value))
            reduced = super().reducer_override(value)
            if isinstance(value, type):
                return names.of_class(reduced)
            return names.in_function(reduced) if isinstance(value, FunctionType) else reduced

    before = getattr(_state, "dumping", False)
    _state.dumping = True
    try:
        with io.BytesIO() as file:
            Pickler(file).dump(value)
            return file.getvalue(), names.placeholders
    finally:
        _state.dumping = before


class _Names:
    """What one pickle calls the classes and the files of a notebook.

    The methods take and return what a reducer returns: a text, `NotImplemented`, or a function with its arguments.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._files: dict[str, str] = {}
        self.placeholders: list[str] = []

    def file(self, name: str) -> str:
        """Return the name to write; one text for one name, because pickle writes a text once and then refers to it."""
        written = _file_name(name, self._folder)
        return self._files.setdefault(written, written)

    def of_class(self, reduced: Any) -> Any:  # Any: as above
        """Put a placeholder in the place of the id that cloudpickle drew for a class."""
        if not isinstance(reduced, tuple):
            return reduced
        function, arguments, *rest = reduced
        return (function, tuple(map(self._placeholder, arguments)), *rest)

    def _placeholder(self, argument: object) -> object:
        if not isinstance(argument, str) or not _CLASS_ID.fullmatch(argument):
            return argument
        self.placeholders.append(_id(f"rasen class {len(self.placeholders)}"))
        return self.placeholders[-1]

    def in_function(self, reduced: Any) -> Any:  # Any: as above
        """Rename the file that a function's globals begin with; cloudpickle has made them for this pickle."""
        if isinstance(reduced, tuple):
            for argument in reduced[1]:
                if isinstance(argument, dict):
                    self._rename(argument)
        return reduced

    def in_module(self, reduced: Any) -> Any:  # Any: as above
        """Leave out of a module that is pickled by value where it was found."""
        if not isinstance(reduced, tuple) or len(reduced[1]) != 2:
            return reduced
        function, (name, state) = reduced
        kept = {key: value for key, value in state.items() if key not in _IMPORT_STATE}
        self._rename(kept)
        return (function, (name, kept))

    def _rename(self, names: dict[str, Any]) -> None:  # Any: the globals of a module
        if isinstance(names.get("__file__"), str):
            names["__file__"] = self.file(names["__file__"])
        if isinstance(names.get("__path__"), list):
            names["__path__"] = [self.file(place) for place in names["__path__"]]


def _file_name(name: str, folder: Path | None) -> str:
    cell = _CELL.fullmatch(name)
    if cell is not None:
        return f"<cell {cell[1]}>"
    return name.removeprefix(f"{folder}/") if folder is not None else name
