"""`[tool.rasen.lint]`: what it changes, and what is said about mistakes in it."""

from pathlib import Path

import pytest

from rasen.errors import InvalidInput
from rasen_lint.configuration import Configuration
from rasen_lint.glob_patterns import matches_glob
from rasen_lint.linting import ALL_RULES, Linting, Wishes
from rasen_lint.selection import choose
from stand.lint_notebooks import notebook_bytes

BROKEN = notebook_bytes("x = (")


def lint(folder: Path, name: str = "n.ipynb", wishes: Wishes | None = None) -> dict[str, str]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BROKEN)
    checked = Linting(wishes or Wishes(ruff=False)).check_files([path])
    return {finding.code: finding.severity for each in checked.results for finding in each.findings}


def configure(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("pyproject.toml").write_text("\n".join(["[tool.rasen.lint]", *lines]))


def test_severity_of_a_rule_or_a_group_is_changed_the_longest_beginning_wins(tmp_path: Path) -> None:
    configure(tmp_path, 'severity = {NB2 = "error", NB205 = "warning"}')
    assert lint(tmp_path)["NB205"] == "warning"


def test_ignore_and_select(tmp_path: Path) -> None:
    assert "NB205" in lint(tmp_path)
    configure(tmp_path, 'ignore = ["NB205"]')
    assert "NB205" not in lint(tmp_path)
    configure(tmp_path, 'select = ["NB3"]')
    assert lint(tmp_path) == {}


def test_command_line_wins(tmp_path: Path) -> None:
    configure(tmp_path, 'select = ["NB3"]', 'ignore = ["NB2"]')
    assert lint(tmp_path, wishes=Wishes(ruff=False, select=("NB205",))) == {"NB205": "error"}
    configure(tmp_path, 'select = ["NB2"]')
    assert lint(tmp_path, wishes=Wishes(ruff=False, ignore=("NB205",))) == {}


def test_nearest_file_with_the_section_counts(tmp_path: Path) -> None:
    configure(tmp_path, 'ignore = ["NB205"]')
    inner = tmp_path / "inner"
    inner.mkdir()
    inner.joinpath("pyproject.toml").write_text('[project]\nname = "rasen-demo"\n')
    assert "NB205" not in lint(inner)
    configure(inner, 'ignore = ["NB301"]')
    assert "NB205" in lint(inner)


def test_folders_have_their_own_rules(tmp_path: Path) -> None:
    configure(
        tmp_path,
        "[tool.rasen.lint.per-folder]",
        '"notebooks/scratch/**" = {ignore = ["NB2"]}',
        '"old" = {select = ["NB3"]}',
    )
    assert "NB205" in lint(tmp_path, "notebooks/n.ipynb")
    assert "NB205" not in lint(tmp_path, "notebooks/scratch/deep/n.ipynb")
    assert lint(tmp_path, "a/old/n.ipynb") == {}


def test_excluded_notebook_is_named_and_not_checked(tmp_path: Path) -> None:
    configure(tmp_path, 'exclude = ["drafts"]')
    path = tmp_path / "drafts" / "n.ipynb"
    path.parent.mkdir()
    path.write_bytes(b"{")
    linted = Linting(Wishes(ruff=False)).check_files([path])
    assert linted.results == ()
    assert "left out by `exclude`" in linted.notices[0]


def test_change_of_the_file_is_seen(tmp_path: Path) -> None:
    linting = Linting(Wishes(ruff=False))
    path = tmp_path / "n.ipynb"
    assert "NB205" in {each.code for each in linting.check_bytes(BROKEN, path=path).results[0].findings}
    configure(tmp_path, 'ignore = ["NB205"]')
    assert "NB205" not in {each.code for each in linting.check_bytes(BROKEN, path=path).results[0].findings}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('selekt = ["NB1"]', "'selekt' is no key of [tool.rasen.lint]; did you mean 'select'?"),
        ('select = ["NB999"]', "there is no rule 'NB999'; "),
        ('ignore = ["F4011"]', "there is no rule 'F4011', neither here nor in ruff; did you mean 'F401'?"),
        ('ignore = [""]', "there is no rule ''"),
        ('select = "NB1"', "'select' is 'NB1'; write a list of texts"),
        ('severity = {NB205 = "fatal"}', "'NB205' has the severity 'fatal'; it must be 'error' or 'warning'"),
        ('severity = ["NB205"]', "'severity' is ['NB205']; write a table"),
        ('per-folder = {"a/**" = ["NB1"]}', "'per-folder' must be a table"),
        ('per-folder = {"a/**" = {ignored = ["NB1"]}}', "did you mean 'ignore'?"),
        ('ruff = "yes"', "'ruff' is 'yes'; write true or false"),
        ('max-bytes = "ten"', "'max-bytes' is 'ten'; write a size such as '10 GB'"),
        ("price-per-tib = true", "'price-per-tib' is True"),
    ],
)
def test_mistake_is_refused_with_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    configure(tmp_path, "# a comment", line)
    with pytest.raises(InvalidInput) as refused:
        lint(tmp_path)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'pyproject.toml'}, line 3")


def test_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    configure(tmp_path, "select = [")
    with pytest.raises(InvalidInput, match="not TOML"):
        lint(tmp_path)


def test_section_must_be_a_table(tmp_path: Path) -> None:
    tmp_path.joinpath("pyproject.toml").write_text("[tool.rasen]\nlint = 1\n")
    with pytest.raises(InvalidInput, match=r"write a table \[tool.rasen.lint\]"):
        lint(tmp_path)


@pytest.mark.parametrize(
    ("written", "size"), [('"10 GB"', 10**10), ('"1.5MB"', 1_500_000), ('"100"', 100), ("7", 7)]
)
def test_sizes(tmp_path: Path, written: str, size: int) -> None:
    configure(tmp_path, f"max-bytes = {written}")
    assert Linting(Wishes(ruff=False)).configuration(tmp_path / "n.ipynb").max_bytes == size


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("notebooks/scratch/**", "notebooks/scratch/a/b.ipynb", True),
        ("notebooks/scratch", "notebooks/scratch/a.ipynb", True),
        ("notebooks/scratch/", "notebooks/scratch/a.ipynb", True),
        ("notebooks/*.ipynb", "notebooks/a.ipynb", True),
        ("notebooks/*.ipynb", "notebooks/deep/a.ipynb", False),
        ("**/draft_?.ipynb", "a/b/draft_1.ipynb", True),
        ("*_draft.ipynb", "a/b_draft.ipynb", True),
        ("draft", "a/drafts/b.ipynb", False),
        ("[ab].ipynb", "b.ipynb", True),
        ("[!ab].ipynb", "b.ipynb", False),
        ("a.b", "axb", False),
    ],
)
def test_patterns(pattern: str, path: str, matches: bool) -> None:
    assert matches_glob(path, pattern) is matches


def test_ruff_is_asked_for_what_is_selected_of_it() -> None:
    def ruff(**keys: tuple[str, ...]) -> tuple[str, ...] | None:
        return choose(ALL_RULES, Path("n.ipynb"), Configuration(), **keys).ruff

    assert ruff() == ()
    assert ruff(select=("NB1",)) is None
    assert ruff(select=("f4", "NB1")) == ("F4",)
    assert choose(ALL_RULES, Path("n.ipynb"), Configuration(ruff=False)).ruff is None
