"""Which version somebody means: a number of the ledger, a run, the beginning of one, or what is live.

A number means the champion of that ledger record. Whatever is meant is verified before anybody fetches it: the
manifest's signature, and where the ledger names the version also that it is the very manifest that was let in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rasen.deploy.ledger import find_head, list_endpoints, list_records, read_record
from rasen.errors import DigestMismatch, InvalidInput, NotFound, ObjectNotFound
from rasen.model.schema import ModelSchema
from rasen.settings import Settings
from rasen.store import Store, open_store
from rasen.suggestion import suggest
from rasen.tracking.ids import check_name
from rasen.tracking.keys import tombstone_key
from rasen.tracking.ledger_records import LedgerRecord, Variant
from rasen.tracking.manifest import list_manifests, read_manifest
from rasen.tracking.records import Manifest, PublishedModel
from rasen.tracking.signature import TrustStore, load_trust

_NUMBER_DIGITS = 8  # a run's id begins with eight digits and a T


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedVersion:
    """A version that somebody asks for, not verified yet.

    Args:
        run: The version's id.
        pipeline: Whose run.
        manifest_sha256: What the ledger says of its manifest, `""` when the ledger never let it in.
        number: The ledger record by which it was named, or the first that had it as champion; 0 for none.
    """

    run: str
    pipeline: str
    manifest_sha256: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        """What it is called in tables: the ledger's number, or the run, shortened."""
        return str(self.number) if self.number else self.run.rpartition("-")[2]

    @property
    def label(self) -> str:
        """What it is called in sentences: the ledger's number and the run, shortened."""
        short = self.run.rpartition("-")[2]
        return f"{self.number} ({short})" if self.number else short


@dataclass(frozen=True, kw_only=True)
class VerifiedVersion:
    """A version whose manifest was verified."""

    named: NamedVersion
    manifest: Manifest
    model: PublishedModel
    schema: ModelSchema


@dataclass(frozen=True, kw_only=True)
class Champion:
    """A version in the order in which the ledger let them answer: `record` is the one that began it."""

    record: LedgerRecord
    version: NamedVersion


