from __future__ import annotations

import pytest

from collectors.dead_letter import Reason
from collectors.wire.answers import Choice
from collectors.wire.requests import Roles
from tests.unit.collectors.wire.logs import block, decode, example, reasons, rows


def test_an_example_is_a_row_one_value_is_a_value_and_several_are_a_list() -> None:
    value = example(count=3, carrier=b"UA", scores=[1.0, 2.5], speed=[], other=[1, 2]).SerializeToString()
    (row,) = rows(decode("tf_example", block(value)))
    assert (row["feature.count"], row["feature.carrier"], row["feature.scores"]) == (3, "UA", [1.0, 2.5])
    assert (row["feature.speed"], row["untyped"], row["misfits"]) == (None, '{"other":[1,2]}', 0)


def test_one_value_of_a_feature_that_may_hold_several_is_a_list_of_one() -> None:
    (row,) = rows(decode("tf_example", block(example(scores=1.5).SerializeToString())))
    assert row["feature.scores"] == [1.5]


def test_a_value_of_another_kind_is_kept_apart() -> None:
    (row,) = rows(decode("tf_example", block(example(count=[1, 2], carrier=b"\xff").SerializeToString())))
    assert (row["feature.count"], row["untyped"], row["misfits"]) == (None, '{"count":[1,2]}', 1)
    assert row["feature.carrier"] == "\\xff"


def test_output_id_and_time_may_be_features() -> None:
    value = example(count=3, score=0.5, id=b"r-9", at=b"2026-02-28T12:00:00Z").SerializeToString()
    (row,) = rows(decode("tf_example", block(value, headers={}), Choice("score"), Roles("id", "at")))
    assert (row["request_id"], row["prediction"], row["event_time"].hour) == ("r-9", 0.5, 12)
    assert row["untyped"] is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"\x0a\x05x", Reason.NOT_AN_EXAMPLE, id="cut off"),
        pytest.param(b"{}", Reason.NOT_AN_EXAMPLE, id="JSON"),
        pytest.param(None, Reason.NULL_VALUE, id="no value"),
    ],
)
def test_what_is_no_example_is_a_dead_letter(value: bytes | None, reason: Reason) -> None:
    assert reasons(decode("tf_example", block(value))) == [reason]
