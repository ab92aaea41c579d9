"""What the runs of both versions have measured: each version's release is found by the content of its folder.

A release of an earlier commit with the same files is the same code, so it counts; `rasen register` makes no new one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from rasen.batch.comparison import compare_runs
from rasen.batch.queries import open_index
from rasen.bundle import make_bundle
from rasen.commit_files import Checkout, Commit, read_commit_files
from rasen.errors import RasenError
from rasen.pipeline import PIPELINE_FILE
from rasen.release import read_release, read_work_tree
from rasen.review.report import PipelineRuns, SideRun
from rasen.review.revisions import State
from rasen.settings import Settings
from rasen.store import open_store
from rasen.strict_yaml import YamlProblem, parse_yaml
from rasen.tracking.index import Index
from rasen.tracking.index_queries import RunFilter
from rasen.tracking.records import Verdict
from rasen.tracking.signature import load_trust

_MOST_RELEASES = 200
_MOST_RUNS = 20


def compare_pipeline_runs(
    settings: Settings, base: State, head: State, folders: dict[str, str | None]
) -> tuple[tuple[PipelineRuns, ...], str]:
    """Return what the runs of changed pipelines have measured, and why nothing is known, if so.

    Args:
        settings: Where the runs are.
        base: The state before.
        head: The state now.
        folders: Of each changed pipeline its folder now, and before (`None` if it is new).
    """
    if not folders:
        return (), ""
    if not settings.store_dir.is_dir():
        return (), "no runs are known here: there is no store"
    try:
        index = open_index(settings)
        found = [_compare(settings, index, base, head, *one) for one in folders.items()]
    except RasenError as error:
        return (), f"the runs cannot be read: {error}"
    return tuple(one for one in found if one is not None), ""


def _compare(
    settings: Settings, index: Index, base: State, head: State, folder: str, old_folder: str | None
) -> PipelineRuns | None:
    name = _pipeline_name(head, folder)
    if name is None:
        return None
    digests = [
        _content_digest(state, place) if place is not None else None
        for state, place in ((base, old_folder), (head, folder))
    ]
    if digests[0] == digests[1]:
        return None
    before, after = (_newest_run(settings, index, name, digest) for digest in digests)
    if before is None and after is None:
        return None
    if before is None or after is None:
        which = "base" if before is None else "head"
        return PipelineRuns(
            pipeline=name, base=before, head=after, note=f"of the {which} no run has succeeded here"
        )
    compared = compare_runs(settings, before.run, after.run)
    note = "the runs read other data too, so not every difference is the code's" if compared.tables else ""
    return PipelineRuns(
        pipeline=name,
        base=before,
        head=after,
        metrics=compared.metrics,
        parameters=compared.parameters,
        note=note if compared.metrics else "; ".join(filter(None, ["every metric is the same", note])),
    )


def _pipeline_name(state: State, folder: str) -> str | None:
    path = str(PurePosixPath(folder) / PIPELINE_FILE)
    entry = state.files.get(path)
    if entry is None or not entry.is_file:
        return None
    try:
        data = parse_yaml(state.read([path])[path].decode(errors="replace")).data
    except YamlProblem:
        return None
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None


def _content_digest(state: State, folder: str) -> str | None:
    """Return the digest that a release of the folder has, `None` when none can be made of it."""
    checkout = Checkout(top=state.top, path="" if folder == "." else folder)
    try:
        if state.revision.commit is None:
            files = read_work_tree(Path(state.top, folder), checkout)
        else:
            # Of a commit only the id is asked for.
            commit = Commit(
                sha=state.revision.commit,
                sequence=0,
                author="",
                committed_at=datetime.fromtimestamp(0, tz=UTC),
            )
            files = read_commit_files(checkout, commit)
        return make_bundle(files).content_sha256
    except RasenError:
        return None


def _newest_run(settings: Settings, index: Index, pipeline: str, digest: str | None) -> SideRun | None:
    if digest is None:
        return None
    store, trust = open_store(settings), load_trust(settings)
    for row in index.releases(pipeline)[:_MOST_RELEASES]:
        try:
            release = read_release(store, trust, pipeline, row.release, environment=settings.environment)
        except RasenError:
            continue  # gone, or not believed any more
        if release.bundle.content_sha256 != digest:
            continue
        wanted = RunFilter(pipeline=pipeline, release=row.release, verdict=Verdict.SUCCEEDED.value)
        for run in index.runs(wanted, limit=_MOST_RUNS):
            if run.qualifies is None:
                return SideRun(
                    run=run.run, release=run.release, started_at=run.started_at, metrics=run.metrics
                )
    return None
