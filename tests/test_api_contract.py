"""The control API against its own description: whatever that allows, or does not, is no 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from stand.control import ControlHome, write_shop

Case = schemathesis.Case[Any]
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> ControlHome:
    folder = tmp_path_factory.mktemp("contract")
    home = ControlHome(folder / "home")
    home.order(write_shop(folder), request="one")
    return home


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_is_answered_by_a_server_error_or_otherwise_than_described(
    home: ControlHome, mode: GenerationMode
) -> None:
    described = schemathesis.openapi.from_dict(home.ask("GET", "/openapi.json").json())
    asked = 0
    statuses: set[int] = set()
    for found in described.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue  # it goes on; test_api_events.py follows it

        @settings(
            max_examples=8,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Case) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(app=home.app, headers={"Authorization": f"Bearer {home.token}"})
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        try:
            ask()
        except Unsatisfiable:
            continue  # a route without anything to break
    assert asked > 50
    assert {200, 404} <= statuses if mode is GenerationMode.POSITIVE else {404, 422} <= statuses


def test_the_description_is_for_people_too(home: ControlHome) -> None:
    document = home.ask("GET", "/openapi.json").json()
    assert document["security"] == [{"token": []}]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path}"
            assert {"401", "404", "422", "503"} <= set(operation["responses"]), path
    assert len(document["components"]["schemas"]["RunOrder"]["examples"]) == 2
    assert home.ask("GET", "/docs").status_code == 200
    for name in ("docs.js", "swagger-ui-bundle.js", "swagger-ui.css"):
        assert home.ask("GET", f"/docs/{name}").status_code == 200
    assert home.ask("GET", "/docs/other.js").status_code == 404
