"""`pipeline.yaml`: what it may say, and what is said when it says something else."""

import json
import re
from datetime import timedelta
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.errors import PipelineError
from rasen.pipeline import SCHEMA_FILE, json_schema, json_schema_text, parse_pipeline
from rasen.pipeline_gates import BaselineGate, ThresholdGate
from rasen.pipeline_graph import topological_order
from rasen.pipeline_schema import Pipeline
from rasen.pipeline_values import parse_duration
from rasen.strict_yaml import parse_yaml
from rasen.tracking.ledger_records import FallbackPolicy, LogPolicy

HEAD = "name: demand\nowner: mobility\n"
STEPS = "steps:\n  train: {notebook: train.ipynb}\n"
FULL = """\
name: flight_demand
owner: mobility-analytics
description: Departures per airport and hour, two hours ahead.
parameters: {horizon_hours: 2, train_until: "@scheduled", train_from: "@scheduled-180d"}
steps:
  features: {notebook: features.ipynb, timeout: 20m}
  train:
    notebook: deep/train.ipynb
    needs: [features]
    parameters: {origins: [JFK, LGA], limit: null}
    models: [flight_delay]
  evaluate: {notebook: evaluate.ipynb, needs: [train, features]}
sample: {parameters: {train_from: "2013-06-01"}}
deploy:
  endpoint: demand
  gates:
    - {kind: baseline, metric: rmse, better_than: profile_rmse, margin: 2%}
    - {kind: baseline, metric: revenue, better_than: profile_revenue, direction: maximize}
    - {kind: threshold, metric: rmse, max: 5}
  rollout: {kind: canary, steps: [5%, 25%, 100%], watch: 10m, abort_on: {error_rate: 1%, p99_ms: 50}}
  challengers: [flight_demand_linear]
  fallback: {on: [error, timeout, stale], stale_after: 8d, timeout: 250ms}
  log: {sample: 10%, exclude: [passenger]}
tables:
  scores: {step: evaluate, table: scored, gates: [{kind: threshold, metric: rows, min: 1}]}
"""


def refusal(text: str) -> str:
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(text)
    return str(caught.value)


def test_three_lines_are_enough() -> None:
    pipeline = parse_pipeline("name: delay\nowner: mobility\nsteps: {train: {notebook: train.ipynb}}")
    assert pipeline.endpoint == "delay"
    assert pipeline.deploy.gates is None
    assert pipeline.steps["train"].needs == ()
    assert pipeline.steps["train"].timeout_seconds is None


def test_every_key_is_read() -> None:
    pipeline = parse_pipeline(FULL)
    assert pipeline.endpoint == "demand"
    assert pipeline.steps["features"].timeout_seconds == 1200
    assert pipeline.steps["train"].parameters == {"origins": ["JFK", "LGA"], "limit": None}
    assert pipeline.steps["train"].models == ("flight_delay",)
    assert pipeline.sample is not None
    assert pipeline.sample.parameters == {"train_from": "2013-06-01"}
    assert pipeline.deploy.gates is not None
    first, second, third = pipeline.deploy.gates
    assert isinstance(first, BaselineGate)
    assert (first.better, first.margin) == ("minimize", 0.02)
    assert isinstance(second, BaselineGate)
    assert (second.better, second.margin) == ("maximize", 0.0)
    assert third == ThresholdGate(kind="threshold", metric="rmse", max=5.0)
    assert pipeline.tables["scores"].table == "scored"


