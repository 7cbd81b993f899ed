from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.wire.instances import typed
from collectors.wire.json_records import JsonDecoder
from collectors.wire.values import MISFIT, fit
from monitor.records import FeatureType, ValueType
from tests.unit.collectors.wire.logs import ENVELOPE, NOW, block, decode

_KINDS = [FeatureType(value, multivalent) for value in ValueType for multivalent in (False, True)]
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([-0.0, 2.0**63]),
)
_values = st.one_of(_scalars, st.lists(_scalars, max_size=3))
_arrays = st.one_of(
    st.lists(st.floats(), min_size=1, max_size=4).map(np.array),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4).map(
        lambda values: np.array(values, dtype=np.int64)
    ),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4).map(lambda values: np.array(values, dtype=np.uint64)),
    st.lists(st.booleans(), min_size=1, max_size=4).map(np.array),
    st.lists(st.floats(width=32), min_size=4, max_size=4).map(
        lambda values: np.array(values, dtype=np.float32).reshape(2, 2)
    ),
)


@given(st.lists(st.one_of(st.lists(_values, min_size=1, max_size=4), _arrays, st.integers(1, 3)), min_size=1, max_size=4),
       st.sampled_from(_KINDS))  # fmt: skip
def test_columns_hold_exactly_the_values_that_fit(parts: list[Any], kind: FeatureType) -> None:
    plain: list[Any] = []
    for part in parts:
        plain += [None] * part if isinstance(part, int) else part.tolist() if isinstance(part, np.ndarray) else part
    array, unfit = typed(parts, kind)
    fitted = [fit(value, kind) for value in plain]
    assert repr(array.to_pylist()) == repr([None if value is MISFIT else value for value in fitted])
    assert repr(unfit) == repr({row: value for row, value in enumerate(plain) if fitted[row] is MISFIT})


@pytest.mark.parametrize("kind", _KINDS, ids=str)
def test_whole_numbers_sent_as_floats_fit_a_feature_of_integers_and_nan_is_missing(kind: FeatureType) -> None:
    array, unfit = typed([np.array([1.0, math.nan])], kind)
    if kind.value is ValueType.INT and not kind.multivalent:
        assert (array.to_pylist(), unfit) == ([1, None], {})
    if kind.value is ValueType.BYTES:
        assert unfit == {0: 1.0}


def test_a_rest_request_holds_what_the_same_features_hold_as_a_json_record() -> None:
    features = {
        "count": 3,
        "speed": 0.5,
        "carrier": "UA",
        "scores": [1, None, 2.5],
        "user": {"age": 3},
        "odd": [True, "x"],
    }
    beside = {"model": "flights", "version": "1", "request_id": "r", "event_time": "2026-02-28T12:00:00Z"}
    record = json.dumps(beside | {"features": features, "prediction": [0.25, 0.75]}).encode()
    pair = json.dumps(
        beside | {"request": {"instances": [features]}, "response": {"predictions": [[0.25, 0.75]]}}
    ).encode()
    as_record = JsonDecoder(ENVELOPE).decode([record], NOW).parts["flights"].to_pylist()
    assert decode("rest", block(pair, headers={})).parts["flights"].to_pylist() == as_record
