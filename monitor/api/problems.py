"""Errors as RFC 9457 problem documents, of one line each; changes with which error is which status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from monitor.errors import Backpressure, DriftlineError, InputError, StaleClaim, TransientError
from monitor.jobs.retrain.events import NotAllowed, UnknownRetrain
from monitor.store.alert_ledger import NotFiring, UnknownAlert
from monitor.store.retrain_ledger import KeyReused, LiveRetrain
from monitor.store.silence_ledger import UnknownSilence

MEDIA_TYPE = "application/problem+json"
_SHOWN = 3
"""Of what is wrong with a body, more would not be read as one line."""

_log = structlog.get_logger(__name__)


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it; the type is always `about:blank`: the status says it all."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What was wrong, in one line.")


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as an answer."""
    line = " ".join(detail.split())
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=line).model_dump_json()
    return Response(body, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Have the app answer errors with problems; what nobody foresaw is left to `monitor.api.guard`."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DriftlineError, _ours)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - installed for these alone
    return problem(error.status_code, str(error.detail), error.headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - installed for these alone
    return problem(422, in_one_line(error.errors()))


async def _ours(_request: Request, error: Exception) -> Response:
    if isinstance(error, StaleClaim):
        return problem(503, "the ledger was changed by somebody else meanwhile; try again", {"Retry-After": "1"})
    if isinstance(error, TransientError | Backpressure):
        # What a database says of itself may name hosts and files: that is for the log.
        _log.warning("request_postponed", reason=str(error))
        return problem(503, "the ledger, or what it needs, does not answer now; try again", {"Retry-After": "5"})
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return problem(status, str(error))
    raise error


_STATUSES: tuple[tuple[type[InputError], int], ...] = (
    (UnknownAlert, 404),
    (UnknownRetrain, 404),
    (UnknownSilence, 404),
    (NotAllowed, 409),
    (NotFiring, 409),
    (LiveRetrain, 409),
    (KeyReused, 422),
    (InputError, 422),
)


def in_one_line(errors: Sequence[Any]) -> str:
    """Return what is wrong with a request; names where, and never repeats a value from it that pydantic did not name."""
    told = [f"{_where(each['loc'])}: {_what(each)}" for each in errors[:_SHOWN]]
    more = len(errors) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _where(place: Sequence[Any]) -> str:
    """Return where something is wrong; keys of a body may be long, since whoever wrote it chose them."""
    return ".".join(str(part)[:80] for part in place)


def _what(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"not JSON: {error['ctx']['error']}"
    said = str(error["msg"]).removeprefix("Value error, ")
    return said[:1].lower() + said[1:]