def test_a_pipeline_survives_json() -> None:
    pipeline = parse_pipeline(FULL)
    again = Pipeline.model_validate_json(pipeline.model_dump_json())
    assert again == pipeline
    assert list(again.steps) == ["features", "train", "evaluate"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + STEPS + "ownr: x\n", "line 5: unknown key 'ownr': did you mean 'owner'?"),
        (
            HEAD + STEPS + "zzz: x\n",
            "line 5: unknown key 'zzz' (keys here: name, owner, description, parameters,",
        ),
        (
            HEAD + STEPS + "schedule: {cron: x}\n",
            "line 5: `schedule` is not built yet in this version; remove it",
        ),
        (
            HEAD + STEPS + "shedule: {}\n",
            "did you mean 'schedule'?; that one is not built yet in this version",
        ),
        (HEAD + STEPS + "steps: {}\n", "line 5: key 'steps' is there twice, first in line 3"),
        (STEPS, "line 1: `name` is missing: the pipeline's name"),
        (HEAD, "line 1: `steps` is missing: the notebooks, each under its step's name"),
        (HEAD + "steps: {}\n", "line 3: steps: is empty"),
        (HEAD + "steps: {train: train.ipynb}\n", "line 3: steps.train: must be a mapping, not 'train.ipynb'"),
        (
            HEAD + "steps:\n  train: {notbook: t.ipynb}\n",
            "line 4: steps.train: unknown key 'notbook': did you mean",
        ),
        (HEAD + "steps:\n  train: {needs: []}\n", "line 4: steps.train: `notebook` is missing"),
        (HEAD + "steps: {Train: {notebook: t.ipynb}}\n", "steps.Train: 'Train' is not a usable name"),
        (HEAD + "steps: {_qualify: {notebook: t.ipynb}}\n", "'_qualify' is not a usable name"),
        (
            HEAD + "steps: {t: {notebook: ../t.ipynb}}\n",
            "'../t.ipynb' is not a path inside the pipeline's folder",
        ),
        (HEAD + "steps: {t: {notebook: /t.ipynb}}\n", "is not a path inside"),
        (HEAD + "steps: {t: {notebook: a/../../t.ipynb}}\n", "is not a path inside"),
        (HEAD + "steps: {t: {notebook: a\\t.ipynb}}\n", "is not a path inside"),
        (HEAD + "steps: {t: {notebook: t.py}}\n", "'t.py' is not a notebook"),
        (HEAD + "steps: {t: {notebook: 3}}\n", "must be a text, not 3"),
        (HEAD + "steps: {t: {notebook: t.ipynb, timeout: 20}}\n", "steps.t.timeout: must be a text, not 20"),
        (HEAD + "steps: {t: {notebook: t.ipynb, timeout: 20 min}}\n", "'20 min' is not a duration"),
        (HEAD + "steps: {t: {notebook: t.ipynb, timeout: 0s}}\n", "'0s' is not a duration"),
        (HEAD + "steps: {t: {notebook: t.ipynb, needs: x}}\n", "steps.t.needs: must be a list, not 'x'"),
        (HEAD + "steps: {t: {notebook: t.ipynb, tune: {}}}\n", "steps.t: `tune` is not built yet"),
        (HEAD + "steps: {t: {notebook: t.ipynb, retries: -1}}\n", "steps.t.retries: Input should be greater"),
        (HEAD + "steps: {t: {notebook: t.ipynb, retries: 1.5}}\n", "steps.t.retries: "),
        (
            HEAD + "steps: {t: {notebook: t.ipynb, retry_on: [validation_failed]}}\n",
            "'validation_failed' is not a verdict that trying again can change: known: 'failed'",
        ),
        (HEAD + "steps: {t: {notebook: t.ipynb, retry_on: []}}\n", "steps.t.retry_on: is empty"),
        (
            HEAD + "steps: {t: {notebook: t.ipynb, resources: {memory: 4G}}}\n",
            "steps.t.resources.memory: '4G' is no amount of memory",
        ),
        (HEAD + "steps: {t: {notebook: t.ipynb, resources: {cpu: 0}}}\n", "steps.t.resources.cpu: "),
        (HEAD + "steps: {t: {notebook: t.ipynb, resources: {gpu: 1}}}\n", "`gpu` is not built yet"),
        (HEAD + "steps: {t: {notebook: t.ipynb, cell_timeout: 5}}\n", "cell_timeout: must be a text, not 5"),
        (HEAD + STEPS + "sample: {rows: 0}\n", "sample.rows: Input should be greater than or equal to 1"),
        (HEAD + STEPS + "sample: {row: 10}\n", "sample: unknown key 'row': did you mean 'rows'?"),
        (
            HEAD + STEPS + 'deploy: {contract: {inputs: {a: "strng?"}, output: bool}}\n',
            "did you mean 'string'?",
        ),
        (
            HEAD + STEPS + 'deploy: {contract: {inputs: {a: bool}, output: "bool?"}}\n',
            "deploy.contract.output: 'bool?' is no type: did you mean 'bool'?; an answer is never null",
        ),
        (
            HEAD + STEPS + "deploy: {contract: {inputs: {a: bool}, output: {low: 3}}}\n",
            "deploy.contract.output: column 'low' must have a type",
        ),
        (
            HEAD + STEPS + "deploy: {contract: {inputs: {}, outputs: bool}}\n",
            "deploy.contract: unknown key 'outputs': did you mean 'output'?",
        ),
        (HEAD + STEPS + "deploy: {log: {sample: 0%}}\n", "deploy.log.sample: '0%' is no share"),
        (
            HEAD + STEPS + "deploy: {log: {smaple: 10%}}\n",
            "deploy.log: unknown key 'smaple': did you mean 'sample'?",
        ),
        (HEAD + STEPS + "deploy: {gates: []}\n", "deploy.gates: is empty"),
        (HEAD + STEPS + "deploy: {endpoint: Demand}\n", "deploy.endpoint: 'Demand' is not a usable name"),
        (HEAD + STEPS + "tables: {x: {step: train}}\n", "tables.x: `table` is missing"),
        (
            HEAD + STEPS + "tables: {x: {step: trian, table: y}}\n",
            "tables.x.step: there is no step 'trian': did you mean",
        ),
        (HEAD + STEPS + "parameters: [a]\n", "parameters: must be a mapping"),
        ("name: a\nowner: ''\n" + STEPS, "line 2: owner: '' is no name"),
        ("name: a\nowner: 3\n" + STEPS, "line 2: owner: must be a text, not 3"),
        ("name: no-dashes\nowner: x\n" + STEPS, "'no-dashes' is not a usable name"),
        ("name: \u0661\nowner: x\n" + STEPS, "is not a usable name"),
        ("", "pipeline.yaml is empty"),
        ("- a", "holds a list"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("{kind: baselin, metric: rmse}", "unknown gate kind 'baselin': did you mean 'baseline'?"),
        ("{metric: rmse}", "`kind` is missing"),
        ("3", "must be a mapping, not 3"),
        ("{kind: baseline, metric: rmse}", "`better_than` is missing"),
        (
            "{kind: baseline, metric: rmse, better_then: p}",
            "unknown key 'better_then': did you mean 'better_than'?",
        ),
        ("{kind: baseline, metric: rmse, better_than: rmse}", "`metric` and `better_than` are both 'rmse'"),
        (
            "{kind: baseline, metric: revenue, better_than: p}",
            "add `direction: minimize` or `direction: maximize`",
        ),
        (
            "{kind: baseline, metric: rmse, better_than: p, direction: maximize}",
            "'rmse' is better when it is minimized",
        ),
        ("{kind: baseline, metric: a, better_than: p, direction: up}", "gates[0].direction"),
        ("{kind: baseline, metric: rmse, better_than: p, margin: lots}", "'lots' is no margin"),
        ("{kind: baseline, metric: rmse, better_than: p, margin: 100%}", "less than 1, not '100%'"),
        (
            "{kind: baseline, metric: rmse, better_than: p, margin: -0.1}",
            "greater than or equal to 0, not -0.1",
        ),
        ("{kind: baseline, metric: r m s e, better_than: p}", "is not a metric's name"),
        ("{kind: threshold, metric: rmse}", "needs `min`, `max` or both"),
        ("{kind: threshold, metric: rmse, min: 2, max: 1}", "nothing could pass"),
        ("{kind: threshold, metric: rmse, max: '5'}", "must be a number, not '5'"),
        ("{kind: threshold, metric: rmse, max: 1e999}", "finite number, not inf"),
        ("{kind: threshold, metric: rmse, max: true}", "must be a number, not True"),
        (
            "{kind: threshold, metric: rmse, max: 5, within: 3 sigma}",
            "min, max); gates of kind history, profile have it",
        ),
    ],
)
def test_wrong_gates_are_told_with_their_place(gate: str, message: str) -> None:
    said = refusal(f"{HEAD}{STEPS}deploy:\n  gates:\n    - {gate}\n")
    assert message in said
    assert "line 7: deploy.gates[0]" in said


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ("{}", "deploy.rollout: `kind` is missing: canary, ab, shadow, bandit"),
        ("{kind: canery}", "deploy.rollout: unknown kind of rollout 'canery': did you mean 'canary'?"),
        ("canary", "deploy.rollout: must be a mapping, not 'canary'"),
        ("{kind: canary, steps: [5%]}", "deploy.rollout: `watch` is missing: how long each step is watched"),
        ("{kind: canary, watch: 10m}", "deploy.rollout: `steps` is missing"),
        ("{kind: canary, watch: 10m, steps: []}", "deploy.rollout.steps: is empty"),
        ("{kind: canary, watch: 10m, steps: [5%, 5%]}", "`steps` must rise; 0.05 comes after 0.05"),
        ("{kind: canary, watch: 10m, steps: [5%, 101%]}", "deploy.rollout.steps[1]: '101%' is no share"),
        ("{kind: canary, watch: 10m, steps: [0]}", "deploy.rollout.steps[0]: 0 is no share"),
        ("{kind: canary, watch: 10, steps: [1]}", "deploy.rollout.watch: must be a text, not 10"),
        ("{kind: canary, watch: 1m, steps: [1], share: 5%}", "deploy.rollout: unknown key 'share'"),
        ("{kind: ab, share: true}", "deploy.rollout.share: True is no share"),
        ("{kind: ab, requests: 0}", "deploy.rollout.requests"),
        (
            "{kind: shadow, abort_on: {p99: 5}}",
            "deploy.rollout.abort_on: unknown key 'p99': did you mean 'p99_ms'?",
        ),
        ("{kind: shadow, abort_on: {error_rate: 1.5}}", "deploy.rollout.abort_on.error_rate"),
        ("{kind: bandit, floor: 60%}", "deploy.rollout.floor"),
    ],
)
def test_wrong_rollouts_are_told_with_their_place(rollout: str, message: str) -> None:
    said = refusal(f"{HEAD}{STEPS}deploy:\n  rollout: {rollout}\n")
    assert message in said
    assert "line 6: deploy.rollout" in said


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        ("{on: [sometimes]}", "deploy.fallback.on[0]"),
        ("{on: []}", "deploy.fallback.on: is empty"),
        ("{on: [stale]}", "`on` names 'stale', but `stale_after` does not say how old is stale"),
        ("{on: [error], stale_after: 8d}", "`stale_after` says when, but `on` does not name 'stale'"),
        ("{on: [error], timeout: 250ms}", "`timeout` says when, but `on` does not name 'timeout'"),
        ("{timeout: 5m}", "deploy.fallback.timeout: '5m' is no latency; write a whole number and a unit"),
        ("{after: 8d}", "deploy.fallback: unknown key 'after'"),
    ],
)
def test_wrong_fallbacks_are_told_with_their_place(fallback: str, message: str) -> None:
    assert message in refusal(f"{HEAD}{STEPS}deploy:\n  fallback: {fallback}\n")


