from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.dead_letter import Reason
from collectors.wire.blocks import Decoded, Envelope, joined
from collectors.wire.json_records import JsonDecoder
from monitor.records import FeatureType, SpanKind, ValueType

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = {
    "count": FeatureType(ValueType.INT),
    "speed": FeatureType(ValueType.FLOAT),
    "carrier": FeatureType(ValueType.BYTES),
    "scores": FeatureType(ValueType.FLOAT, multivalent=True),
    "tags": FeatureType(ValueType.BYTES, multivalent=True),
}
MODELS = {"flights": TYPES, "taxis": {"count": FeatureType(ValueType.INT)}}
TRAFFIC = Envelope(SpanKind.TRAFFIC, MODELS, dict.fromkeys(MODELS, timedelta(hours=1)))
LABELS = Envelope(SpanKind.LABELS, MODELS, dict.fromkeys(MODELS, timedelta(hours=1)))


def record(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "model": "flights",
        "version": "7",
        "request_id": "r-1",
        "event_time": "2026-02-28T12:00:00Z",
        "features": {"count": 3, "speed": 1.5, "carrier": "UA"},
        "prediction": 0.25,
    }
    base |= changes
    return {name: value for name, value in base.items() if value is not ...}


def wire(**changes: object) -> bytes:
    return json.dumps(record(**changes)).encode()


def decode(*values: bytes | None, envelope: Envelope = TRAFFIC) -> Decoded:
    return JsonDecoder(envelope, columnar_from=1).decode(values, NOW)


def row(decoded: Decoded, model: str = "flights") -> dict[str, object]:
    rows = decoded.parts[model].to_pylist()
    assert len(rows) == 1
    return dict(rows[0])


def slowly(*values: bytes | None, envelope: Envelope = TRAFFIC) -> Decoded:
    """Decode one by one: an unreadable neighbour keeps a small batch off the columnar way."""
    pieces = []
    for index, value in enumerate(values):
        piece = decode(value, b"unreadable", envelope=envelope)
        assert piece.dead[-1] == (1, Reason.NOT_JSON)
        pieces.append((index, Decoded(piece.parts, piece.dead[:-1], piece.decoded)))
    return joined(pieces)


