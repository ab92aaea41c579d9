"""The checks on the model that a test's run has published: what the gates need of it, its contract, its clients.

What the qualification has found and measured is taken from its result; only what it cannot see, because it runs beside
everything that a notebook's environment holds, is tried again in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rasen.deploy import ledger
from rasen.deploy.rollout import champion_of
from rasen.errors import InvalidInput, RasenError
from rasen.interface_test.before import Found, can_come, failed, passed, skipped
from rasen.interface_test.plan import (
    CLIENTS,
    CONTRACT,
    LATENCY,
    PUBLISH,
    QUALIFICATION,
    Plan,
    Wanted,
    gate_check,
    wanted_by,
)
from rasen.interface_test.steps import Ran
from rasen.model.schema import ModelSchema, breaking_changes
from rasen.pipeline_contract import describe_output
from rasen.pipeline_gates_contract import LatencyGate
from rasen.pipeline_schema import Pipeline
from rasen.settings import Settings
from rasen.store import open_store
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.manifest import read_manifest
from rasen.tracking.records import ModelRecord, StepResult, Verdict
from rasen.tracking.signature import load_trust

USUAL_BUDGET_MS = 100.0
"""For a request of one row, where no gate of the pipeline says anything."""
NOISE = 10.0
"""How many times its budget a median may take here: less may be the machine, more is the model."""


def contract_of(model: ModelRecord) -> dict[str, Any] | None:  # Any: as it stands in pipeline.yaml
    """Return a model's inputs and output in the words of `deploy.contract`; `None` when its schema cannot be read."""
    schema = _schema(model)
    if schema is None:
        return None
    inputs = {column.name: column.type.value + ("?" if column.nullable else "") for column in schema.inputs}
    if schema.output.type is not None:
        return {"inputs": inputs, "output": schema.output.type.value}
    return {
        "inputs": inputs,
        "output": {column.name: column.type.value for column in schema.output.columns},
    }


def _schema(model: ModelRecord) -> ModelSchema | None:
    try:
        return ModelSchema.from_dict(model.schema_)
    except (InvalidInput, AttributeError, TypeError):  # a kernel wrote it, and may write anything
        return None


def check_publish(plan: Plan, ran: Ran) -> Found:
    """Check that the run has published exactly one model."""
    match ran.models:
        case [step]:
            return passed(f"step {step!r} published the model of the run")
        case []:
            ended = all(
                name in ran.results and ran.results[name].verdict is Verdict.SUCCEEDED
                for name in plan.spec.steps
            )
            if not ended:
                return skipped("no model was published, and not every step ran to its end")
            if plan.expects_model or plan.together.published_at:
                return failed("every step ran, and none of them published a model; call rasen.publish once")
            return passed("no model was published, and none was promised")
        case several:
            return failed(
                f"a run publishes one model, here steps {', '.join(map(repr, several))} did; leave it to one of them"
            )


def check_tables(plan: Plan, ran: Ran) -> Iterator[tuple[str, Found]]:
    """Yield the checks of the tables that the run is to fill, and of the numbers that their gates look at."""
    for name, table in plan.spec.tables.items():
        result = ran.results.get(table.step)
        if result is None or result.verdict is not Verdict.SUCCEEDED:
            yield f"table {name}", skipped(f"step {table.step!r} did not run to its end")
        elif table.table in result.tables:
            yield f"table {name}", passed(f"step {table.step!r} saved {table.table!r}")
        else:
            saved = ", ".join(sorted(result.tables)) or "none"
            yield (
                f"table {name}",
                failed(f"step {table.step!r} did not save {table.table!r}; it saved {saved}"),
            )
        for gate in table.gates:
            yield gate_check(gate, table=name), _check_metrics(wanted_by(gate), ran, plan.spec)


def check_gates(plan: Plan, ran: Ran) -> Iterator[tuple[str, Found]]:
    """Yield for each gate whether it was given what it needs; what it would say is not asked."""
    for gate in plan.spec.deploy.gates or ():
        wanted = wanted_by(gate)
        if wanted.anything:
            yield gate_check(gate), _check_wanted(wanted, plan, ran)


