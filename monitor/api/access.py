"""Who may ask for what: bearer tokens, scopes, and the patience with wrong ones; changes with how callers are told apart."""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import cast

from fastapi import Request
from starlette.exceptions import HTTPException

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
_OF_PROXIES = ("forwarded", "x-forwarded-for", "via")


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


def office_of(request: Request) -> Office:
    """Return what the application was built with."""
    return cast(Office, request.app.state.office)


def admit(request: Request, scope: Scope, *, alertmanager: bool = False) -> str:
    """Return what the audit log calls the caller; raises what is answered 401, 403, 429 or 503.

    Args:
        request: the request.
        scope: what it needs.
        alertmanager: whether the Alertmanager's own token is enough, and 503 is said instead of 429.
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
        # An Alertmanager posts again after 5xx alone: after any other answer its alerts are lost.
        status = 503 if alertmanager else 429
        raise HTTPException(
            status, "too many wrong tokens from this address; wait a minute", {"Retry-After": f"{left + 1:.0f}"}
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
    """Say whether the client is on this machine; a proxy on it, which says for whom it asks, is not the client."""
    if any(name in request.headers for name in _OF_PROXIES):
        return False
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
