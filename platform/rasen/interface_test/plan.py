"""Which checks a pipeline gets: known from its files alone, so that all are named before the first one is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rasen.interface_test.checks import Planned, Stage
from rasen.interface_test.notebook_calls import Calls, join_calls
from rasen.pipeline_gates import BaselineGate, DeclaredGate, TableGate, ThresholdGate
from rasen.pipeline_gates_contract import DataGate, NotebookGate, ProfileGate
from rasen.pipeline_gates_statistical import ChampionGate, HistoryGate, SliceGate
from rasen.pipeline_graph import topological_order
from rasen.pipeline_schema import Pipeline

FILES = "pipeline.yaml"
PUBLISH = "publish"
QUALIFICATION = "qualification"
PACKAGES = "serving packages"
EXAMPLE = "example"
ROWS = ("one row", "many rows", "missing values", "unseen texts", "empty texts", "extreme numbers")
CONTRACT = "contract"
CLIENTS = "live clients"
LATENCY = "latency"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a gate needs of a run before it can judge anything.

    Args:
        metrics: Numbers of all rows that must be logged.
        published: What must be published beside the model: `evaluation`, `profile`, `time`.
        slices: Columns that must be among the `slices` of `rasen.publish`.
        table: The read or saved table that must be there.
        notebook: The notebook whose metric it is, if it is a gate's own.
    """

    metrics: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    table: str | None = None
    notebook: str | None = None

    @property
    def anything(self) -> bool:
        """Whether it needs anything that can be missing."""
        return bool(self.metrics or self.published or self.slices or self.table)


def wanted_by(gate: DeclaredGate | TableGate) -> Wanted:
    """Return what a gate needs."""
    match gate:
        case BaselineGate():
            return Wanted(metrics=(gate.metric, gate.better_than))
        case ThresholdGate() | HistoryGate():
            return Wanted(metrics=(gate.metric,))
        case ChampionGate():
            time = ("time",) if gate.block is not None else ()
            return Wanted(published=("evaluation", *time), slices=() if gate.by is None else (gate.by,))
        case SliceGate():
            return Wanted(published=("evaluation",), slices=(gate.by,))
        case ProfileGate():
            return Wanted(published=("profile",))
        case DataGate():
            return Wanted(table=gate.table)
        case NotebookGate():
            return Wanted(metrics=(gate.metric,), notebook=gate.notebook)
        case _:
            return Wanted()


def gate_check(gate: DeclaredGate | TableGate, *, table: str | None = None) -> str:
    """Return the name of the check of a gate, of a model's or of a table's."""
    return f"gate {gate.label}" if table is None else f"gate {gate.label} of table {table}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps that are to run and all checks, in order.

    Args:
        spec: The pipeline, reduced to what is run.
        whole: Whether that is all of it, so that gates can be looked at.
        calls: What each step's notebook calls.
        helpers: What the modules beside the notebooks call.
        gate_calls: What the notebooks of gates call.
        expects_model: Whether a model must be published: somebody has written `deploy`.
        planned: The checks.
    """

    spec: Pipeline
    whole: bool
    calls: Mapping[str, Calls]
    helpers: Calls
    gate_calls: Mapping[str, Calls]
    expects_model: bool
    planned: tuple[Planned, ...]

    @property
    def together(self) -> Calls:
        """What is called in any step or module."""
        return join_calls([self.helpers, *self.calls.values()])


def make_plan(
    pipeline: Pipeline,
    *,
    step: str | None,
    calls: Mapping[str, Calls],
    helpers: Calls,
    gate_calls: Mapping[str, Calls],
    lint: bool,
) -> Plan:
    """Plan the test of a pipeline.

    Args:
        pipeline: As declared.
        step: The only step that is wanted, with those that it needs; all by default.
        calls: By step, of notebooks that could be read.
        helpers: Of the modules in the folder.
        gate_calls: By notebook.
        lint: Whether the linter is asked too.
    """
    spec, whole = _reduce(pipeline, step)
    kept = {name: calls[name] for name in spec.steps if name in calls}
    together = join_calls([helpers, *kept.values()])
    expects = whole and "deploy" in pipeline.model_fields_set
    models = expects or together.may_publish or "publish" in together.open
    planned = tuple(_checks(spec, lint=lint, models=models, gates=whole))
    return Plan(
        spec=spec,
        whole=whole,
        calls=kept,
        helpers=helpers,
        gate_calls=gate_calls,
        expects_model=expects,
        planned=planned,
    )


def _reduce(pipeline: Pipeline, step: str | None) -> tuple[Pipeline, bool]:
    """Return the pipeline with the steps that are run, none of them twice, and whether that is all of it."""
    names = list(pipeline.steps) if step is None else _with_needs(pipeline, step)
    whole = len(names) == len(pipeline.steps)
    # A second try would hide a fault that comes and goes, and costs the pause before it.
    steps = {
        name: pipeline.steps[name].model_copy(update={"retries": 0})
        for name in pipeline.steps
        if name in names
    }
    changes: dict[str, object] = {
        "steps": steps,
        "tables": {name: table for name, table in pipeline.tables.items() if table.step in steps},
    }
    if not whole and pipeline.deploy.gates is not None:
        changes["deploy"] = pipeline.deploy.model_copy(update={"gates": None})
    return pipeline.model_copy(update=changes), whole


def _with_needs(pipeline: Pipeline, step: str) -> set[str]:
    names, pending = {step}, [step]
    while pending:
        for need in pipeline.steps[pending.pop()].needs:
            if need not in names:
                names.add(need)
                pending.append(need)
    return names


def gate_notebooks(spec: Pipeline) -> list[str]:
    """Return the notebooks that gates name, each once."""
    return list(
        dict.fromkeys(gate.notebook for gate in spec.deploy.gates or () if isinstance(gate, NotebookGate))
    )


def _checks(spec: Pipeline, *, lint: bool, models: bool, gates: bool) -> Iterator[Planned]:
    steps = topological_order(spec)
    for name in steps:
        yield Planned(name=f"parameters {name}", stage=Stage.BEFORE, step=name)
    yield Planned(name=FILES, stage=Stage.BEFORE)
    if lint:
        notebooks = dict.fromkeys([*(spec.steps[name].notebook for name in steps), *gate_notebooks(spec)])
        for notebook in notebooks:
            yield Planned(name=f"lint {notebook}", stage=Stage.BEFORE)
    for name in steps:
        yield Planned(name=f"step {name}", stage=Stage.RUN, step=name)
    for name, table in spec.tables.items():
        yield Planned(name=f"table {name}", stage=Stage.RUN, step=table.step)
        for gate in table.gates:
            yield Planned(name=gate_check(gate, table=name), stage=Stage.RUN, step=table.step)
    if not models:
        return
    yield Planned(name=PUBLISH, stage=Stage.RUN)
    if gates:
        seen: set[str] = set()
        for each in spec.deploy.gates or ():
            name = gate_check(each)
            if wanted_by(each).anything and name not in seen:
                seen.add(name)
                yield Planned(name=name, stage=Stage.MODEL)
    for name in (QUALIFICATION, PACKAGES, EXAMPLE, *ROWS, CONTRACT, CLIENTS, LATENCY):
        yield Planned(name=name, stage=Stage.MODEL)