def test_the_policies_that_serving_is_told() -> None:
    deploy = parse_pipeline(HEAD + STEPS).deploy
    assert (deploy.fallback.policy, deploy.log.policy) == (FallbackPolicy(), LogPolicy())
    deploy = parse_pipeline(
        HEAD
        + STEPS
        + "deploy: {fallback: {stale_after: 8d, timeout: 250ms}, log: {sample: 10%, exclude: [name]}}"
    ).deploy
    assert deploy.fallback.policy == FallbackPolicy(
        on=["error", "timeout", "nan", "stale"], stale_after_seconds=691_200, timeout_seconds=0.25
    )
    assert deploy.log.policy == LogPolicy(sample=0.1, exclude=["name"])


def test_all_problems_are_told_at_once_in_order_of_their_lines() -> None:
    said = refusal("name: A\nowner: 1\nsteps:\n  a: {notebook: x, tune: 1}\nfoo: 1\n").splitlines()
    assert [line.split(":")[0] for line in said] == [
        f"pipeline.yaml, line {number}" for number in (1, 2, 4, 4, 5)
    ]


def test_the_whole_of_the_design_is_refused_key_by_key() -> None:
    said = refusal(
        HEAD
        + "schedule: {}\ntriggers: []\nmonitor: {}\ntune: {}\n"
        + "steps: {t: {notebook: t.ipynb, tune: {}, resources: {gpu: 1}}}\n"
    )
    refused = set(re.findall(r"`(\w+)` is not built yet", said))
    assert refused == {
        *("schedule", "triggers", "monitor", "tune", "gpu"),
    }


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("streaming: true", "Rasen has no streaming training (`streaming`)"),
        ("mode: streaming", "Rasen has no streaming training (`mode: streaming`)"),
        ("mode: distributed", "Rasen has no training that needs several machines for one model"),
        (
            "distributed: {}",
            "Rasen has no training that needs several machines for one model (`distributed`)",
        ),
        ("workers: 4", "needs several machines for one model (`workers`)"),
        ("nodes: 2", "needs several machines for one model (`nodes`)"),
        ("resources: {nodes: 2}", "needs several machines for one model (`nodes`)"),
    ],
)
def test_streaming_and_several_machines_are_refused_with_a_sentence(asked: str, sentence: str) -> None:
    assert sentence in refusal(HEAD + STEPS + asked)
    assert sentence in refusal(f"{HEAD}steps:\n  train:\n    notebook: t.ipynb\n    {asked}\n")


