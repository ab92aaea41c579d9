"""Gates of contract, data and costs: as declared in `pipeline.yaml`, and decided by the real function's code."""

from pathlib import Path
from typing import Any

import pytest

from rasen.deploy.gates import judge
from rasen.errors import InvalidInput, PipelineError
from rasen.pipeline import parse_pipeline
from rasen.pipeline_gates import GATES, DeclaredGate
from rasen.pipeline_gates_contract import (
    ApprovalGate,
    DataGate,
    LatencyGate,
    NotebookGate,
    ProfileGate,
    SchemaGate,
    SizeGate,
)
from rasen.pipeline_schema import Pipeline
from stand.decided import Desk
from stand.evidence import evidence
from stand.manifests import BAD, run_of

HEAD = "name: demand\nowner: mobility\nsteps:\n  train: {notebook: train.ipynb}\ndeploy:\n"
SIMULATE = "{kind: notebook, notebook: simulate.ipynb, metric: revenue, direction: maximize, "
ALL = f"""\
{HEAD}  major: 2
  gates:
    - {{kind: schema, breaking: hold}}
    - {{kind: profile, within: 2.5 sigma, over: 8, least: 3, coverage: 90%}}
    - {{kind: data, table: flights, columns: [origin], ignore: [month], psi: 0.25, ks: 0.1, nulls: 5%,
       new_categories: 1%, rows: 50%, answer: fail}}
    - {{kind: latency, rows: 100, max: 5ms, worse_than_champion: 1.5x}}
    - {{kind: size, max: 100Mi, memory: 1Gi, bigger_than_champion: 2x}}
    - {SIMULATE}better_than: champion, margin: 1%, parameters: {{days: 30}}, timeout: 5m, inconclusive: pass}}
    - {{kind: approval, by: [ada, bob], reason: prices change on Friday}}
    - {{kind: threshold, metric: revenue, metric_kind: business, min: 5}}
"""


def refusal(text: str) -> str:
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(text)
    return str(caught.value)


def test_every_key_is_read_and_survives_json() -> None:
    pipeline = parse_pipeline(ALL)
    assert pipeline.deploy.major == 2
    schema, profile, data, latency, size, notebook, approval, threshold = pipeline.deploy.gates or ()
    assert schema == SchemaGate(kind="schema", breaking="hold")
    assert profile == ProfileGate(kind="profile", within=2.5, over=8, least=3, coverage=0.9)
    assert data == DataGate(
        kind="data",
        table="flights",
        columns=("origin",),
        ignore=("month",),
        psi=0.25,
        ks=0.1,
        nulls=0.05,
        new_categories=0.01,
        rows=0.5,
        answer="fail",
    )
    assert isinstance(latency, LatencyGate)
    assert (latency.rows, latency.max_ms, latency.worse_than_champion) == (100, 5.0, 1.5)
    assert isinstance(size, SizeGate)
    assert (size.max_bytes, size.memory_bytes, size.bigger_than_champion) == (100 * 2**20, 2**30, 2.0)
    assert isinstance(notebook, NotebookGate)
    assert (notebook.better, notebook.margin, notebook.metric_kind) == ("maximize", 0.01, "business")
    assert (notebook.parameters, notebook.timeout_seconds) == ({"days": 30}, 300)
    assert approval == ApprovalGate(kind="approval", by=("ada", "bob"), reason="prices change on Friday")
    assert threshold.told == "business metric revenue"  # type: ignore[union-attr]  # its kind is in the text above
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline


