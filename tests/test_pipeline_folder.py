"""A pipeline's folder is checked as a whole: the YAML against the notebooks that it names."""

from pathlib import Path

import pytest

from rasen.errors import NotebookError, PipelineError, RasenError
from rasen.pipeline import FilesOnDisk, check_folder, find_pipelines, load_pipeline
from stand.pipeline_folder import notebook, write_pipeline

YAML = """\
name: demand
owner: mobility
parameters: {horizon_hours: 2}
steps:
  features: {notebook: features.ipynb}
  train: {notebook: train.ipynb, needs: [features], parameters: {max_depth: 4}}
"""
NOTEBOOKS = {
    "features.ipynb": notebook("horizon_hours: int = 1\nsince: str = ''\n"),
    "train.ipynb": notebook("max_depth: int = 6\n"),
}


def refusal(folder: Path, kind: type[RasenError] = PipelineError) -> str:
    with pytest.raises(kind) as caught:
        load_pipeline(folder)
    return str(caught.value)


def test_a_folder_gives_its_pipeline_notebooks_and_parameters(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand", YAML, NOTEBOOKS)
    checked = check_folder(FilesOnDisk(folder))
    assert checked.pipeline == load_pipeline(folder)
    assert checked.notebooks["train"].title == "Title"
    assert [each.name for each in checked.parameters["features"]] == ["horizon_hours", "since"]


def test_a_missing_pipeline_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "demand").mkdir()
    assert "'demand/pipeline.yaml' does not exist; three lines are enough" in refusal(tmp_path / "demand")
    (tmp_path / "demand" / "pipeline.yml").write_text("name: x")
    assert "rename pipeline.yml" in refusal(tmp_path / "demand")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand")
    (folder / "pipeline.yaml").write_bytes(b"name: x\nowner: \xff")
    assert "demand/pipeline.yaml, line 2: byte 0xff is not UTF-8" in refusal(folder)


def test_a_missing_notebook_names_the_nearest(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand", YAML.replace("train.ipynb", "trian.ipynb"), NOTEBOOKS)
    assert (
        "line 6: steps.train.notebook: there is no file 'trian.ipynb' in the folder: did you mean 'train.ipynb'?"
        in (refusal(folder))
    )


def test_a_link_out_of_the_folder_is_no_file_of_it(tmp_path: Path) -> None:
    (tmp_path / "outside.ipynb").write_bytes(notebook())
    folder = write_pipeline(tmp_path / "demand", notebooks={"other.ipynb": notebook()})
    (folder / "train.ipynb").symlink_to(tmp_path / "outside.ipynb")
    assert "there is no file 'train.ipynb'" in refusal(folder)


def test_all_notebooks_that_cannot_be_run_are_told_with_their_step(tmp_path: Path) -> None:
    broken = {"features.ipynb": b"{", "train.ipynb": notebook(changes={"cells": []})}
    said = refusal(write_pipeline(tmp_path / "demand", YAML, broken), NotebookError).splitlines()
    assert said[0].startswith("demand/pipeline.yaml, line 5: step 'features': features.ipynb, line 1")
    assert said[1].startswith("demand/pipeline.yaml, line 6: step 'train': train.ipynb: no cell is tagged")


def test_a_bad_parameters_cell_is_refused(tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "demand", notebooks={"train.ipynb": notebook("max_depth = 6")})
    assert "step 'train': train.ipynb, cell 1 (parameters), line 1: 'max_depth' has no annotation" in refusal(
        folder, NotebookError
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "horizon_hours: 2",
            "horizon_hour: 2",
            "line 3: parameters.horizon_hour: no parameter of any notebook has this ",
        ),
        (
            "horizon_hours: 2",
            "horizon_hours: two",
            "parameters.horizon_hours: step 'features': parameter 'horizon_hours'",
        ),
        ("horizon_hours: 2", 'horizon_hours: "@scheduled"', "is a time and cannot become an int"),
        ("horizon_hours: 2", 'since: "@scheduled-1x"', "is not '@scheduled' or one offset"),
        (
            "max_depth: 4",
            "depth: 4",
            "line 6: steps.train.parameters.depth: no parameter of the step's notebook",
        ),
        (
            "max_depth: 4",
            "horizon_hours: 4",
            "steps.train.parameters.horizon_hours: no parameter of the step's",
        ),
        ("max_depth: 4", "max_depth: 4.5", "4.5 is a float, it must be an int"),
        (
            "steps:",
            "sample: {parameters: {max_dpth: 1}}\nsteps:",
            "line 4: sample.parameters.max_dpth: no parameter",
        ),
        (
            "steps:",
            "sample: {parameters: {max_depth: x}}\nsteps:",
            "line 4: sample.parameters.max_depth: step 'train'",
        ),
    ],
)
def test_values_are_checked_against_the_notebooks(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in refusal(write_pipeline(tmp_path / "demand", YAML.replace(old, new), NOTEBOOKS))


def test_dates_may_be_written_without_quotes(tmp_path: Path) -> None:
    text = YAML.replace("horizon_hours: 2", "since: 2013-06-01")
    folder = write_pipeline(tmp_path / "demand", text, NOTEBOOKS)
    assert load_pipeline(folder).parameters == {"since": "2013-06-01"}


def test_pipelines_are_found_in_a_folder_of_folders(tmp_path: Path) -> None:
    second = write_pipeline(tmp_path / "notebooks" / "b", name="b")
    first = write_pipeline(tmp_path / "notebooks" / "a", name="a")
    (tmp_path / "notebooks" / "empty").mkdir()
    assert find_pipelines(tmp_path / "notebooks") == [first, second]
    assert find_pipelines(first) == [first]
    with pytest.raises(PipelineError, match=r"holds a pipeline\.yaml"):
        find_pipelines(tmp_path / "notebooks" / "empty")
