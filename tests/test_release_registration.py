"""Registration: a commit becomes an immutable signed release, whatever the work tree holds meanwhile."""

import json
from pathlib import Path

import pytest

from rasen.errors import (
    DigestMismatch,
    InvalidInput,
    KeyRefused,
    NotebookError,
    NotFound,
    PipelineError,
    RasenError,
    SignatureInvalid,
    TrustError,
)
from rasen.parameters import Parameter
from rasen.release import (
    Registered,
    Release,
    current_release,
    read_release,
    register,
    register_workspace,
    unpack_bundle,
)
from rasen.settings import load_settings
from rasen.store import MemoryStore
from rasen.tracking.keys import bundle_key, current_key, release_key
from rasen.tracking.signature import Role, Signer, TrustStore, load_trust, open_signer, write_signed
from stand.pipeline_folder import commit_all, git, make_repository, notebook, write_pipeline

IMAGE = "sha256:" + "0" * 64


class Registry:
    """A store with a registrar, and a repository of one pipeline, `demand`."""

    def __init__(self, home: Path) -> None:
        settings = load_settings(home=home / "rasen")
        self.store = MemoryStore()
        self.signer: Signer = open_signer(settings, Role.REGISTRAR)
        self.trust: TrustStore = load_trust(settings)
        self.top = make_repository(home / "repository", "demand")
        self.folder = self.top / "notebooks" / "demand"

    def register(self, folder: Path | None = None, *, image: str = IMAGE) -> Registered:
        return register(folder or self.folder, store=self.store, signer=self.signer, image=image)

    def read(self, release: str, *, environment: str = "dev") -> Release:
        return read_release(self.store, self.trust, "demand", release, environment=environment)

    def edit(self, text: str = "max_depth: int = 7\n") -> str:
        (self.folder / "train.ipynb").write_bytes(notebook(text))
        return commit_all(self.top)

    def refusal(self, folder: Path | None = None, kind: type[RasenError] = PipelineError) -> str:
        before = {key.key for key in self.store.list("")}
        with pytest.raises(kind) as caught:
            self.register(folder)
        assert {key.key for key in self.store.list("")} == before
        return str(caught.value)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def test_a_commit_becomes_a_signed_release_that_is_current(registry: Registry) -> None:
    registered = registry.register()
    commit = git(registry.top, "rev-parse", "HEAD")
    release = registered.release
    assert registered.created
    assert registered.current == release.release == f"1-{commit[:12]}"
    assert (release.pipeline, release.origin, release.commit, release.sequence) == (
        "demand",
        "release",
        commit,
        1,
    )
    assert (release.owner, release.author) == ("mobility", "Ann Alyst <ann@example.com>")
    assert release.committed_at is not None
    assert int(release.committed_at.timestamp()) == int(git(registry.top, "show", "-s", "--format=%ct"))
    assert release.folder == "notebooks/demand"
    assert release.spec.steps["train"].notebook == "train.ipynb"
    assert release.parameters == {"train": (Parameter(name="max_depth", annotation="int", default=6),)}
    assert current_release(registry.store, "demand") == release.release
    assert registry.read(release.release) == release


