"""Releases: immutable registered versions of a pipeline, each made from one git commit and signed by the registrar.

A release is written in three steps (bundle, `release.json`, `current.json`), each create-only or compare-and-swap, so
a registration that was killed anywhere is finished by running it again. What is not in the commit is not in the
release; unsaved work runs as a *workspace* release, which only environment `dev` accepts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rasen.bundle import Bundle, BundleFile, BundleFiles, content_sha256, make_bundle, unpack
from rasen.commit_files import (
    Checkout,
    Commit,
    find_checkout,
    head_commit,
    is_litter,
    list_dirty,
    list_work_tree,
    read_commit_file,
    read_commit_files,
    read_head,
    refuse_dirty,
)
from rasen.errors import (
    DigestMismatch,
    KeyRefused,
    NotFound,
    ObjectNotFound,
    PipelineError,
    PreconditionFailed,
    TrustError,
)
from rasen.pipeline import PIPELINE_FILE, PipelineFolder, check_folder
from rasen.release_record import WORKSPACE_ENVIRONMENT, BundleRecord, Current
from rasen.release_record import Release as Release  # noqa: PLC0414 - the name that callers import from here
from rasen.store import Store
from rasen.strict_yaml import YamlProblem, parse_yaml
from rasen.suggestion import suggest
from rasen.tracking.keys import bundle_key, current_key, release_key
from rasen.tracking.signature import Role, Signer, TrustStore, read_signed, write_signed

WORKSPACE_PREFIX = "dev-"
"""How the id of a working copy's release begins."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """What a registration did.

    `release` stands for the folder's files; `created` tells whether it is new. `current` is the pipeline's current
    release, another one when a later commit was registered before.
    """

    release: Release
    created: bool
    current: str


@dataclass(frozen=True, kw_only=True)
class WorkingCopy:
    """A pipeline's files as they are now; `changed` are those that differ from the commit that is checked out."""

    folder: str
    path: str
    files: tuple[BundleFile, ...]
    base_commit: str | None
    changed: tuple[str, ...]


def read_working_copy(folder: Path) -> WorkingCopy:
    """Read the files in `folder` as they are now; in git those that are not ignored.

    Raises:
        PipelineError: It is no folder, or a file cannot be in a release.
    """
    checkout = find_checkout(_existing(folder))
    commit = head_commit(checkout) if checkout is not None else None
    changed: list[str] = []
    if checkout is not None and commit is not None:
        prefix = f"{checkout.path}/" if checkout.path else ""
        changed = [path.removeprefix(prefix) for path in list_dirty(checkout)]
    return WorkingCopy(
        folder=folder.resolve().name,
        path=checkout.path if checkout is not None else "",
        files=tuple(read_work_tree(folder, checkout)),
        base_commit=commit,
        changed=tuple(changed),
    )


def register(pipeline_folder: Path, *, store: Store, signer: Signer, image: str) -> Registered:
    """Register the pipeline in `pipeline_folder` as it is in the commit that is checked out.

    Args:
        pipeline_folder: The folder, in a git work tree, without uncommitted changes.
        store: Where releases are kept.
        signer: The registrar's.
        image: Digest of the image, or of the environment, that its runs will use.

    Raises:
        PipelineError: Not in a commit, not clean, or `pipeline.yaml` is wrong.
        NotebookError: A step's notebook cannot be run.
    """
    checkout = find_checkout(_existing(pipeline_folder))
    if checkout is None:
        raise PipelineError(
            f"{str(pipeline_folder)!r} is not in a git repository (or git is not installed); a release is made from a "
            "commit. `rasen run --dev` runs it without one"
        )
    commit = read_head(checkout)
    refuse_dirty(checkout)
    files = read_commit_files(checkout, commit)
    checked = check_folder(BundleFiles(files), source=_source(checkout.path))
    bundle = make_bundle(files)
    current, _ = _read_current(store, checked.pipeline.name)
    if current is not None:
        _refuse_second_folder(current, checkout, commit)
        if (current.content_sha256, current.image) == (bundle.content_sha256, image):
            known = _read_own(store, current.pipeline, current.release)
            return Registered(release=known, created=False, current=current.release)
        _refuse_rewritten(current, commit)
    release = _describe(
        checked, bundle, image, f"{commit.sequence}-{commit.sha[:12]}", path=checkout.path, commit=commit
    )
    release, created = _write(store, release, bundle, signer)
    return Registered(release=release, created=created, current=_advance(store, release))


def register_workspace(folder: Path, *, store: Store, signer: Signer, image: str) -> Release:
    """Register the files in `folder` as they are now, for environment `dev` only; `current.json` stays.

    Raises:
        PipelineError: `pipeline.yaml` is wrong, or a file cannot be in a release.
        NotebookError: A step's notebook cannot be run.
    """
    copy = read_working_copy(folder)
    return register_files(
        copy.files, folder=copy.folder, path=copy.path, store=store, signer=signer, image=image
    )


