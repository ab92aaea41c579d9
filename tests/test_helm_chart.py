"""The chart: its values, schema and templates name the same things; with the real helm (marker `helm`) it renders.

What must hold of the objects is said once, in `check_objects`, and asked of the defaults and of the lint values.
"""

import copy
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from rasen.settings_model import Settings
from stand.helm import KUBERNETES_VERSIONS, fetch_helm, fetch_validator

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "rasen"
LINT_VALUES = CHART / "ci" / "lint-values.yaml"
TEMPLATES = sorted(
    [*CHART.glob("templates/*.yaml"), *CHART.glob("templates/*.tpl"), *CHART.glob("templates/*.txt")]
)
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
OPERATOR = "monitoring.coreos.com/v1"
REFERENCE = re.compile(r"\.Values((?:\.[A-Za-z]+)+)")


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the dotted path of every value that the schema allows; free maps and lists are one value."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    if not schema.get("properties"):
        yield path
    for name, part in schema.get("properties", {}).items():
        yield from leaves(part, f"{path}.{name}")


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from objects(part)


def references() -> set[str]:
    return {reference for path in TEMPLATES for reference in REFERENCE.findall(path.read_text())}


def covers(reference: str, leaf: str) -> bool:
    return leaf == reference or leaf.startswith(f"{reference}.")


def value_at(values: dict[str, Any], path: str) -> Any:
    found: Any = values
    for name in path.strip(".").split("."):
        found = found[name]
    return found


def test_chart_has_the_version_of_the_distribution() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


@pytest.mark.parametrize("path", [CHART / "values.yaml", LINT_VALUES], ids=lambda path: path.name)
def test_values_fit_the_schema(path: Path) -> None:
    Draft7Validator.check_schema(SCHEMA)
    Draft7Validator(SCHEMA).validate(yaml.safe_load(path.read_text()))


def test_schema_refuses_what_it_does_not_know() -> None:
    assert [schema for schema in objects(SCHEMA) if "additionalProperties" not in schema] == []
    for path in ("", "image", "store", "trust", "resources.limits"):
        values = copy.deepcopy(VALUES)
        (value_at(values, path) if path else values)["unknown"] = 1
        assert not Draft7Validator(SCHEMA).is_valid(values), path


def test_every_value_of_the_schema_is_used_in_a_template() -> None:
    used = references()
    assert [leaf for leaf in leaves(SCHEMA) if not any(covers(reference, leaf) for reference in used)] == []


def test_every_value_in_a_template_is_in_the_schema_and_has_a_default() -> None:
    known = set(leaves(SCHEMA))
    for reference in references():
        assert any(covers(reference, leaf) for leaf in known), reference
        value_at(VALUES, reference)


def test_lint_values_differ_from_every_default() -> None:
    lint_values = yaml.safe_load(LINT_VALUES.read_text())
    # Switched on in both: what a `false` leaves out is rendered by a case of its own below.
    switches = {".serviceAccount.create", ".podDisruptionBudget.enabled"}
    same = {
        leaf
        for leaf in leaves(SCHEMA)
        if value_at_or_none(VALUES, leaf) == value_at_or_none(lint_values, leaf)
    }
    assert same == switches


def value_at_or_none(values: dict[str, Any], path: str) -> Any:
    try:
        return value_at(values, path)
    except KeyError:
        return None


def test_settings_in_the_deployment_exist() -> None:
    names = re.findall(r"name: RASEN_([A-Z_]+)", (CHART / "templates/deployment.yaml").read_text())
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def test_command_in_the_deployment_exists() -> None:
    assert "command: [rasen, serve]" in (CHART / "templates/deployment.yaml").read_text()
    assert "serve" in {point.name for point in entry_points(group="rasen.commands")}


