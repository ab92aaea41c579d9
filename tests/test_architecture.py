"""Who may import whom, and the few places where something dangerous or slow may stand (design, section 4).

The source is read, not run: an import inside a function counts like any other.
"""

import ast
import importlib
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from stand.repository import PACKAGES, ROOT, declared_distributions, module_name, source_files, tracked_files
from stand.unpicklers import find_unpicklers

# Top to bottom: a file imports from its own line and from those below it. Files of one line are one concept in several.
#
# Three lines differ from the design's drawing. `tracking/` stands below `pipeline.py` and `release.py`, because a
# release is a signed record like every other; `local/`, which starts all parts on one machine, stands below the
# commands; `api/` stands above `batch/`, whose questions and wishes it answers.
LINES = (
    ("cli",),
    ("api", "local"),
    ("retention", "notify", "replay", "interface_test", "review"),
    ("batch",),
    ("client", "client_messages"),
    ("sdk", "reads", "recorder", "saved_tables", "secret_access"),
    ("deploy",),
    ("model",),
    ("data",),
    (
        "pipeline",
        "pipeline_alerts",
        "pipeline_contract",
        "pipeline_deploy",
        "pipeline_gate_keys",
        "pipeline_gates",
        "pipeline_gates_contract",
        "pipeline_gates_statistical",
        "pipeline_graph",
        "pipeline_keys",
        "pipeline_problems",
        "pipeline_schema",
        "pipeline_values",
        "release",
        "release_record",
        "bundle",
        "commit_files",
        "notebook",
        "notebook_script",
        "parameters",
        "parameter_conversion",
        "parameter_explanation",
        "parameter_types",
        "scheduled_time",
        "secret_reference",
        "secret_shapes",
        "secret_values",
        "snippets",
        "strict_yaml",
    ),
    ("tracking",),
    ("store", "events"),
    ("settings", "settings_model", "settings_preload"),
    ("errors", "linter", "metric_directions", "suggestion", "versions"),
)

# Around the package: everybody may import `rasen`, nobody one another.
NEIGHBOURS = ("rasen_labextension", "rasen_lint", "rasen_serving", "cloud_functions")

MAY_UNPICKLE = {
    "rasen.model.loading": {"pickle.loads"},
}
MAY_READ_ENVIRONMENT = {"rasen.settings"}
LONGEST_FILE = 400
LONGER = {
    "platform/rasen/data/constructs.py": "one table: each verified construct of the SQL dialect is a row",
}
DEEPER = {"rasen.deploy.gates": "one gate a file, as with the rules of the linter"}
# Imported although another library brings them, whose documentation shows them as part of its own interface.
COMES_WITH = {
    "ipython": "ipykernel",
    "click": "typer",
    "jupyter-client": "papermill",
    "jupyter-core": "papermill",
    "jupyter-server": "jupyterlab",
    "nbclient": "papermill",
    "pydantic-core": "pydantic",
    "pyzmq": "papermill",
    "starlette": "fastapi",
    "tornado": "jupyterlab",
    "traitlets": "papermill",
    "typing-extensions": "pydantic",
}

# What a process that only waits or answers must not carry, and what it costs to import (facts/test_stand.md).
HEAVY = {
    "duckdb",
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "pandera",
    "papermill",
    "pyarrow",
    "skl2onnx",
    "sklearn",
    "sqlglot",
    "xgboost",
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of everything that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_a_module_of_rasen_imports_only_from_its_line_and_below() -> None:
    rank = {name: number for number, line in enumerate(LINES) for name in line}
    wrong = []
    for path in source_files("rasen"):
        parts = module_name(path).split(".")
        if len(parts) == 1:
            continue
        assert parts[1] in rank, f"{path.relative_to(ROOT)}: give it a line in LINES, and in the design"
        for line, imported in imports(path):
            other = imported.split(".")
            if other[0] == "rasen" and len(other) > 1 and rank.get(other[1], -1) < rank[parts[1]]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert wrong == []


def test_rasen_imports_none_of_the_folders_around_it_and_they_not_one_another() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {imported}"
        for package in (*PACKAGES, "cloud_functions")
        for path in source_files(package)
        for line, imported in imports(path)
        if imported.split(".")[0] in NEIGHBOURS and imported.split(".")[0] != package
    ]
    assert wrong == []


def test_only_verified_bytes_are_unpickled() -> None:
    found = {
        module_name(path): {each.partition(": ")[2] for each in unpicklers}
        for package in (*PACKAGES, "cloud_functions")
        for path in source_files(package)
        if (unpicklers := find_unpicklers(path.read_text()))
    }
    assert found == MAY_UNPICKLE


def test_only_the_settings_read_the_environment() -> None:
    def reads(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in {
            "environ",
            "environb",
            "getenv",
            "getenvb",
            "putenv",
        }

    assert places(reads) == MAY_READ_ENVIRONMENT


def places(found: Callable[[ast.AST], bool]) -> set[str]:
    """Return the modules in whose source something stands."""
    return {
        module_name(path)
        for package in (*PACKAGES, "cloud_functions")
        for path in source_files(package)
        if any(found(node) for node in ast.walk(ast.parse(path.read_text())))
    }


def test_files_hold_one_concept() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in (*PACKAGES, "cloud_functions")
        for path in source_files(package)
    }
    long = {name for name, lines in lengths.items() if lines > LONGEST_FILE}
    assert long == set(LONGER), (
        "split it by concept, or give the reason in LONGER; and take out what is short again"
    )