def register_files(
    files: Sequence[BundleFile], *, folder: str, path: str = "", store: Store, signer: Signer, image: str
) -> Release:
    """Register files that are in memory as a release for environment `dev` only.

    `folder` is the name of their folder, for messages, and `path` where it lies in a repository.

    Raises:
        PipelineError: `pipeline.yaml` is wrong, or a file cannot be in a release.
        NotebookError: A step's notebook cannot be run.
    """
    checked = check_folder(BundleFiles(files), source=_source(folder))
    bundle = make_bundle(files)
    # The image too: the same files in another environment are another release, and a release never changes.
    digest = hashlib.sha256(f"{bundle.content_sha256}\n{image}".encode()).hexdigest()
    release = _describe(checked, bundle, image, f"{WORKSPACE_PREFIX}{digest[:12]}", path=path, commit=None)
    return _write(store, release, bundle, signer)[0]


def read_release(
    store: Store, trust: TrustStore, pipeline: str, release: str, *, environment: str
) -> Release:
    """Return a release after checking its signature, its key and whether it may run in `environment`.

    Raises:
        NotFound: There is none.
        SignatureInvalid, KeyRefused, TrustError: It cannot be trusted here.
    """
    key = release_key(pipeline, release)
    try:
        payload = read_signed(store, key, trust=trust, role=Role.REGISTRAR, environment=environment)
    except ObjectNotFound:
        known = [name for name in store.children(f"releases/{pipeline}/") if name != "current.json"]
        raise NotFound(
            f"pipeline {pipeline!r} has no release {release!r}: {suggest(release, known)}"
        ) from None
    record = Release.from_bytes(payload, source=key)
    if (record.pipeline, record.release) != (pipeline, release):
        raise TrustError(f"{key!r} speaks of release {record.release!r} of pipeline {record.pipeline!r}")
    allowed = [WORKSPACE_ENVIRONMENT] if record.origin == "workspace" else record.environments
    if allowed is not None and environment not in allowed:
        raise TrustError(
            f"release {release!r} of {pipeline!r} ({record.origin}) may run in {', '.join(allowed)} only, not in "
            f"{environment!r}"
        )
    return record


def current_release(store: Store, pipeline: str) -> str:
    """Return the id of a pipeline's current release.

    Raises:
        NotFound: None is registered under this name.
    """
    current, _ = _read_current(store, pipeline)
    if current is None:
        registered = [
            name for name in store.children("releases/") if store.stat(current_key(name)) is not None
        ]
        raise NotFound(f"no pipeline {pipeline!r} is registered: {suggest(pipeline, registered)}")
    return current.release


def unpack_bundle(store: Store, release: Release, target: Path) -> None:
    """Write a release's files into `target`, a new or empty folder, after checking their digest.

    Raises:
        DigestMismatch: The bundle is not the one that was signed for; nothing was written.
        TrustError: It holds something else than files inside the folder; nothing was written.
        PlatformFailed: `target` is not empty, or cannot be written.
    """
    key = bundle_key(release.pipeline, release.release)
    data = store.read(key)
    found = hashlib.sha256(data).hexdigest()
    if found != release.bundle.sha256:
        raise DigestMismatch(
            f"{key!r} has SHA-256 {found}, the release was signed for {release.bundle.sha256}"
        )
    unpack(data, target)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        hint = f"; did you mean its folder {str(folder.parent)!r}?" if folder.is_file() else ""
        raise PipelineError(f"{str(folder)!r} is not a folder{hint}")
    return folder


def _source(folder: str) -> str:
    return f"{folder}/{PIPELINE_FILE}" if folder else PIPELINE_FILE


def _describe(
    checked: PipelineFolder,
    bundle: Bundle,
    image: str,
    identifier: str,
    *,
    path: str,
    commit: Commit | None,
) -> Release:
    """Return the record of a release; without a commit, that of a workspace release."""
    return Release(
        pipeline=checked.pipeline.name,
        release=identifier,
        origin="workspace" if commit is None else "release",
        environments=[WORKSPACE_ENVIRONMENT] if commit is None else None,
        commit=commit.sha if commit else None,
        sequence=commit.sequence if commit else 0,
        folder=path,
        bundle=BundleRecord(
            sha256=bundle.sha256, size_bytes=len(bundle.data), content_sha256=bundle.content_sha256
        ),
        image=image,
        owner=checked.pipeline.owner,
        author=commit.author if commit else None,
        message=commit.message if commit else None,
        committed_at=commit.committed_at if commit else None,
        spec=checked.pipeline,
        parameters=dict(checked.parameters),
    )