def same(left: Decoded, right: Decoded) -> None:
    assert list(left.dead) == list(right.dead)
    assert left.decoded == right.decoded
    assert set(left.parts) == set(right.parts)
    for model, table in left.parts.items():
        assert table.schema.equals(right.parts[model].schema)
        assert repr(table.to_pylist()) == repr(right.parts[model].to_pylist())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, Reason.NULL_VALUE, id="a message without a value"),
        pytest.param(b"", Reason.NOT_JSON, id="an empty message"),
        pytest.param(b'{"model":', Reason.NOT_JSON, id="half a record"),
        pytest.param(b'{"a":"\xff"}', Reason.NOT_JSON, id="bytes that are not UTF-8"),
        pytest.param(b'{"a":NaN,"b":"\\ud800"}', Reason.NOT_JSON, id="half a surrogate beside a NaN"),
        pytest.param(b"[1]", Reason.NOT_AN_OBJECT, id="a list"),
        pytest.param(wire(model=...), Reason.MODEL, id="no model"),
        pytest.param(wire(model=3), Reason.MODEL, id="a number as model"),
        pytest.param(wire(model="other"), Reason.UNKNOWN_MODEL, id="a model that nobody configured"),
        pytest.param(wire(version=None), Reason.VERSION, id="a null version"),
        pytest.param(wire(version=""), Reason.VERSION, id="an empty version"),
        pytest.param(wire(version="v" * 257), Reason.VERSION, id="an endless version"),
        pytest.param(wire(version="a\0b"), Reason.VERSION, id="a version that no database takes"),
        pytest.param(wire(version=1.5), Reason.VERSION, id="a fraction as version"),
        pytest.param(wire(request_id=...), Reason.REQUEST_ID, id="no request id"),
        pytest.param(wire(request_id=True), Reason.REQUEST_ID, id="a truth as request id"),
        pytest.param(wire(event_time=...), Reason.EVENT_TIME, id="no event time"),
        pytest.param(wire(event_time="yesterday"), Reason.EVENT_TIME, id="a word as event time"),
        pytest.param(wire(event_time="2026-02-30T00:00:00Z"), Reason.EVENT_TIME, id="a day that no month has"),
        pytest.param(wire(event_time=float("nan")), Reason.EVENT_TIME, id="NaN as event time"),
        pytest.param(wire(event_time=True), Reason.EVENT_TIME, id="a truth as event time"),
        pytest.param(wire(event_time="2026-02-28T12:00:00"), Reason.EVENT_TIME_ZONE, id="a time without zone"),
        pytest.param(wire(event_time=-1), Reason.EVENT_TIME_PAST, id="a time before 1970"),
        pytest.param(wire(event_time="1969-12-31T23:59:59Z"), Reason.EVENT_TIME_PAST, id="a text before 1970"),
        pytest.param(wire(event_time="2026-03-01T01:00:01Z"), Reason.EVENT_TIME_FUTURE, id="over an hour ahead"),
        pytest.param(wire(event_time=1e300), Reason.EVENT_TIME_FUTURE, id="the end of time"),
        pytest.param(wire(event_time=float("inf")), Reason.EVENT_TIME_FUTURE, id="an infinite time"),
        pytest.param(wire(features=...), Reason.FEATURES, id="no features"),
        pytest.param(wire(features=[1]), Reason.FEATURES, id="a list of features"),
        pytest.param(wire(features={"x": [{"y": 1}]}), Reason.NESTED_FEATURE, id="a list of objects as feature"),
        pytest.param(wire(features={"x.y": 1, "x": {"y": 1}}), Reason.FEATURE_TWICE, id="a feature twice, once nested"),
        pytest.param(wire(instance=-1), Reason.INSTANCE, id="a negative instance"),
        pytest.param(wire(instance=1.0), Reason.INSTANCE, id="a float as instance"),
        pytest.param(wire(weight=0), Reason.WEIGHT, id="no weight at all"),
        pytest.param(wire(weight=float("inf")), Reason.WEIGHT, id="an infinite weight"),
        pytest.param(wire(weight=float("nan")), Reason.WEIGHT, id="NaN as weight"),
        pytest.param(wire(label=[1]), Reason.LABEL, id="a list as label"),
    ],
)
def test_a_message_that_can_never_be_read_is_a_dead_letter_alone_and_beside_a_good_one(
    value: bytes | None, reason: Reason
) -> None:
    assert list(decode(value).dead) == [(0, reason)]
    beside = decode(wire(), value, wire())
    assert list(beside.dead) == [(1, reason)]
    assert beside.decoded == 2


@pytest.mark.parametrize(
    ("feature", "given", "kept", "apart"),
    [
        pytest.param("count", 3, 3, None, id="a whole number fits INT"),
        pytest.param("count", True, 1, None, id="a truth fits INT as 1"),
        pytest.param("count", 3.0, 3, None, id="a float without fraction fits INT"),
        pytest.param("count", 3.5, None, {"count": 3.5}, id="a fraction does not fit INT"),
        pytest.param("count", 2**63, None, {"count": 2**63}, id="65 bits do not fit INT"),
        pytest.param("count", float("nan"), None, None, id="NaN is missing"),
        pytest.param("count", float("inf"), None, {"count": "Infinity"}, id="infinity does not fit INT"),
        pytest.param("count", [3], None, {"count": [3]}, id="a list does not fit a feature of one value"),
        pytest.param("speed", 3, 3.0, None, id="a whole number fits FLOAT"),
        pytest.param("speed", float("-inf"), float("-inf"), None, id="infinity fits FLOAT"),
        pytest.param("speed", True, None, {"speed": True}, id="a truth does not fit FLOAT"),
        pytest.param("speed", "1.5", None, {"speed": "1.5"}, id="a number in quotes does not fit FLOAT"),
        pytest.param("carrier", "ü\0", "ü\0", None, id="any text fits BYTES"),
        pytest.param("carrier", 1, None, {"carrier": 1}, id="a number does not fit BYTES"),
        pytest.param("carrier", None, None, None, id="null is missing"),
        pytest.param("scores", [1, None, 2.5], [1.0, None, 2.5], None, id="a list of numbers, one missing"),
        pytest.param("scores", 1, [1.0], None, id="one value is a list of one"),
        pytest.param("scores", [], [], None, id="an empty list stays one"),
        pytest.param("scores", [1, "x"], None, {"scores": [1, "x"]}, id="a list with one misfit"),
        pytest.param("tags", ["a", "b"], ["a", "b"], None, id="a list of texts"),
        pytest.param("scores", [[1, 2], [3]], [1.0, 2.0, 3.0], None, id="a list of lists, row by row"),
    ],
)
def test_a_feature_is_kept_in_its_column_or_apart(feature: str, given: object, kept: object, apart: object) -> None:
    found = row(decode(wire(features={feature: given})))
    assert found[f"feature.{feature}"] == kept
    assert (json.loads(str(found["untyped"])) if found["untyped"] else None) == apart
    assert found["misfits"] == (0 if apart is None else 1)


