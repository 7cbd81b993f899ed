from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dead_letter import Reason
from collectors.wire import headers as names
from collectors.wire import messages as pb
from collectors.wire.answers import Choice
from collectors.wire.requests import Roles
from tests.unit.collectors.wire.logs import (
    HEADERS,
    TWO_MODELS,
    block,
    decode,
    example,
    floats,
    integers,
    predict,
    reasons,
    rows,
    strings,
    tensor,
)

_T = pb.DataType


def one(log: Any, **options: Any) -> list[dict[str, Any]]:
    headers = options.pop("headers", HEADERS)
    timestamp = options.pop("timestamp", -1)
    return rows(
        decode("prediction_log", block(log.SerializeToString(), headers=headers, timestamp=timestamp), **options)
    )


def test_a_request_of_several_instances_is_a_row_each_under_one_id() -> None:
    log = predict(
        {
            "count": integers(1, 2, 3),
            "speed": floats(0.5, -0.0, float("nan")),
            "carrier": strings(b"UA", b"AA", b"\xff"),
            "scores": tensor(np.arange(6, dtype="<f4").reshape(3, 1, 2), _T.DT_FLOAT),
        },
        {"late": tensor([[0.25], [0.5], [0.75]], _T.DT_DOUBLE, "double_val")},
    )
    found = one(log)
    assert [row["instance"] for row in found] == [0, 1, 2]
    assert {row["request_id"] for row in found} == {"r-1"}
    assert {row["version"] for row in found} == {"7"}
    assert {row["event_time"] for row in found} == {datetime(2026, 2, 28, 12, 0, 0, 500_000, tzinfo=UTC)}
    assert [row["feature.count"] for row in found] == [1, 2, 3]
    assert repr([row["feature.speed"] for row in found]) == "[0.5, 0.0, None]"
    assert [row["feature.carrier"] for row in found] == ["UA", "AA", "\\xff"]
    assert [row["feature.scores"] for row in found] == [[0, 1], [2, 3], [4, 5]]
    assert [row["prediction"] for row in found] == [0.25, 0.5, 0.75]
    assert [row["untyped"] for row in found] == [None] * 3


def test_messages_of_one_and_of_many_instances_give_the_rows_that_each_gives_alone() -> None:
    logs = [
        predict({"count": integers(1), "speed": floats(1.5)}, {"p": floats(0.5)}),
        predict({"speed": floats(2.5, 3.5), "new": strings(b"a", b"b")}, {"p": floats(0.1, 0.2)}),
        predict({"count": floats(4.0, 4.5), "carrier": integers(1, 2)}),
        predict({"count": integers(5), "carrier": strings(b"UA")}, {"p": strings(b"late")}),
    ]
    headers = [HEADERS | {names.REQUEST_ID: f"r-{index}".encode()} for index in range(len(logs))]
    together = rows(decode("prediction_log", block(*[log.SerializeToString() for log in logs], headers=headers)))
    alone = [row for log, header in zip(logs, headers, strict=True) for row in one(log, headers=header)]
    assert together == alone
    assert [row["misfits"] for row in together] == [0, 0, 0, 1, 2, 0]
    assert together[4]["untyped"] == '{"carrier":2,"count":4.5}'
    assert [row["prediction_text"] for row in together] == [None] * 5 + ["late"]


