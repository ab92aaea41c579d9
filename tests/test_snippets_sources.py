"""Where snippets come from: a team's folders and repositories, hostile and absent ones too."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from rasen.errors import InvalidInput, NotFound, PlatformFailed
from rasen.settings import load_settings
from rasen.settings_model import Settings
from rasen.snippets import SHIPPED, load_library, shipped_folder, update_sources
from rasen.snippets.git_address import GitAddress, parse_address
from rasen.snippets.git_copies import Limits, fetch_copy, read_copy

SNIPPET = "# ---\n# title: {title}\n# description: D\n# tags: [team]\n# ---\nprint(1)\n"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(repository: Path, title: str) -> str:
    (repository / "cells" / "read_orders.py").write_text(SNIPPET.format(title=title))
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", title)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a tag, and with everything that a hostile one would hold."""
    made = tmp_path / "team.git"
    (made / "cells").mkdir(parents=True)
    git(made, "init", "-q")
    (made / "cells" / "read_link.py").symlink_to("/etc/passwd")
    (made / ".gitattributes").write_text("*.py filter=evil export-subst\n")
    (made / ".gitmodules").write_text('[submodule "x"]\npath = x\nurl = ext::touch owned\n')
    commit(made, "First")
    git(made, "tag", "v1")
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "project" / "notebooks"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


def name_sources(project: Path, *sources: str) -> None:
    (project.parent / "pyproject.toml").write_text(
        f"[tool.rasen.snippets]\nsources = {json.dumps(sources)}\n"
    )


def titles(settings: Settings, project: Path) -> dict[str, str]:
    library = load_library(settings, start=project)
    return {each.name: each.title for each in library.snippets if each.source != SHIPPED}


def test_a_team_names_folders_in_its_project_and_in_the_setting(
    tmp_path: Path, project: Path, settings: Settings
) -> None:
    for folder, name in (("cells", "split_by_time"), ("my own", "read_orders")):
        (project.parent / folder).mkdir()
        (project.parent / folder / f"{name}.py").write_text(SNIPPET.format(title=folder))
    name_sources(project, "cells", "gone")
    library = load_library(
        load_settings(home=settings.home, snippets=f" ../my own ,{tmp_path / 'nowhere'}"), start=project
    )
    ours, theirs = library.find("split_by_time"), library.find("read_orders")
    assert (ours.title, ours.overrides) == ("cells", SHIPPED)
    assert theirs.source == "../my own"
    assert [problem.source for problem in library.problems] == ["gone", str(tmp_path / "nowhere")]
    with pytest.raises(NotFound, match="there is no snippet 'read_order'; did you mean 'read_orders'"):
        library.find("read_order")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.rasen.snippets]\nsource = []", "no key 'source'; did you mean 'sources'"),
        ("[tool.rasen.snippets]\nsources = 'x'", "must be a list"),
        ("[tool.rasen]\nsnippets = []", "must be a table"),
        ("[tool\n", "cannot be read"),
        ("[tool.rasen.snippets]\nsources = [1, '']", "1 is no source"),
    ],
)
def test_a_wrong_project_file_costs_nobody_the_snippets(
    text: str, said: str, project: Path, settings: Settings
) -> None:
    (project.parent / "pyproject.toml").write_text(text)
    library = load_library(settings, start=project)
    assert said in str(library.problems[0])
    assert library.find("split_by_time").source == SHIPPED


def test_a_repository_is_cloned_once_pinned_and_updated_on_demand(
    repository: Path, project: Path, settings: Settings, tmp_path: Path
) -> None:
    first = git(repository, "rev-parse", "HEAD")
    url = f"file://{repository}"
    name_sources(project, f"git+{url}#cells")
    assert titles(settings, project) == {"read_orders": "First"}
    commit(repository, "Second")
    assert titles(settings, project) == {"read_orders": "First"}
    (refreshed,), _ = update_sources(settings, start=project)
    assert (refreshed.changed, refreshed.problem) == (True, None)
    assert titles(settings, project) == {"read_orders": "Second"}
    for ref in ("v1", first):
        name_sources(project, f"{url}@{ref}#cells")
        assert titles(settings, project) == {"read_orders": "First"}
    # Nothing but the folder's own Python files came along, and nothing was executed.
    copy = read_copy(settings.cache_dir / "snippets", GitAddress(url=url, ref="v1", folder="cells"))
    assert copy is not None
    assert [path.name for path in copy.files.iterdir()] == ["read_orders.py"]
    assert list(tmp_path.rglob("owned")) == []


