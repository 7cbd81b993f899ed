"""The label join against one that is written down row by row, and its laws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import to_micros
from monitor.hashing import hash_ids
from monitor.records import EVENT_TIME_TYPE
from monitor.window.hash_ranges import split
from monitor.window.label_counts import LabelCounts
from monitor.window.label_reach import Reach
from monitor.window.labels import LabelJoin, Labels, concatenated, join

NOON = to_micros(datetime(2026, 3, 1, 12, tzinfo=UTC))
HOUR = 3_600_000_000
DAY_LATE = Reach(timedelta(hours=24))
Value = float | str | None


@dataclass(frozen=True)
class Record:
    """A prediction, or a label; its time in hours from noon."""

    id: str
    value: Value = None
    hours: float = 0.0
    instance: int = 0
    weight: float = 1.0

    @property
    def time(self) -> int:
        return NOON + int(self.hours * HOUR)


def table(records: Sequence[Record], hashes: Sequence[int] | None = None) -> pa.Table:
    """Return records in canonical order, as columns of spans of either kind."""
    ids = pa.array([record.id for record in records], pa.string())
    hashed = pa.array(hash_ids(ids) if hashes is None else hashes, pa.uint64())
    values = [record.value for record in records]
    columns = {
        "hash": hashed,
        "request_id": ids,
        "instance": pa.array([record.instance for record in records], pa.int64()),
        "event_time": pa.array([record.time for record in records], pa.int64()).cast(EVENT_TIME_TYPE),
        "weight": pa.array([record.weight for record in records], pa.float64()),
        "label": pa.array([None if isinstance(value, str) else value for value in values], pa.float64()),
        "label_text": pa.array([value if isinstance(value, str) else None for value in values], pa.string()),
    }
    return pa.table(columns).sort_by([(name, "ascending") for name in ("hash", "request_id", "instance", "event_time")])


def joined(predictions: Sequence[Record], *labels: Sequence[Record], reach: Reach = DAY_LATE) -> Labels:
    return join(table(predictions), [table(each) for each in labels], reach)


@dataclass
class Expected:
    """What the join should say of a prediction, found by looking at each label."""

    value: Value
    time: int
    joined: int
    values: int
    early: int
    too_late: int
    first: int


def oracle(prediction: dict[str, Any], labels: Sequence[Record], reach: Reach) -> Expected:
    """The rules of docs/labels.md, word by word."""
    at = int(prediction["event_time"].timestamp() * 1_000_000)
    own = prediction["label_text"] if prediction["label_text"] is not None else prediction["label"]
    mine = [
        label
        for label in labels
        if (label.id, label.instance) == (prediction["request_id"], prediction["instance"]) and label.value is not None
    ]
    before, horizon = (duration // timedelta(microseconds=1) for duration in (reach.early, reach.horizon))
    near = [label for label in mine if -before <= label.time - at <= horizon]
    ranked = [(1, label.time, isinstance(label.value, str), label.value) for label in near]
    if own is not None:
        ranked.append((0, at, isinstance(own, str), own))
    _, time, _, value = max(ranked, default=(0, 0, False, None))
    return Expected(
        value,
        time,
        len(ranked),
        len({(isinstance(value, str), value) for _, _, _, value in ranked}),
        sum(label.time < at for label in near),
        sum(label.time - at > horizon for label in mine),
        min((max(time - at, 0) for _, time, _, _ in ranked), default=0),
    )


def check(found: Labels, predictions: Sequence[Record], labels: Sequence[Record], reach: Reach) -> None:
    rows = table(predictions).to_pylist()
    expected = [oracle(row, labels, reach) for row in rows]
    texts = any(isinstance(each.value, str) for each in expected)
    assert pa.types.is_string(found.values.type) is texts
    for each, value in zip(expected, found.values.to_pylist(), strict=True):
        known = each.value + 0.0 if isinstance(each.value, float) else each.value
        assert value == (pa.scalar(known).cast(pa.string()).as_py() if texts and isinstance(known, float) else known)
    assert found.times.tolist() == [each.time for each in expected]
    counts, with_label = found.counts, [each for each in expected if each.value is not None]
    assert (counts.predictions, counts.labelled) == (len(rows), len(with_label))
    assert counts.corrections == sum(each.values - 1 for each in with_label)
    assert counts.duplicates == sum(each.joined - each.values for each in with_label)
    assert counts.early == sum(each.early for each in expected)
    assert counts.too_late == sum(each.too_late for each in expected)
    assert counts.delays.count == len(with_label)
    assert counts.delays.most == max((each.first for each in with_label), default=0)
    assert counts.delays.least == min((each.first for each in with_label), default=0)


values = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 2.5, "no", "yes", "é"]))
hours = st.sampled_from([-30.0, -24.0, -2.0, -0.5, 0.0, 0.5, 1.0, 23.0, 24.0, 24.5, 25.0, 60.0])
records = st.builds(
    Record, st.sampled_from("abcdef"), values, hours, st.sampled_from([0, 0, 1, 7]), st.sampled_from([1.0, 2.0])
)
some = st.lists(records, max_size=25)
reaches = st.sampled_from([DAY_LATE, Reach(timedelta(hours=1)), Reach(timedelta(0)), Reach(timedelta(days=3))])


@given(some, some, reaches)
def test_the_join_is_the_one_that_is_written_down(
    predictions: list[Record], labels: list[Record], reach: Reach
) -> None:
    check(joined(predictions, labels, reach=reach), predictions, labels, reach)


@given(some, some, reaches, st.randoms(use_true_random=False), st.integers(1, 6))
def test_order_and_number_of_spans_change_nothing(
    predictions: list[Record], labels: list[Record], reach: Reach, random: Any, pieces: int
) -> None:
    one = joined(predictions, labels, reach=reach)
    shuffled = random.sample(labels, len(labels))
    many = joined(predictions, *(shuffled[place::pieces] for place in range(pieces)), reach=reach)
    assert_same(one, many)


@given(some, some, st.integers(1, 8))
def test_joining_range_by_range_is_joining_at_once(
    predictions: list[Record], labels: list[Record], at_most: int
) -> None:
    asked, told = table(predictions), table(labels)
    hashes = [side.column("hash").to_numpy() for side in (asked, told)]
    least, most = (0, 2**64 - 1) if not len(asked) else (int(hashes[0][0]), int(hashes[0][-1]))
    parts = []
    for each in split(least, most, len(asked), at_most):
        mine = [side[each.within(of)] for side, of in zip((asked, told), hashes, strict=True)]
        parts.append(join(mine[0], [mine[1]], DAY_LATE))
    assert_same(concatenated(parts), join(asked, [told], DAY_LATE))


def assert_same(one: Labels, other: Labels) -> None:
    assert one.values.equals(other.values)
    assert one.times.tolist() == other.times.tolist()
    assert replace(one.counts, weight=0.0, labelled_weight=0.0) == replace(
        other.counts, weight=0.0, labelled_weight=0.0
    )
    assert one.counts.weight == pytest.approx(other.counts.weight)
    assert one.counts.labelled_weight == pytest.approx(other.counts.labelled_weight)
    assert one.digest == other.digest


@pytest.mark.parametrize(
    ("labels", "value", "counted"),
    [
        pytest.param([], None, {}, id="no label"),
        pytest.param([Record("a", 1.0, 3)], 1.0, {"labelled": 1}, id="a label"),
        pytest.param([Record("b", 1.0, 3)], None, {}, id="a label of another request"),
        pytest.param([Record("a", 1.0, 3, instance=1)], None, {}, id="a label of another instance"),
        pytest.param(
            [Record("a", 1.0, 3)] * 3, 1.0, {"labelled": 1, "duplicates": 2}, id="the same value again is a duplicate"
        ),
        pytest.param(
            [Record("a", 1.0, 3), Record("a", 1.0, 9)],
            1.0,
            {"labelled": 1, "duplicates": 1},
            id="also at another time",
        ),
        pytest.param(
            [Record("a", 0.0, 9), Record("a", 1.0, 3)],
            0.0,
            {"labelled": 1, "corrections": 1},
            id="the newest value counts, whatever comes first",
        ),
        pytest.param(
            [Record("a", 0.0, 1), Record("a", 1.0, 2), Record("a", 0.0, 3)],
            0.0,
            {"labelled": 1, "corrections": 1, "duplicates": 1},
            id="a value that comes back is a duplicate",
        ),
        pytest.param(
            [Record("a", 2.0, 3), Record("a", 5.0, 3), Record("a", -1.0, 3)],
            5.0,
            {"labelled": 1, "corrections": 2},
            id="of one moment the greatest counts",
        ),
        pytest.param(
            [Record("a", "x", 3), Record("a", 5.0, 3)], "x", {"labelled": 1, "corrections": 1, "texts": 1},
            id="of one moment a text counts before a number",
        ),
        pytest.param([Record("a", 1.0, -1)], 1.0, {"labelled": 1, "early": 1}, id="a label before its prediction"),
        pytest.param([Record("a", 1.0, -24)], 1.0, {"labelled": 1, "early": 1}, id="by as much as may be"),
        pytest.param([Record("a", 1.0, -24.1)], None, {}, id="by more than that"),
        pytest.param([Record("a", 1.0, 24)], 1.0, {"labelled": 1}, id="at the horizon"),
        pytest.param([Record("a", 1.0, 24.1)], None, {"too_late": 1}, id="beyond the horizon"),
        pytest.param(
            [Record("a", 0.0, 24.1), Record("a", 1.0, 2)],
            1.0,
            {"labelled": 1, "too_late": 1},
            id="a correction beyond the horizon does not count",
        ),
    ],
)  # fmt: skip
def test_which_label_counts(labels: list[Record], value: Value, counted: dict[str, int]) -> None:
    found = joined([Record("a")], labels)
    assert found.values.to_pylist() == [value]
    names = ("labelled", "own", "texts", "duplicates", "corrections", "early", "too_late")
    assert {name: getattr(found.counts, name) for name in names if getattr(found.counts, name)} == counted
    assert found.counts.predictions == 1


def test_the_label_of_the_record_itself_counts_until_there_is_another() -> None:
    asked = [Record("a", 1.0)]
    assert joined(asked).values.to_pylist() == [1.0]
    assert joined(asked).counts.own == 1
    corrected = joined(asked, [Record("a", 0.0, -3)])
    assert corrected.values.to_pylist() == [0.0], "also by one with an earlier time"
    assert (corrected.counts.own, corrected.counts.corrections) == (0, 1)
    assert joined(asked, [Record("a", 1.0, 2)]).counts.duplicates == 1


def test_a_label_is_of_every_prediction_with_its_key_within_reach() -> None:
    found = joined([Record("a", hours=0), Record("a", hours=3), Record("a", hours=40)], [Record("a", 1.0, 5)])
    assert found.values.to_pylist() == [1.0, 1.0, None]
    assert found.counts.labelled == 2


def test_two_ids_with_one_hash_are_told_apart() -> None:
    asked = table([Record("a"), Record("b"), Record("c", instance=3)], [5, 5, 5])
    told = table([Record("b", 1.0, 1), Record("c", 2.0, 1, instance=3), Record("d", 3.0, 1)], [5, 5, 5])
    assert join(asked, [told], DAY_LATE).values.to_pylist() == [None, 1.0, 2.0]


def test_instances_of_one_request_get_their_own_labels() -> None:
    asked = [Record("a", instance=instance) for instance in range(5)] + [Record("b", instance=9)]
    told = [Record("a", float(instance), 1, instance=instance) for instance in (4, 2, 0)] + [Record("b", 7.0, 1)]
    by_instance = joined(asked, told)
    found = dict(zip(table(asked).column("instance").to_pylist(), by_instance.values.to_pylist(), strict=True))
    assert found == {0: 0.0, 1: None, 2: 2.0, 3: None, 4: 4.0, 9: None}


def test_coverage_is_of_the_traffic_too_where_rows_have_weights() -> None:
    counts = joined([Record("a", weight=9.0), Record("b", weight=1.0)], [Record("b", 1.0, 1)]).counts
    assert counts.coverage == 0.5
    assert counts.weighted_coverage == 0.1
    assert LabelCounts().coverage is None


def test_delays_are_of_the_first_label_and_never_negative() -> None:
    labels = [Record("a", 1.0, 2), Record("a", 0.0, 20), Record("b", 1.0, -3), Record("c", 1.0, 8)]
    delays = joined([Record("a"), Record("b"), Record("c")], labels).counts.to_json()["delay_seconds"]
    assert delays == {
        "p50": pytest.approx(2 * 3600, rel=0.01),
        "p90": 8 * 3600,
        "p99": 8 * 3600,
        "max": 8 * 3600,
    }


def test_counts_are_json_without_infinities() -> None:
    empty = joined([]).counts.to_json()
    assert (empty["predictions"], empty["coverage"], empty["delay_seconds"]) == (0, None, None)


def test_the_digest_changes_with_what_is_known_and_with_nothing_else() -> None:
    asked = [Record("a"), Record("b")]
    digests = {
        name: joined(asked, labels).digest
        for name, labels in {
            "none": [],
            "one": [Record("a", 1.0, 1)],
            "another": [Record("b", 1.0, 1)],
            "zero": [Record("a", 0.0, 1)],
            "text": [Record("a", "1", 1)],
            "texts": [Record("a", "1", 1), Record("b", "", 1)],
        }.items()
    }
    assert len(set(digests.values())) == len(digests)
    assert joined(asked, [Record("a", 1.0, 1), Record("a", 1.0, 9)]).digest == digests["one"]


def test_many_corrections_are_counted_once_each_however_often_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.window.labels._COMPACT_FROM", 50)
    ids = [str(number) for number in range(100)]
    asked = table([Record(each) for each in ids])
    state = LabelJoin(asked, DAY_LATE)
    told = []
    rng = np.random.default_rng(7)
    for turn in range(40):
        told += [Record(each, float(turn % 3), turn / 10) for each in rng.permutation(ids)[:50].tolist()]
        state.add(table(told[-50:]))
    counts = state.labels().counts
    assert counts.corrections == 2 * len(ids)
    assert counts.labelled + counts.duplicates + counts.corrections == len(told)
    assert counts == join(asked, [table(told)], DAY_LATE).counts
