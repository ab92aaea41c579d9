"""Files become snippets or problems with a line; a broken one hides no other."""

import os
from pathlib import Path

import pytest

from rasen.errors import InvalidInput, NotFound
from rasen.linter import LintFinding, LintReport
from rasen.snippets import SnippetFolder, check_folder, create_snippet, load_snippets, render, search_snippets
from rasen.snippets.reading import MOST_BYTES, MOST_FILES

GOOD = """# ---
# title: Count the rows
# description: How many there are.
# tags: [data, first]
# placeholders:
#   rows: {default: rows, description: a DataFrame}
# ---
print(len(__rows__))
"""
HEAD = "# ---\n# title: T\n# description: D\n# tags: [t]\n"


def write(folder: Path, **files: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("print(1)\n", 1, "must open with front matter"),
        ("", 1, "must open with front matter"),
        ("# ---\n# title: T\nprint(1)\n# ---\n", 3, "'print(1)' stands in the front matter without `# `"),
        ("# ---\n# title: T\n", 2, "the front matter never ends"),
        ("# ---\n# title: [\n# ---\nprint(1)\n", 2, "not YAML"),
        ("# ---\n# - title\n# ---\nprint(1)\n", 2, "must be keys and values"),
        ("# ---\n# title: T\n# tags: [t]\n# ---\nprint(1)\n", 2, "the key 'description' is missing"),
        (HEAD + "# tgas: [t]\n# ---\nprint(1)\n", 5, "unknown key 'tgas'; did you mean 'tags'?"),
        (HEAD + "# title: U\n# ---\nprint(1)\n", 5, "key 'title' is there twice"),
        (HEAD + "# cell: {type: raw}\n# ---\nprint(1)\n", 5, "'cell.type'"),
        (HEAD + "# cell: {typ: code}\n# ---\nprint(1)\n", 5, "did you mean 'type'?"),
        (HEAD + "# ---\n\n", 5, "there is no cell"),
        (HEAD + "# ---\n\nprint(1, __rows__)\n", 7, "__rows__ is no placeholder"),
        (HEAD + "# placeholders:\n#   a: {default: b, description: c}\n# ---\nprint(1)\n", 6, "never used"),
        (HEAD + "# placeholders:\n#   a: {default: b}\n# ---\nprint(__a__)\n", 6, "description' is missing"),
        (
            HEAD + "# placeholders:\n#   A b: {default: b, description: c}\n# ---\nprint(1)\n",
            6,
            "small letters",
        ),
        (
            HEAD + "# placeholders:\n#   name: {default: b, description: c}\n# ---\n__name__\n",
            6,
            "Python's own",
        ),
        (
            HEAD + "# placeholders:\n#   a: {default: b c, description: c}\n# ---\n__a__\n",
            6,
            "must be a Python",
        ),
        (
            HEAD + "# placeholders:\n#   a: {default: b, description: c, type: text}\n# ---\n__a__\n",
            6,
            "stands outside of a text; its type must be name, number, list or expression",
        ),
        (
            HEAD + '# placeholders:\n#   a: {default: "\'", description: c}\n# ---\nf"{x[\'__a__\']}"\n',
            8,
            "its own defaults do not fit",
        ),
        (HEAD + "# cell: {type: markdown}\n# ---\n# fine\nnot\n", 8, "each line of a markdown cell"),
        (b"# ---\n# title: T\xff\n", 2, "byte 0xff is not UTF-8"),
        (HEAD + "# ---\nprint(1)\n# \x1b[2J\n", 7, "character '\\x1b' is not shown"),
        (HEAD + "# ---\nprint('\u202e')\n", 6, "character '\\u202e' is not shown"),
        (HEAD.replace("D", '"\\e[2J"') + "# ---\nprint(1)\n", 3, "character '\\x1b' is not shown"),
        (b"#" * (MOST_BYTES + 1), 1, "larger than 100,000 bytes"),
    ],
)
def test_a_broken_file_says_where_and_hides_no_other(
    text: str | bytes, line: int, said: str, tmp_path: Path
) -> None:
    good, broken = load_snippets([write(tmp_path, break_it=text, count_rows=GOOD)])
    assert (good.name, good.problem, render(good)) == ("count_rows", None, "print(len(rows))")
    assert broken.problem is not None
    assert (broken.name, broken.problem.line) == ("break_it", line), broken.problem
    assert said in broken.problem.message
    assert broken.problem.file == str(tmp_path / "break_it.py")
    with pytest.raises(InvalidInput, match="'break_it' cannot be used"):
        render(broken)


def test_names_links_and_what_is_no_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "team", Count=GOOD, _helper="x", test_it="x", conftest="x", read_link_in=GOOD)
    (folder / "read_link.py").symlink_to(folder / "read_link_in.py")
    outside = write(tmp_path / "secret", read_keys=GOOD) / "read_keys.py"
    (folder / "read_outside.py").symlink_to(outside)
    (folder / "read_loop.py").symlink_to(folder / "read_loop.py")
    (folder / "read_folder.py").mkdir()
    os.mkfifo(folder / "read_pipe.py")
    found = {each.name: each.problem for each in load_snippets([folder])}
    assert [name for name, problem in found.items() if problem is None] == ["read_link", "read_link_in"]
    assert "leads out of its folder" in str(found["read_outside"])
    assert "<verb>_<thing>.py" in str(found["Count"])
    assert {"read_loop", "read_folder", "read_pipe"} <= set(found)
    assert load_snippets([tmp_path / "nowhere"]) == ()