@pytest.mark.parametrize(
    ("outputs", "choice", "expected"),
    [
        pytest.param({"p": floats(0.5)}, Choice(), {"prediction": 0.5}, id="the only output, a number"),
        pytest.param({"p": strings(b"late")}, Choice(), {"prediction_text": "late"}, id="the only output, a text"),
        pytest.param({"p": tensor([[0.25, 0.75]], _T.DT_FLOAT, "float_val")}, Choice(), {"prediction_json": "[0.25,0.75]"},
                     id="probabilities"),
        pytest.param({"p": tensor([[0.25, 0.75]], _T.DT_FLOAT, "float_val")}, Choice(of=1), {"prediction": 0.75},
                     id="the probability of a class"),
        pytest.param({"p": tensor([[0.25, 0.75]], _T.DT_FLOAT, "float_val")}, Choice(of="argmax"), {"prediction_text": "1"},
                     id="the most probable class"),
        pytest.param({"p": floats(0.5), "q": strings(b"x")}, Choice(), {"prediction_json": '{"p":0.5,"q":"x"}'},
                     id="several outputs"),
        pytest.param({"p": floats(0.5), "q": strings(b"x")}, Choice("p"), {"prediction": 0.5}, id="one of several outputs"),
        pytest.param({}, Choice("p"), {}, id="no answer"),
    ],
)  # fmt: skip
def test_the_prediction_is_the_chosen_part_of_the_answer(
    outputs: dict[str, Any], choice: Choice, expected: dict[str, object]
) -> None:
    (found,) = one(predict({"count": integers(1)}, outputs), choice=choice)
    assert {
        name: value for name, value in found.items() if name.startswith("prediction") and value is not None
    } == expected


def test_serialized_examples_are_read_as_examples() -> None:
    content = [example(count=3, carrier=b"UA").SerializeToString(), example(scores=[1.0, 2.0]).SerializeToString()]
    found = one(predict({"examples": strings(*content)}, {"p": floats(0.1, 0.2)}))
    assert [row["feature.count"] for row in found] == [3, None]
    assert [row["feature.carrier"] for row in found] == ["UA", None]
    assert [row["feature.scores"] for row in found] == [None, [1.0, 2.0]]


def test_a_scalar_input_is_the_same_for_all_instances() -> None:
    found = one(predict({"count": integers(1, 2), "speed": tensor(2.5, _T.DT_FLOAT, "float_val")}))
    assert [row["feature.speed"] for row in found] == [2.5, 2.5]


def classified() -> Any:
    log = pb.PredictionLog()
    request = log.classify_log.request.input.example_list_with_context
    request.context.CopyFrom(example(carrier=b"UA", count=9))
    request.examples.add().CopyFrom(example(count=1))
    request.examples.add().CopyFrom(example(speed=1.5))
    for late in (0.25, 0.75):
        classes = log.classify_log.response.result.classifications.add().classes
        classes.add(label="on time", score=1 - late)
        classes.add(label="late", score=late)
    return log


def test_classify_has_the_scores_by_label_and_the_context_beside_each_example() -> None:
    found = one(classified())
    assert [row["feature.count"] for row in found] == [1, 9]
    assert [row["feature.carrier"] for row in found] == ["UA", "UA"]
    assert json.loads(found[1]["prediction_json"]) == {"late": 0.75, "on time": 0.25}
    assert [row["prediction_text"] for row in one(classified(), choice=Choice(of="argmax"))] == ["on time", "late"]


def test_regress_has_a_value_an_example() -> None:
    log = pb.PredictionLog()
    for number in (1, 2):
        log.regress_log.request.input.example_list.examples.add().CopyFrom(example(count=number))
        log.regress_log.response.result.regressions.add(value=number / 2)
    assert [(row["feature.count"], row["prediction"]) for row in one(log)] == [(1, 0.5), (2, 1.0)]


def test_multi_inference_has_an_output_a_signature() -> None:
    log = pb.PredictionLog()
    log.multi_inference_log.request.input.example_list.examples.add().CopyFrom(example(count=1))
    for name, value in (("delay", 12.0), ("cost", 3.0)):
        result = log.multi_inference_log.response.results.add()
        result.model_spec.signature_name = name
        result.regression_result.regressions.add(value=value)
    assert [row["prediction_json"] for row in one(log)] == ['{"cost":3.0,"delay":12.0}']
    assert [row["prediction"] for row in one(log, choice=Choice("delay"))] == [12.0]


def test_a_session_run_is_read_as_predict() -> None:
    log = pb.PredictionLog()
    feed = log.session_run_log.request.feed.add(name="count")
    feed.tensor.CopyFrom(integers(4, 5))
    log.session_run_log.response.tensor.add(name="p").tensor.CopyFrom(floats(0.5, 0.25))
    assert [(row["feature.count"], row["prediction"]) for row in one(log)] == [(4, 0.5), (5, 0.25)]


