"""CloudEvents of requests and responses, as KServe's and Seldon's loggers send them; changes with theirs.

Structured mode (the event is the message's JSON) and binary mode (attributes are `ce_` headers, the message is the data).
Sources: cloudevents/spec/cloudevents/bindings/kafka-protocol-binding.md; KServe's logger (types
`org.kubeflow.serving.inference.request` and `.response`, one id for both); Seldon's
(`io.seldon.serving.inference.*`, an id for each and `requestid` for both).
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass

from collectors.dead_letter import Reason
from collectors.source import ABSORBED, Half
from collectors.wire.answers import Choice
from collectors.wire.parsing import parse_object
from collectors.wire.requests import Body, Message
from collectors.wire.rest import body_of, moment_of
from monitor.errors import InvalidRecord

_SUFFIXES = {".request": True, ".response": False}


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        joined_by: what the request and its response have in common.
        is_request: whether it is the request.
    """

    joined_by: str
    is_request: bool
    attributes: Mapping[str, object]
    data: object


def joined_by(half: Half) -> tuple[str, bool]:
    """Return what an event's other half has too, and whether it is the request; raises InvalidRecord."""
    event = _event(half.value, dict(half.headers), with_data=False)
    return event.joined_by, event.is_request


class EventReader:
    """Reads pairs of events; the time of a pair is the request's."""

    def __init__(self, choice: Choice) -> None:
        """Read with this choice of the outputs."""
        self._choice = choice

    def __call__(self, message: Message) -> Body | None:
        """Return what a pair holds, None for the half that came second; raises InvalidRecord."""
        counterpart = message.counterpart
        if counterpart is ABSORBED:
            return None
        first = _event(message.value, message.origin.headers)
        if counterpart is None:
            raise InvalidRecord(Reason.NO_COUNTERPART)
        second = _event(counterpart.value, dict(counterpart.headers))
        request, response = (first, second) if first.is_request else (second, first)
        if request.is_request == response.is_request:
            raise InvalidRecord(Reason.DUPLICATE)
        asked, answered = moment_of(request.attributes.get("time")), moment_of(response.attributes.get("time"))
        latency = None if asked is None or answered is None or answered < asked else (answered - asked) / 1e6
        body = body_of(request.data, response.data if type(response.data) is dict else None, self._choice)
        return body._replace(
            model=_model(request.attributes) or _model(response.attributes),
            version=_version(response) or _version(request),
            request_id=request.joined_by,
            event_time=asked,
            latency=latency,
            status=_said(response.attributes, "status") or None,
        )


def _event(value: bytes | None, headers: Mapping[str, bytes], *, with_data: bool = True) -> Event:
    if "ce_id" in headers or "ce_type" in headers:
        attributes: dict[str, object] = {
            name[3:]: content.decode("utf-8", "replace")
            for name, content in headers.items()
            if name.startswith("ce_") and content
        }
        data: object = parse_object(value) if with_data else None
    else:
        parsed = parse_object(value)
        attributes = {name: content for name, content in parsed.items() if name not in ("data", "data_base64")}
        data = parsed.get("data")
        if data is None and "data_base64" in parsed and with_data:
            data = _unpacked(parsed["data_base64"])
    kind = _said(attributes, "type")
    is_request = next((said for suffix, said in _SUFFIXES.items() if kind.endswith(suffix)), None)
    join = _said(attributes, "requestid") or _said(attributes, "id")
    if is_request is None or not join:
        raise InvalidRecord(Reason.NOT_AN_EVENT)
    return Event(join, is_request, attributes, data)


def _unpacked(content: object) -> object:
    try:
        return parse_object(b64decode(content, validate=True))  # type: ignore[arg-type]
    except (TypeError, ValueError, binascii.Error) as error:
        raise InvalidRecord(Reason.NOT_AN_EVENT) from error


def _model(attributes: Mapping[str, object]) -> str:
    return _said(attributes, "modelid") or _said(attributes, "inferenceservicename")


def _version(event: Event) -> str:
    if type(event.data) is dict:
        stated = event.data.get("model_version")
        if isinstance(stated, str | int) and not isinstance(stated, bool):
            return str(stated)
    return _said(event.attributes, "modelversion")


def _said(attributes: Mapping[str, object], name: str) -> str:
    value = attributes.get(name)
    return value if isinstance(value, str) else ""
