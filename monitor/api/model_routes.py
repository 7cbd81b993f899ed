"""`/v1/models` and `/v1/findings`: what is monitored, and what was found; changes with what is shown of that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query, Response
from starlette.exceptions import HTTPException

from monitor.api.answers import BaselineAnswer, EvaluationAnswer, FindingsAnswer, ModelAnswer, WindowAnswer
from monitor.api.bodies import Moment
from monitor.api.routing import Asked, Call, guarded
from monitor.store.page_ledger import Page
from monitor.store.token_ledger import Scope

router = guarded(Scope.READ, "models")

ModelName = Annotated[str, Path(min_length=1, max_length=512, description="Name of a configured model.")]
Since = Annotated[Moment | None, Query(description="Windows that start then or later, RFC 3339.")]
Until = Annotated[Moment | None, Query(description="Windows that start before that, RFC 3339.")]
Limit = Annotated[int, Query(ge=1, le=1_000, description="The newest so many windows of these.")]


@router.get("/v1/models")
def list_models(call: Asked) -> list[ModelAnswer]:
    """List the monitored models."""
    return _models(call, sorted(call.settings.models))


@router.get("/v1/models/{model}", responses={404: {}})
def show_model(call: Asked, model: ModelName) -> ModelAnswer:
    """Show one model."""
    need_model(call, model)
    return _models(call, [model])[0]


@router.get("/v1/models/{model}/windows", responses={404: {}})
def list_windows(
    call: Asked, model: ModelName, since: Since = None, until: Until = None, limit: Limit = 100
) -> list[WindowAnswer]:
    """List closed windows of a model, oldest first."""
    need_model(call, model)
    return list(map(WindowAnswer.model_validate, call.ledger.pages.windows(model, Page(since, until, limit))))


@router.get("/v1/models/{model}/evaluations", responses={404: {}})
def list_evaluations(
    call: Asked, model: ModelName, since: Since = None, until: Until = None, limit: Limit = 100
) -> list[EvaluationAnswer]:
    """List what labels said of a model's windows, oldest first, each in its newest revision."""
    need_model(call, model)
    within = [
        each
        for each in call.ledger.evaluations.evaluations(model)
        if _holds(each.evaluation.key.window.start, since, until)
    ]
    return [
        EvaluationAnswer(
            version=found.key.version,
            window_start=found.key.window.start,
            window_end=found.key.window.end,
            revision=found.revision,
            stage=found.stage,
            verdict=found.verdict,
            blessing=found.blessing,
            labelled=found.labelled,
            rows=found.rows,
            recorded_at=recorded.recorded_at,
            document=dict(found.document),
        )
        for recorded in within[-limit:]
        for found in (recorded.evaluation,)
    ]


@router.get("/v1/models/{model}/baselines", responses={404: {}})
def list_baselines(call: Asked, model: ModelName) -> list[BaselineAnswer]:
    """List a model's baselines, oldest first."""
    need_model(call, model)
    return list(map(BaselineAnswer.model_validate, call.ledger.baselines.all_of(model)))


@router.get("/v1/findings", response_model=list[FindingsAnswer], responses={404: {}})
def list_findings(
    call: Asked,
    model: Annotated[str | None, Query(max_length=512, description="Only of this model.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
) -> Response:
    """List what was found, an object a window and slice, oldest window first, each in its newest revision."""
    if model is not None:
        need_model(call, model)
    # As it was recorded: thousands of comparisons are not read into objects to be written out again.
    found = call.ledger.pages.findings(model, Page(since, until, limit))
    return Response(b"[" + b",".join(map(str.encode, found)) + b"]", media_type="application/json")


def need_model(call: Call, model: str) -> None:
    """Raise what is answered 404 for a model that is not configured."""
    if model not in call.settings.models:
        raise HTTPException(404, "there is no model of this name; see /v1/models")


def _models(call: Call, names: list[str]) -> list[ModelAnswer]:
    marks, counts, firing = call.ledger.watermarks(), call.ledger.verdict_counts(), call.ledger.alerts.firing()
    live = {each.model: each.retrain_id for each in call.ledger.retrains.live_all()}
    return [
        ModelAnswer(
            name=name,
            watermark=marks.get(name),
            baseline=call.ledger.baselines.active_number(name),
            windows={verdict: count for (model, verdict), count in sorted(counts.items()) if model == name},
            firing=sorted(alert.fingerprint for alert in firing if alert.model == name),
            retrain=live.get(name),
        )
        for name in names
    ]


def _holds(start: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or start >= since) and (until is None or start < until)
