"""The OpenAPI document and the page made of it: problems instead of the framework's own errors; changes with what those say."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from monitor.api.problems import MEDIA_TYPE, Problem

TITLE = "Driftline"
DESCRIPTION = (
    "What is monitored, what was found, what fires, what is done about it. Every address under /v1 needs a token "
    "(`Authorization: Bearer TOKEN`, from `driftline token create`) with the scope named here, or a larger one."
)
_ERRORS = {
    "400": "The address or the body cannot be read.",
    "401": "No token, or a wrong one.",
    "403": "The token's scope is too small.",
    "404": "There is none of this name.",
    "408": "The body did not arrive in time.",
    "409": "Not in this state.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The request is not as described here.",
    "429": "Too many wrong tokens; wait as long as Retry-After says.",
    "503": "The ledger does not answer now; try again after Retry-After.",
}
_ANYWHERE = ("400", "401", "403", "422", "429", "503")
_WITH_BODY = ("408", "413", "415")


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _described(app)
    return app.openapi_schema


def _described(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=TITLE, version=version("driftline"), description=DESCRIPTION, routes=app.routes)
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    document["components"]["responses"] = {f"Problem{status}": _problem(text) for status, text in _ERRORS.items()}
    for _, _, operation in operations(document):
        answers = operation["responses"]
        wanted = [*_ANYWHERE, *(_WITH_BODY if "requestBody" in operation else ())]
        for status in (*wanted, *(each for each in list(answers) if each in _ERRORS)):
            answers[status] = {"$ref": f"#/components/responses/Problem{status}"}
        operation["responses"] = dict(sorted(answers.items()))
    return document


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and operation of a document, in its order."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def by_tag(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the operations as the page lists them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, method, operation in operations(document):
        parameters = [each["name"] for each in operation.get("parameters", []) if each["in"] != "path"]
        groups.setdefault(operation["tags"][0], []).append(
            {
                "method": method.upper(),
                "path": path,
                "scope": operation["x-scope"],
                "parameters": parameters,
                "text": operation["description"].splitlines()[0],
            }
        )
    return groups
