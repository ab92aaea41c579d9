"""`rasen demo`: the main job on real data, as a new user would do it by hand, told as it happens.

Nothing here is special to the demo but the telling: it registers from a git commit, runs the release, waits for the
function's decision and asks the API over HTTP. The second lap edits a cell, commits, and goes round again. It works in
a clone under the platform's home, because a demo must not commit to the user's own repository.
"""

from __future__ import annotations

import getpass
import json
import shlex
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from rasen.batch.execute import Executed, execute
from rasen.batch.run_events import RunEvent, StepBegan, StepEnded, StepSkipped
from rasen.deploy import ledger
from rasen.errors import PlatformFailed, RasenError, StepFailed
from rasen.local.processes import free_port, port_is_free
from rasen.local.sample_repository import SampleRepository, open_sample_repository
from rasen.local.up import platform_is_running, running_platform
from rasen.release import register
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.keys import manifest_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.records import Metric, Verdict
from rasen.tracking.results import read_published_result
from rasen.tracking.signature import Role, load_trust, open_signer
from rasen.versions import environment_digest

TRAINED = ("flight_demand", "flight_delay")
SCORED = "flight_demand_scores"
CHANGED = "flight_delay"
_DECIDED_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class _Live:
    """A model version that answers, and how long it took from its manifest to its first answer."""

    pipeline: str
    record: LedgerRecord
    seconds: float
    answer: dict[str, Any]  # Any: JSON
    curl: str


