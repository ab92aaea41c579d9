"""A version is deployed where the libraries are those that it was qualified with; only their last place may differ."""

import logging
from pathlib import Path

import pytest

from rasen.versions import compare_versions, serving_versions
from stand.decided import Desk
from stand.manifests import run_of

HERE = serving_versions()


def with_last_place(name: str) -> str:
    return ".".join([*HERE[name].split(".")[:2], "77"])


def test_differences_are_told_apart_by_their_place() -> None:
    here = {"python": "3.11", "numpy": "2.3.1", "pandas": "3.1.0", "xgboost-cpu": "absent", "scipy": "1.17.1"}
    recorded = {
        "python": "3.11",
        "numpy": "2.3.9",
        "pandas": "2.2.0",
        "xgboost-cpu": "3.2.0",
        "scipy": "absent",
        "requests": "2.0",
    }
    differing = compare_versions(recorded, here)
    assert [(str(each), each.breaks) for each in differing] == [
        ("pandas was 2.2.0, is 3.1.0", True),
        ("xgboost-cpu was 3.2.0, is absent", True),
        ("numpy was 2.3.9, is 2.3.1", False),
    ]
    assert compare_versions(here, here) == []


@pytest.mark.parametrize("name", ["python", "numpy", "scikit-learn"])
def test_another_major_or_minor_version_is_refused_by_name(tmp_path: Path, name: str) -> None:
    desk = Desk(tmp_path)
    desk.publish(1, versions=HERE)
    desk.publish(2, versions=HERE | {name: "1.0.3"})
    record = desk.records()[-1]
    assert record.action == "refuse"
    assert (
        f"qualified with other libraries than it would be served with: {name} was 1.0.3, is {HERE[name]}"
        in (record.reason)
    )
    assert desk.live() == [run_of(1)]


def test_another_last_place_is_told_and_deployed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path)
    with caplog.at_level(logging.WARNING):
        desk.publish(1, versions=HERE | {"numpy": with_last_place("numpy")})
    assert desk.records()[-1].action == "deploy"
    assert f"numpy was {with_last_place('numpy')}, is {HERE['numpy']}" in caplog.text
