"""What is registered: pipelines with their current release, parameters and steps, and the files of a release."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rasen.batch.start import resolve_release
from rasen.bundle import read_files
from rasen.errors import DigestMismatch, NotFound, RasenError
from rasen.parameter_types import describe_annotation
from rasen.pipeline_graph import topological_order
from rasen.release import Release, current_release, read_release
from rasen.settings import Settings
from rasen.store import Store
from rasen.suggestion import suggest
from rasen.tracking.ids import check_name
from rasen.tracking.keys import bundle_key, current_key
from rasen.tracking.signature import load_trust


@dataclass(frozen=True, kw_only=True)
class ListedRelease:
    """One release of a pipeline, as lists show it."""

    pipeline: str
    release: str
    current: bool


@dataclass(frozen=True, kw_only=True)
class ListedPipeline:
    """One registered pipeline; `problem` says why its current release cannot be used."""

    name: str
    release: str
    commit: str | None = None
    message: str | None = None
    owner: str = ""
    description: str = ""
    endpoint: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class ParameterForm:
    """What a form needs to ask for one parameter.

    Args:
        name: Its name.
        annotation: Its type, as the notebook says it.
        json_schema: The same for programs.
        default: The value in the cell.
        value: What a run would get now if nothing else was given.
        layer: Where that comes from.
        description: The comment beside it in the cell.
    """

    name: str
    annotation: str
    json_schema: dict[str, Any]  # Any: JSON Schema
    default: Any  # Any: JSON
    value: Any  # Any: JSON
    layer: str
    description: str


@dataclass(frozen=True, kw_only=True)
class StepForm:
    """One step of a pipeline."""

    step: str
    notebook: str
    needs: tuple[str, ...]
    timeout: str | None
    retries: int
    parameters: tuple[ParameterForm, ...]


@dataclass(frozen=True, kw_only=True)
class PipelineForm:
    """A pipeline's current release in full, with all that is needed to ask for a run of it."""

    name: str
    release: str
    commit: str | None
    message: str | None
    author: str | None
    committed_at: datetime | None
    owner: str
    description: str
    endpoint: str
    steps: tuple[StepForm, ...]
    files: tuple[str, ...]


def list_pipelines(settings: Settings, store: Store) -> list[ListedPipeline]:
    """Return the registered pipelines with their current release, sorted by name."""
    found = []
    trust = load_trust(settings)
    for name in _registered(store):
        current = current_release(store, name)
        try:
            release = read_release(store, trust, name, current, environment=settings.environment)
        except RasenError as error:
            found.append(ListedPipeline(name=name, release=current, problem=str(error)))
            continue
        found.append(
            ListedPipeline(
                name=name,
                release=current,
                commit=release.commit,
                message=release.message,
                owner=release.owner,
                description=release.spec.description,
                endpoint=_endpoint(release),
            )
        )
    return found


def list_releases(store: Store, pipeline: str | None = None) -> list[ListedRelease]:
    """Return the current release of every registered pipeline, or all releases of one.

    Raises:
        NotFound: No such pipeline is registered.
    """
    known = _registered(store)
    if pipeline is not None and pipeline not in known:
        raise NotFound(f"no pipeline {pipeline[:80]!r} is registered: {suggest(pipeline, known)}")
    rows = []
    for name in [pipeline] if pipeline is not None else known:
        current = current_release(store, name)
        names = [child for child in store.children(f"releases/{name}/") if not child.endswith(".json")]
        rows += [
            ListedRelease(pipeline=name, release=release, current=release == current)
            for release in names
            if pipeline is not None or release == current
        ]
    return rows


def describe_pipeline(settings: Settings, store: Store, name: str, *, now: datetime) -> PipelineForm:
    """Return a pipeline's current release in full.

    Raises:
        NotFound: No such pipeline is registered.
        TrustError: Its release cannot be trusted.
    """
    check_name("pipeline", name)
    release = read_release(
        store,
        load_trust(settings),
        name,
        current_release(store, name),
        environment=settings.environment,
    )
    return PipelineForm(
        name=name,
        release=release.release,
        commit=release.commit,
        message=release.message,
        author=release.author,
        committed_at=release.committed_at,
        owner=release.owner,
        description=release.spec.description,
        endpoint=_endpoint(release),
        steps=tuple(_steps(release, now)),
        files=tuple(read_release_files(store, release)),
    )


def read_release_files(store: Store, release: Release) -> dict[str, bytes]:
    """Return the files of a release by path, after checking their digest.

    Raises:
        DigestMismatch: The bundle is not the one that was signed for.
        TrustError: It holds something else than files.
    """
    key = bundle_key(release.pipeline, release.release)
    data = store.read(key)
    if hashlib.sha256(data).hexdigest() != release.bundle.sha256:
        raise DigestMismatch(f"{key!r} is not the bundle that the release was signed for")
    return {file.path: file.data for file in read_files(data)}


def read_release_file(settings: Settings, store: Store, pipeline: str, release: str, path: str) -> bytes:
    """Return one file of a release.

    Raises:
        NotFound: There is no such pipeline, release or file.
        TrustError: It is not what was signed for.
    """
    check_name("pipeline", pipeline)
    check_release(store, pipeline, release)
    record = read_release(store, load_trust(settings), pipeline, release, environment=settings.environment)
    files = read_release_files(store, record)
    if path not in files:
        raise NotFound(
            f"release {release!r} of {pipeline!r} has no file {path[:200]!r}: {suggest(path, files)}"
        )
    return files[path]


def check_release(store: Store, pipeline: str, release: str) -> None:
    """See that a pipeline has a release of this id, before a key is made of it.

    Raises:
        NotFound: It has not.
    """
    known = [name for name in store.children(f"releases/{pipeline}/") if not name.endswith(".json")]
    if release not in known:
        raise NotFound(f"pipeline {pipeline!r} has no release {release[:80]!r}: {suggest(release, known)}")


def _registered(store: Store) -> list[str]:
    return [name for name in store.children("releases/") if store.stat(current_key(name)) is not None]


def _endpoint(release: Release) -> str:
    return release.spec.deploy.endpoint or release.pipeline


def _steps(release: Release, now: datetime) -> list[StepForm]:
    try:
        resolved = resolve_release(release, [], at=now.astimezone(UTC))
    except RasenError:  # what was right when it was registered is no longer understood
        resolved = {}
    steps = []
    for name in topological_order(release.spec):
        spec = release.spec.steps[name]
        values = resolved.get(name)
        parameters = [
            ParameterForm(
                name=one.name,
                annotation=one.annotation,
                json_schema=describe_annotation(one.annotation),
                default=one.default,
                value=values.values[one.name] if values else one.default,
                layer=values.layers[one.name] if values else "cell default",
                description=one.description,
            )
            for one in release.parameters.get(name, ())
        ]
        steps.append(
            StepForm(
                step=name,
                notebook=spec.notebook,
                needs=spec.needs,
                timeout=spec.timeout,
                retries=spec.retries,
                parameters=tuple(parameters),
            )
        )
    return steps
