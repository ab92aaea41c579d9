"""Pickles that depend on what they hold, not on the process that wrote them."""

import pickle
import sys
import types
from pathlib import Path

import cloudpickle
import pytest

from rasen.model.pickling import pickle_model
from rasen.model.stable_pickle import dumps

SOURCE = """
import enum, typing
T = typing.TypeVar("T")
SCALE = 2
class Colour(enum.Enum):
    RED = 1
class Model(typing.Generic[T]):
    colour = Colour.RED
    def predict(self, frame):
        return [SCALE * value for value in frame]
"""


def define(source: str, file: str = "<cell>") -> types.SimpleNamespace:
    """Define anew what a notebook defines."""
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), names)
    return types.SimpleNamespace(**names)


def test_equal_definitions_give_equal_bytes() -> None:
    first, second = (dumps(define(SOURCE).Model()) for _ in range(2))
    assert first == second
    # The opposite is why this module exists.
    assert cloudpickle.dumps(define(SOURCE).Model()) != cloudpickle.dumps(define(SOURCE).Model())


def test_what_is_written_is_read_by_pickle_alone() -> None:
    read = pickle.loads(dumps([define(SOURCE).Model(), define(SOURCE).Model])[0:])
    assert read[0].predict([1, 2]) == [2, 4]
    assert type(read[0]).colour.name == "RED"


@pytest.mark.parametrize(
    "change", [("SCALE = 2", "SCALE = 3"), ("RED = 1", "RED = 5"), ("[SCALE", "[3 + SCALE")]
)
def test_two_versions_stay_apart_in_one_process(change: tuple[str, str]) -> None:
    old, new = dumps(define(SOURCE).Model()), dumps(define(SOURCE.replace(*change)).Model())
    old_model, new_model = pickle.loads(old), pickle.loads(new)
    assert type(old_model) is not type(new_model)
    assert type(pickle.loads(old)) is type(old_model)
    expected = {"SCALE = 2": [3], "RED = 1": [2], "[SCALE": [5]}[change[0]]
    assert old_model.predict([1]) == [2]
    assert new_model.predict([1]) == expected


def test_the_process_and_the_folder_do_not_show(tmp_path: Path) -> None:
    cells = [define(SOURCE, f"/tmp/ipykernel_{pid}/1234.py").Model() for pid in (11, 222)]
    assert dumps(cells[0]) == dumps(cells[1])
    assert b"<cell 1234>" in dumps(cells[0])
    files = [
        dumps(define(SOURCE, f"{tmp_path}/{name}/own.py").Model(), folder=tmp_path / name) for name in "ab"
    ]
    assert files[0] == files[1]
    assert str(tmp_path).encode() not in files[0]


def test_modules_beside_the_notebook_do_not_name_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    for run in ("first", "second"):
        folder = tmp_path / run
        (folder / "own_package").mkdir(parents=True)
        (folder / "own_package" / "__init__.py").write_text("def twice(value):\n    return 2 * value\n")
        (folder / "own_module.py").write_text(
            "import own_package\nclass Model:\n    def predict(self, frame):\n"
            "        return [own_package.twice(value) for value in frame]\n"
        )
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            model = __import__("own_module").Model()
            written.append(pickle_model(model, folder=folder))
            for name in ("own_module", "own_package"):
                sys.modules.pop(name)
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in written[0]
    assert pickle.loads(written[0]).predict([4]) == [8]


def test_an_unpicklable_part_is_told_by_whom_it_was() -> None:
    with pytest.raises(TypeError, match="generator"):
        dumps(value for value in [1])