def test_a_feature_without_a_type_is_kept_apart_and_is_no_misfit() -> None:
    found = row(decode(wire(features={"count": 1, "new": "b", "also": [2], "gone": None})))
    assert found["untyped"] == '{"also":[2],"new":"b"}'
    assert found["misfits"] == 0


@pytest.mark.parametrize(
    ("prediction", "column", "kept"),
    [
        pytest.param(1, "prediction", 1.0, id="a number"),
        pytest.param("late", "prediction_text", "late", id="a text"),
        pytest.param([0.1, 0.9], "prediction_json", "[0.1,0.9]", id="a list"),
        pytest.param({"b": 1, "a": [2]}, "prediction_json", '{"a":[2],"b":1}', id="an object, in sorted order"),
        pytest.param(True, "prediction_json", "true", id="a truth"),
    ],
)
def test_a_prediction_has_a_column_of_its_kind(prediction: object, column: str, kept: object) -> None:
    found = row(decode(wire(prediction=prediction)))
    assert {name: found[name] for name in found if name.startswith("prediction") and found[name] is not None} == {
        column: kept
    }


def test_a_record_without_prediction_has_none_in_any_column() -> None:
    found = row(decode(wire(prediction=None)))
    assert [found[name] for name in found if name.startswith("prediction")] == [None, None, None]


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("2026-02-28T12:00:00.5Z", id="UTC"),
        pytest.param("2026-02-28T14:00:00.500000+02:00", id="another zone"),
        pytest.param("2026-02-28t12:00:00.500000999z", id="small letters and nanoseconds"),
        pytest.param("2026-02-28 12:00:00.5-00:00", id="a space"),
        pytest.param(1772280000.5, id="epoch seconds"),
    ],
)
def test_event_times_are_read_to_the_microsecond(moment: object) -> None:
    expected = datetime(2026, 2, 28, 12, 0, 0, 500000, tzinfo=UTC)
    assert row(decode(wire(event_time=moment)))["event_time"] == expected
    assert row(slowly(wire(event_time=moment)))["event_time"] == expected


def test_ids_and_versions_may_be_integers() -> None:
    found = row(decode(wire(version=12, request_id=-5)))
    assert (found["version"], found["request_id"]) == ("12", "-5")


def test_a_label_record_has_a_label_and_no_version() -> None:
    value = json.dumps({"model": "flights", "request_id": 9, "label": 1, "event_time": 1772280000}).encode()
    found = row(decode(value, envelope=LABELS))
    assert (found["request_id"], found["label"], found["version"]) == ("9", 1.0, "")


@pytest.mark.parametrize("label", [pytest.param(None, id="null"), pytest.param(float("nan"), id="NaN")])
def test_a_label_record_without_label_is_a_dead_letter(label: object) -> None:
    assert list(decode(wire(label=label), envelope=LABELS).dead) == [(0, Reason.LABEL)]


def test_models_of_one_topic_get_a_table_each_and_their_own_types() -> None:
    taxi = wire(model="taxis", features={"count": 1, "carrier": "X"})
    decoded = decode(wire(), taxi)
    assert row(decoded, "taxis")["untyped"] == '{"carrier":"X"}'
    assert row(decoded, "flights")["feature.carrier"] == "UA"


def test_a_few_messages_are_read_one_by_one_with_the_same_rows() -> None:
    values = [wire(request_id=f"r-{index}") for index in range(5)]
    decoder = JsonDecoder(TRAFFIC)
    same(decoder.decode(values, NOW), decode(*values))
    assert decoder.singly == 5