def _check_wanted(wanted: Wanted, plan: Plan, ran: Ran) -> Found:
    if wanted.notebook is not None:
        return _check_notebook(wanted, ran)
    numbers = _check_metrics(wanted, ran, plan.spec) if wanted.metrics else passed("")
    if numbers.message and numbers.outcome != "pass":
        return numbers
    model = next((result.model for result in ran.results.values() if result.model is not None), None)
    if (wanted.published or wanted.slices) and model is None:
        return skipped("no model was published")
    lacks = [] if model is None else _lacking(wanted, model)
    if lacks:
        return failed(f"rasen.publish was not given {' and '.join(lacks)}, which the gate needs")
    if wanted.table is not None:
        return _check_table(wanted.table, ran)
    given = [*wanted.published, *(f"slices with {name!r}" for name in wanted.slices)]
    return passed(numbers.message or f"published with {' and '.join(given)}")


def _lacking(wanted: Wanted, model: ModelRecord) -> list[str]:
    lacks = [f"`{name}`" for name in wanted.published if name != "time" and name not in model.files]
    if "time" in wanted.published and model.time is None:
        lacks.append("`time`")
    lacks += [f"{name!r} among its `slices`" for name in wanted.slices if name not in model.slices]
    return lacks


def _check_metrics(wanted: Wanted, ran: Ran, spec: Pipeline) -> Found:
    metrics = ran.metrics
    missing = [name for name in wanted.metrics if name not in metrics and not can_come(name, set())]
    if not missing:
        return passed("  ".join(f"{name} {metrics[name]:.4g}" for name in wanted.metrics if name in metrics))
    unfinished = [
        name
        for name in [*spec.steps, *([QUALIFY_STEP] if ran.models else [])]
        if name not in ran.results or ran.results[name].verdict is not Verdict.SUCCEEDED
    ]
    if unfinished:
        return skipped(f"{unfinished[0]!r} did not run to its end")
    logged = ", ".join(sorted(metrics)) or "none"
    return failed(
        f"{' and '.join(map(repr, missing))} was not logged; logged are {logged}. Add "
        f"rasen.log_metrics({missing[0]}=…)"
    )


def _check_table(table: str, ran: Ran) -> Found:
    known = {name for result in ran.results.values() for name in result.tables}
    known |= {read.name for result in ran.results.values() for read in result.reads}
    if table in known:
        return passed(f"there is a table {table!r}")
    return failed(f"no step reads or saves a table {table!r}; there are {', '.join(sorted(known)) or 'none'}")


def _check_notebook(wanted: Wanted, ran: Ran) -> Found:
    found = _qualified(ran)
    told = ((found or {}).get("notebooks") or {}).get(wanted.notebook)
    candidate = told.get("candidate") if isinstance(told, dict) else None
    if candidate is None:
        return skipped(f"{wanted.notebook!r} was not run: the model did not qualify")
    if candidate["verdict"] != Verdict.SUCCEEDED:
        error = candidate.get("error") or {}
        cell = "" if error.get("cell") is None else f"cell {error['cell']}: "
        said = f"{cell}{error.get('name')}: {str(error.get('message'))[:400]}"
        return failed(f"{wanted.notebook!r} {candidate['verdict']} with the model: {said}")
    metrics = candidate["metrics"]
    missing = [name for name in wanted.metrics if name not in metrics]
    if missing:
        logged = ", ".join(sorted(metrics)) or "none"
        return failed(
            f"{wanted.notebook!r} ran with the model and did not log {missing[0]!r}; logged are {logged}"
        )
    return passed("  ".join(f"{name} {float(metrics[name]):.4g}" for name in wanted.metrics))


def gate_outputs(plan: Plan, ran: Ran) -> dict[str, str]:
    """Return the executed notebooks of gates by the names of their checks, as files of the qualification."""
    told = (_qualified(ran) or {}).get("notebooks") or {}
    outputs = {}
    for gate in plan.spec.deploy.gates or ():
        candidate = (told.get(wanted_by(gate).notebook) or {}).get("candidate") or {}
        if candidate.get("output"):
            outputs[gate_check(gate)] = str(candidate["output"])
    return outputs


def _qualified(ran: Ran) -> dict[str, Any] | None:  # Any: what rasen.model.qualification found
    result = ran.results.get(QUALIFY_STEP)
    return None if result is None else result.qualification


def check_qualification(ran: Ran) -> Found:
    """Check that the model passed what every run's model has to pass."""
    result = ran.results.get(QUALIFY_STEP)
    if result is None:
        return skipped("the model was not qualified: a step did not succeed, or the test was stopped")
    findings = tuple(map(str, (result.qualification or {}).get("findings") or ()))
    if result.verdict is Verdict.SUCCEEDED:
        engine = (result.qualification or {}).get("engine", "native")
        return passed(f"every check passed; serving would execute it by {engine!r}", *findings)
    said = result.error.message if result.error is not None else result.verdict.value
    return failed(f"{result.verdict.value}: {said}", *findings)