def test_what_headers_do_not_say_the_log_says_and_then_the_messages_own_time() -> None:
    log = predict({"count": integers(1)})
    log.predict_log.request.model_spec.name = "taxis"
    log.predict_log.request.model_spec.version_label = "canary"
    bare = {names.REQUEST_ID: b"r"}
    decoded = decode(
        "prediction_log", block(log.SerializeToString(), headers=bare, timestamp=1000), envelope=TWO_MODELS
    )
    (row,) = rows(decoded, "taxis")
    assert (row["version"], row["event_time"]) == ("canary", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    log.log_metadata.timestamp_secs = 5
    log.log_metadata.sampling_config.sampling_rate = 0.25
    log.predict_log.response.model_spec.version.value = 12
    decoded = decode(
        "prediction_log", block(log.SerializeToString(), headers=bare, timestamp=1000), envelope=TWO_MODELS
    )
    (row,) = rows(decoded, "taxis")
    assert (row["version"], row["event_time"]) == ("12", datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC))
    assert (row["rate"], row["hash_rate"]) == (0.25, 1.0)


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        pytest.param(b"xxh3_64", (1.0, 0.5), id="our hash"),
        pytest.param(b"independent", (0.5, 1.0), id="independent"),
        pytest.param(b"", (0.5, 1.0), id="not said"),
    ],
)
def test_the_rate_of_the_headers_is_kept_apart_by_what_it_was_applied_to(
    sampler: bytes, expected: tuple[float, float]
) -> None:
    said = {names.SAMPLING_RATE: b"0.5", names.SAMPLER: sampler, names.LATENCY_SECONDS: b"0.125", names.STATUS: b"200"}
    (row,) = one(predict({"count": integers(1)}), headers=HEADERS | said)
    assert (row["rate"], row["hash_rate"]) == expected
    assert (row["latency_seconds"], row["status"]) == (0.125, "200")


def test_ids_and_times_may_come_from_features() -> None:
    log = predict({"id": strings(b"a", b"b", b"a"), "at": floats(1.0, 2.0, 3.0), "count": integers(1, 2, 3)})
    found = one(log, headers={}, roles=Roles("id", "at"))
    assert [(row["request_id"], row["instance"]) for row in found] == [("a", 0), ("b", 0), ("a", 1)]
    assert [row["event_time"].second for row in found] == [1, 2, 3]
    assert [row["untyped"] for row in found] == [None] * 3


def test_a_request_without_instances_is_read_and_has_no_rows() -> None:
    decoded = decode("prediction_log", block(predict({"count": integers()}).SerializeToString()))
    assert (decoded.decoded, decoded.parts, list(decoded.dead)) == (1, {}, [])


