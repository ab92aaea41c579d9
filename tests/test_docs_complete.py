"""What a person can type, set or write is documented: commands, settings, keys of pipeline.yaml, make targets."""

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from rasen.cli import COMMANDS, build_app
from rasen.pipeline_schema import Pipeline
from rasen.settings_model import Settings
from stand.repository import ROOT

DOCUMENTS = [
    *sorted(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
    *sorted(ROOT.glob("*/*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
TEXT = "\n".join(path.read_text() for path in DOCUMENTS)
# What stands in code: between back ticks, or in a fenced block.
CODE = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", TEXT, re.DOTALL))


def commands(group: TyperGroup, prefix: str = "rasen") -> Iterator[str]:
    """Yield every command as it is typed, those of sub-groups included."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}"


def keys(schema: Any) -> Iterator[str]:
    """Yield every key that a JSON schema names."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for part in schema.values():
            yield from keys(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keys(part)


def stands_in_code(word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", CODE) is not None


def test_every_command_is_documented() -> None:
    app = typer.main.get_command(build_app())
    assert isinstance(app, TyperGroup)
    missing = [command for command in commands(app) if not stands_in_code(command)]
    assert missing == []


def test_every_setting_is_documented() -> None:
    missing = [name for name in Settings.model_fields if not stands_in_code(f"RASEN_{name.upper()}")]
    assert missing == []


def test_every_key_of_pipeline_yaml_is_documented() -> None:
    names = set(keys(Pipeline.model_json_schema()))
    assert {"name", "steps", "better_than"} <= names
    assert sorted(name for name in names if not stands_in_code(name)) == []


def test_every_make_target_is_documented() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "demo" in targets
    private = {"install", "clean"}
    assert [
        target for target in targets if target not in private and not stands_in_code(f"make {target}")
    ] == []


FOLDERS = ("cloud_functions", "helm", "lint_rules", "notebooks", "platform", "serving", "snippets")


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_says_what_it_is_how_to_add_and_what_was_decided(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert any(heading.startswith("How to add") for heading in headings)
    assert any(heading.startswith("Decisions") for heading in headings)


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|(?:src|href)=\"([^\"#]+)\"", path.read_text())
        for target in target
        if target and "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("file", COMMANDS)
def test_a_command_that_is_built_alone_is_the_one_that_the_table_says(file: str) -> None:
    for name in COMMANDS[file]:
        group = typer.main.get_command(build_app(name))
        assert isinstance(group, TyperGroup)
        assert set(group.commands) == set(COMMANDS[file])


def test_the_whole_command_is_what_the_table_and_the_entry_points_say() -> None:
    group = typer.main.get_command(build_app())
    assert isinstance(group, TyperGroup)
    points = {point.name for point in entry_points(group="rasen.commands")}
    assert set(group.commands) == {name for names in COMMANDS.values() for name in names} | points
    everything = typer.main.get_command(build_app("rnu"))
    assert isinstance(everything, TyperGroup)
    assert set(everything.commands) == set(group.commands)