def _write(store: Store, release: Release, bundle: Bundle, signer: Signer) -> tuple[Release, bool]:
    """Write bundle and record; return the record that is there afterwards, and whether it is new.

    Raises:
        PipelineError: Something else is registered under the same id.
        KeyRefused: The signer is no registrar; nothing was written.
    """
    if signer.role is not Role.REGISTRAR:
        raise KeyRefused(f"a release is signed by a {Role.REGISTRAR.value!r}, not by a {signer.role.value!r}")
    key = bundle_key(release.pipeline, release.release)
    try:
        store.write(key, bundle.data, if_generation=0)
    except PreconditionFailed:
        # A killed registration, perhaps of a machine whose zlib packs the same files into other bytes.
        there = store.read(key)
        if content_sha256(there) != bundle.content_sha256:
            raise PipelineError(
                f"release {release.release!r} of {release.pipeline!r} is there with other files; is the same pipeline "
                "registered from another folder or repository? Rename one"
            ) from None
        sha256 = hashlib.sha256(there).hexdigest()
        packed = release.bundle.model_copy(update={"sha256": sha256, "size_bytes": len(there)})
        release = release.model_copy(update={"bundle": packed})
    created = store.stat(release_key(release.pipeline, release.release)) is None
    try:
        write_signed(store, release_key(release.pipeline, release.release), release.to_bytes(), signer)
    except PreconditionFailed:
        there_already = _read_own(store, release.pipeline, release.release)
        if there_already.image != release.image:
            raise PipelineError(
                f"release {release.release!r} of {release.pipeline!r} is registered with image "
                f"{there_already.image!r}, now it is {release.image!r}, and a release never changes; make a commit "
                "(`git commit --allow-empty` will do) and register that"
            ) from None
        # Same files and image: what differs was added by another version of Rasen.
        return there_already, False
    return release, created


def _read_own(store: Store, pipeline: str, release: str) -> Release:
    """Read a release without proof, to compare it with what is about to be written; nothing runs what this returns."""
    key = release_key(pipeline, release)
    return Release.from_bytes(store.read(key).partition(b"\n")[2], source=key)


def _read_current(store: Store, pipeline: str) -> tuple[Current | None, int]:
    key = current_key(pipeline)
    try:
        data, generation = store.read_versioned(key)
    except ObjectNotFound:
        return None, 0
    return Current.from_bytes(data, source=key), generation


def _advance(store: Store, release: Release) -> str:
    """Let `current.json` name `release`, unless it names one of a later commit; return what it names."""
    wanted = Current(
        pipeline=release.pipeline,
        release=release.release,
        sequence=release.sequence,
        folder=release.folder,
        content_sha256=release.bundle.content_sha256,
        image=release.image,
    )
    while True:
        current, generation = _read_current(store, release.pipeline)
        if current is not None and current.sequence >= wanted.sequence:
            return current.release
        try:
            store.write(current_key(release.pipeline), wanted.to_bytes(), if_generation=generation)
        except PreconditionFailed:
            continue  # somebody else registered meanwhile: look again
        return wanted.release


def _refuse_second_folder(current: Current, checkout: Checkout, commit: Commit) -> None:
    """Refuse a folder that takes the name of another one; a folder that was moved keeps its name."""
    if current.folder == checkout.path:
        return
    data = read_commit_file(checkout, commit, _source(current.folder))
    try:
        other = parse_yaml(data.decode(errors="replace")).data if data is not None else None
    except YamlProblem:
        return
    if isinstance(other, dict) and other.get("name") == current.pipeline:
        raise PipelineError(
            f"pipeline {current.pipeline!r} is registered from folder {current.folder!r}, and {checkout.path!r} has "
            "the same name; rename one of them"
        )


def _refuse_rewritten(current: Current, commit: Commit) -> None:
    """Refuse another commit with the number of the current release: it could never become current."""
    if current.sequence == commit.sequence and not current.release.endswith(commit.sha[:12]):
        raise PipelineError(
            f"commit {commit.sha[:12]} is number {commit.sequence} on its branch, and so is the one of the current "
            f"release {current.release!r}: history was rewritten, or this is another branch. Make one more commit "
            "(`git commit --allow-empty` will do)"
        )


def read_work_tree(folder: Path, checkout: Checkout | None) -> list[BundleFile]:
    """Read a folder's files as they are now; in git those that are not ignored.

    Raises:
        PipelineError: One is a symbolic link.
    """
    if checkout is None:
        paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    else:
        paths = list_work_tree(checkout)
    files: list[BundleFile] = []
    for path in paths:
        if is_litter(path):
            continue
        file = folder / path
        if file.is_symlink():
            raise PipelineError(
                f"{path!r} in {str(folder)!r} is a symbolic link; a release holds files only, copy it"
            )
        if file.is_file():  # a tracked file may be deleted
            executable = bool(file.stat().st_mode & 0o100)
            files.append(BundleFile(path=path, data=file.read_bytes(), executable=executable))
    return files