def test_steps_tables_and_parameters_may_have_such_names() -> None:
    text = (
        "name: streaming\nowner: x\nparameters: {workers: 3}\n"
        "steps: {distributed: {notebook: t.ipynb, parameters: {nodes: 1}}}\n"
        "tables: {workers: {step: distributed, table: nodes}}"
    )
    assert parse_pipeline(text).steps["distributed"].parameters == {"nodes": 1}


def test_another_mode_is_an_unknown_key() -> None:
    assert "unknown key 'mode'" in refusal(HEAD + STEPS + "mode: fast")


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"a": ["b"], "b": []}, None),
        ({"a": ["x"], "b": []}, "steps.a.needs[0]: there is no step 'x': known: 'b'"),
        ({"train": [], "b": ["trian"]}, "there is no step 'trian': did you mean 'train'?"),
        ({"a": ["a"]}, "the steps need one another in a circle: a needs a"),
        ({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"]}, "in a circle: a needs c needs b needs a"),
        ({"d": ["a"], "a": ["b"], "b": ["a"]}, "in a circle: a needs b needs a"),
        ({"a": [], "b": ["a", "a"]}, "steps.b.needs[1]: 'a' is named twice"),
    ],
)
def test_needs_must_make_an_order(needs: dict[str, list[str]], message: str | None) -> None:
    steps = {name: {"notebook": "t.ipynb", "needs": needed} for name, needed in needs.items()}
    text = json.dumps({"name": "a", "owner": "b", "steps": steps})
    if message is None:
        parse_pipeline(text)
    else:
        assert message in refusal(text)