def test_one_word_is_enough_for_most_of_them() -> None:
    for kind in ("schema", "profile", "data", "approval"):
        (gate,) = parse_pipeline(f"{HEAD}  gates: [{{kind: {kind}}}]").deploy.gates or ()
        assert gate.kind == gate.label == kind
    assert parse_pipeline(HEAD.removesuffix("deploy:\n")).deploy.major == 1


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("{kind: shema}", "deploy.gates[0]: unknown gate kind 'shema': did you mean 'schema'?"),
        ("{kind: [schema]}", "unknown gate kind"),
        ("{breaking: fail}", "`kind` is missing: baseline, threshold, "),
        ("{kind: schema, braking: fail}", "deploy.gates[0]: unknown key 'braking': did you mean 'breaking'?"),
        ("{kind: schema, breaking: pass}", "breaking: Input should be 'fail' or 'hold', not 'pass'"),
        ("{kind: profile, within: 3}", None),
        ("{kind: profile, within: wide}", "within: 'wide' is no width of a band; write 1 to 6 standard"),
        ("{kind: profile, within: 0.5 sigma}", "within: '0.5 sigma' is no width of a band"),
        ("{kind: profile, over: 3, least: 4}", "`least` 4 is above `over` 3: there would never be a band"),
        ("{kind: profile, coverage: 0%}", "coverage: '0%' is no share"),
        ("{kind: data, psi: 0}", "psi: Input should be greater than 0, not 0"),
        ("{kind: data, psi: null}", None),
        ("{kind: data, ks: 2}", "ks: Input should be less than or equal to 1, not 2"),
        ("{kind: data, nulls: five}", "nulls: 'five' is no margin; write a fraction such as 0.02, or 2%"),
        ("{kind: data, columns: []}", "columns: is empty; leave it out, or fill it"),
        ("{kind: data, columns: origin}", "columns: must be a list, not 'origin'"),
        ("{kind: data, answer: pass}", "answer: Input should be 'fail' or 'hold'"),
        ("{kind: latency}", "a latency gate needs `max`, `worse_than_champion` or both"),
        ("{kind: latency, max: 5}", "max: must be a text, not 5"),
        ("{kind: latency, max: 5 ms}", "'5 ms' is no latency; write a whole number and a unit: 250ms or 2s"),
        ("{kind: latency, max: 5ms, rows: 10}", "rows: Input should be 1 or 100, not 10"),
        ("{kind: latency, worse_than_champion: 0.5x}", "'0.5x' is no factor; write how many times, at least"),
        ("{kind: latency, worse_than_champion: true}", "True is no factor"),
        ("{kind: size}", "a size gate needs `max`, `memory`, `bigger_than_champion` or several of them"),
        ("{kind: size, max: 100MB}", "max: '100MB' is no amount of memory"),
        (SIMULATE + "better_than: 100}", None),
        (SIMULATE + "better_than: live}", "better_than: 'live' is neither `champion` nor a number"),
        (SIMULATE + "better_than: 1e999}", "better_than: inf is neither `champion` nor a number"),
        (SIMULATE + "better_than: true}", "better_than: True is neither `champion` nor a number"),
        (SIMULATE.rstrip(", ") + "}", "`better_than` is missing: champion, or a number that it must beat"),
        (
            "{kind: notebook, notebook: simulate.ipynb, metric: revenue, better_than: champion}",
            "which way metric 'revenue' is better is not known; add `direction: minimize` or `direction: maximize`",
        ),
        (
            "{kind: notebook, notebook: ../simulate.ipynb, metric: rmse, better_than: champion}",
            "'../simulate.ipynb' is not a path inside the pipeline's folder",
        ),
        (SIMULATE + "better_than: 1, metric_kind: money}", "metric_kind: Input should be 'ml' or 'business'"),
        (SIMULATE + "better_than: 1, timeout: 600}", "timeout: must be a text, not 600"),
        ("{kind: approval, by: []}", "by: is empty; leave it out, or fill it"),
        ("{kind: approval, by: ada}", "by: must be a list, not 'ada'"),
    ],
)
def test_wrong_gates_are_told_with_their_place(gate: str, message: str | None) -> None:
    text = f"{HEAD}  gates:\n    - {gate}\n"
    if message is None:
        parse_pipeline(text)
        return
    said = refusal(text)
    assert message in said
    assert "line 7: deploy.gates[0]" in said


@pytest.mark.parametrize(
    ("major", "message"),
    [
        ("0", "greater than or equal to 1, not 0"),
        ("1.5", "deploy.major"),
        ("'2'", "deploy.major"),
        ("true", "deploy.major"),
    ],
)
def test_a_major_version_is_a_whole_number(major: str, message: str) -> None:
    assert message in refusal(f"{HEAD}  major: {major}\n")


def test_a_table_has_gates_of_numbers_alone() -> None:
    text = HEAD.removesuffix("deploy:\n") + "tables: {x: {step: train, table: y, gates: [{kind: schema}]}}\n"
    said = refusal(text)
    assert "a gate of kind 'schema' judges a model; a table's are baseline and threshold" in said
    assert "`kind` is missing: baseline, threshold" in refusal(text.replace("kind: schema", "metric: rmse"))


