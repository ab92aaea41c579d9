"""The list of what a pickle imports: right for real models, harmless for hostile bytes, and never executed."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.model.pickle_globals import list_globals
from stand.published import Trap


def test_a_model_of_a_library_names_its_classes() -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(np.arange(6.0).reshape(3, 2), np.arange(3.0))
    found = list_globals(cloudpickle.dumps(model))
    assert found.complete
    assert "sklearn.linear_model._base.LinearRegression" in found.names
    assert all("?" not in name for name in found.names)


def test_a_function_of_a_notebook_names_what_makes_functions() -> None:
    slope = 2.0
    found = list_globals(cloudpickle.dumps(lambda frame: frame * slope))
    assert "cloudpickle.cloudpickle._make_function" in found.names


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read_and_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "mark"
    found = list_globals(pickle.dumps([Trap(mark), Trap(mark)], protocol=protocol))
    assert found.complete
    assert any(name.endswith(("Path.write_text", ".getattr")) for name in found.names)
    assert not mark.exists()


def test_a_name_that_is_computed_is_shown_as_a_question() -> None:
    # The module comes out of the memo, and then from something that is no text.
    hidden = b"\x80\x04" + b"\x8c\x02os" + b"\x94" + b")" + b"h\x00" + b"\x8c\x06system" + b"\x93" + b"."
    assert list_globals(hidden).names == ["os.system"]
    assert list_globals(b"\x80\x04))\x93.").names == ["?.?"]
    assert [opcode.name for opcode, _, _ in pickletools.genops(hidden)][-1] == "STOP"


@pytest.mark.parametrize("data", [b"", b"\x80", b"not a pickle", b"\x80\x04\x8c\xff", bytes(1000)])
def test_what_is_no_pickle_is_told_as_not_read(data: bytes) -> None:
    assert not list_globals(data).complete


def test_names_are_bounded_and_printable() -> None:
    hostile = b"".join(f"cbad\x1b[31m\nname{number}{'x' * 500}\n0".encode() for number in range(2000)) + b"."
    found = list_globals(b"\x80\x02" + hostile)
    assert len(found.names) <= 500
    assert not found.complete
    assert all(name.isprintable() and len(name) <= 200 for name in found.names)


def test_a_long_pickle_is_left_off() -> None:
    data = b"\x80\x04" + b"N0" * 600_000 + b"."
    assert not list_globals(data).complete


@given(data=st.binary(max_size=300))
def test_any_bytes_can_be_listed(data: bytes) -> None:
    for some in (data, b"\x80\x04" + data):
        assert all(name.isprintable() for name in list_globals(some).names)
