"""The HTTP application: what it is put together of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry

from monitor import serving
from monitor.api import (
    alert_routes,
    alertmanager,
    approval_pages,
    model_routes,
    problems,
    record_routes,
    retrain_routes,
)
from monitor.api.access import Office, Patience
from monitor.api.guard import Guard
from monitor.api.metrics import ApiMetrics
from monitor.api.openapi import by_tag, describe
from monitor.api.pages import page
from monitor.api.probes import probes
from monitor.clock import Clock
from monitor.config.settings import Settings
from monitor.health import Health
from monitor.store.ledger import Ledger

_THREADS = 8
"""In which requests are answered: fewer than the database has connections for, which other roles need too."""
_ROUTERS = (
    model_routes.router,
    alertmanager.router,  # before what takes a fingerprint in the same place
    alert_routes.reading,
    alert_routes.operating,
    retrain_routes.reading,
    retrain_routes.operating,
    record_routes.reading,
    record_routes.administrating,
    approval_pages.router,
)


def application(
    settings: Settings, ledger: Ledger, registry: CollectorRegistry, health: Health, clock: Clock
) -> FastAPI:
    """Return the application; several may share a ledger, and one registry has one application.

    Args:
        settings: tell which models there are, and what an Alertmanager signs in with.
        ledger: that is shown and written to; it outlives the application.
        registry: shown at /metrics; gets the API's own metrics.
        health: shown at /healthz and /readyz.
        clock: the time of every request.
    """
    app = _described()
    metrics = ApiMetrics.on(registry)
    app.state.office = Office(settings, ledger, clock, metrics, Patience(clock))
    app.add_middleware(Guard, metrics=metrics, clock=clock)
    problems.install(app)
    app.include_router(probes(serving.application(registry, health)))
    app.add_api_route("/openapi.json", app.openapi, include_in_schema=False)
    app.add_api_route("/docs", partial(_manual, app), include_in_schema=False)
    return app


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document, which is the same for every application."""
    return _described().openapi()


def _described() -> FastAPI:
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_few_threads,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in _ROUTERS:
        app.include_router(router)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


def _manual(app: FastAPI) -> Response:
    document = app.openapi()
    return page("manual.html.j2", document=document, groups=by_tag(document))


@asynccontextmanager
async def _few_threads(_app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield
