"""`rasen lint` as a person and as CI call it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rasen.errors import InvalidInput
from rasen_lint import RULES
from rasen_lint.command import lint

CASES = Path(__file__).parent / "lint_cases"


def call(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command(name="lint")(lint)
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_clean_notebook_gives_exit_code_0() -> None:
    assert call(str(CASES / "nb113_pass.ipynb")) == (0, "0 errors, 0 warnings in 1 notebook\n")


def test_error_gives_exit_code_1_and_shows_the_cell() -> None:
    code, output = call(str(CASES / "nb113_fail.ipynb"))
    assert code == 1
    assert (
        "nb113_fail.ipynb, cell 1, line 2, column 1: NB113 error: parameter 'limit' has no annotation"
        in output
    )
    assert "  >   2 | limit = 3" in output


def test_broken_file_gives_exit_code_2_and_the_others_are_checked(tmp_path: Path) -> None:
    (tmp_path / "broken.ipynb").write_text("{")
    code, output = call(str(tmp_path), str(CASES / "nb205_fail.ipynb"))
    assert code == 2
    assert "broken.ipynb, line 1, column 2: not JSON" in output
    assert "NB205 error" in output
    assert "3 errors, 0 warnings, 1 unreadable file in 2 notebooks" in output


def test_json_holds_every_finding_with_its_place() -> None:
    code, output = call("--json", "--select", "NB110,NB2", str(CASES / "nb110_fail.ipynb"))
    document = json.loads(output)
    assert (code, document["format"]) == (1, 1)
    (notebook,) = document["notebooks"]
    assert notebook["problem"] is None
    assert [(finding["code"], finding["cell"], finding["cell_id"]) for finding in notebook["findings"]] == [
        ("NB110", 2, "cell-2"),
        ("NB110", 3, "cell-3"),
    ]


def test_ignored_rule_does_not_run() -> None:
    assert call("--ignore", "NB113", str(CASES / "nb113_fail.ipynb"))[0] == 0


@pytest.mark.parametrize("code", RULES)
def test_explain_prints_the_documentation_of_a_rule(code: str) -> None:
    exit_code, output = call("--explain", code.lower())
    assert exit_code == 0
    assert output.startswith(f"{code} (")
    assert "Use instead:" in output


def test_nothing_to_lint_is_refused() -> None:
    with pytest.raises(InvalidInput, match="rasen lint notebooks"):
        call()


def test_package_installs_are_named_as_they_were_written() -> None:
    output = call(str(CASES / "nb202_fail.ipynb"))[1]
    for command in ("pip install", "uv pip install", "conda install"):
        assert f"`{command}`" in output
