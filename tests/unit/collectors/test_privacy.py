"""What is done to features before anything of them is stored."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collectors.buffer import Buffer
from collectors.decoders import decoder_of
from collectors.privacy import Privacy
from collectors.sampler import Sampler
from collectors.source import Block, Started
from collectors.streams import streams_of
from collectors.wire.blocks import Envelope
from collectors.wire.json_records import JsonDecoder
from monitor.config.settings import PrivacySettings
from monitor.cuts import Claim, Partition
from monitor.hashing import hash_ids
from monitor.records import ColumnTypes, FeatureType, SpanKind, ValueType
from tests.unit.collectors.worlds import START, label, record, settings

INT, FLOAT, BYTES = (FeatureType(value) for value in ValueType)
TEXTS = FeatureType(ValueType.BYTES, multivalent=True)
KEY = "a key of sixteen or more"
MAIL = "ann@example.org"
NOW = START + timedelta(days=1000)


def hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8, key=hashlib.sha256(KEY.encode()).digest()).hexdigest()


def stored(values: list[Any], types: ColumnTypes, settings: dict[str, Any]) -> tuple[list[Any], list[int]]:
    """Return what is stored of feature `f` with these values, and how many values of each row do not fit."""
    return stored_features([{"f": value} for value in values], types, settings)


def stored_features(
    features: list[dict[str, Any]], types: ColumnTypes, settings: dict[str, Any]
) -> tuple[list[Any], list[int]]:
    decoder = JsonDecoder(Envelope(SpanKind.TRAFFIC, {"flights": types}, {"flights": timedelta(days=36_500)}))
    messages = [record(index, features=each) for index, each in enumerate(features)]
    table = decoder.decode(messages, START).parts["flights"]
    treated = Privacy(PrivacySettings.model_validate({"key": KEY, **settings})).treat_decoded(table)
    assert treated.schema == table.schema
    rows = []
    for row in treated.select(
        [n for n in treated.column_names if n == "untyped" or n.startswith("feature.")]
    ).to_pylist():
        apart = json.loads(row.pop("untyped") or "{}")
        typed = {name.removeprefix("feature."): value for name, value in row.items() if value is not None}
        assert not typed.keys() & apart.keys()
        found = typed | apart
        rows.append(found.get("f") if set(found) <= {"f"} else found)
    return rows, treated.column("misfits").to_pylist()


HASH, DROP, CUT, BUCKET = {"hash": ["f"]}, {"drop": ["f"]}, {"truncate": {"f": 3}}, {"bucket": {"f": 10}}


@pytest.mark.parametrize(
    ("values", "kind", "treatment", "expected", "misfits"),
    [
        pytest.param([MAIL, None, MAIL], BYTES, HASH, [hashed(MAIL), None, hashed(MAIL)], 0, id="a hashed text"),
        pytest.param([MAIL], None, HASH, [hashed(MAIL)], 0, id="a hashed text before there is a baseline"),
        pytest.param([7, 7.0, "7"], BYTES, HASH, [hashed("7")] * 3, 0, id="a hashed number, whatever its type"),
        pytest.param([7], INT, HASH, [hashed("7")], 1, id="a hash where the baseline still holds numbers does not fit"),
        pytest.param([[MAIL, None, "b"]], TEXTS, HASH, [[hashed(MAIL), None, hashed("b")]], 0, id="a hashed list"),
        pytest.param([[MAIL]], None, HASH, [[hashed(MAIL)]], 0, id="a hashed list before there is a baseline"),
        pytest.param([[MAIL]], BYTES, HASH, [[hashed(MAIL)]], 1, id="a list where one value is expected does not fit"),
        pytest.param([True, False], None, HASH, [hashed("1"), hashed("0")], 0, id="hashed truth"),
        pytest.param([MAIL, 5], BYTES, DROP, [None, None], 0, id="a dropped text, and one that does not fit"),
        pytest.param([5, [1]], None, DROP, [None, None], 0, id="a dropped feature before there is a baseline"),
        pytest.param([MAIL, "üß€x", "a", 12345], BYTES, CUT, ["ann", "üß€", "a", "123"], 0, id="the first characters"),
        pytest.param([17, -3, 20], INT, BUCKET, [10, -10, 20], 0, id="buckets of whole numbers"),
        pytest.param([17.5, -3.5, -0.0], FLOAT, BUCKET, [10.0, -10.0, 0.0], 0, id="buckets of numbers"),
        pytest.param([17, 2.5], None, BUCKET, [10, 0.0], 0, id="buckets before there is a baseline"),
        pytest.param([0.35], FLOAT, {"bucket": {"f": 0.25}}, [0.25], 0, id="a bucket narrower than one"),
        pytest.param([7], INT, {"bucket": {"f": 2.5}}, [5], 0, id="a bound that is whole by chance fits"),
        pytest.param([4], INT, {"bucket": {"f": 2.5}}, [2.5], 1, id="a bound that is not does not"),
        pytest.param([MAIL, "17"], None, BUCKET, [None, None], 0, id="what is no number has no bucket and is dropped"),
        pytest.param([MAIL], BYTES, {"hash": ["g"]}, [MAIL], 0, id="another feature"),
    ],
)
def test_what_is_stored_of_a_value(
    values: list[Any], kind: FeatureType | None, treatment: dict[str, Any], expected: list[Any], misfits: int
) -> None:
    found, bad = stored(values, {} if kind is None else {"f": kind}, treatment)
    assert found == expected
    assert sum(bad) == misfits


def test_a_name_stands_for_what_is_nested_in_it() -> None:
    found, _ = stored_features(
        [{"user.name": MAIL, "user.age": 33, "users": "all"}], {"user.age": INT}, {"drop": ["user"]}
    )
    assert found == [{"users": "all"}]


_values = st.one_of(st.none(), st.integers(-99, 99), st.floats(), st.text(max_size=4), st.booleans())


@given(
    st.lists(st.one_of(_values, st.lists(_values, max_size=3)), min_size=1, max_size=8),
    st.sampled_from([HASH, DROP, CUT, BUCKET]),
)
def test_types_change_nothing_of_what_is_stored(values: list[Any], treatment: dict[str, Any]) -> None:
    """A value is treated alike in a typed column and apart from it, but that numbers take the type of their column."""
    plain, _ = stored(values, {}, treatment)
    for kind in (BYTES, FLOAT, TEXTS):
        typed, _ = stored(values, {"f": kind}, treatment)
        for one, other in zip(plain, typed, strict=True):
            nothing = one in (None, [None]) and other in (None, [None])
            assert nothing or other in (one, [one]), kind


def test_nothing_of_a_treated_value_reaches_a_span_and_the_sampler_sees_the_original_ids() -> None:
    privacy = {"hash": ["mail"], "drop": ["carrier"], "hash_ids": True, "key": KEY}
    made = Buffer("c", streams_of(settings(privacy=privacy)), Sampler(lambda _: None), decoder_of, 0.5)
    made.set_types({"flights": {"mail": BYTES, "carrier": BYTES}})
    contents = []
    for name, values in (
        ("requests", [record(i, features={"mail": MAIL, "carrier": MAIL, "new": 1}) for i in range(50)]),
        ("labels", [label(i) for i in range(50)]),
    ):
        partition = Partition(f"id-{name}", 0, name)
        made.start(Claim(partition, None, 1), Started(0, 0), NOW)
        made.accept(Block(partition, 1, 0, 50, np.arange(50, dtype=np.int64), values), NOW)
    prepared = made.prepare(NOW)
    assert prepared is not None
    for file in prepared.files:
        table = pq.read_table(io.BytesIO(file.content))
        contents.append(json.dumps(table.to_pylist(), default=str))
        originals = {hashed(f"r-{i}"): int(hash_ids(pa.array([f"r-{i}"]))[0]) for i in range(50)}
        for name, value in zip(table.column("request_id").to_pylist(), table.column("hash").to_pylist(), strict=True):
            assert originals[name] == value
    assert hashed(MAIL) in "".join(contents)
    assert MAIL not in "".join(contents)
    assert '"r-1"' not in "".join(contents)


@pytest.mark.parametrize(
    ("given_", "aside", "expected"),
    [
        pytest.param(pa.table({"f": [MAIL, None]}), (), {"f": [hashed(MAIL), None]}, id="text"),
        pytest.param(pa.table({"f": [7, 8]}), (), {"f": [hashed("7"), hashed("8")]}, id="numbers"),
        pytest.param(pa.table({"f": pa.array(["a"]).dictionary_encode()}), (), {"f": [hashed("a")]}, id="dictionaries"),
        pytest.param(pa.table({"f": [b"a"]}), (), {"f": [hashed("a")]}, id="bytes"),
        pytest.param(pa.table({"f": [["a"], None]}), (), {"f": [[hashed("a")], None]}, id="lists"),
        pytest.param(pa.table({"f": ["a"]}), ("f",), {"f": ["a"]}, id="a column that is no feature"),
        pytest.param(pa.table({"f": pa.nulls(1), "g": [1]}), (), {"f": [None], "g": [1]}, id="no values"),
        pytest.param(pa.table({"gone": [MAIL], "g": [1]}), (), {"g": [1]}, id="a dropped column"),
        pytest.param(pa.table({"n": [17, None]}), (), {"n": [10, None]}, id="buckets"),
    ],
)
def test_training_rows_are_treated_as_traffic_is(given_: pa.Table, aside: tuple[str, ...], expected: Any) -> None:
    settings = PrivacySettings.model_validate({"hash": ["f"], "drop": ["gone"], "bucket": {"n": 10}, "key": KEY})
    assert Privacy(settings).treat_training(given_, aside).to_pydict() == expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param({"hash": ["f"]}, "hashing needs a `key`", id="no key"),
        pytest.param({"hash_ids": True}, "hashing needs a `key`", id="no key for ids"),
        pytest.param({"hash": ["f"], "key": "short"}, "at least 16 characters", id="a short key"),
        pytest.param({"hash": ["f"], "drop": ["f"], "key": KEY}, "'f' is named twice", id="two treatments"),
        pytest.param({"truncate": {"f": 0}}, "greater than or equal to 1", id="nothing left"),
        pytest.param({"bucket": {"f": float("nan")}}, "greater than 0|finite", id="a bucket of no width"),
    ],
)
def test_settings_that_protect_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PrivacySettings.model_validate(wrong)


def test_the_key_is_in_no_text() -> None:
    settings = PrivacySettings.model_validate({"hash": ["f"], "key": KEY})
    assert KEY not in repr(settings) + settings.model_dump_json()