def render(*arguments: str) -> str:
    command = [str(fetch_helm()), "template", "rasen", str(CHART), "--kube-version", "1.35.0", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def check_objects(rendered: str) -> dict[str, dict[str, Any]]:
    """Check what must hold whatever the values are; return the objects by kind and name."""
    found = [document for document in yaml.safe_load_all(rendered) if document is not None]
    named = {f"{document['kind']}/{document['metadata']['name']}": document for document in found}
    assert len(named) == len(found)
    deployment = named["Deployment/rasen-serving"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert set(container["resources"]) == {"requests", "limits"}
    assert pod["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    for name, document in named.items():
        selector = document["spec"].get("selector", {}) if "spec" in document else {}
        assert (selector.get("matchLabels", selector)).items() <= labels.items(), name
    trust = json.loads(named["ConfigMap/rasen-trust"]["data"]["trust.json"])
    assert set(trust) == {"format", "keys"}
    return named


@pytest.mark.helm
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--values", str(LINT_VALUES)),
        ("--set", "serviceAccount.create=false,podDisruptionBudget.enabled=false,image.tag=next"),
    ],
    ids=["defaults", "lint-values", "switched-off"],
)
def test_chart_renders_valid_objects(arguments: tuple[str, ...], tmp_path: Path) -> None:
    helm = str(fetch_helm())
    subprocess.run([helm, "lint", "--strict", "--quiet", str(CHART), *arguments], check=True)
    rendered = render(*arguments)
    # Those of the Prometheus operator are no objects of Kubernetes; `test_monitoring_is_what_its_files_say` has them.
    own = [one for one in check_objects(rendered).values() if one["apiVersion"] != OPERATOR]
    path = tmp_path / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(own))
    for version in KUBERNETES_VERSIONS:
        subprocess.run([fetch_validator(), "--strict", "--quiet", "-k", version, path], check=True)


@pytest.mark.helm
def test_every_file_of_the_chart_renders_in_one_of_the_cases() -> None:
    sources = set(re.findall(r"# Source: rasen/(\S+)", render() + render("--values", str(LINT_VALUES))))
    assert sources == {f"templates/{path.name}" for path in CHART.glob("templates/*.yaml")}


@pytest.mark.helm
def test_switches_leave_their_objects_out() -> None:
    on = check_objects(render())
    off = check_objects(render("--set", "serviceAccount.create=false,podDisruptionBudget.enabled=false"))
    assert set(on) - set(off) == {"ServiceAccount/rasen", "PodDisruptionBudget/rasen-serving"}
    assert off["Deployment/rasen-serving"]["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    claimed = check_objects(render("--set", "store.existingClaim=mine"))
    assert set(on) - set(claimed) == {"PersistentVolumeClaim/rasen-store"}


@pytest.mark.helm
def test_monitoring_is_what_its_files_say() -> None:
    off = check_objects(render())
    named = check_objects(render("--values", str(LINT_VALUES)))
    assert not [name for name in off if name.startswith(("PrometheusRule/", "ServiceMonitor/"))]
    assert "ConfigMap/rasen-dashboard" not in off
    dashboard = named["ConfigMap/rasen-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "yes"
    assert json.loads(dashboard["data"]["rasen-serving.json"]) == json.loads(
        (CHART / "dashboards" / "serving.json").read_text()
    )
    rule = named["PrometheusRule/rasen-serving"]
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load((CHART / "alerts" / "serving.yaml").read_text())
    monitor = named["ServiceMonitor/rasen-serving"]["spec"]
    (scraped,) = monitor["endpoints"]
    services = [
        one
        for one in named.values()
        if one["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
        and any(port["name"] == scraped["port"] for port in one["spec"]["ports"])
    ]
    assert [one["metadata"]["name"] for one in services] == ["rasen-serving-admin"]


@pytest.mark.helm
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("replica=2", "additional property replica is not allowed"),
        ("replicas=0", "replicas"),
        ("environment=production", "environment"),
        ("image.digest=sha256:12", "image.digest"),
        ("trust.keys[0].key_id=x", "role"),
    ],
)
def test_helm_refuses_values_that_do_not_fit(setting: str, said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render("--set", setting)
    assert said in refused.value.stderr.lower()