class Ledger:
    """The ledger of one endpoint, read and verified as far as somebody asks."""

    def __init__(self, settings: Settings, endpoint: str, *, store: Store | None = None) -> None:
        """Open it.

        Raises:
            NotFound: There is no such endpoint.
        """
        self.endpoint = check_name("endpoint", endpoint)
        self.environment = settings.environment
        self.store = open_store(settings) if store is None else store
        self.trust: TrustStore = load_trust(settings)
        self.head = find_head(self.store, endpoint)
        self._records: dict[int, LedgerRecord] = {}
        if self.head == 0:
            known = list_endpoints(self.store)
            raise NotFound(f"there is no endpoint {endpoint!r}: {suggest(endpoint, known)}")

    def record(self, number: int) -> LedgerRecord:
        """Return one record.

        Raises:
            NotFound: There is none of that number.
            TrustError, UnreadableRecord: It cannot be trusted or read.
        """
        if number not in self._records:
            if not 1 <= number <= self.head:
                raise NotFound(
                    f"the ledger of {self.endpoint!r} has no record {number}; its records are 1 to {self.head}"
                )
            try:
                self._records[number] = read_record(
                    self.store, self.trust, self.endpoint, number, environment=self.environment
                )
            except ObjectNotFound:
                raise NotFound(f"ledger record {number} of {self.endpoint!r} is gone") from None
        return self._records[number]

    def records(self) -> list[LedgerRecord]:
        """Return all records, oldest first.

        Raises:
            TrustError, UnreadableRecord: One cannot be trusted or read.
        """
        if len(self._records) < self.head:
            found = list_records(self.store, self.trust, self.endpoint, environment=self.environment)
            self._records = {record.number: record for record in found}
        return [self._records[number] for number in sorted(self._records)]

    def champions(self) -> list[Champion]:
        """Return the champions in the order in which they came; one that came back is there twice."""
        found: list[Champion] = []
        for record in self.records():
            variant = champion_of(record)
            if variant is not None and (not found or found[-1].version.run != variant.run):
                found.append(Champion(record=record, version=_named(variant, record.number)))
        return found

    def find(self, text: str = "") -> NamedVersion:
        """Return the version that `text` names; nothing names the one that is live.

        Raises:
            NotFound: There is none, or more than one.
            InvalidInput: It belongs to another pipeline.
        """
        text = text.strip()
        if not text:
            return self.champion(self.head)
        if text.isdecimal() and len(text) <= _NUMBER_DIGITS and not text.startswith("0"):
            return self.champion(int(text))
        return self._find_run(text)

    def find_all(self, texts: str) -> list[NamedVersion]:
        """Return the versions that a list with commas names.

        Raises:
            NotFound, InvalidInput: As `find`.
        """
        named = [text for text in texts.split(",") if text.strip()]
        if not named:
            raise InvalidInput(f"{texts!r} names no version; write ledger numbers or runs, such as 3,7")
        return [self.find(text) for text in named]

    def champion(self, number: int) -> NamedVersion:
        """Return the champion of a record.

        Raises:
            NotFound: There is no such record, or it has none.
        """
        record = self.record(number)
        variant = champion_of(record)
        if variant is None:
            raise NotFound(
                f"nothing was live for {self.endpoint!r} with ledger record {number}: {record.action}: "
                f"{record.reason or 'no reason given'}"
            )
        return _named(variant, number)

    def _find_run(self, beginning: str) -> NamedVersion:
        known = self._known_runs()
        found = [version for run, version in known.items() if _fits(run, beginning)]
        if not found:
            owners = sorted({version.pipeline for version in known.values() if version.pipeline})
            found = [
                NamedVersion(run=run, pipeline=pipeline)
                for pipeline in owners
                for run in list_manifests(self.store, pipeline)
                if _fits(run, beginning)
            ]
        if not found:
            self._refuse_foreign(beginning)
            runs = [*known, *(run.rpartition("-")[2] for run in known)]
            raise NotFound(
                f"{beginning!r} is no version of {self.endpoint!r}: {suggest(beginning, runs)}; "
                f"its ledger has records 1 to {self.head}"
            )
        if len(found) > 1:
            runs = sorted(version.run for version in found)
            raise NotFound(f"{beginning!r} fits more than one version: {suggest('', runs)}; give more of it")
        return found[0]

    def _known_runs(self) -> dict[str, NamedVersion]:
        """Return the versions that the ledger speaks of, by run; what it let in with the digest that it named."""
        known: dict[str, NamedVersion] = {}
        for record in self.records():
            champion = champion_of(record)
            for variant in record.state.variants:
                number = record.number if variant is champion else 0
                before = known.get(variant.run)
                if before is None or not before.manifest_sha256 or (number and not before.number):
                    known[variant.run] = _named(variant, number)
            if record.run is not None and record.run not in known:
                known[record.run] = NamedVersion(run=record.run, pipeline=record.state.pipeline or "")
        return known

    def _refuse_foreign(self, beginning: str) -> None:
        for pipeline in self.store.children("manifests/"):
            for run in list_manifests(self.store, pipeline):
                if _fits(run, beginning):
                    owner = self.record(self.head).state.pipeline
                    raise InvalidInput(
                        f"run {run!r} is of pipeline {pipeline!r}; endpoint {self.endpoint!r} is answered by {owner!r}"
                    )

    def verify(self, version: NamedVersion) -> VerifiedVersion:
        """Return the version with its manifest, after all that leads to it has been checked.

        Raises:
            NotFound: It is gone, is being removed, or has published no model.
            TrustError: It is not what was signed.
        """
        where = f"version {version.label} of {self.endpoint!r}"
        if self.store.stat(tombstone_key(version.pipeline, version.run)) is not None:
            raise NotFound(f"{where} was removed: its run {version.run!r} has a tombstone")
        try:
            verified = read_manifest(
                self.store, self.trust, version.pipeline, version.run, environment=self.environment
            )
        except ObjectNotFound:
            raise NotFound(f"{where} is gone: run {version.run!r} has no manifest any more") from None
        if version.manifest_sha256 and verified.sha256 != version.manifest_sha256:
            raise DigestMismatch(
                f"the manifest of run {version.run!r} has sha256 {verified.sha256[:12]}…, the ledger names "
                f"{version.manifest_sha256[:12]}…"
            )
        model = verified.manifest.model
        if model is None:
            raise NotFound(f"run {version.run!r} of {version.pipeline!r} published no model")
        return VerifiedVersion(
            named=version,
            manifest=verified.manifest,
            model=model,
            schema=ModelSchema.from_dict(model.schema_),
        )


def champion_of(record: LedgerRecord) -> Variant | None:
    """Return the variant that answers unless something else was decided, `None` when nothing is live."""
    return next(_champions(record), None)


def _champions(record: LedgerRecord) -> Iterator[Variant]:
    return (variant for variant in record.state.variants if variant.role == "champion")


def _named(variant: Variant, number: int) -> NamedVersion:
    return NamedVersion(
        run=variant.run, pipeline=variant.pipeline, manifest_sha256=variant.manifest_sha256, number=number
    )


def _fits(run: str, beginning: str) -> bool:
    return run.startswith(beginning) or run.rpartition("-")[2].startswith(beginning)
