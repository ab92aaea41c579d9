"""Tables that a pipeline publishes into the warehouse: visible with the manifest, never before.

What should be visible follows from the manifests alone, so this is a convergence, not an event: whoever calls it, and
how often, the newest published run's tables end up in the warehouse. `finish` calls it, and so does the platform's
regular look for what was missed, which heals a kill between manifest and table.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rasen.batch.inputs import newest_release_run
from rasen.settings import Settings, load_settings
from rasen.store import Store, open_store
from rasen.tracking.records import FileRecord
from rasen.tracking.signature import load_trust


def publish_tables(settings: Settings, store: Store, pipeline: str) -> list[str]:
    """Make the tables of the pipeline's newest published run visible; return the names that changed."""
    from rasen.data.warehouse import EmbeddedWarehouse

    warehouse = EmbeddedWarehouse(settings.warehouse_dir)
    changed = []
    for run, name, file in _stale_tables(settings, store, pipeline):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.parquet"
            store.download(file.key, path, sha256=file.sha256)
            warehouse.put_table(name, path, source=f"{pipeline}/{run}")
            changed.append(name)
    return changed


def stale_pipelines(settings: Settings, store: Store) -> list[str]:
    """Return the pipelines whose newest published tables are not visible yet; cheap, for regular looks."""
    return [
        pipeline
        for pipeline in store.children("manifests/")
        if any(True for _ in _stale_tables(settings, store, pipeline))
    ]


def _stale_tables(settings: Settings, store: Store, pipeline: str) -> Iterator[tuple[str, str, FileRecord]]:
    """Yield run, name and file of each table that is published, but not what the warehouse shows."""
    from rasen.data.warehouse import EmbeddedWarehouse

    manifest = newest_release_run(store, load_trust(settings), pipeline, environment=settings.environment)
    if manifest is None or not manifest.tables:
        return
    shown = EmbeddedWarehouse(settings.warehouse_dir).tables()
    for name, file in manifest.tables.items():
        if name not in shown or shown[name].source_sha256 != file.sha256:
            yield manifest.run, name, file


def main() -> None:
    """Run `python -m rasen.batch.tables PIPELINE`."""
    settings = load_settings()
    publish_tables(settings, open_store(settings), sys.argv[1])


if __name__ == "__main__":
    main()
