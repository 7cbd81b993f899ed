from __future__ import annotations

import json
from base64 import b64encode

import pytest

from collectors.dead_letter import Reason
from collectors.source import ABSORBED, Half
from collectors.wire.cloudevents import joined_by
from monitor.errors import InvalidRecord
from tests.unit.collectors.wire.logs import block, decode, reasons, rows

_LATER = "2026-02-28T12:00:00.25Z"
_KSERVE = "org.kubeflow.serving.inference."
_REQUEST = {"instances": [{"count": 1}, {"count": 2}]}
_RESPONSE = {"predictions": [0.5, 0.25], "model_version": "4"}


def structured(kind: str, data: object, **attributes: object) -> Half:
    event = {"specversion": "1.0", "id": "e-1", "type": kind, "time": "2026-02-28T12:00:00Z"} | attributes
    return Half(json.dumps({**event, **({} if "data_base64" in attributes else {"data": data})}).encode())


def binary(kind: str, data: object, **attributes: str) -> Half:
    said = {"specversion": "1.0", "id": "e-1", "type": kind, "time": "2026-02-28T12:00:00Z"} | attributes
    return Half(json.dumps(data).encode(), [(f"ce_{name}", value.encode()) for name, value in said.items()])


_PAIRS = [
    pytest.param(structured(_KSERVE + "request", _REQUEST), structured(_KSERVE + "response", _RESPONSE, time=_LATER),
                 id="KServe, structured"),
    pytest.param(binary(_KSERVE + "request", _REQUEST), binary(_KSERVE + "response", _RESPONSE, time=_LATER),
                 id="KServe, binary"),
    pytest.param(binary("io.seldon.serving.inference.request", _REQUEST, requestid="e-1", id="x", modelid="flights"),
                 binary("io.seldon.serving.inference.response", _RESPONSE, requestid="e-1", id="y", time=_LATER),
                 id="Seldon, whose events have ids of their own"),
    pytest.param(structured(_KSERVE + "request", None, data_base64=b64encode(json.dumps(_REQUEST).encode()).decode()),
                 structured(_KSERVE + "response", _RESPONSE, time=_LATER), id="data in base 64"),
]  # fmt: skip


@pytest.mark.parametrize(("request_event", "response_event"), _PAIRS)
@pytest.mark.parametrize(
    "request_first", [pytest.param(True, id="request first"), pytest.param(False, id="response first")]
)
def test_two_events_are_a_request_with_its_answer(
    request_event: Half, response_event: Half, request_first: bool
) -> None:
    first, second = (request_event, response_event) if request_first else (response_event, request_event)
    headers = [dict(half.headers) for half in (first, second)]
    decoded = decode("cloudevents", block(first.value, second.value, headers=headers, counterparts=[second, ABSORBED]))
    found = rows(decoded)
    assert decoded.decoded == 2
    assert [(row["request_id"], row["instance"], row["feature.count"], row["prediction"]) for row in found] == [
        ("e-1", 0, 1, 0.5),
        ("e-1", 1, 2, 0.25),
    ]
    assert {(row["version"], row["latency_seconds"], row["event_time"].microsecond) for row in found} == {
        ("4", 0.25, 0)
    }


@pytest.mark.parametrize(("request_event", "response_event"), _PAIRS)
def test_both_halves_say_what_they_are_joined_by(request_event: Half, response_event: Half) -> None:
    assert joined_by(request_event) == ("e-1", True)
    assert joined_by(response_event) == ("e-1", False)


@pytest.mark.parametrize(
    ("half", "counterpart", "reason"),
    [
        pytest.param(binary(_KSERVE + "request", _REQUEST), None, Reason.NO_COUNTERPART, id="a request alone"),
        pytest.param(binary(_KSERVE + "request", _REQUEST), binary(_KSERVE + "request", _REQUEST), Reason.DUPLICATE, id="twice"),
        pytest.param(binary("other", _REQUEST), None, Reason.NOT_AN_EVENT, id="another type of event"),
        pytest.param(binary(_KSERVE + "request", _REQUEST, id=""), None, Reason.NOT_AN_EVENT, id="no id"),
        pytest.param(Half(b"{"), None, Reason.NOT_JSON, id="half a message"),
        pytest.param(structured(_KSERVE + "request", None, data_base64="?"), None, Reason.NOT_AN_EVENT, id="wrong base 64"),
        pytest.param(Half(None), None, Reason.NULL_VALUE, id="no value"),
        pytest.param(structured(_KSERVE + "request", "text"), structured(_KSERVE + "response", _RESPONSE), Reason.NOT_A_PAIR,
                     id="a request that is a text"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_a_dead_letter(half: Half, counterpart: Half | None, reason: Reason) -> None:
    given = block(half.value, headers=[dict(half.headers)], counterparts=[counterpart])
    assert reasons(decode("cloudevents", given)) == [reason]


def test_an_event_that_is_none_joins_nothing() -> None:
    with pytest.raises(InvalidRecord, match=Reason.NOT_AN_EVENT):
        joined_by(structured("other", None))
