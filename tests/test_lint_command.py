"""`rasen lint` as a person and as CI call it."""

import io
import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from rasen.errors import InvalidInput
from rasen_lint import RULES, Checked, Finding, Severity
from rasen_lint.command import lint
from rasen_lint.finding import Fix
from rasen_lint.progress import Progress
from rasen_lint.sharing_out import share_out
from stand.lint_notebooks import notebook_bytes
from stand.repository import ROOT

CASES = Path(__file__).parent / "lint_cases"


def invoke(*arguments: str, data: bytes | None = None) -> Result:
    app = typer.Typer()
    app.command(name="lint")(lint)
    result = CliRunner().invoke(app, arguments, input=data)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def call(*arguments: str) -> tuple[int, str]:
    result = invoke(*arguments)
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


def test_rules_can_be_listed() -> None:
    code, output = call("--list-rules")
    assert code == 0
    assert set(RULES) <= {line.split()[0] for line in output.splitlines()}
    assert json.loads(call("--list-rules", "--json")[1])["format"] == 1


def test_ruff_runs_along_and_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes("import os"))
    assert "F401 warning: `os` imported but unused" in call(str(path))[1]
    assert "F401" not in call("--no-ruff", str(path))[1]
    assert "unused-import" in call("--explain", "F401")[1]


def test_unknown_rule_is_refused_with_the_nearest(tmp_path: Path) -> None:
    for option in ("--select", "--ignore"):
        with pytest.raises(InvalidInput, match=r"there is no rule 'F4011'.*did you mean 'F401'"):
            call(option, "F4011", str(tmp_path))


def test_forms_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes("x = ("))
    assert call("--format", "github", str(path))[1].count("::error file=") >= 1
    assert json.loads(call("--format", "sarif", str(path))[1])["version"] == "2.1.0"
    assert json.loads(call("--format", "json", str(path))[1])["format"] == 1
    assert " NB205 " in call("--statistics", str(path))[1]
    assert "not shown" in call("--max-findings", "0", str(path))[1]


def test_fix_changes_the_file_tells_what_and_keeps_the_old_version(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    before = notebook_bytes("import os\nx = 1")
    path.write_bytes(before)
    code, output = call("--diff", str(path))
    assert code == 1
    assert '-    "import os\\n",' in output
    assert path.read_bytes() == before
    code, output = call("--fix", str(path))
    assert "mended: " in output
    assert "F401: Remove unused import: `os`" in output
    assert path.read_bytes() == notebook_bytes("x = 1")
    assert tmp_path.joinpath(".ipynb_checkpoints", "n-before-fix.ipynb").read_bytes() == before
    assert call("--diff", str(path))[0] == 0


def test_notebook_comes_from_standard_input(tmp_path: Path) -> None:
    tmp_path.joinpath("pyproject.toml").write_text('[tool.rasen.lint]\nselect = ["F"]\n')
    name = str(tmp_path / "n.ipynb")
    data = notebook_bytes("import os\nx = 1")
    result = invoke("--stdin-filename", name, "-", data=data)
    assert result.exit_code == 0
    assert f"{name}, cell 1, line 1, column 8: F401 warning" in result.output
    mended = invoke("--fix", "--stdin-filename", name, "-", data=data)
    assert mended.stdout_bytes == notebook_bytes("x = 1")
    assert "0 errors" in mended.stderr
    assert invoke("-", data=b"{").exit_code == 2


def test_program_of_others_runs_through_nbqa_with_its_own_exit_code(tmp_path: Path, capfd: Any) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes("import os"))
    assert (
        call("--nbqa", "ruff check", str(path), "--", "--isolated", "--select=F", "--output-format=concise")[
            0
        ]
        == 1
    )
    assert "cell_2:1:8: F401" in capfd.readouterr().out


def test_tool_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes())
    with pytest.raises(InvalidInput, match="'nosuchtool' is not installed in the environment of rasen"):
        call("--nbqa", "nosuchtool", str(path))
    with pytest.raises(InvalidInput, match="needs the name of a tool"):
        call("--nbqa", "", str(path))
    with pytest.raises(InvalidInput, match="no notebook is named before '--strict'"):
        call("--nbqa", "mypy", "--", "--strict")