def test_a_folder_of_too_many_files_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"count_{number:04}.py").touch()
    *_, last = load_snippets([tmp_path])
    assert "the first 1000 are read" in str(last.problem)


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    (snippet,) = load_snippets([write(tmp_path, count_rows=text)])
    assert (snippet.problem, snippet.body) == (None, "print(len(__rows__))")


def test_the_last_folder_of_a_name_counts_and_says_so(tmp_path: Path) -> None:
    first = SnippetFolder(path=write(tmp_path / "a", count_rows=GOOD), source="rasen")
    second = write(tmp_path / "b", count_rows=GOOD.replace("Count", "Number"))
    broken = write(tmp_path / "c", count_rows="broken")
    used, left = load_snippets([first, SnippetFolder(path=second, source="team"), broken])
    assert (used.title, used.source, used.overrides) == ("Number the rows", "team", "rasen")
    assert left.problem is not None
    assert left.overrides is None


def test_words_are_searched_and_ranked(tmp_path: Path) -> None:
    plots = GOOD.replace("[data, first]", "[plot]").replace("Count the rows", "Draw errors")
    mentions = GOOD.replace("How many there are.", "Not a plot.")
    snippets = load_snippets(
        [write(tmp_path, draw_errors=plots, count_rows=GOOD, read_table=mentions, plot_drift="broken")]
    )
    assert [each.name for each in search_snippets(snippets, ["PLOT"])] == [
        "draw_errors",
        "read_table",
        "plot_drift",
    ]
    assert [each.name for each in search_snippets(snippets, ["rows count"])] == ["count_rows", "read_table"]
    assert [each.name for each in search_snippets(snippets, tags=["first"])] == ["count_rows", "read_table"]
    assert [each.name for each in search_snippets(snippets, ["nonsense"])] == []
    assert len(search_snippets(snippets)) == 4
    with pytest.raises(NotFound, match="no snippet has the tag 'plots'; did you mean 'plot'"):
        search_snippets(snippets, tags=["plots"])


class OneFinding:
    """A linter that finds one thing in each cell, and one that only whole notebooks can have."""

    def check(self, data: bytes, *, path: Path, stage: str = "editor") -> LintReport:
        assert b"print(len(rows))" in data
        found = {"severity": "error", "message": "found", "cell": 0}
        return LintReport(
            findings=(
                LintFinding(code="NB206", line=1, **found),  # type: ignore[arg-type] # of several types
                LintFinding(code="NB501", line=1, **found),  # type: ignore[arg-type] # of several types
            )
        )

    def fix(self, data: bytes, *, path: Path, codes: object = None, cell: int | None = None) -> bytes:
        return data

    def explain(self, code: str) -> str:
        return code


def test_a_teams_ci_learns_what_is_wrong(tmp_path: Path) -> None:
    folder = write(tmp_path, count_rows=GOOD, break_it="x", count_on=GOOD.replace("))\n", ")\n"))
    check = check_folder(folder, linter=OneFinding())
    assert check.checked == 3
    said = [str(problem).removeprefix(str(tmp_path) + "/") for problem in check.problems]
    assert said[0].startswith("break_it.py:1: must open with front matter")
    assert said[1:] == ["count_on.py:8: is not Python: '(' was never closed", "count_rows.py:8: NB206 found"]
    with pytest.raises(InvalidInput, match="there is no snippet"):
        check_folder(tmp_path / "nowhere")


def test_magics_are_no_syntax_errors(tmp_path: Path) -> None:
    magics = GOOD.replace("print(len", "%matplotlib inline\n!ls\nprint(len")
    cell = GOOD.replace("print(len(__rows__))", "%%bigquery __rows__\nSELECT 1 x FROM t")
    checked = check_folder(write(tmp_path, use_magic=magics, use_cell=cell), linter=OneNothing())
    assert checked.problems == ()


class OneNothing(OneFinding):
    """A linter that finds nothing."""

    def check(self, data: bytes, *, path: Path, stage: str = "editor") -> LintReport:
        return LintReport()


@pytest.mark.parametrize("markdown", [False, True])
def test_what_a_new_snippet_begins_as_passes_its_own_check(tmp_path: Path, markdown: bool) -> None:
    path = create_snippet("read_orders", tmp_path / "team", markdown=markdown)
    assert check_folder(path.parent, linter=OneNothing()).problems == ()
    (snippet,) = load_snippets([path.parent])
    assert snippet.cell_type == ("markdown" if markdown else "code")
    assert snippet.title == "Read orders"
    with pytest.raises(InvalidInput, match="is there already"):
        create_snippet("read_orders", tmp_path / "team")
    for name in ("../x_y", "Orders", "orders", "read-orders"):
        with pytest.raises(InvalidInput, match="no name of a snippet"):
            create_snippet(name, tmp_path)