def test_the_bundle_holds_exactly_the_committed_bytes(registry: Registry, tmp_path: Path) -> None:
    (registry.folder / "lib").mkdir()
    (registry.folder / "lib" / "windows.py").write_bytes(b"x = 1\r\n")
    (registry.folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (registry.folder / "run.sh").chmod(0o755)
    (registry.top / ".gitattributes").write_text("*.py text eol=crlf\n")
    commit_all(registry.top)
    (registry.folder / "ignored.log").write_text("not committed")
    unpack_bundle(registry.store, registry.register().release, tmp_path / "out")
    found = {
        path.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert found == {"pipeline.yaml", "train.ipynb", "lib/windows.py", "run.sh"}
    assert (tmp_path / "out" / "train.ipynb").read_bytes() == notebook()
    # Git normalised it when it was committed; the bundle has what git has, not what lies in the work tree.
    assert (tmp_path / "out" / "lib" / "windows.py").read_bytes() == b"x = 1\n"
    assert (tmp_path / "out" / "run.sh").stat().st_mode & 0o100


def test_an_unchanged_folder_makes_no_new_release(registry: Registry) -> None:
    first = registry.register()
    (registry.top / "README.md").write_text("elsewhere")
    commit_all(registry.top)
    again = registry.register()
    assert (again.created, again.release, again.current) == (False, first.release, first.current)


def test_a_change_makes_the_next_release(registry: Registry) -> None:
    first = registry.register()
    commit = registry.edit()
    second = registry.register()
    assert second.created
    assert second.current == second.release.release == f"2-{commit[:12]}"
    assert registry.read(first.release.release) == first.release


def test_going_back_to_older_content_is_a_new_release(registry: Registry) -> None:
    registry.register()
    registry.edit("max_depth: int = 7\n")
    registry.register()
    registry.edit("max_depth: int = 6\n")
    assert registry.register().release.sequence == 3


def test_another_image_needs_another_commit(registry: Registry) -> None:
    registry.register()
    with pytest.raises(PipelineError, match=r"git commit --allow-empty"):
        registry.register(image="sha256:other")
    commit_all(registry.top)
    registered = registry.register(image="sha256:other")
    assert registered.created
    assert registered.release.sequence == 2


def test_only_first_parents_count(registry: Registry) -> None:
    git(registry.top, "checkout", "--quiet", "-b", "topic")
    for depth in (7, 8, 9):
        registry.edit(f"max_depth: int = {depth}\n")
    git(registry.top, "checkout", "--quiet", "main")
    git(registry.top, "merge", "--quiet", "--no-ff", "--message", "merge", "topic")
    assert registry.register().release.sequence == 2


def test_an_older_commit_registered_late_does_not_become_current(registry: Registry) -> None:
    older = git(registry.top, "rev-parse", "HEAD")
    registry.edit()
    newer = registry.register()
    git(registry.top, "checkout", "--quiet", older)
    late = registry.register()
    assert late.created
    assert late.release.sequence == 1
    assert late.current == newer.release.release == current_release(registry.store, "demand")


def test_rewritten_history_is_refused(registry: Registry) -> None:
    registry.register()
    (registry.folder / "train.ipynb").write_bytes(notebook("max_depth: int = 8\n"))
    git(registry.top, "commit", "--quiet", "--all", "--amend", "--message", "again")
    assert "history was rewritten" in registry.refusal()


def test_uncommitted_changes_are_refused_and_listed(registry: Registry) -> None:
    (registry.folder / "train.ipynb").write_bytes(notebook("max_depth: int = 8\n"))
    (registry.folder / "new [1].py").write_text("x = 1")
    (registry.folder / ".ipynb_checkpoints").mkdir()
    (registry.folder / ".ipynb_checkpoints" / "train.ipynb").write_text("{}")
    (registry.top / "elsewhere.txt").write_text("does not matter")
    said = registry.refusal().splitlines()
    assert "'notebooks/demand' has uncommitted changes" in said[0]
    assert [line.strip() for line in said[1:]] == [
        "notebooks/demand/new [1].py",
        "notebooks/demand/train.ipynb",
    ]


def test_a_staged_deletion_is_uncommitted_too(registry: Registry) -> None:
    git(registry.top, "rm", "--quiet", "notebooks/demand/train.ipynb")
    assert "notebooks/demand/train.ipynb" in registry.refusal()


def test_only_what_litter_is_left_behind_does_not_count(registry: Registry) -> None:
    (registry.folder / "__pycache__").mkdir()
    (registry.folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert registry.register().created


def test_a_notebook_that_git_ignores_is_missing(registry: Registry) -> None:
    (registry.top / ".gitignore").write_text("train.ipynb\n")
    git(registry.top, "rm", "--quiet", "--cached", "notebooks/demand/train.ipynb")
    commit_all(registry.top)
    assert (registry.folder / "train.ipynb").exists()
    assert "there is no file 'train.ipynb' in the folder" in registry.refusal()


def test_a_folder_outside_git_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "loose")
    assert "is not in a git repository" in registry.refusal(folder)
    assert "is not a folder" in registry.refusal(tmp_path / "nowhere")
    assert "did you mean its folder" in registry.refusal(folder / "pipeline.yaml")


def test_a_repository_without_a_commit_is_refused(registry: Registry, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "young" / "demand")
    git(tmp_path / "young", "init", "--quiet")
    assert "has no commit yet" in registry.refusal(folder)


def test_a_folder_that_is_not_in_the_commit_is_refused(registry: Registry) -> None:
    (registry.top / "notebooks" / "empty").mkdir()
    assert "is not in commit" in registry.refusal(registry.top / "notebooks" / "empty")


def test_a_shallow_clone_is_refused_with_what_to_do(registry: Registry, tmp_path: Path) -> None:
    registry.edit()
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{registry.top}", "shallow")
    assert "fetch-depth: 0" in registry.refusal(tmp_path / "shallow" / "notebooks" / "demand")


def test_links_are_refused(registry: Registry) -> None:
    (registry.folder / "link.csv").symlink_to("train.ipynb")
    commit_all(registry.top)
    assert "'link.csv' in 'notebooks/demand' is a symbolic link" in registry.refusal()


def test_wrong_files_are_refused_as_they_were_committed(registry: Registry) -> None:
    (registry.folder / "pipeline.yaml").write_text("name: demand\nowner: me\nstep: {}\n")
    commit_all(registry.top)
    assert (
        "notebooks/demand/pipeline.yaml, line 3: unknown key 'step': did you mean 'steps'?"
        in registry.refusal()
    )
    write_pipeline(registry.folder, notebooks={"train.ipynb": b"{"})
    commit_all(registry.top)
    assert "train.ipynb, line 1" in registry.refusal(kind=NotebookError)


def test_two_folders_cannot_have_one_name(registry: Registry) -> None:
    registry.register()
    other = write_pipeline(registry.top / "notebooks" / "copy", name="demand")
    commit_all(registry.top)
    assert (
        "registered from folder 'notebooks/demand', and 'notebooks/copy' has the same name"
        in registry.refusal(other)
    )


def test_a_folder_may_be_moved(registry: Registry) -> None:
    registry.register()
    git(registry.top, "mv", "notebooks/demand", "notebooks/moved")
    registry.folder = registry.top / "notebooks" / "moved"
    registry.edit()
    assert registry.register().release.folder == "notebooks/moved"


def test_a_pipeline_may_be_the_whole_repository(registry: Registry, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "whole", name="whole")
    git(folder, "init", "--quiet")
    commit_all(folder)
    assert registry.register(folder).release.folder == ""


def test_a_folder_with_odd_characters_is_found(registry: Registry) -> None:
    folder = write_pipeline(registry.top / "notebooks" / "é [x] *", name="odd")
    commit_all(registry.top)
    (registry.top / "notebooks" / "demand" / "dirty.txt").write_text("in another folder")
    assert registry.register(folder).release.folder == "notebooks/é [x] *"


def test_a_git_hooks_environment_does_not_mislead(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    assert registry.register().created


def test_an_unknown_pipeline_or_release_names_the_nearest(registry: Registry) -> None:
    release = registry.register().release.release
    with pytest.raises(NotFound, match=r"no pipeline 'demnd' is registered: did you mean 'demand'\?"):
        current_release(registry.store, "demnd")
    with pytest.raises(NotFound, match=f"did you mean '{release}'"):
        registry.read(release[:-1] + "x")
    with pytest.raises(InvalidInput):
        registry.read("../../x")


def test_a_forged_or_moved_release_is_refused(registry: Registry, tmp_path: Path) -> None:
    release = registry.register().release
    key = release_key("demand", release.release)
    data = registry.store.read(key)
    header, payload = data.split(b"\n", 1)
    registry.store.write(key, header + b"\n" + payload.replace(IMAGE.encode(), b"sha256:" + b"1" * 64))
    with pytest.raises(SignatureInvalid):
        registry.read(release.release)
    registry.store.write(release_key("demand", "9-copy"), data)
    with pytest.raises(SignatureInvalid):
        registry.read("9-copy")
    registry.store.write(key, payload)
    with pytest.raises(SignatureInvalid):
        registry.read(release.release)
    stranger = open_signer(load_settings(home=tmp_path / "stranger"), Role.REGISTRAR)
    write_signed(registry.store, release_key("demand", "8-stranger"), payload, stranger)
    with pytest.raises(KeyRefused):
        registry.read("8-stranger")


def test_only_a_registrar_signs(registry: Registry, tmp_path: Path) -> None:
    registry.signer = open_signer(load_settings(home=tmp_path / "rasen"), Role.CONTROL)
    assert "not by a 'control'" in registry.refusal(kind=KeyRefused)


def test_a_release_signed_for_another_name_is_refused(registry: Registry) -> None:
    release = registry.register().release
    write_signed(registry.store, release_key("demand", "7-renamed"), release.to_bytes(), registry.signer)
    with pytest.raises(TrustError, match="speaks of release"):
        registry.read("7-renamed")


def test_a_bundle_that_was_changed_is_not_opened(registry: Registry, tmp_path: Path) -> None:
    release = registry.register().release
    key = bundle_key("demand", release.release)
    registry.store.write(key, registry.store.read(key) + b"\0")
    with pytest.raises(DigestMismatch):
        unpack_bundle(registry.store, release, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unsaved_work_is_a_workspace_release(registry: Registry, tmp_path: Path) -> None:
    registered = registry.register()
    (registry.folder / "train.ipynb").write_bytes(notebook("max_depth: int = 9\n"))
    (registry.folder / "new.py").write_text("x = 1")
    (registry.folder / "ignored.log").write_text("x")
    for litter in (".ipynb_checkpoints", "__pycache__", ".rasen"):
        (registry.folder / litter).mkdir()
        (registry.folder / litter / "x.ipynb").write_text("{}")
    release = register_workspace(registry.folder, store=registry.store, signer=registry.signer, image=IMAGE)
    assert release.release.startswith("dev-")
    assert (release.origin, release.environments, release.commit, release.sequence) == (
        "workspace",
        ["dev"],
        None,
        0,
    )
    assert release.parameters["train"][0].default == 9
    assert registry.read(release.release) == release
    unpack_bundle(registry.store, release, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "new.py",
        "pipeline.yaml",
        "train.ipynb",
    ]
    assert current_release(registry.store, "demand") == registered.current


def test_the_same_work_is_the_same_workspace_release(registry: Registry) -> None:
    def again(image: str = IMAGE) -> str:
        return register_workspace(
            registry.folder, store=registry.store, signer=registry.signer, image=image
        ).release

    first = again()
    assert again() == first
    assert again("sha256:other") != first
    (registry.folder / "new.py").write_text("x = 1")
    assert again() != first


def test_a_deleted_file_is_not_in_a_workspace_release(registry: Registry, tmp_path: Path) -> None:
    (registry.folder / "old.py").write_text("x = 1")
    commit_all(registry.top)
    (registry.folder / "old.py").unlink()
    release = register_workspace(registry.folder, store=registry.store, signer=registry.signer, image=IMAGE)
    unpack_bundle(registry.store, release, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pipeline.yaml", "train.ipynb"]


def test_a_workspace_needs_no_git(registry: Registry, tmp_path: Path) -> None:
    folder = write_pipeline(tmp_path / "loose")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    release = register_workspace(folder, store=registry.store, signer=registry.signer, image=IMAGE)
    unpack_bundle(registry.store, release, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pipeline.yaml", "train.ipynb"]
    (folder / "link").symlink_to("pipeline.yaml")
    with pytest.raises(PipelineError, match="symbolic link"):
        register_workspace(folder, store=registry.store, signer=registry.signer, image=IMAGE)


def test_a_workspace_release_is_refused_outside_dev_even_with_a_trusted_key(registry: Registry) -> None:
    release = register_workspace(registry.folder, store=registry.store, signer=registry.signer, image=IMAGE)
    everywhere = [
        key.model_copy(update={"environments": ["dev", "staging", "prod"]}) for key in registry.trust.keys
    ]
    registry.trust = TrustStore(keys=everywhere)
    assert registry.read(release.release).origin == "workspace"
    with pytest.raises(TrustError, match="may run in dev only, not in 'staging'"):
        registry.read(release.release, environment="staging")


def test_current_json_says_what_the_next_registration_compares(registry: Registry) -> None:
    release = registry.register().release
    current = json.loads(registry.store.read(current_key("demand")))
    assert current["release"] == release.release
    assert current["sequence"] == 1
    assert current["content_sha256"] == release.bundle.content_sha256
    assert current["image"] == IMAGE