def test_broken_configuration_of_ruff_gives_exit_code_2(tmp_path: Path) -> None:
    tmp_path.joinpath("ruff.toml").write_text("nonsense = 1\n")
    tmp_path.joinpath("n.ipynb").write_bytes(notebook_bytes())
    code, output = call("--select", "NB205,F", str(tmp_path))
    assert code == 2
    assert "note: ruff did not work" in output


def test_unreadable_file_and_link_that_leads_nowhere_are_problems(tmp_path: Path) -> None:
    good = tmp_path / "good.ipynb"
    good.write_bytes(notebook_bytes("x = ("))
    tmp_path.joinpath("link.ipynb").symlink_to(good)
    tmp_path.joinpath("nowhere.ipynb").symlink_to(tmp_path / "gone.ipynb")
    code, output = call("--select", "NB205", str(tmp_path))
    assert code == 2
    assert "nowhere.ipynb: cannot be read: No such file or directory" in output
    assert "2 errors, 0 warnings, 1 unreadable file in 3 notebooks" in output


def test_many_notebooks_are_shared_out_and_give_the_same_answer(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.ipynb" for number in range(30)]
    for number, path in enumerate(paths):
        path.write_bytes(
            notebook_bytes(f"x = {number}", *["import os  # noqa: NB205", "y = ("][: number % 3])
        )
    paths[7].write_bytes(b"{")
    # In a process of its own: this one has threads.
    code = (
        "import sys; from pathlib import Path; from rasen_lint.linting import Linting, Wishes; "
        "from rasen_lint.report import to_json; paths = [Path(path) for path in sys.argv[1:]]; "
        "one, two = (Linting(Wishes(processes=count)).check_files(paths).results for count in (1, 3)); "
        "assert to_json(one) == to_json(two); print(len(to_json(two)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10_000


def test_process_that_dies_costs_no_answer() -> None:
    parent = os.getpid()

    def check(index: int) -> Checked:
        if os.getpid() != parent and index == 3:
            os._exit(9)
        fix = Fix(
            title="t", sources={1: "x"}, removed=frozenset({2}), metadata={"a": [1]}, cell_metadata={3: {}}
        )
        found = Finding(code="NB1", severity=Severity.WARNING, message=str(index), cell=1, fix=fix)
        return Checked(path=str(index), document=None, findings=(found,))

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns of forks in tests with threads
        results = share_out(7, check, processes=2, done=lambda _: None)
    assert [checked.path for checked in results] == [str(index) for index in range(7)]
    assert len({repr(replace(checked.findings[0], message="")) for checked in results}) == 1


def test_progress_shows_on_a_terminal_only_what_takes_long() -> None:
    out = io.StringIO()
    progress = Progress(out, patience_seconds=0)
    progress(1, 2)
    progress(2, 2)
    assert out.getvalue() == "\r1 of 2 notebooks\033[K\r\033[K"
    quiet = io.StringIO()
    for done in (1, 2):
        Progress(quiet, patience_seconds=60)(done, 2)
    assert quiet.getvalue() == ""


@pytest.mark.parametrize("hook", ["rasen-lint", "rasen-lint-fix"])
def test_pre_commit_hook_stops_a_commit_with_an_error(tmp_path: Path, hook: str) -> None:
    definitions = ROOT.joinpath(".pre-commit-hooks.yaml").read_text()
    found = next(each for each in yaml.safe_load(definitions) if each["id"] == hook)
    # As a local hook, because fetching one needs a commit of this repository; and `rasen` may not be on the PATH.
    program = f"{sys.executable} -c 'from rasen.cli import main; main()'"
    local = {"repo": "local", "hooks": [found | {"entry": found["entry"].replace("rasen", program, 1)}]}
    tmp_path.joinpath(".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [local]}))
    tmp_path.joinpath("broken.ipynb").write_bytes(notebook_bytes("x = ("))
    tmp_path.joinpath("notes.md").write_text("text")
    environment = os.environ | {"PRE_COMMIT_HOME": str(tmp_path / "home")}
    for command in (["git", "init", "-q"], ["git", "add", "."]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    run = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "broken.ipynb, cell 1, line 1" in done.stdout
    assert "notes.md" not in done.stdout
