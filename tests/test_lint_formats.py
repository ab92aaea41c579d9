"""The four forms of an answer: text, JSON, annotations of GitHub, SARIF."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rasen_lint.checking import Checked, Fault
from rasen_lint.github_annotations import to_github
from rasen_lint.linting import Linted, Linting, Wishes
from rasen_lint.notebook_text import NotebookText
from rasen_lint.report import to_json, to_rule_list, to_statistics, to_text
from rasen_lint.sarif import to_sarif
from stand.lint_notebooks import NoCallOfBad, NoTitle, code_cell, notebook_bytes

OWN = {rule.code: rule for rule in (NoCallOfBad(), NoTitle())}

# What GitHub asks of a log, and the parts of SARIF 2.1.0 that ours uses; the whole schema was tried by hand.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
LINE = {"type": "integer", "minimum": 1}
SARIF = {
    "type": "object",
    "required": ["$schema", "version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name", "rules"],
                                "properties": {
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id", "shortDescription"],
                                            "properties": {
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "help": TEXT,
                                                "helpUri": {"type": "string", "format": "uri"},
                                                "defaultConfiguration": {"properties": {"level": LEVEL}},
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": [
                                "ruleId",
                                "ruleIndex",
                                "level",
                                "message",
                                "locations",
                                "partialFingerprints",
                            ],
                            "properties": {
                                "level": LEVEL,
                                "message": TEXT,
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "locations": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {
                                        "type": "object",
                                        "required": ["physicalLocation"],
                                        "additionalProperties": False,
                                        "properties": {
                                            "physicalLocation": {
                                                "type": "object",
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "required": ["uri"],
                                                        "properties": {"uri": {"format": "uri-reference"}},
                                                    },
                                                    "region": {
                                                        "additionalProperties": False,
                                                        "required": ["startLine"],
                                                        "properties": {"startLine": LINE, "endLine": LINE},
                                                    },
                                                },
                                            },
                                            "logicalLocations": {
                                                "items": {
                                                    "additionalProperties": False,
                                                    "properties": {
                                                        "name": {"type": "string"},
                                                        "fullyQualifiedName": {"type": "string"},
                                                        "kind": {"type": "string"},
                                                    },
                                                }
                                            },
                                        },
                                    },
                                },
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                            },
                        },
                    },
                    "invocations": {
                        "items": {
                            "required": ["executionSuccessful"],
                            "properties": {
                                "executionSuccessful": {"type": "boolean"},
                                "toolExecutionNotifications": {
                                    "items": {
                                        "required": ["message"],
                                        "properties": {"message": TEXT, "level": LEVEL},
                                    }
                                },
                            },
                        }
                    },
                },
            },
        },
    },
}


def lint(path: Path, *cells: Any, indent: int | None = 1) -> Linted:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(notebook_bytes(*cells, indent=indent))
    return Linting(Wishes(ruff=False), rules=OWN).check_files([path])


def sarif(results: tuple[Checked, ...]) -> Any:
    log = json.loads(to_sarif(results))
    jsonschema.validate(log, SARIF)
    return log["runs"][0]


def test_annotation_stands_on_the_line_of_the_file_that_holds_the_line_of_the_cell(tmp_path: Path) -> None:
    path = tmp_path / "a, b: c" / "n.ipynb"
    tmp_path.joinpath(".git").touch()
    linted = lint(path, "x = 1\n\nbad()", "y = 2")
    title, finding = to_github(linted.results).splitlines()
    assert title == "::warning file=a%2C b%3A c/n.ipynb,line=1,endLine=1,title=NB903::no heading"
    (line,) = [n for n, text in enumerate(path.read_text().splitlines(), start=1) if "bad()" in text]
    assert finding == (
        f"::error file=a%2C b%3A c/n.ipynb,line={line},endLine={line},title=NB901::cell 1, line 3: calls bad"
    )


def test_whole_cell_is_annotated_at_its_source() -> None:
    text = NotebookText(notebook_bytes("a = 1\nb = 2"))
    lines = text.text.splitlines()
    assert lines[text.line_of(1) - 1] == '   "source": ['
    assert lines[text.line_of(1, 1) - 1].strip() == '"a = 1\\n",'
    assert lines[text.line_of(1, 2) - 1].strip() == '"b = 2"'
    assert (text.line_of(None), text.line_of(99, 1)) == (1, 1)
    assert lines[text.line_of(1, 99) - 1].strip() == '"b = 2"'


@pytest.mark.parametrize(
    "source",
    ["a\nbad()", ["a\nbad()"], ["a\n", "ba", "d()"], [], ""],
    ids=["one text", "one item", "cut through a line", "none", "empty"],
)
def test_sources_that_jupyter_does_not_write_have_lines_too(source: object) -> None:
    cells = [{"cell_type": "code", "metadata": {}, "source": source}]
    text = NotebookText(json.dumps({"cells": cells, "nbformat": 4, "metadata": {}}, indent=1).encode())
    found = text.text.splitlines()[text.line_of(0, 2) - 1]
    assert "source" in found or "ba" in found


def test_notebook_in_one_line_is_annotated_there(tmp_path: Path) -> None:
    linted = lint(tmp_path / "n.ipynb", "bad()", indent=None)
    assert all(",line=1,endLine=1," in line for line in to_github(linted.results).splitlines())


def test_message_of_several_lines_stays_one_command(tmp_path: Path) -> None:
    checked = Checked(path=str(tmp_path / "n.ipynb"), document=None, problem="100%\nbroken")
    (line,) = to_github([checked]).splitlines()
    assert line.endswith("::100%25%0Abroken")


def test_clean_notebook_gives_no_annotation(tmp_path: Path) -> None:
    linted = lint(tmp_path / "n.ipynb")
    assert to_github([Checked(path=linted.results[0].path, document=None)]) == ""


def test_sarif_names_file_line_and_cell(tmp_path: Path) -> None:
    tmp_path.joinpath(".git").touch()
    path = tmp_path / "ordner" / "ü.ipynb"
    run = sarif(lint(path, "x = 1\nbad()").results)
    title, finding = run["results"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["NB901", "NB903"]
    assert (finding["ruleId"], finding["ruleIndex"], finding["level"]) == ("NB901", 0, "error")
    (location,) = finding["locations"]
    physical = location["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "ordner/%C3%BC.ipynb"
    (line,) = [n for n, text in enumerate(path.read_text().splitlines(), start=1) if "bad()" in text]
    assert physical["region"] == {"startLine": line, "endLine": line}
    assert location["logicalLocations"] == [
        {"name": "cell 1, line 2", "fullyQualifiedName": "ordner/ü.ipynb#c1", "kind": "member"}
    ]
    assert "logicalLocations" not in title["locations"][0]
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_sarif_knows_a_finding_again_after_cells_were_added(tmp_path: Path) -> None:
    before = sarif(lint(tmp_path / "n.ipynb", {**code_cell("bad()"), "id": "kept"}).results)["results"][1]
    after = sarif(lint(tmp_path / "n.ipynb", "x = 1", {**code_cell("bad()"), "id": "kept"}).results)[
        "results"
    ][1]
    assert before["locations"] != after["locations"]
    assert before["partialFingerprints"] == after["partialFingerprints"]


def test_sarif_tells_what_went_wrong_and_describes_our_rules_and_ruffs(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(notebook_bytes("import os", "x = ("))
    broken = tmp_path / "broken.ipynb"
    broken.write_bytes(b"{")
    linted = Linting(Wishes(select=("NB205", "F401"))).check_files([path, broken])
    path.write_bytes(notebook_bytes("import os"))
    also = Linting(Wishes(select=("F401",))).check_files([path])
    fault = Checked(path="f.ipynb", document=None, faults=(Fault(code="NB1", error="E", place="p"),))
    run = sarif((*linted.results, *also.results, fault))
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["NB205"]["fullDescription"]["text"].startswith("Check that")
    assert rules["F401"]["helpUri"].startswith("https://")
    assert not run["invocations"][0]["executionSuccessful"]
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 2


def test_file_that_is_gone_when_the_answer_is_written_is_annotated_at_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "n.ipynb"
    linted = lint(path, "x = 1\nbad()")
    path.write_bytes(b"[")
    assert ",line=1,endLine=1," in to_github(linted.results).splitlines()[1]
    path.unlink()
    assert ",line=1,endLine=1," in to_github(linted.results).splitlines()[1]


def test_text_shows_as_many_findings_as_are_wanted_and_counts_all(tmp_path: Path) -> None:
    linted = lint(tmp_path / "n.ipynb", "bad()", "bad()", "bad()")
    text = to_text(linted.results, most=1)
    assert text.count("calls bad") == 0
    assert "3 findings not shown (--max-findings 1)" in text
    assert "3 errors, 1 warning in 1 notebook; 3 of them can be mended with --fix" in text


def test_statistics_count_by_rule(tmp_path: Path) -> None:
    lines = to_statistics(lint(tmp_path / "n.ipynb", "bad()", "bad()").results).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["2", "NB901", "error", "2", "of", "them", "fixable"],
        ["1", "NB903", "warning"],
    ]


def test_json_has_the_fix_by_its_title_and_what_was_noted(tmp_path: Path) -> None:
    linted = lint(tmp_path / "n.ipynb", "bad()")
    document = json.loads(to_json(linted.results, notices=["ruff is missing"]))
    assert document["notices"] == ["ruff is missing"]
    title, finding = document["notebooks"][0]["findings"]
    assert (title["fix"], finding["fix"], finding["cell_id"]) == (None, "Call good", "c1")


def test_rules_are_listed() -> None:
    rules = json.loads(to_rule_list(as_json=True))["rules"]
    assert [rule["code"] for rule in rules] == sorted(rule["code"] for rule in rules)
    assert {"NB001", "NB110", "NB403"} <= {rule["code"] for rule in rules}
    assert "NB110  error    Check that exactly one code cell is tagged" in to_rule_list(as_json=False)