def test_packages_are_at_most_one_folder_deep() -> None:
    deeper = {
        module_name(path.parent)
        for package, folder in PACKAGES.items()
        for path in source_files(package)
        if len(path.relative_to(folder).parts) > 2
    }
    assert deeper == set(DEEPER)


def test_nothing_is_named_after_nothing() -> None:
    names = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base"}
    for package in PACKAGES:
        for path in source_files(package):
            assert not names & set(path.relative_to(ROOT).with_suffix("").parts), path


def test_no_file_makes_a_package_of_a_folder_that_is_none() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert list((ROOT / "platform").glob("*.py")) == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    assert not (ROOT / "tests" / "platform").exists()
    assert list((ROOT / "notebooks").rglob("__init__.py")) == []


def test_platform_is_the_standard_module_in_the_root_of_the_repository() -> None:
    code = "import platform; print(platform.python_implementation(), platform.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    implementation, file = done.stdout.split(maxsplit=1)
    assert implementation == "CPython"
    assert not Path(file.strip()).is_relative_to(ROOT / "platform")


def test_every_library_that_is_imported_is_declared() -> None:
    declared = declared_distributions()
    distributions = packages_distributions()
    wrong = set()
    for package in PACKAGES:
        for path in source_files(package):
            for _, imported in imports(path):
                top = imported.split(".")[0]
                if top in sys.stdlib_module_names or top in PACKAGES:
                    continue
                names = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions.get(top, [top])}
                if not (names | {COMES_WITH.get(name, "") for name in names}) & declared:
                    wrong.add(f"{path.relative_to(ROOT)} imports {top}")
    assert wrong == set()


def test_no_path_or_address_of_a_machine_is_tracked() -> None:
    # Put together here, so that this file does not find itself.
    forbidden = re.compile(
        "|".join(["/work" + "/(main|shared|brief)", "/root" + "/", "/home" + "/[a-z]", "/tmp" + "/uvenv"])
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked_files()
        if (match := forbidden.search(path.read_bytes().decode(errors="replace")))
    ]
    assert found == []


def loaded_modules(code: str, tmp_path: Path) -> set[str]:
    """Run code in a fresh interpreter and return the top-level modules that it has loaded."""
    code += "\nimport sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (
            "import rasen",
            HEAVY | {"pydantic", "pydantic_settings", "cryptography", "typer", "nbformat", "yaml"},
        ),
        ("import rasen.cli; rasen.cli.build_app()", HEAVY | {"fastapi", "uvicorn", "nbformat"}),
        ("import rasen_serving.supervisor", HEAVY | {"fastapi", "nbformat"}),
        ("import rasen.notify.notifier", HEAVY | {"cloudpickle", "fastapi", "httpx", "nbformat"}),
        ("import rasen.deploy.decide", HEAVY | {"cloudpickle", "fastapi", "nbformat"}),
        ("import rasen.api.app, rasen.local.up", HEAVY | {"IPython", "jupyterhub", "tornado", "typer"}),
        ("import rasen.api.client", HEAVY | {"IPython", "fastapi", "pydantic"}),
        ("import rasen_lint", HEAVY | {"IPython", "nbformat", "pydantic"}),
    ],
    ids=["rasen", "rasen.cli", "supervisor", "notifier", "decide", "api", "client", "rasen_lint"],
)
def test_import_is_light(code: str, absent: set[str], tmp_path: Path) -> None:
    assert loaded_modules(code, tmp_path) & absent == set()


def test_importing_any_module_does_nothing(tmp_path: Path) -> None:
    names = [module_name(path) for package in PACKAGES for path in source_files(package)]
    # papermill loads its engines, ours among them, while it is being imported itself: it has to come first.
    code = f"""
import importlib, os, sys, threading, papermill
sys.path.insert(0, {str(PACKAGES["rasen_labextension"].parent)!r})  # a wheel of its own, which needs Node to be built
before = dict(os.environ)
for name in {[name for name in names if not name.endswith("__main__")]!r}:
    importlib.import_module(name)
assert dict(os.environ) == before, "an import changed the environment"
assert threading.active_count() == 1, threading.enumerate()
"""
    loaded_modules(code, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_all_names_what_a_package_defines() -> None:
    # What it imports without using it, ruff holds against `__all__` already.
    for path in itertools.chain.from_iterable(source_files(package) for package in PACKAGES):
        tree = ast.parse(path.read_text())
        listed = _listed(tree)
        if listed is None:
            continue
        defined = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        }
        assert defined <= set(listed), path
        assert len(listed) == len(set(listed)), path
        module = importlib.import_module(module_name(path))
        assert [name for name in listed if not hasattr(module, name)] == [], path


def _listed(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None
