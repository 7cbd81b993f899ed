"""Routes: what each looks at before it answers (token, parameters, kind of body), and how a body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, cast

import orjson
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from typing_extensions import override

from monitor.api.access import admit, office_of
from monitor.api.guard import ROUTE
from monitor.api.metrics import ApiMetrics
from monitor.config.settings import Settings
from monitor.store.ledger import Ledger
from monitor.store.token_ledger import Scope


@dataclass(frozen=True, slots=True)
class Call:
    """One request of somebody who may make it; `now` is read once.

    Attributes:
        actor: what the audit log calls the caller.
    """

    settings: Settings
    ledger: Ledger
    metrics: ApiMetrics
    actor: str
    now: datetime

    def by(self, name: str | None) -> str:
        """Return the caller, with the name of the person where one is given: the token is what is known for certain."""
        return f"{name} ({self.actor})" if name else self.actor


class StrictRequest(Request):
    """A request whose JSON is JSON: no NaN, no infinity, no half a surrogate, and no NUL, which PostgreSQL keeps nowhere."""

    @override
    async def json(self) -> Any:
        """Return the body read as JSON; raises json.JSONDecodeError."""
        body = await self.body()
        read = orjson.loads(body)
        if b"\\u0000" in body and _has_nul(read):
            raise orjson.JSONDecodeError("a text holds a NUL", "", 0)
        return read


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


class NamedRoute(APIRoute):
    """A route that says which it is, for metrics."""

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def named(request: Request) -> Response:
            request.scope[ROUTE] = self.path
            return await self.received(request, answer)

        return named

    async def received(self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        """Answer a request."""
        return await answer(request)


class GuardedRoute(NamedRoute):
    """A route that looks at the token before anything else, the body included."""

    needs: ClassVar[Scope]
    alertmanager: ClassVar[bool] = False

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Take what APIRoute takes."""
        extra = options.pop("openapi_extra", None) or {}
        super().__init__(path, endpoint, openapi_extra={"x-scope": str(self.needs)} | extra, **options)

    @override
    async def received(self, request: Request, answer: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        """Answer a request of somebody who may make it."""
        actor = await run_in_threadpool(admit, request, self.needs, alertmanager=self.alertmanager)
        office = office_of(request)
        request.state.call = Call(office.settings, office.ledger, office.metrics, actor, office.clock.now())
        known = {each.alias for each in self.dependant.query_params}
        odd = sorted(set(request.query_params) - known)
        if odd:  # a misspelt filter would otherwise show everything
            there = f"there is: {', '.join(sorted(known))}" if known else "there is none here"
            raise HTTPException(422, f"query.{odd[0][:80]}: no such parameter; {there}")
        if _has_body(request) and not _is_json(request.headers.get("content-type", "")):
            raise HTTPException(415, "a body is JSON: Content-Type: application/json")
        return await answer(StrictRequest(request.scope, request.receive))


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def guarded(scope: Scope, tag: str, *, alertmanager: bool = False) -> APIRouter:
    """Return a router whose routes need a token of a scope."""

    class Route(GuardedRoute):
        """Of one scope."""

    Route.needs, Route.alertmanager = scope, alertmanager
    return APIRouter(route_class=Route, tags=[tag], dependencies=[Security(_BEARER)])


_BEARER = HTTPBearer(auto_error=False, scheme_name="token", description="A token of `driftline token create`.")


async def _call(request: Request) -> Call:
    return cast(Call, request.state.call)


Asked = Annotated[Call, Depends(_call)]
"""The request of somebody who may make it, as routes take it."""