def check_contract(spec: Pipeline, model: ModelRecord) -> Found:
    """Compare the model's schema with the declared one."""
    found = contract_of(model)
    if found is None:
        return failed(f"the model's schema cannot be read: {str(model.schema_)[:200]}")
    inputs, output = found["inputs"], found["output"]
    contract = spec.deploy.contract
    if contract is None:
        return skipped(
            "none is declared; `rasen test --print-contract` prints what to put under deploy.contract"
        )
    differences = contract.differences(inputs, output)
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        return failed(f"{differences[0]}{more}", *differences[1:])
    count = len(inputs)
    return passed(f"{count} {'input' if count == 1 else 'inputs'}, output {describe_output(output)}")


def check_clients(spec: Pipeline, model: ModelRecord, settings: Settings) -> Found:
    """Compare the model's schema with that of the live version, as the `schema` gate does."""
    endpoint, new = spec.endpoint, _schema(model)
    if new is None:
        return skipped("the model's schema cannot be read")
    try:
        live = _live_model(settings, endpoint)
    except RasenError as error:
        return skipped(f"what is live behind {endpoint!r} cannot be looked at: {error}")
    if live is None:
        return skipped(f"nothing is live behind endpoint {endpoint!r} here")
    run, schema, live_major = live
    changes = breaking_changes(schema, new)
    major = spec.deploy.major
    if major < live_major:
        return failed(f"deploy.major is {major}, that of the live version {run} is {live_major}")
    if not changes:
        return passed(f"clients of the live version {run} go on working")
    if major > live_major:
        return passed(f"deploy.major rises from {live_major} to {major}: {', '.join(changes)}")
    return failed(
        f"clients of the live version {run} would break: {changes[0]}; keep what they rely on, or write "
        f"`deploy.major: {live_major + 1}`",
        *changes[1:],
    )


def _live_model(settings: Settings, endpoint: str) -> tuple[str, ModelSchema, int] | None:
    if not settings.store_dir.is_dir():
        return None
    store, trust = open_store(settings, patient=False), load_trust(settings)
    if endpoint not in ledger.list_endpoints(store):
        return None
    record = ledger.latest(store, trust, endpoint, environment=settings.environment)
    champion = None if record is None else champion_of(record.state)
    if champion is None:
        return None
    manifest = read_manifest(
        store, trust, champion.pipeline, champion.run, environment=settings.environment
    ).manifest
    if manifest.model is None:
        return None
    return champion.run, ModelSchema.from_dict(manifest.model.schema_), manifest.model.major


def check_latency(spec: Pipeline, ran: Ran) -> Found:
    """Tell what a request takes beside its budget; only what no noise of this machine explains fails.

    The numbers are the qualification's, those that the `latency` gate judges: medians of several requests.
    """
    measured = (_qualified(ran) or {}).get("latency_ms") or {}
    if "rows_1" not in measured:
        return skipped("it was not measured: the model did not qualify")
    budgets = {
        gate.rows: gate.max_ms
        for gate in spec.deploy.gates or ()
        if isinstance(gate, LatencyGate) and gate.max_ms is not None
    }
    said = []
    slow = False
    for rows, budget in (budgets or {1: USUAL_BUDGET_MS}).items():
        milliseconds = float(measured.get(f"rows_{rows}", 0.0))
        slow = slow or milliseconds > NOISE * budget
        over = ", over it" if milliseconds > budget else ""
        whose = "budget of its gate" if budgets else "usual budget"
        said.append(
            f"{rows} {'row takes' if rows == 1 else 'rows take'} {milliseconds:.3g} ms here, the {whose} is "
            f"{budget:g} ms{over}"
        )
    message = "; ".join(said)
    if slow:
        return failed(f"{message}: more than {NOISE:g} times as much is no noise of this machine")
    return passed(message)


def model_checks(plan: Plan, ran: Ran, settings: Settings) -> Iterator[tuple[str, Found]]:
    """Yield the checks of the model's stage that need no further process."""
    yield PUBLISH, check_publish(plan, ran)
    yield QUALIFICATION, check_qualification(ran)
    yield from check_gates(plan, ran)
    models: list[StepResult] = [ran.results[step] for step in ran.models]
    if len(models) == 1 and (model := models[0].model) is not None:
        yield CONTRACT, check_contract(plan.spec, model)
        yield CLIENTS, check_clients(plan.spec, model, settings)
        yield LATENCY, check_latency(plan.spec, ran)
