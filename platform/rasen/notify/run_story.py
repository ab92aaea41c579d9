"""What there is to say of a run that did not succeed: where, why, in which cell, and what has changed since a good one.

Read from what the run left; a part that is gone or damaged is left out, the rest is still told.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from rasen.deploy.ledger import latest
from rasen.errors import ObjectNotFound, RasenError, StoreUnavailable
from rasen.notify.links import Links
from rasen.notify.message import Content, Fault
from rasen.pipeline_alerts import AlertKind, Alerts
from rasen.release import read_release
from rasen.release_record import Release
from rasen.store import Store
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import start_key, step_prefix
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import End, Start
from rasen.tracking.results import Attempt, newest_attempt
from rasen.tracking.signature import TrustStore

_LARGEST_NOTEBOOK_BYTES = 8 * 2**20
_CELL_LINES = 8
_ERROR_CHARACTERS = 600


@dataclass(frozen=True, kw_only=True)
class Stories:
    """Tells of runs.

    Args:
        store: Where they are.
        trust: Whose signatures count.
        environment: Of the platform.
        links: What to type and to open next.
    """

    store: Store
    trust: TrustStore
    environment: str
    links: Links

    def read_start(self, pipeline: str, run: str) -> Start | None:
        """Return a run's start, `None` when it cannot be read."""
        key = start_key(pipeline, run)
        try:
            return Start.from_bytes(self.store.read(key), source=key)
        except StoreUnavailable:
            raise
        except RasenError:
            return None

    def read_release(self, pipeline: str, release: str) -> Release | None:
        """Return a release that is believed, `None` when there is none."""
        try:
            return read_release(self.store, self.trust, pipeline, release, environment=self.environment)
        except StoreUnavailable:
            raise
        except RasenError:
            return None

    def who(self, pipeline: str, run: str) -> tuple[str, Alerts | None]:
        """Return the owner of a run's pipeline, and whom the pipeline itself wants to be told."""
        start = self.read_start(pipeline, run) if run else None
        release = None if start is None else self.read_release(pipeline, start.release)
        return ("", None) if release is None else (release.owner, release.spec.alerts)

    def of_endpoint(self, endpoint: str, run: str) -> tuple[str, str, Alerts | None]:
        """Return pipeline and owner of an endpoint, and whom the pipeline itself wants to be told.

        Args:
            endpoint: Which.
            run: The version that is spoken of, `""` for the champion.
        """
        try:
            record = latest(self.store, self.trust, endpoint, environment=self.environment)
        except StoreUnavailable:
            raise
        except RasenError:
            record = None
        if record is None:
            return "", "", None
        state = record.state
        found = next((one for one in state.variants if one.run == run), None) or next(
            iter(state.variants), None
        )
        pipeline = found.pipeline if found is not None else state.pipeline or ""
        run = run or (found.run if found is not None else "")
        return (pipeline, *self.who(pipeline, run))

    def describe_failure(self, end: End, *, last_good: str | None) -> tuple[Content, Alerts | None]:
        """Return what there is to say of a run that ended without success, and whom its pipeline wants to be told."""
        start = self.read_start(end.pipeline, end.run)
        release = None if start is None else self.read_release(end.pipeline, start.release)
        where = f"step {end.step} " if end.step else ""
        facts = {"verdict": end.verdict.value}
        if start is not None:
            facts["release"] = self._release(start, release)
            facts["asked for by"] = start.trigger
            facts |= self._since_last_good(start, last_good)
        content = Content(
            kind=AlertKind.FAILURE,
            title=f"{end.pipeline}: {where}{_SAID.get(end.verdict.value, end.verdict.value)}",
            pipeline=end.pipeline,
            owner="" if release is None else release.owner,
            run=end.run,
            step=end.step or "",
            fault=self._fault(end, start),
            facts=facts,
            commands=[f"rasen show {end.run}", *([f"rasen logs {end.run} {end.step}"] if end.step else [])],
        )
        return content, None if release is None else release.spec.alerts

    def _release(self, start: Start, release: Release | None) -> str:
        if start.origin == "workspace":
            return f"{start.release} (somebody's working tree)"
        author = f", by {release.author}" if release is not None and release.author else ""
        return f"{start.release}{author}"

    def _since_last_good(self, start: Start, last_good: str | None) -> dict[str, str]:
        if last_good is None or last_good >= start.run:
            return {}
        try:
            good = read_manifest(
                self.store, self.trust, start.pipeline, last_good, environment=self.environment
            ).manifest
        except StoreUnavailable:
            raise
        except RasenError:
            return {}
        if good.release == start.release:
            changed = "the notebooks are the same, so look at the data and at what it ran on"
        else:
            changed = f"the release was {good.release}; since then the notebooks have changed"
        return {"last good run": f"{last_good}, for {instant_of(last_good):%Y-%m-%d %H:%M} UTC: {changed}"}

    def _fault(self, end: End, start: Start | None) -> Fault | None:
        """Return the error with its cell; what the end says of it where the step left nothing else."""
        known = Fault(message=_cut(end.error or ""))
        if end.step is None or start is None:
            return known if end.error else None
        run = start.reuses.get(end.step, end.run)
        try:
            attempt = newest_attempt(self.store, end.pipeline, run, end.step)
        except StoreUnavailable:
            raise
        except RasenError:
            attempt = None
        if attempt is None or attempt.result is None:
            return known if end.error else None
        result = attempt.result
        error = result.error
        return Fault(
            name=error.name if error is not None else "",
            message=_cut(error.message) if error is not None else known.message,
            cell=result.cell,
            source=self._cell(end, run, attempt),
        )

    def _cell(self, end: End, run: str, attempt: Attempt) -> str:
        """Return the first lines of the cell that failed, from the saved notebook."""
        if attempt.result is None or attempt.result.cell is None or end.step is None:
            return ""
        key = step_prefix(end.pipeline, run, end.step, attempt.number) + "output.ipynb"
        stat = self.store.stat(key)
        if stat is None or stat.size_bytes > _LARGEST_NOTEBOOK_BYTES:
            return ""
        try:
            source = json.loads(self.store.read(key))["cells"][attempt.result.cell]["source"]
        except (ObjectNotFound, ValueError, LookupError, TypeError):
            return ""  # whoever runs the notebook writes this file: it may hold anything
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        lines = text.strip("\n").splitlines()
        return "\n".join([*lines[:_CELL_LINES], *(["…"] if len(lines) > _CELL_LINES else [])])


_SAID = {
    "failed": "failed",
    "validation_failed": "stopped, its data are not what they should be",
    "timed_out": "took too long",
    "out_of_memory": "took too much memory",
    "kernel_died": "ended its kernel",
    "interrupted": "was interrupted",
}


def _cut(text: str) -> str:
    return text if len(text) <= _ERROR_CHARACTERS else text[: _ERROR_CHARACTERS - 1] + "…"
