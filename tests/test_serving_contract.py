"""The service against its own description: whatever the OpenAPI document allows, or does not, is no 5xx.

Schemathesis makes the requests: valid ones, and such as break one rule of the schema each. Every answer must be of a
status and a shape that the document names.
"""

from typing import Any

import pandas as pd
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from rasen.model.profile import Profile
from rasen.settings import load_settings
from rasen.store import open_store
from rasen_serving.app import create_app
from stand.app import App
from stand.versions import publish_and_deploy

Case = schemathesis.Case[Any]
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
EXAMPLE = pd.DataFrame(
    {
        "kind": ["short", "long"],
        "count": [1, 2],
        "delay": [20.5, None],
        "day": pd.to_datetime(["2013-01-31", "2013-02-01"]),
        "at": pd.to_datetime(["2013-01-31T06:00:00Z", "2013-02-01T06:00:00Z"]),
        "first": [True, False],
    }
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), environment="dev")
    store = open_store(settings)
    publish_and_deploy(
        store,
        settings,
        number=1,
        model=lambda frame: frame["count"] * 0.5,
        example=EXAMPLE,
        profile=Profile(by=("kind",), levels={}, default=1.5),
    )
    app = App(store, settings)
    app.bring_up()
    return app


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_is_answered_by_a_server_error_or_otherwise_than_described(
    app: App, mode: GenerationMode
) -> None:
    asgi = create_app(app.service)
    described = schemathesis.openapi.from_dict(app.call("GET", "/openapi.json").json())
    asked = 0
    for found in described.get_all_operations():
        assert isinstance(found, Ok), found

        @settings(
            max_examples=30,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
        )
        @given(case=found.ok().as_strategy(generation_mode=mode))
        def ask(case: Case) -> None:
            nonlocal asked
            asked += 1
            case.validate_response(case.call(app=asgi), checks=CHECKS)

        try:
            ask()
        except Unsatisfiable:
            continue  # a route without anything to break
    assert asked > 50