def test_a_repository_that_is_down_leaves_its_last_copy_and_says_so(
    repository: Path, project: Path, settings: Settings
) -> None:
    name_sources(project, f"file://{repository}#cells")
    assert titles(settings, project) == {"read_orders": "First"}
    shutil.move(repository, repository.with_name("moved.git"))
    (refreshed,), _ = update_sources(settings, start=project)
    assert refreshed.problem is not None
    assert "could not be fetched" in refreshed.problem
    assert "stays in use" in refreshed.problem
    assert titles(settings, project) == {"read_orders": "First"}


def test_who_only_lists_does_not_wait_twice_for_a_repository_that_is_down(
    repository: Path, project: Path, settings: Settings
) -> None:
    moved = repository.with_name("moved.git")
    shutil.move(repository, moved)
    name_sources(project, f"file://{repository}#cells")
    for said in ("could not be fetched", "a moment ago"):
        (problem,) = load_library(settings, start=project).problems
        assert said in problem.message
    shutil.move(moved, repository)
    assert "a moment ago" in load_library(settings, start=project).problems[0].message
    update_sources(settings, start=project)
    assert titles(settings, project) == {"read_orders": "First"}


@pytest.mark.parametrize(
    ("end", "said"), [("@v9#cells", "no tag, branch or commit 'v9'"), ("#cell", "no folder 'cell'")]
)
def test_what_a_repository_does_not_have_is_named(
    end: str, said: str, repository: Path, project: Path, settings: Settings
) -> None:
    name_sources(project, f"file://{repository}{end}")
    (problem,) = load_library(settings, start=project).problems
    assert said in problem.message


def test_time_and_bytes_of_a_repository_are_limited(repository: Path, tmp_path: Path) -> None:
    (repository / "large.bin").write_bytes(os.urandom(300_000))
    commit(repository, "Large")
    address = GitAddress(url=f"file://{repository}", folder="cells")
    with pytest.raises(PlatformFailed, match="is larger than 200,000 bytes"):
        fetch_copy(tmp_path / "copies", address, limits=Limits(size_bytes=200_000))
    assert read_copy(tmp_path / "copies", address) is None
    assert [path.name for path in (tmp_path / "copies" / address.digest).iterdir()] == ["failed.txt"]


def test_a_server_that_says_nothing_is_left_with_all_that_git_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    monkeypatch.setenv("GIT_SSH_COMMAND", f"echo $$ > '{started}'; exec sleep 600 #")
    with pytest.raises(PlatformFailed, match=r"did not answer within 0\.5 s"):
        fetch_copy(tmp_path, GitAddress(url="ssh://example.com/x.git"), limits=Limits(timeout_seconds=0.5))
    process = Path("/proc", started.read_text().strip())
    while process.exists() and "State:\tZ" not in (process / "status").read_text():
        time.sleep(0.01)


@pytest.mark.parametrize(
    "text",
    [
        "ext::sh -c 'touch owned'",
        "git+ext://x/y",
        "http://example.com/x.git",
        "git@example.com:team/x.git",
        "https://user:word@example.com/x.git",
        "https://token@example.com/x.git",
        "ssh://-oProxyCommand=touch/x.git",
        "ssh://-l@example.com/x.git",
        "https://example.com/x.git@--upload-pack=touch",
        "https://example.com/x.git@a..b",
        "https://example.com/x.git@",
        "https://example.com/x.git#../up",
        "https://example.com/x.git#/etc",
        "https://example.com/x.git#",
        "https://example.com/x.git?a=b",
        "https://example.com/a b.git",
        "https:///x.git",
        "https://example.com",
        "file://elsewhere/x.git",
        "https://[::1/x.git",
    ],
)
def test_addresses_that_git_must_not_get_are_refused(text: str, project: Path, settings: Settings) -> None:
    with pytest.raises(InvalidInput):
        parse_address(text)
    name_sources(project, text)
    assert [problem.source for problem in load_library(settings, start=project).problems] == [text]


def test_addresses_are_taken_apart() -> None:
    assert parse_address("git+ssh://git@example.com:22/team/x.git@v3#a/b/") == GitAddress(
        url="ssh://git@example.com:22/team/x.git", ref="v3", folder="a/b"
    )
    assert parse_address("https://example.com/x@feature/a") == GitAddress(
        url="https://example.com/x", ref="feature/a"
    )


def test_the_wheel_and_the_clone_both_have_rasens_own(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    from stand.repository import ROOT

    assert shipped_folder() == ROOT / "snippets"
    sources = WheelBuilder(str(ROOT)).config.sources
    assert sources["snippets/"] == "rasen/snippet_files/"