def test_one_bad_line_costs_nothing_but_itself_in_a_large_batch() -> None:
    values: list[bytes | None] = [wire(request_id=f"r-{index}") for index in range(3000)]
    values[1700] = b"{"
    decoded = decode(*values)
    assert list(decoded.dead) == [(1700, Reason.NOT_JSON)]
    ids = decoded.parts["flights"].column("request_id").to_pylist()
    assert ids == [f"r-{index}" for index in range(3000) if index != 1700]


def test_two_objects_in_one_message_beside_an_empty_one_are_not_two_records() -> None:
    assert [index for index, _ in decode(wire() + wire(), b"", wire()).dead] == [0, 1]


_NUMBERS = ["0", "-0", "-0.0", "1", "1.0", "3.5", "-0.25", "1e3", "9223372036854775808", "1e400", "-1e400", "1e-400", "01",
            "1" + "0" * 25, "1" + "0" * 400, "1" * 5000,
            "NaN", "Infinity", "-Infinity", "Inf", "-Inf", "-NaN", "nan", "Nan"]  # fmt: skip
_OTHERS = ["null", "true", '""', '"x"', '"NaN"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', "[]", "[1]", "[-0]", "[NaN,-0.0]",
           '["a"]', "[null]", "[[1]]", "{}", '{"a":1}']  # fmt: skip
_TIMES = ['"2026-02-28T12:00:00Z"', "1772280000", "1772280000.25", '"2026-02-28T12:00:00"', '"2026-02-28T12:00Z"', '"x"',
          '"2026-02-30T12:00:00Z"', '"2026-02-28T12:00:00.1234567Z"', '"2027-01-01T00:00:00Z"']  # fmt: skip
_texts = st.sampled_from(_NUMBERS + _OTHERS)


@st.composite
def _objects(draw: st.DrawFn) -> bytes:
    fields = {
        "model": '"flights"',
        "version": '"1"',
        "request_id": '"r"',
        "event_time": draw(st.sampled_from(_TIMES[:3])),
        "features": "{"
        + ",".join(f'"{name}":{draw(_texts)}' for name in draw(st.sets(st.sampled_from([*TYPES, "new"]), max_size=3)))
        + "}",
        "prediction": "0.5",
    }
    name = draw(st.sampled_from([*fields, "instance", "weight", "label", "extra", "model"]))
    if draw(st.booleans()):
        fields[name] = draw(st.sampled_from(_TIMES)) if name == "event_time" else draw(_texts)
    if draw(st.integers(0, 9)) == 0:
        fields["model"] = '"taxis"'
    return ("{" + ",".join(f'"{key}":{value}' for key, value in fields.items()) + "}").encode()


_messages = st.one_of(
    st.just(wire()),
    st.just(wire(features={"count": 1, "speed": -0.0, "scores": [1.0]})),
    _objects(),
    st.sampled_from(
        [None, b"", b"{", b"{}", b"\n", b"[]", wire() + wire(), wire() + b"\n", b" " + wire(), b'{"a":1}\0}']
    ),
)


@given(st.lists(_messages, max_size=12), st.lists(st.integers(1, 5), min_size=1))
def test_any_batching_of_any_mix_gives_the_same_rows_as_one_by_one(
    values: list[bytes | None], sizes: list[int]
) -> None:
    for envelope in (TRAFFIC, LABELS):
        expected = slowly(*values, envelope=envelope)
        same(decode(*values, envelope=envelope), expected)
        decoder, pieces, first = JsonDecoder(envelope, columnar_from=1), [], 0
        while first < len(values):
            size = sizes[first % len(sizes)]
            pieces.append((first, decoder.decode(values[first : first + size], NOW)))
            first += size
        same(joined(pieces), expected)


@given(_objects())
def test_one_record_alone_reads_as_it_does_beside_an_unreadable_one(value: bytes) -> None:
    same(decode(value), slowly(value))


def test_ordinary_records_take_the_columnar_way() -> None:
    decoder = JsonDecoder(TRAFFIC)
    values = [wire(request_id=f"ü{index}", weight=2, label="x", extra={"a": [1]}) for index in range(600)]
    assert decoder.decode(values, NOW).decoded == 600
    assert decoder.singly == 0
    values[300] = b"{"
    assert decoder.decode(values, NOW).decoded == 599
    assert 0 < decoder.singly < 300
