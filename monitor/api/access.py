"""Who may ask for what: bearer tokens, scopes, and the patience with wrong ones; changes with how callers are told apart."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, cast

import orjson
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from typing_extensions import override

from monitor.api.guard import ROUTE
from monitor.api.metrics import ApiMetrics
from monitor.clock import Clock
from monitor.config.settings import Settings
from monitor.store.ledger import Ledger
from monitor.store.token_ledger import Scope, secret_digest

_MAX_TOKEN = 256
_WRONG_ONES = 10
_PER_SECONDS = 60.0
_ADDRESSES = 10_000
_KNOWN = 1_000


class Patience:
    """Counts wrong tokens by address: ten in a minute, then none is looked at until that minute is over. Safe to share."""

    def __init__(self, clock: Clock) -> None:
        """Begin with patience for everybody."""
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wrong(self, address: str) -> None:
        """Count a wrong token."""
        now = self._clock.monotonic()
        with self._lock:
            since, count = self._wrong.get(address, (now, 0))
            fresh = now - since >= _PER_SECONDS
            self._wrong[address] = (now, 1) if fresh else (since, count + 1)
            self._wrong.move_to_end(address)
            while len(self._wrong) > _ADDRESSES:
                self._wrong.popitem(last=False)

    def seconds_to_wait(self, address: str) -> float:
        """Return how long nothing from an address is looked at; 0 where it is."""
        with self._lock:
            since, count = self._wrong.get(address, (0.0, 0))
        left = since + _PER_SECONDS - self._clock.monotonic()
        return left if count >= _WRONG_ONES and left > 0 else 0.0


@dataclass
class Office:
    """What all requests share.

    Attributes:
        known: digests of tokens that were right a while ago: whoever has one of them is not kept waiting because somebody at
            the same address, behind the same proxy for one, has a wrong one.
    """

    settings: Settings
    ledger: Ledger
    clock: Clock
    metrics: ApiMetrics
    patience: Patience
    known: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_known(self, digest: str) -> bool:
        """Say whether a token was right a while ago."""
        with self._lock:
            return digest in self.known

    def learn(self, digest: str) -> None:
        """Remember a right token."""
        with self._lock:
            self.known[digest] = None
            self.known.move_to_end(digest)
            if len(self.known) > _KNOWN:
                self.known.popitem(last=False)


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


def office_of(request: Request) -> Office:
    """Return what the application was built with."""
    return cast(Office, request.app.state.office)


def admit(request: Request, scope: Scope, *, alertmanager: bool = False) -> str:
    """Return what the audit log calls the caller; raises what is answered 401, 403 or 429.

    Args:
        request: the request.
        scope: what it needs.
        alertmanager: whether the Alertmanager's own token is enough.
    """
    office = office_of(request)
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    token = given.strip()
    if kind.lower() != "bearer" or not token:
        office.metrics.refused.labels("missing").inc()
        raise _unauthorised("this needs a token: Authorization: Bearer TOKEN", 'Bearer realm="driftline"')
    address = address_of(request)
    digest = secret_digest(token)
    left = 0.0 if office.is_known(digest) else office.patience.seconds_to_wait(address)
    if left > 0:
        office.metrics.refused.labels("too_many").inc()
        raise HTTPException(
            429, "too many wrong tokens from this address; wait a minute", {"Retry-After": f"{left + 1:.0f}"}
        )
    name = _name_of(office, token, digest, scope, alertmanager=alertmanager)
    if name is None:
        office.patience.wrong(address)
        office.metrics.refused.labels("wrong").inc()
        raise _unauthorised(
            "this token is not known, or was revoked, or has expired", 'Bearer realm="driftline", error="invalid_token"'
        )
    office.learn(digest)
    return name


def _name_of(office: Office, token: str, digest: str, scope: Scope, *, alertmanager: bool) -> str | None:
    """Return what a token's owner is called, None for a wrong one; raises what is answered 403."""
    configured = office.settings.api.alertmanager_token
    if configured is not None and hmac.compare_digest(secret_digest(configured.get_secret_value()), digest):
        if alertmanager:
            return "alertmanager"
        raise _forbidden(office, scope, "the Alertmanager's token")
    found = office.ledger.tokens.verified(token, office.clock.now()) if len(token) <= _MAX_TOKEN else None
    if found is None:
        return None
    if not found.scope.includes(scope):
        raise _forbidden(office, scope, f"a token with scope {found.scope}")
    return f"token:{found.name}"


def _unauthorised(detail: str, challenge: str) -> HTTPException:
    return HTTPException(401, detail, {"WWW-Authenticate": challenge})


def _forbidden(office: Office, scope: Scope, what: str) -> HTTPException:
    office.metrics.refused.labels("scope").inc()
    challenge = f'Bearer realm="driftline", error="insufficient_scope", scope="{scope}"'
    return HTTPException(403, f"{what} may not do this: it needs scope {scope}", {"WWW-Authenticate": challenge})


def address_of(request: Request) -> str:
    """Return the client's address; of IPv6 its network, since one client has as many addresses as it likes."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        return str(address.ipv4_mapped)
    return str(address)


def is_local(request: Request) -> bool:
    """Say whether the client is on this machine."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


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
