"""Every decoder on random bytes and on valid messages that were changed: rows or dead letters, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.source import ABSORBED, Half
from collectors.wire import headers as names
from collectors.wire import messages as pb
from collectors.wire.answers import Choice
from collectors.wire.requests import Roles
from tests.unit.collectors.wire.logs import (
    HEADERS,
    READERS,
    block,
    decode,
    example,
    floats,
    integers,
    predict,
    strings,
    tensor,
)
from tests.unit.collectors.wire.test_prediction_log import classified

_EVENT = {"specversion": "1.0", "id": "e", "type": "org.kubeflow.serving.inference.request", "data": {"instances": [1]}}
_PAIR = {"request": {"instances": [{"count": 1, "user": {"age": [1, 2]}}]}, "response": {"predictions": [[0.5, 0.5]]}}
_VALID: dict[str, list[bytes]] = {
    "prediction_log": [
        predict(
            {
                "count": integers(1, 2),
                "carrier": strings(b"a", b"b"),
                "speed": tensor([1.0, 2.0], pb.DataType.DT_DOUBLE),
            },
            {"p": floats(0.5, 0.25)},
        ).SerializeToString(),
        predict({"examples": strings(example(count=1, carrier=b"UA").SerializeToString())}).SerializeToString(),
        classified().SerializeToString(),
    ],
    "tf_example": [example(count=1, carrier=b"UA", scores=[1.0, 2.0]).SerializeToString()],
    "rest": [json.dumps(_PAIR).encode()],
    "cloudevents": [json.dumps(_EVENT).encode()],
}


@st.composite
def _changed(draw: st.DrawFn, form: str) -> bytes:
    value = bytearray(draw(st.sampled_from(_VALID[form])))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(value) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                value[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                del value[at : at + draw(st.integers(1, 8))]
            case 2:
                value[at:at] = draw(st.binary(max_size=8))
            case _:
                value[at:at] = value[at : at + draw(st.integers(1, 30))]
    return bytes(value)


_KEYS = ["instances", "inputs", "examples", "data", "names", "ndarray", "tensor", "shape", "values", "name", "b64", "a"]
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)
_headers = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from([valid, b"", b"\xff", b"0", b"nan", b"1e999", b"2026-02-28T12:00:00"])
        for name, valid in (
            HEADERS | {names.SAMPLING_RATE: b"0.5", names.LATENCY_SECONDS: b"1", names.STATUS: b"200"}
        ).items()
    },
)
_choices = st.sampled_from([Choice(), Choice("p"), Choice(of=1), Choice(of="argmax"), Choice("count", "argmax")])
_roles = st.sampled_from([Roles(), Roles("carrier", "speed"), Roles("count", "count")])


@pytest.mark.parametrize("form", sorted(READERS))
@given(data=st.data())
def test_any_message_is_rows_or_a_dead_letter(form: str, data: st.DataObject) -> None:
    valid = data.draw(st.sampled_from(_VALID[form]))
    value = data.draw(st.one_of(st.none(), st.binary(max_size=64), _changed(form), _json.map(_dumped)))
    other = data.draw(st.sampled_from([None, ABSORBED, Half(valid), Half(value), Half(b"{"), Half(None)]))
    headers = [HEADERS, data.draw(_headers), HEADERS]
    given_block = block(valid, value, valid, headers=headers, timestamp=1, counterparts=[other, other, other])
    decoded = decode(form, given_block, data.draw(_choices), data.draw(_roles))
    assert decoded.decoded + len(decoded.dead) == 3
    assert [index for index, _ in decoded.dead] == sorted({index for index, _ in decoded.dead})
    for table in decoded.parts.values():
        table.validate(full=True)
        assert not any(field.nullable is False and table.column(field.name).null_count for field in table.schema)


def _dumped(value: Any) -> bytes:
    return json.dumps({"request": value, "response": value, "data": value} | _without_data(value)).encode()


def _without_data(value: Any) -> dict[str, Any]:
    return {name: part for name, part in _EVENT.items() if name != "data"} if value else {}


@given(data=st.data())
def test_a_message_reads_the_same_alone_and_beside_others(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["prediction_log", "tf_example", "rest"]))
    values = data.draw(st.lists(st.one_of(st.sampled_from(_VALID[form]), _changed(form)), min_size=1, max_size=5))
    together = decode(form, block(*values))
    alone = [decode(form, block(value)) for value in values]
    assert [(index, reason) for index, one in enumerate(alone) for _, reason in one.dead] == list(together.dead)
    expected = [row for one in alone for row in (one.parts["flights"].to_pylist() if one.parts else [])]
    assert repr(together.parts["flights"].to_pylist() if together.parts else []) == repr(expected)
