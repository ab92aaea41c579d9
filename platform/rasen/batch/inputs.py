"""What a step is handed before its kernel starts: files only, fetched and checked by the step's own process.

The kernel gets no store and no key. Tables come from the steps it needs, statistics from the last good run, models
from the ledger, as a small store of copies that the SDK verifies with the same code as everybody else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from rasen.batch.start import read_start
from rasen.deploy import ledger
from rasen.errors import NotFound, RasenError
from rasen.settings import Settings
from rasen.store import DirectoryStore, Store
from rasen.tracking.keys import HEADS_KEY, deployment_key, manifest_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import Manifest, StepResult
from rasen.tracking.results import read_published_result
from rasen.tracking.signature import TrustStore

_RUNS_LOOKED_AT = 50  # how far back the last good run is looked for


def fetch_tables(store: Store, results: Iterable[StepResult], folder: Path) -> None:
    """Fetch every table that the steps with these results saved to `folder/<name>.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    for result in results:
        files = {file.key: file for file in result.files}
        for name, key in result.tables.items():
            store.download(key, folder / f"{name}.parquet", sha256=files[key].sha256)


def newest_release_run(
    store: Store, trust: TrustStore, pipeline: str, *, environment: str, before: str | None = None
) -> Manifest | None:
    """Return the manifest of the newest run (before `before`) that ran a release for deployment, or `None`.

    Runs of a working copy and trial runs do not count: their parameters are whatever somebody tried. Nor do runs that
    only qualified a model anew: they have read nothing, and are newer than what they took it from.
    """
    runs = [name.removesuffix(".json") for name in store.children(f"manifests/{pipeline}/")]
    for run in [run for run in reversed(runs) if before is None or run < before][:_RUNS_LOOKED_AT]:
        try:
            manifest = read_manifest(store, trust, pipeline, run, environment=environment).manifest
            start = read_start(store, pipeline, run)
        except RasenError:
            continue  # what cannot be verified is no yardstick
        began = start.start
        real = began.origin == "release" and began.deploy and began.qualifies is None
        if real and start.sha256 == manifest.start_sha256:
            return manifest
    return None


def write_statistics(store: Store, manifest: Manifest | None, step: str, path: Path) -> None:
    """Write what the last good run's step had read, by the read's name, for the comparison in the kernel."""
    reads: dict[str, object] = {}
    if manifest is not None and step in manifest.steps:
        for read in read_published_result(store, manifest, step).reads:
            reads[read.name] = {
                "run": manifest.run,
                "parameters": read.parameters,
                "statistics": read.statistics,
            }
    path.write_text(json.dumps(reads), encoding="utf-8")


def fetch_models(
    store: Store, trust: TrustStore, endpoints: Iterable[str], folder: Path, *, environment: str
) -> None:
    """Copy what is live behind each endpoint into a directory store at `folder`.

    Raises:
        NotFound: Nothing is live behind an endpoint.
    """
    copies = DirectoryStore(folder)
    heads: dict[str, int] = {}
    for endpoint in endpoints:
        record = ledger.latest(store, trust, endpoint, environment=environment)
        if record is None or not record.state.variants:
            raise NotFound(
                f"nothing is live behind endpoint {endpoint!r}; run and deploy its pipeline before the one that "
                "scores with it"
            )
        heads[endpoint] = record.number
        copy_live(store, trust, record, copies, environment=environment)
    copies.write(HEADS_KEY, json.dumps(heads).encode())


def copy_live(
    store: Store, trust: TrustStore, record: LedgerRecord, copies: DirectoryStore, *, environment: str
) -> None:
    """Copy a ledger record and the versions that it names, each verified, into another store."""
    key = deployment_key(record.endpoint, record.number)
    copies.write(key, store.read(key))
    for variant in record.state.variants:
        key = manifest_key(variant.pipeline, variant.run)
        copies.write(key, store.read(key))
        manifest = read_manifest(
            store, trust, variant.pipeline, variant.run, environment=environment
        ).manifest
        if manifest.model is not None:
            for file in manifest.model.files.values():
                store.download(file.key, copies.root / file.key, sha256=file.sha256)


def write_context(
    path: Path,
    settings: Settings,
    *,
    run: str,
    pipeline: str,
    step: str,
    parameters: dict[str, object],
    folder: Path,
    judged: Mapping[str, object] | None = None,
    recorded: Path | None = None,
    most_rows: int | None = None,
) -> None:
    """Write the context file that tells the SDK in the kernel which run this is and where its folders are.

    Args:
        path: The file.
        settings: Where everything lies.
        run: The run's id.
        pipeline: The pipeline's name.
        step: The step's name.
        parameters: What the notebook is given.
        folder: Where `inputs/` and `staging/` lie.
        judged: For a gate notebook: the endpoint, and the schema and files of the version that stands for it.
        recorded: The reads that answer queries instead of the warehouse.
        most_rows: The most rows that a read gives; `None` gives all.
    """
    context = {
        "format": 1,
        "run": run,
        "pipeline": pipeline,
        "step": step,
        "environment": settings.environment,
        "parameters": parameters,
        "inputs": str(folder / "inputs"),
        "staging": str(folder / "staging"),
        "warehouse": str(settings.warehouse_dir),
        "judged": judged,
        "recorded": None if recorded is None else str(recorded),
        "most_rows": most_rows,
    }
    path.write_text(json.dumps(context), encoding="utf-8")
