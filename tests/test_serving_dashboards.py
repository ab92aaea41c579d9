"""The Grafana dashboard and the alerts: what they ask for is what `/metrics` exposes, and nothing exposed is forgotten.

With `promtool` on the PATH (Debian: `prometheus`) every query is parsed, and alerts are tried on made-up series.
"""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.counts import Counts
from rasen_serving.exposition import expose
from rasen_serving.fleet import Fleet, Nursery
from rasen_serving.messages import Compared, Series
from rasen_serving.residency import Residency
from rasen_serving.revisions import Revisions
from rasen_serving.spool import Spool
from rasen_serving.switching import Endpoint, Switching
from stand.repository import ROOT
from stand.versions import publish_and_deploy

CHART = ROOT / "helm" / "rasen"
DASHBOARD: dict[str, Any] = json.loads((CHART / "dashboards" / "serving.json").read_text())
ALERTS: dict[str, Any] = yaml.safe_load((CHART / "alerts" / "serving.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]

# What Prometheus adds to everything that it scrapes.
SCRAPED = {"job", "instance"}
# Exposed, and in neither of the two on purpose, with the reason.
UNUSED: dict[str, str] = {}

STRING = r'"(?:[^"\\]|\\.)*"'


@dataclass(frozen=True)
class Query:
    """An expression, and the labels that its legend or its annotations name."""

    where: str
    text: str
    named: frozenset[str] = frozenset()

    @property
    def metrics(self) -> set[str]:
        return set(re.findall(r"\brasen_[a-z0-9_]+", re.sub(STRING, "", self.text)))

    def labels(self) -> Iterator[tuple[set[str], str]]:
        """Yield each label with the metrics that must have it, one of them at least."""
        for metric, matchers in re.findall(r"(rasen_[a-z0-9_]+)\{([^}]*)\}", self.text):
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(STRING, "", matchers)):
                yield {metric}, label
        for listed in re.findall(r"(?:by|on|group_left|without)\s*\(([^)]*)\)", self.text):
            for label in filter(None, map(str.strip, listed.split(","))):
                yield self.metrics, label
        for label in self.named:
            yield self.metrics, label


def queries() -> list[Query]:
    found = []
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            named = frozenset(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            found.append(Query(f"panel {panel['title']}", target["expr"], named))
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert asked is not None, variable
            found.append(Query(f"variable {variable['name']}", asked[1], frozenset({asked[2]})))
    found += [
        Query(
            f"annotation {one['name']}",
            one["expr"],
            frozenset(re.findall(r"\{\{(\w+)\}\}", one["titleFormat"])),
        )
        for one in DASHBOARD["annotations"]["list"]
    ]
    for rule in RULES:
        said = " ".join(rule["annotations"].values())
        named = frozenset(re.findall(r"\$labels\.(\w+)", said))
        found.append(Query(f"alert {rule['alert']}", rule["expr"], named))
    return found


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the labels of every metric of a supervisor with one live endpoint that has seen everything."""
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(settings)
    publish_and_deploy(store, settings, number=1)
    with socket.socket() as listener:
        fleet = _Busy(settings, Nursery(settings, listener), spool=Spool(settings).folder)
        revisions = Revisions(store, settings)
        residency = Residency(max_bytes=settings.models_max_bytes, eager=settings.eager_endpoints)
        switching = Switching(revisions, fleet, residency, changed=lambda: None)
        live = revisions.resolve("demand", 1)
        switching.endpoints["demand"] = Endpoint(newest=1, live=live)
        for _ in range(2):
            switching.quarantine.note_death(live.revision.champion, "killed")
        spool = Spool(settings)
        text = expose(fleet=fleet, switching=switching, spool=spool, restarts=0, distrusted={}).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    assert len(found) > 15
    return found


class _Busy(Fleet):
    """Workers that have answered, and compared a shadow."""

    def totals(self) -> list[list[Series]]:
        counts = Counts()
        counts.add(
            endpoint="demand",
            model="run",
            role="champion",
            revision=1,
            status=200,
            source="model",
            reason="",
            rows=1,
            seconds=0.001,
        )
        return [counts.series()]

    def compared(self) -> list[Compared]:
        return [
            Compared(
                endpoint="demand", model="run", revision=1, answers=2, equal=1, difference=0.5, dropped=1
            )
        ]


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.where)
def test_a_query_asks_for_what_is_exposed(query: Query, exposed: dict[str, set[str]]) -> None:
    assert query.metrics
    assert query.metrics <= set(exposed)
    for metrics, label in query.labels():
        assert label in SCRAPED or any(label in exposed[metric] for metric in metrics), label


def test_everything_exposed_is_looked_at(exposed: dict[str, set[str]]) -> None:
    used = {metric for query in queries() for metric in query.metrics}
    assert set(exposed) - used == set(UNUSED)
    assert all(UNUSED.values())


def test_shadows_are_no_callers() -> None:
    """A shadow's answers are counted beside those that were returned: who sums over variants must leave them out."""
    for query in queries():
        for metric, matchers in re.findall(r"(rasen_serving_(?:requests|rows)_total)\{([^}]*)\}", query.text):
            narrowed = re.search(
                r"variant|source=\"champion\"|source=~|status=\"429\"|401|breaker|stale", matchers
            )
            assert narrowed, f"{query.where}: {metric}{{{matchers}}}"


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"], panel["title"]
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    asked = set(re.findall(r"\$\{?(\w+)\}?", json.dumps([panel.get("targets") for panel in panels])))
    assert asked <= variables | {"__rate_interval"}


def test_each_alert_says_what_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "what_to_do"}, rule["alert"]


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed here; the package prometheus brings it")
    return found


def test_queries_parse(tmp_path: Path) -> None:
    tool = promtool()
    rules = [
        {
            "record": f"a:b{number}",
            "expr": query.text.replace("$__rate_interval", "5m")
            .replace("$job", ".*")
            .replace("$endpoint", ".*"),
        }
        for number, query in enumerate(queries())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    subprocess.run([tool, "check", "rules", path], check=True, capture_output=True)
    subprocess.run(
        [tool, "check", "rules", CHART / "alerts" / "serving.yaml"], check=True, capture_output=True
    )


def answered(**labels: str) -> str:
    """Return a series of answered requests."""
    named = {"job": "r", "endpoint": "e", "variant": "champion", **labels}
    text = ",".join(f'{name}="{value}"' for name, value in named.items())
    return f"rasen_serving_requests_total{{{text}}}"


# Series of an hour, the alerts that they fire then, and those that they must not.
CASES = {
    "well": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            answered(status="200", source="model"): "0+600x60",
            answered(variant="shadow", status="503", source=""): "0+600x60",
            'rasen_serving_ledger_number{job="r",endpoint="e"}': "4x60",
            'rasen_serving_revision{job="r",endpoint="e"}': "4x60",
            'rasen_serving_log_spooled_rows{job="r",instance="i"}': "9x60",
            'rasen_serving_log_rows_total{job="r",instance="i",outcome="shipped"}': "0+600x60",
        },
        set[str](),
    ),
    "gone": ({}, {"RasenServingGone"}),
    "failing": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            answered(status="200", source="model"): "0+900x60",
            answered(status="503", source=""): "0+100x60",
        },
        {"RasenServingFailing"},
    ),
    "stands in": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            answered(status="200", source="model"): "0+900x60",
            answered(status="200", source="profile", fallback="nan"): "0+100x60",
        },
        {"RasenServingProfileAnswers"},
    ),
    "refused": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            'rasen_serving_ledger_number{job="r",endpoint="e"}': "5x60",
            'rasen_serving_revision{job="r",endpoint="e"}': "4x60",
            'rasen_serving_refused{job="r",endpoint="e"}': "1x60",
        },
        {"RasenServingRefused"},
    ),
    "behind": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            'rasen_serving_ledger_number{job="r",endpoint="e"}': "5x60",
            'rasen_serving_revision{job="r",endpoint="e"}': "4x60",
            'rasen_serving_refused{job="r",endpoint="e"}': "0x60",
        },
        {"RasenServingBehindLedger"},
    ),
    "distrusted": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            'rasen_serving_distrusted{job="r",endpoint="e"}': "1x60",
        },
        {"RasenServingDistrusted"},
    ),
    "log": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            'rasen_serving_log_spooled_rows{job="r",instance="i"}': "5+5x60",
            'rasen_serving_log_rows_total{job="r",instance="i",outcome="shipped"}': "7x60",
            'rasen_serving_log_rows_total{job="r",instance="i",outcome="dropped"}': "0+1x60",
        },
        {"RasenServingLogStuck", "RasenServingLogLosesRows"},
    ),
    "slow": (
        {
            'rasen_serving_workers{job="r"}': "2x60",
            'rasen_serving_latency_seconds_bucket{job="r",endpoint="e",le="0.5"}': "0+98x60",
            'rasen_serving_latency_seconds_bucket{job="r",endpoint="e",le="1.0"}': "0+100x60",
            'rasen_serving_latency_seconds_bucket{job="r",endpoint="e",le="+Inf"}': "0+100x60",
        },
        {"RasenServingSlow"},
    ),
}


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    tool = promtool()
    bare = tmp_path / "alerts.yaml"
    rules = [{key: rule[key] for key in ("alert", "expr", "for") if key in rule} for rule in RULES]
    bare.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    # The rules without words and labels: what fires is then told by its name and its own labels alone.
    tests = []
    for name, (series, fired) in CASES.items():
        checks = [
            {
                "expr": f'count(ALERTS{{alertstate="firing", alertname="{rule["alert"]}"}}) > 0',
                "eval_time": "45m",
            }
            | {"exp_samples": [{"labels": "{}", "value": 1}] if rule["alert"] in fired else []}
            for rule in RULES
        ]
        tests.append(
            {
                "name": name,
                "interval": "1m",
                "input_series": [{"series": key, "values": values} for key, values in series.items()],
                "promql_expr_test": checks,
            }
        )
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(bare)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([tool, "test", "rules", path], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