@given(data=st.data(), count=st.integers(1, 8))
def test_the_order_of_steps_respects_needs_or_a_cycle_is_shown(data: st.DataObject, count: int) -> None:
    names = [f"s{index}" for index in range(count)]
    needs = {name: data.draw(st.lists(st.sampled_from(names), unique=True, max_size=3)) for name in names}
    steps = {name: {"notebook": "t.ipynb", "needs": needed} for name, needed in needs.items()}
    text = json.dumps({"name": "a", "owner": "b", "steps": steps})
    try:
        pipeline = parse_pipeline(text)
    except PipelineError as error:
        trail = str(error).split("circle: ")[1].split(";")[0].split(" needs ")
        assert trail[0] == trail[-1]
        assert all(later in needs[earlier] for earlier, later in pairwise(trail))
        return
    order = topological_order(pipeline)
    assert sorted(order) == sorted(names)
    assert all(order.index(need) < order.index(name) for name in names for need in needs[name])


def test_independent_steps_keep_the_order_of_the_file() -> None:
    text = (
        HEAD + "steps: {z: {notebook: a.ipynb}, m: {notebook: a.ipynb, needs: [a]}, a: {notebook: a.ipynb}}"
    )
    assert topological_order(parse_pipeline(text)) == ("z", "a", "m")


def test_a_chain_longer_than_the_stack_is_checked() -> None:
    names = [f"s{index}" for index in range(1500)]
    steps = {name: {"notebook": "t.ipynb", "needs": [after]} for name, after in pairwise(names)}
    steps[names[-1]] = {"notebook": "t.ipynb", "needs": [names[0]]}
    assert "in a circle" in refusal(json.dumps({"name": "a", "owner": "b", "steps": steps}))


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("90s", timedelta(seconds=90)),
        ("20m", timedelta(minutes=20)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
    ],
)
def test_durations(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


def test_the_published_schema_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema_text(), (
        "write it anew: python -c 'from rasen.pipeline import *; SCHEMA_FILE.write_text(json_schema_text())'"
    )


def test_the_published_schema_agrees_with_the_model() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(parse_yaml(FULL).data))
    wrong: list[dict[str, Any]] = [  # Any: YAML
        {"ownr": "x"},
        {"name": "No"},
        {"steps": {"t": {"notebook": "/t.ipynb"}}},
        {"steps": {"t": {"notebook": "t.ipynb", "timeout": "20 min"}}},
        {"deploy": {"gates": [{"kind": "baseline", "metric": "rmse"}]}},
        {"deploy": {"gates": [{"kind": "champion", "metrik": "rmse"}]}},
        {"deploy": {"gates": [{"kind": "slice", "metric": "rmse"}]}},
        {"deploy": {"gates": []}},
    ]
    for change in wrong:
        assert list(validator.iter_errors(parse_yaml(FULL).data | change)), change


def test_each_key_is_described_for_editors() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model.get("properties", {}).items():
            assert name == "kind" or field.get("description"), f"{model.get('title')}.{name}"