MINIMAL: dict[str, dict[str, Any]] = {
    "baseline": {"metric": "rmse", "better_than": "profile_rmse"},
    "threshold": {"metric": "rmse", "max": 1.0},
    "latency": {"max": "5ms"},
    "size": {"max": "1Mi"},
    "notebook": {"notebook": "a.ipynb", "metric": "rmse", "better_than": "champion"},
}


@pytest.mark.parametrize(
    "kind", ["baseline", "threshold", "profile", "schema", "data", "latency", "size", "notebook", "approval"]
)
def test_without_any_evidence_no_gate_passes(kind: str) -> None:
    gate: DeclaredGate = GATES[kind].model_validate({"kind": kind} | MINIMAL.get(kind, {}))  # type: ignore[assignment]  # the kind picks the model
    (found,) = judge([gate], evidence())
    assert found.answer in {"fail", "hold"}
    assert found.gate.split()[0] == kind
    assert found.reason


OUTPUT = {"kind": "scalar", "type": "float64"}
OLD = {"format": 1, "inputs": [{"name": "hour", "type": "int64"}], "output": OUTPUT}
NEW = OLD | {"inputs": [{"name": "hour", "type": "string"}]}


def test_a_contract_is_broken_by_a_new_major_version_only(tmp_path: Path) -> None:
    desk = Desk(tmp_path, gates=[{"kind": "schema"}])
    desk.publish(1, schema=OLD)
    desk.publish(2, schema=NEW)
    desk.publish(3, schema=NEW, major=2)
    desk.publish(4, schema=NEW)
    assert desk.story() == [
        ("deploy", run_of(1), [run_of(1)]),
        ("refuse", run_of(2), [run_of(1)]),
        ("deploy", run_of(3), [run_of(3)]),
        ("refuse", run_of(4), [run_of(3)]),
    ]
    outcomes = [record.verdicts[0].outcome for record in desk.records()]
    assert outcomes == ["first", "breaking", "raised", "lower"]
    assert "input 'hour' was int64, is string" in desk.records()[1].reason
    assert "write `deploy.major: 2`" in desk.records()[1].reason


def test_a_pipeline_without_gates_breaks_no_client_either(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.publish(1, schema=OLD)
    desk.publish(2, schema=NEW)
    desk.publish(3, schema=NEW, major=2)
    assert [record.action for record in desk.records()] == ["deploy", "refuse", "deploy"]
    assert [verdict.gate for verdict in desk.records()[1].verdicts] == ["baseline rmse", "schema"]
    assert [verdict.gate for verdict in desk.records()[0].verdicts] == ["baseline rmse"]


def test_only_who_is_asked_approves_and_approving_is_no_way_past_another_gate(tmp_path: Path) -> None:
    asked = {"kind": "approval", "by": ["ada"]}
    beats = {"kind": "baseline", "metric": "rmse", "better_than": "profile_rmse"}
    desk = Desk(tmp_path, gates=[asked, beats])
    desk.publish(1)
    (held,) = desk.records()
    assert (held.action, held.state.variants) == ("hold", [])
    assert "waits for approval by ada: `rasen approve demand`" in held.reason
    assert [(each.gate, each.answer) for each in held.verdicts] == [
        ("approval", "hold"),
        ("baseline rmse", "pass"),
    ]
    with pytest.raises(InvalidInput, match="'bob' may not approve for endpoint 'demand'; its gate names ada"):
        desk.give("approve", by="bob")
    desk.give("approve", by="ada")
    assert desk.live() == [run_of(1)]
    desk.publish(2, metrics=BAD)
    assert desk.records()[-1].action == "refuse"
    with pytest.raises(InvalidInput, match="no version of endpoint 'demand' waits for an approval"):
        desk.give("approve", by="ada")


def test_gates_that_need_what_was_never_measured_refuse_by_name(tmp_path: Path) -> None:
    kinds = [
        {"kind": "profile"},
        {"kind": "data"},
        {"kind": "latency", "max": "5ms"},
        {"kind": "size", "max": "1Mi"},
    ]
    desk = Desk(tmp_path, gates=kinds)
    desk.publish(1)
    (refused,) = desk.records()
    assert refused.action == "refuse"
    assert [(each.gate, each.answer, each.outcome) for each in refused.verdicts] == [
        ("profile", "fail", "missing"),
        ("data", "fail", "missing"),
        ("latency 1 row", "fail", "missing"),
        ("size", "pass", "within"),
    ]
