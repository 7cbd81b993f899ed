"""The API is what its OpenAPI document says: schemathesis tries every operation with what fits it, and with what does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.api.application import openapi_document
from monitor.store.token_ledger import Scope
from tests.apis import Api, opened

EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
REFUSED = [*CHECKS, negative_data_rejection]


DOCUMENT = openapi_document()
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]
WITH_INPUT = [
    (method, path)
    for method, path in OPERATIONS
    if {"parameters", "requestBody"} & set(DOCUMENT["paths"][path][method])
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with opened(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture(scope="module")
def schema(api: Api) -> BaseSchema:
    # Every try has a token, so that it is what is tried that decides; tests/unit/api/test_access.py is about tokens.
    document = json.loads(api.client.get("/openapi.json").text)
    for item in document["paths"].values():
        for operation in item.values():
            del operation["security"]
    loaded = schemathesis.openapi.from_dict(document)
    loaded.app, loaded.location = api.app, "/openapi.json"
    return loaded


def there(api: Api) -> dict[str, str]:
    """Return the parts of addresses at which there is something now."""
    now = api.clock.now()
    labels = {"alertname": "Drift", "model": "flights", "severity": "warning"}
    alert = Alert(labels, {}, AlertState.FIRING, Origin.ALERTMANAGER, now, active_at=now, fired_at=now)
    live = api.ledger.retrains.live("flights") or api.running()
    return {
        "model": "flights",
        "fingerprint": api.ledger.alerts.take(alert, now).fingerprint,
        "retrain_id": live.retrain_id,
        "silence_id": api.ledger.silences.add('a="b"', now, now.replace(year=2100), "a test", "why", now),
    }


def tried(api: Api, operation: Any, mode: GenerationMode, checks: list[Any], **fixed: Any) -> None:
    headers = {"Authorization": f"Bearer {api.tokens[Scope.ADMIN]}"}

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(mode, **fixed))
    def holds(case: Case[Any]) -> None:
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=checks)

    holds()


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=str)
def test_what_fits_is_answered_as_documented(api: Api, schema: BaseSchema, method: str, path: str) -> None:
    tried(api, schema[path][method], GenerationMode.POSITIVE, CHECKS)


@pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if "{" in each[1]], ids=str)
def test_what_fits_something_that_is_there_is_answered_as_documented(
    api: Api, schema: BaseSchema, method: str, path: str
) -> None:
    names = {name: value for name, value in there(api).items() if f"{{{name}}}" in path}
    tried(api, schema[path][method], GenerationMode.POSITIVE, CHECKS, path_parameters=names)


@pytest.mark.parametrize(("method", "path"), WITH_INPUT, ids=str)
def test_what_does_not_fit_is_refused_as_documented(api: Api, schema: BaseSchema, method: str, path: str) -> None:
    tried(api, schema[path][method], GenerationMode.NEGATIVE, REFUSED)
