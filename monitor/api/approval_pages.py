"""`/approve/...`: a page that shows a retrain on GET and takes a person's answer on POST; changes with what it shows and checks.

Programs that preview links only ever get, which changes nothing. Who has the link may answer: there is nothing else to sign in
with, so no cookie that another site could make a browser send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from monitor.act.retrain import Retrain
from monitor.api.access import Office, address_of, office_of
from monitor.api.approving import APPROVE, REJECT, Waiting, answer, said, waiting
from monitor.api.pages import page
from monitor.api.routing import NamedRoute
from monitor.jobs.retrain.events import NotAllowed

_FINDINGS = 10
_FORM = "application/x-www-form-urlencoded"

router = APIRouter(route_class=NamedRoute, include_in_schema=False)


@router.get("/approve/{token}")
def show(request: Request, token: str) -> Response:
    """Show what would be done; this does nothing."""
    office = office_of(request)
    found = _found(office, request, token)
    if isinstance(found, Response):
        return found
    if not found.actions:
        return _gone(found.why_not, found.retrain)
    return page(
        "approve.html.j2",
        headline=f"Retrain {found.retrain.model}?",
        text="Driftline asks for your agreement. Nothing happens before you press a button.",
        wish=_wish(found.retrain),
        actions=found.actions,
        until=said(found.link.expires_at),
    )


@router.post("/approve/{token}")
async def act(request: Request, token: str) -> Response:
    """Take the answer of the page's form."""
    office = office_of(request)
    if not _same_site(request, office.settings.api.public_url):
        return _told(403, "Not from here", "Open the link itself, and press the button there.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return _told(415, "Not a form", "Open the link, and press a button there.")
    form = _form(await request.body())
    return await run_in_threadpool(_answered, office, request, token, form)


def _answered(office: Office, request: Request, token: str, form: Mapping[str, str]) -> Response:
    action = form.get("action", "")
    if action not in (APPROVE, REJECT):
        return _told(400, "Not an answer", "Open the link, and press a button there.")
    found = _found(office, request, token)
    if isinstance(found, Response):
        return found
    name = "".join(each for each in form.get("name", "") if each.isprintable()).strip()[:100]
    try:
        retrain = answer(
            office.ledger, token, action, f"{name} (approval link)" if name else "approval link", office.clock.now()
        )
    except NotAllowed as error:
        return _gone(str(error), found.retrain)
    headline = f"Approved: {retrain.model} is retrained" if action == APPROVE else f"Rejected: {retrain.model} stays"
    return page(
        "approve.html.j2",
        headline=headline,
        text="You can close this page.",
        wish=_wish(retrain),
        actions=(),
        until="",
    )


def _found(office: Office, request: Request, token: str) -> Waiting | Response:
    """Return what a link is about, or the answer where there is none; guessing links is met with little patience."""
    address = address_of(request)
    if office.patience.seconds_to_wait(address) > 0:
        return _told(429, "Wait a minute", "Too many wrong links or tokens came from this address.")
    found = waiting(office.ledger, token, office.clock.now())
    if found is None:
        office.patience.wrong(address)
        return _told(404, "No such link", "It may have been cut off in a message: it ends with 43 letters and digits.")
    return found


def _same_site(request: Request, public_url: str | None) -> bool:
    """Say whether a POST comes from the page itself, or from no page at all.

    A browser tells by Sec-Fetch-Site, over TLS and on this machine. Elsewhere it sends an Origin, and since the page keeps its
    own address to itself (Referrer-Policy), that is `null`, as of many a page.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "null")
    ours = {request.headers.get("host", ""), urlsplit(public_url or "").netloc}
    return origin == "null" or urlsplit(origin).netloc in ours


def _form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _gone(why: str, retrain: Retrain) -> Response:
    text = f"This link does nothing any more. {why}"
    headline = f"{retrain.model}: no longer open"
    return page("approve.html.j2", 410, headline=headline, text=text, wish=_wish(retrain), actions=(), until="")


def _told(status: int, headline: str, text: str) -> Response:
    return page("approve.html.j2", status, headline=headline, text=text, wish=None, actions=(), until="")


def _wish(retrain: Retrain) -> dict[str, Any]:
    """Return what is shown of a retrain; what a request lacks is left out."""
    why = _part(retrain.request, "why")
    alert = _part(why, "alert")
    findings = [each for each in why.get("findings") or [] if isinstance(each, Mapping)]
    total = why.get("findings_total", len(findings))
    return {
        "retrain_id": retrain.retrain_id,
        "model": retrain.model,
        "state": str(retrain.state),
        "reason": why.get("reason") or retrain.reason,
        "alert": " ".join(str(alert[name]) for name in ("name", "severity") if alert.get(name)),
        "asked_by": f"policy {retrain.policy}" if retrain.policy else retrain.created_by,
        "asked_at": said(retrain.created_at),
        "data": _data(_part(retrain.request, "data")),
        "findings": [_finding(each) for each in findings[:_FINDINGS]],
        "more": max(0, total - _FINDINGS),
    }


def _data(data: Mapping[str, Any]) -> str:
    if not data.get("start"):
        return ""
    rows = _part(_part(data, "total"), "traffic").get("rows")
    labelled = _part(data, "labelled")
    told = [f"{data['start']} to {data.get('end', '')}", *([] if rows is None else [f"{rows:,} rows"])]
    if labelled.get("predictions"):
        told.append(f"{labelled['labelled']:,} of {labelled['predictions']:,} evaluated predictions labelled")
    return ", ".join(told)


def _finding(finding: Mapping[str, Any]) -> dict[str, str]:
    names = ("kind", "feature", "reference", "measure", "value", "threshold")
    return {name: _text(finding.get(name)) for name in names}


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = document.get(name)
    return part if isinstance(part, Mapping) else {}
