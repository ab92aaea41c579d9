"""The home of a test: a platform of its own that is gone afterwards, over the warehouse that the user has.

Steps of a test run by the code that runs every step, and that code wants a store, keys and a release. All of them lie
in a temporary folder: nothing that a test does reaches the store, the ledger or the keys of the platform. The warehouse
is read through a link; what is live behind the endpoints that a step loads is copied, each byte verified.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rasen.batch.inputs import fetch_models
from rasen.batch.start import start_run
from rasen.deploy import ledger
from rasen.errors import InvalidInput, PlatformFailed, RasenError
from rasen.pipeline_schema import Pipeline
from rasen.release import Release, register_workspace
from rasen.settings import Settings
from rasen.store import DirectoryStore, open_store
from rasen.tracking.keys import bundle_key, release_key
from rasen.tracking.records import Start
from rasen.tracking.signature import Role, load_trust, open_signer, write_signed
from rasen.versions import environment_digest


@dataclass(frozen=True, kw_only=True)
class TestHome:
    """A platform for one test; `original` are the settings of the user's."""

    settings: Settings
    store: DirectoryStore
    original: Settings

    __test__ = False  # no test of pytest's

    def register(self, folder: Path) -> Release:
        """Register the files of a folder as they are, here only.

        Raises:
            PipelineError: `pipeline.yaml` is wrong, or a file cannot be in a release.
            NotebookError: A notebook cannot be run.
        """
        signer = open_signer(self.settings, Role.REGISTRAR)
        return register_workspace(folder, store=self.store, signer=signer, image=environment_digest())

    def begin(self, release: Release, spec: Pipeline) -> tuple[Release, Start]:
        """Start a run of some of a release's steps on the sample; `spec` holds those that are to run.

        Raises:
            ParameterError: A parameter does not fit.
        """
        reduced = release.model_copy(
            # All steps' parameters stay: a value for the whole pipeline must be known to one of them.
            update={"release": f"{release.release}-test", "spec": spec}
        )
        self.store.write(
            bundle_key(reduced.pipeline, reduced.release),
            self.store.read(bundle_key(release.pipeline, release.release)),
        )
        signer = open_signer(self.settings, Role.REGISTRAR)
        write_signed(self.store, release_key(reduced.pipeline, reduced.release), reduced.to_bytes(), signer)
        started = start_run(
            self.store,
            reduced,
            environment=self.settings.environment,
            trigger="request:test",
            at=datetime.now(tz=UTC),
            parameters={},
            deploy=False,
            image=environment_digest(),
            sample=True,
        )
        return reduced, started.start

    def copy_live(self, endpoint: str) -> str:
        """Copy what is live behind an endpoint; return why it cannot be had, empty if it is here now."""
        if not self.original.store_dir.is_dir():
            return (
                f"nothing is live behind endpoint {endpoint!r}: {str(self.original.home)!r} has no store yet"
            )
        store, trust = open_store(self.original), load_trust(self.original)
        try:
            if endpoint not in ledger.list_endpoints(store):
                return f"nothing is live behind endpoint {endpoint!r}"
            fetch_models(
                store, trust, [endpoint], self.settings.store_dir, environment=self.original.environment
            )
        except RasenError as error:
            return f"what is live behind endpoint {endpoint!r} cannot be loaded: {error}"
        return ""


@contextmanager
def open_home(settings: Settings, *, keep: bool = False) -> Iterator[TestHome]:
    """Make a home for a test; it is gone when the context ends, unless `keep`.

    Raises:
        InvalidInput: The environment is not `dev`: files that nobody has reviewed run nowhere else.
        PlatformFailed: There is no room for it.
    """
    if settings.environment != "dev":
        raise InvalidInput(
            f"the interface test runs a working copy, in the environment 'dev' only; this is {settings.environment!r}"
        )
    try:
        folder = Path(tempfile.mkdtemp(prefix="rasen-test-"))
    except OSError as error:
        raise PlatformFailed(f"no temporary folder for the test could be made: {error}") from error
    try:
        own = settings.model_copy(
            update={"home": folder, "trust_file": folder / "trust.json", "signer_registrar": "file"}
        )
        own.trust_file.write_bytes(load_trust(settings).to_bytes())
        if settings.warehouse_dir.is_dir():
            own.warehouse_dir.symlink_to(settings.warehouse_dir.resolve(), target_is_directory=True)
        yield TestHome(settings=own, store=DirectoryStore(own.store_dir), original=settings)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