class _Teller:
    """Prints whole lines, from several threads."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lock = threading.Lock()

    def line(self, text: str = "") -> None:
        """Print one line of markup."""
        with self._lock:
            self.console.print(text, soft_wrap=True)

    def plain(self, text: str) -> None:
        """Print text of others, dimmed."""
        self.line(f"[dim]{escape(text)}[/dim]")

    def title(self, text: str) -> None:
        """Print a heading."""
        with self._lock:
            self.console.print()
            self.console.print(Rule(f"[bold]{text}[/bold]", align="left"))


def run_demo(settings: Settings, repository: Path) -> None:
    """Run the main job twice round on real data and tell what happens.

    Raises:
        StepFailed: A run did not succeed; the message has the reason and the notebook.
        PlatformFailed: A process did not come up, or no decision was made in time.
    """
    tell = _Teller(Console(highlight=False))
    begun = time.monotonic()
    tell.title("Getting ready")
    samples = open_sample_repository(repository, settings.home / "demo" / "repository")
    tell.line(
        f"sample pipelines at commit {samples.commit()[:12]}, in a clone: {escape(str(samples.folder))}"
    )
    if samples.uncommitted:
        tell.line("[yellow]your uncommitted changes are not part of it[/yellow]: only commits are registered")
    with ExitStack() as stack:
        warehouse = stack.enter_context(ThreadPoolExecutor(1)).submit(_load_flights, settings)
        if platform_is_running(settings):
            tell.line("using the platform that runs already")
        else:
            settings = _with_free_ports(settings, tell)
            stack.enter_context(running_platform(settings, tell=tell.line))
        tell.line(f"flights and weather of 2013 in the warehouse: {warehouse.result():,} flights")

        tell.title("First lap: two notebooks become two live APIs")
        first = time.monotonic()
        _register(settings, samples, (*TRAINED, SCORED), tell)
        with ThreadPoolExecutor(len(TRAINED)) as pool:
            laps = [pool.submit(_run_and_ask, settings, pipeline, tell) for pipeline in TRAINED]
            for lap in laps:
                _show_live(settings, lap.result(), tell)
        first_seconds = time.monotonic() - first

        tell.title("Second lap: a cell is edited, committed, registered, run, deployed")
        second = time.monotonic()
        edited = samples.edit_cell(CHANGED)
        tell.line(f"[red]- {escape(edited.before)}[/red]")
        tell.line(f"[green]+ {escape(edited.after)}[/green]")
        tell.line(f"committed as {edited.commit[:12]}")
        _register(settings, samples, (CHANGED,), tell)
        _show_live(settings, _run_and_ask(settings, CHANGED, tell), tell)
        second_seconds = time.monotonic() - second

        tell.title("A batch that asks the live model: the next hours' demand")
        _run(settings, SCORED, tell)
        _show_scores(settings, tell)

    tell.title("Done")
    tell.line(
        f"first lap [bold]{first_seconds:.1f} s[/bold] (two pipelines), "
        f"second lap [bold]{second_seconds:.1f} s[/bold], all together {time.monotonic() - begun:.1f} s"
    )
    _show_places(settings, tell)


def _load_flights(settings: Settings) -> int:
    from rasen.data.warehouse import EmbeddedWarehouse
    from rasen.local.flights import load_flights

    warehouse = EmbeddedWarehouse(settings.warehouse_dir)
    load_flights(warehouse)
    return warehouse.tables()["flights"].rows


def _with_free_ports(settings: Settings, tell: _Teller) -> Settings:
    """Move what would clash to free ports: a demo should not fail because 8080 is taken."""
    moved: dict[str, int] = {}
    for name in ("serving_port", "admin_port", "function_port"):
        port = getattr(settings, name)
        if not port_is_free(settings.host, port):
            moved[name] = free_port(settings.host)
            tell.line(f"port {port} is taken by another program, using {moved[name]} instead")
    return settings.model_copy(update=moved)


def _register(settings: Settings, samples: SampleRepository, pipelines: Sequence[str], tell: _Teller) -> None:
    signer = open_signer(settings, Role.REGISTRAR)
    store = open_store(settings)
    for pipeline in pipelines:
        registered = register(
            samples.pipeline(pipeline), store=store, signer=signer, image=environment_digest()
        )
        what = "registered as" if registered.created else "unchanged, still"
        tell.line(f"{pipeline}: {what} release [bold]{registered.release.release}[/bold]")


def _run(settings: Settings, pipeline: str, tell: _Teller) -> Executed:
    def observe(event: RunEvent) -> None:
        match event:
            case StepBegan():
                pass
            case StepSkipped():
                tell.line(f"  {pipeline} / {event.step}: skipped")
            case StepEnded():
                good = event.result.verdict is Verdict.SUCCEEDED
                verdict = f"[{'green' if good else 'red'}]{event.result.verdict}[/]"
                tell.line(f"  {pipeline} / {event.step}: {verdict} in {event.result.seconds:.1f} s")

    executed = execute(
        settings,
        pipeline,
        dev=False,
        release_id=None,
        given={},
        typed=(),
        deploy=True,
        request=None,
        by=getpass.getuser(),
        now=datetime.now(tz=UTC),
        observe=observe,
    )
    if executed.verdict is not Verdict.SUCCEEDED:
        raise StepFailed(
            f"{pipeline}, run {executed.run}: {executed.verdict}\n" + "\n".join(executed.explanation())
        )
    return executed


def _run_and_ask(settings: Settings, pipeline: str, tell: _Teller) -> _Live:
    """Run a pipeline, wait for the decision and for the first answer of the new version."""
    executed = _run(settings, pipeline, tell)
    store = open_store(settings)
    published = store.stat(manifest_key(pipeline, executed.run))
    if published is None:
        raise PlatformFailed(f"run {executed.run} succeeded without a manifest")
    address = f"http://{settings.host}:{settings.serving_port}/endpoints/{pipeline}"
    deadline = time.monotonic() + _DECIDED_SECONDS
    with httpx.Client(timeout=5.0) as client:
        while (asked := _ask(client, address, executed.run)) is None:
            record = ledger.latest(store, load_trust(settings), pipeline, environment=settings.environment)
            if record is not None and record.run == executed.run and record.action != "deploy":
                raise PlatformFailed(f"{pipeline}: the function decided {record.action}: {record.reason}")
            if time.monotonic() > deadline:
                raise PlatformFailed(
                    f"run {executed.run} of {pipeline} was not live within {_DECIDED_SECONDS:.0f} s; see the logs in "
                    f"{str(settings.logs_dir)!r}"
                )
            time.sleep(0.02)
    seconds = time.time() - published.updated_at.timestamp()
    record = ledger.latest(store, load_trust(settings), pipeline, environment=settings.environment)
    if record is None:
        raise PlatformFailed(f"endpoint {pipeline!r} answers, but its ledger is empty")
    request, answer = asked
    body = shlex.quote(json.dumps(request))
    curl = f"curl -s {address}/predict -H 'content-type: application/json' -d {body}"
    return _Live(pipeline=pipeline, record=record, seconds=seconds, answer=answer, curl=curl)


def _ask(
    client: httpx.Client, address: str, run: str
) -> tuple[dict[str, Any], dict[str, Any]] | None:  # Any: JSON
    """Return request and answer once the version `run` gives it, or `None` while another one does."""
    live = client.get(address)
    if live.status_code != 200 or live.json()["model"] != run:
        return None
    request = {"rows": live.json()["example"]["rows"][:1]}
    answer = client.post(f"{address}/predict", json=request)
    return (request, answer.json()) if answer.headers.get("X-Rasen-Model") == run else None


def _show_live(settings: Settings, live: _Live, tell: _Teller) -> None:
    store = open_store(settings)
    tell.line(
        f"\n[bold]{live.pipeline}[/bold] is live: manifest written → first answer in {live.seconds:.2f} s"
    )
    for metric, ours, theirs in _against_profile(settings, live):
        better = 100 * (1 - ours / theirs)
        tell.line(f"  {metric} {ours:.4g}, the profile's {theirs:.4g}: {better:.1f} % better")
    for verdict in live.record.verdicts:
        colour = "green" if verdict.answer == "pass" else "red"
        tell.line(f"  gate {verdict.gate}: [{colour}]{verdict.answer}[/] {escape(verdict.reason)}")
    for record in ledger.list_records(
        store, load_trust(settings), live.pipeline, environment=settings.environment
    ):
        tell.line(f"  ledger {record.number}: {record.action} {record.run} by {record.actor}")
    tell.line(f"  [cyan]{escape(live.curl)}[/cyan]")
    tell.line(f"  {escape(json.dumps(live.answer))}")


def _against_profile(settings: Settings, live: _Live) -> list[tuple[str, float, float]]:
    """Return name, model and profile of each metric to be minimised that was logged of both."""
    from rasen.tracking.manifest import read_manifest

    store = open_store(settings)
    variant = live.record.state.variants[0]
    manifest = read_manifest(
        store, load_trust(settings), variant.pipeline, variant.run, environment=settings.environment
    ).manifest
    logged: list[Metric] = [
        metric for step in manifest.steps for metric in read_published_result(store, manifest, step).metrics
    ]
    values = {metric.name: metric.value for metric in logged if not metric.slice}
    pairs = [
        (name, values[name], values[f"profile_{name}"]) for name in values if f"profile_{name}" in values
    ]
    return [
        (name, ours, theirs) for name, ours, theirs in pairs if name in {"rmse", "mae", "log_loss", "brier"}
    ]


def _show_scores(settings: Settings, tell: _Teller) -> None:
    from rasen.data.warehouse import EmbeddedWarehouse

    warehouse = EmbeddedWarehouse(settings.warehouse_dir)
    try:
        rows = warehouse.query("SELECT * FROM flight_demand_scores LIMIT 5")
    except RasenError as error:
        raise PlatformFailed(f"the scores are not visible in the warehouse: {error}") from error
    tell.line(f"its table passed the gate and is visible in the warehouse as {SCORED}:")
    tell.line(escape(rows.to_string(index=False)))


def _show_places(settings: Settings, tell: _Teller) -> None:
    for name, place in (
        ("object store", settings.store_dir),
        ("output notebooks", settings.store_dir / "runs"),
        ("signed manifests", settings.store_dir / "manifests"),
        ("ledger", settings.store_dir / "endpoints"),
        ("warehouse", settings.warehouse_dir),
        ("logs", settings.logs_dir),
        ("edited clone", settings.home / "demo" / "repository"),
    ):
        tell.line(f"  {name:<17} {escape(str(place))}")
    tell.line(
        "\n[bold]make up[/bold] serves what was deployed, until Ctrl-C; then paste a curl line from above,"
    )
    tell.line("or open /docs. `.venv/bin/rasen runs`, `show RUN` and `deployments` tell the rest.")