def scalar_bomb() -> Any:
    return predict(
        {"count": integers(*range(90_000))} | {f"s{index}": tensor(1, _T.DT_INT64, "int64_val") for index in range(60)}
    )


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        pytest.param(None, HEADERS, Reason.NULL_VALUE, id="no value"),
        pytest.param(b"", HEADERS, Reason.LOG_TYPE, id="an empty message"),
        pytest.param(b"\x0a\xff", HEADERS, Reason.NOT_A_LOG, id="a message that is cut off"),
        pytest.param(b"\x30\x01", HEADERS, Reason.LOG_TYPE, id="another type in the field of the log"),
        pytest.param(pb.PredictionLog(predict_streamed_log=pb.PredictStreamedLog()), HEADERS, Reason.LOG_TYPE,
                     id="a stream of answers"),
        pytest.param(predict({}), HEADERS, Reason.LOG_TYPE, id="no inputs"),
        pytest.param(predict({"a": integers(1), "b": integers(1, 2)}), HEADERS, Reason.BATCH, id="inputs of different sizes"),
        pytest.param(predict({"a": integers(1, 2)}, {"p": floats(1, 2, 3)}), HEADERS, Reason.BATCH, id="too many outputs"),
        pytest.param(predict({"a": strings(b"x")}), {}, Reason.REQUEST_ID, id="no request id"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.REQUEST_ID: b"\xff"}, Reason.REQUEST_ID,
                     id="an id that is no text"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.MODEL: b"x"}, Reason.UNKNOWN_MODEL, id="another model"),
        pytest.param(predict({"a": strings(b"x")}), {names.REQUEST_ID: b"r"}, Reason.EVENT_TIME, id="no time at all"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.EVENT_TIME: b"noon"}, Reason.EVENT_TIME, id="a wrong time"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.EVENT_TIME: b"2026-02-28T12:00:00"}, Reason.EVENT_TIME_ZONE,
                     id="a time without zone"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.EVENT_TIME: b"2031-02-28T12:00:00Z"},
                     Reason.EVENT_TIME_FUTURE, id="a clock that is years off"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.SAMPLING_RATE: b"2"}, Reason.SAMPLING_RATE,
                     id="a wrong rate"),
        pytest.param(predict({"a": strings(b"x")}), HEADERS | {names.VERSION: b"a\0"}, Reason.VERSION, id="a wrong version"),
        pytest.param(predict({"examples": strings(b"\xff")}), HEADERS, Reason.NOT_AN_EXAMPLE, id="an example that is none"),
        pytest.param(predict({"a": tensor([1], _T.DT_INT64, "int64_val", [2**40])}), HEADERS, Reason.TOO_LARGE,
                     id="a million million instances in ten bytes"),
        pytest.param(predict({"a": tensor([1], _T.DT_INT64, "int64_val", [1, 2**40])}), HEADERS, Reason.TOO_LARGE,
                     id="a row of a million million values in ten bytes"),
        pytest.param(predict({f"a{index}": tensor([1], _T.DT_INT64, "int64_val", [1, 2**20]) for index in range(9)}), HEADERS,
                     Reason.TOO_LARGE, id="several tensors of a million values each, in ten bytes each"),
        pytest.param(scalar_bomb(), HEADERS, Reason.TOO_LARGE, id="many scalars for many instances"),
    ],
)  # fmt: skip
def test_a_message_that_can_never_be_read_is_a_dead_letter(
    value: Any, headers: dict[str, bytes], reason: Reason
) -> None:
    content = value if value is None or isinstance(value, bytes) else value.SerializeToString()
    assert reasons(decode("prediction_log", block(content, headers=headers))) == [reason]


def test_the_missing_output_of_an_answer_is_a_dead_letter() -> None:
    log = predict({"count": integers(1)}, {"p": floats(0.5)}).SerializeToString()
    assert reasons(decode("prediction_log", block(log), Choice("q"))) == [Reason.OUTPUT]


def test_a_message_of_ten_megabytes_is_read() -> None:
    wide = np.arange(2_500_000, dtype="<f4").reshape(1, -1)
    (row,) = one(predict({"scores": tensor(wide, _T.DT_FLOAT)}))
    assert len(row["feature.scores"]) == 2_500_000


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=6))
def test_rows_keep_the_order_of_the_messages(sizes: list[tuple[int, bool]]) -> None:
    values, expected = [], []
    for index, (size, wide) in enumerate(sizes):
        inputs = {"count": integers(*[index * 10 + row for row in range(size)])}
        if wide:
            inputs["speed"] = floats(*[float(row) for row in range(size)])
        values.append(predict(inputs).SerializeToString())
        expected += [(index * 10 + row, float(row) if wide else None) for row in range(size)]
    decoded = decode("prediction_log", block(*values))
    found = rows(decoded) if decoded.parts else []
    assert [(row["feature.count"], row["feature.speed"]) for row in found] == expected
    assert decoded.decoded == len(values)


def test_the_limit_of_the_future_counts_from_now() -> None:
    later = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=59)).isoformat().encode()
    assert one(predict({"count": integers(1)}), headers=HEADERS | {names.EVENT_TIME: later})
