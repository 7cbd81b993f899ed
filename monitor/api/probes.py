"""`/healthz`, `/readyz` and `/metrics` beside the API: the answers of `monitor.serving`, in front of one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from monitor.api.access import admit, is_local
from monitor.api.routing import NamedRoute
from monitor.store.token_ledger import Scope

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

_METHODS = ["GET", "HEAD"]


def probes(answers: WSGIApplication) -> APIRouter:
    """Return routes that answer as `answers` does, which is `monitor.serving.application`.

    From another machine /metrics needs a token, since it names models; probes never do, for an orchestrator has none.
    """
    router = APIRouter(route_class=NamedRoute, include_in_schema=False)

    @router.api_route("/healthz", methods=_METHODS)
    @router.api_route("/readyz", methods=_METHODS)
    def probe(request: Request) -> Response:
        return _answered(answers, request)

    @router.api_route("/metrics", methods=_METHODS)
    def metrics(request: Request) -> Response:
        if not is_local(request):
            admit(request, Scope.READ)
        return _answered(answers, request)

    return router


def _answered(answers: WSGIApplication, request: Request) -> Response:
    environ: WSGIEnvironment = {
        "PATH_INFO": request.url.path,
        "QUERY_STRING": request.url.query,
        "REQUEST_METHOD": request.method,
        "HTTP_ACCEPT": request.headers.get("accept", ""),
        "HTTP_ACCEPT_ENCODING": request.headers.get("accept-encoding", ""),
    }
    said: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> object:
        said.append((status, headers))
        return None

    body = b"".join(answers(environ, start_response))  # type: ignore[arg-type]
    status, headers = said[0]
    return Response(body, int(status.split(" ", 1)[0]), dict(headers))
