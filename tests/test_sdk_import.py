"""`import rasen` is cheap, and offers exactly the names that notebooks use."""

import subprocess
import sys

import pytest

import rasen

HEAVY = [
    "pandas",
    "numpy",
    "duckdb",
    "sqlglot",
    "pydantic",
    "pydantic_settings",
    "sklearn",
    "pyarrow",
    "cloudpickle",
]


def loaded_after(statement: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in finished.stdout.split()} | set(finished.stdout.split())


def test_importing_loads_nothing_but_the_package_itself() -> None:
    loaded = loaded_after("import rasen")
    assert not loaded & set(HEAVY)
    assert {name for name in loaded if name.startswith("rasen")} == {"rasen"}


def test_the_functions_load_no_library_before_they_are_called() -> None:
    assert not loaded_after("import rasen; rasen.publish, rasen.read_sql, rasen.build_profile") & set(HEAVY)


def test_every_exported_name_is_there_and_documented() -> None:
    assert rasen.__all__ == sorted(rasen.__all__)
    assert dir(rasen) == rasen.__all__
    assert rasen.__version__[0].isdigit()
    for name in set(rasen.__all__) - {"__version__"}:
        assert getattr(rasen, name).__doc__


def test_a_misspelt_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'publsh'; it has .*publish"):
        rasen.publsh  # noqa: B018  # that is the test
