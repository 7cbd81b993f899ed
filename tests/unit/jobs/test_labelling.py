"""Windows and their labels, from spans to labelled rows, and through their stages."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from monitor.config.settings import ModelSettings
from monitor.errors import TransientError
from monitor.jobs import labelling
from monitor.jobs.label_counting import LabelCounter
from monitor.jobs.labelling import JoinedWindow, Labeller, reach_of
from monitor.jobs.long_joining import join_in_ranges
from monitor.jobs.window_rows import ColumnPlan
from monitor.records import Rows, Window
from monitor.store.evaluation_ledger import EvaluationRecord
from monitor.store.housekeeping import Housekeeping
from monitor.store.ledger import Ledger
from monitor.window.label_due import Stage, worth_it
from monitor.window.label_fates import FateCounts
from tests.ledgers import HOUR, NOON, key, window
from tests.unit.jobs.label_world import TYPES, Seen, World, settings

LIVE = settings()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


@pytest.fixture
def world(ledger: Ledger) -> World:
    return World(ledger)


def look(world: World, now: datetime, options: ModelSettings = LIVE) -> list[JoinedWindow]:
    """Look at what is due, and record what is worth it as a job does; return all that was joined."""
    labeller, found = Labeller(world.ledger, world.storage), []
    for joined in labeller.join("model", labeller.due("model", options, now), options, now):
        found.append(joined)
        candidate, counts = joined.due.candidate, joined.labels.counts
        worth = worth_it(joined.due.stage, candidate, counts.labelled, counts.predictions, joined.labels.digest)
        if not worth:
            world.ledger.evaluations.looked(joined.key, joined.look, world.lease)
            continue
        evaluation = EvaluationRecord(
            key=joined.key,
            revision=candidate.newest.revision + 1 if candidate.newest else 1,
            stage=joined.due.stage,
            traffic_revision=joined.pending.revision,
            verdict="ok",
            blessing=None,
            labelled=counts.labelled,
            rows=counts.predictions,
            labels_digest=joined.labels.digest,
            configuration_hash="hash",
            document={"labels": counts.to_json()},
        )
        world.ledger.evaluations.record(evaluation, joined.look, world.lease, now)
    return found


def stages(world: World, hours_before_noon: int = 1) -> list[tuple[str, int]]:
    """Return stage and number of labelled rows of each revision of an hour's evaluation."""
    history = world.ledger.evaluations.history(key(hours_before_noon))
    return [(str(each.evaluation.stage), each.evaluation.labelled) for each in history]


def labelled(world: World, options: ModelSettings = LIVE) -> Rows:
    (joined,) = look(world, NOON + 900 * HOUR, options)
    return Labeller(world.ledger, world.storage).rows(joined, options, ColumnPlan(TYPES, "prediction"))


def pairs(rows: Rows) -> list[tuple[float, float | None]]:
    """Return number and label of each row; labels of these tests are ten times the number of their prediction."""
    return list(zip(*(rows.features.column(name).to_pylist() for name in ("number", rows.label)), strict=True))


def test_a_window_goes_through_its_stages_and_keeps_every_revision(world: World) -> None:
    world.traffic(*(Seen(str(number), -0.5, number=number) for number in range(20)), until=2)
    world.judge()
    assert look(world, NOON) == [], "no label has come"
    world.labels(Seen("0", 0.1, label=0.0), until=0.1)
    assert [each.due.stage for each in look(world, NOON)] == [Stage.PROVISIONAL]
    assert look(world, NOON) == [], "nothing has come since"
    world.labels(*(Seen(str(number), 1, label=10.0 * number) for number in range(1, 12)), until=1)
    look(world, NOON + HOUR)
    world.labels(Seen("12", 2, label=120.0), until=2)
    look(world, NOON + HOUR)
    assert stages(world) == [("provisional", 1), ("provisional", 12)], "one label more is no step"
    world.labels(until=4)
    look(world, NOON + 4 * HOUR)
    world.labels(Seen("14", 3.5, label=140.0), Seen("nobody", 3.5, label=1.0), until=5)
    look(world, NOON + 5 * HOUR)
    world.labels(Seen("12", 3.6, label=120.0), until=6)
    look(world, NOON + 6 * HOUR)
    world.traffic(Seen("late", -0.2, number=7.0), until=3)
    world.judge()
    look(world, NOON + 7 * HOUR)
    assert stages(world) == [("provisional", 1), ("provisional", 12), ("final", 13), ("restated", 14), ("restated", 14)]
    history = world.ledger.evaluations.history(key(1))
    assert [each.evaluation.traffic_revision for each in history] == [1, 1, 1, 1, 2]
    assert [each.evaluation.rows for each in history] == [20, 20, 20, 20, 21]
    assert look(world, NOON + 30 * HOUR) == []
    world.labels(Seen("15", 3.9, label=1.0), until=29)
    assert look(world, NOON + 30 * HOUR) == [], "nobody waits for labels after restating is over"


def test_labels_stand_beside_their_rows_in_canonical_order(world: World) -> None:
    numbers = list(range(60))
    random.Random(3).shuffle(numbers)
    for part in (numbers[:25], numbers[25:]):
        world.traffic(*(Seen(str(number), -0.5, number=number) for number in part), until=1)
    world.judge()
    random.Random(4).shuffle(numbers)
    for turn, part in enumerate((numbers[:20], numbers[20:40])):
        world.labels(*(Seen(str(number), turn + 0.5, label=10.0 * number) for number in part), until=9)
    rows = labelled(world)
    known = set(numbers[:40])
    assert len(rows) == 60
    assert all(label == (10 * number if number in known else None) for number, label in pairs(rows))
    assert rows.label == "label"


def test_labels_are_joined_with_the_rows_that_sampling_leaves(world: World) -> None:
    floors = [{"by": ["status"], "rows": 3}]
    options = settings(max_rows_per_window=100, floors=floors)
    seen = [
        Seen(str(number), -0.5, number=number, stratum="status=error" if number % 30 == 0 else "")
        for number in range(400)
    ]
    world.traffic(*seen[:150], until=0)
    world.traffic(*seen[150:], until=1)
    world.judge()
    world.labels(*(Seen(str(number), 1, label=10.0 * number) for number in range(0, 400, 2)), until=9)
    rows = labelled(world, options)
    assert 100 <= len(rows) < 120
    assert rows.weights is not None
    assert all(label == (None if number % 2 else 10 * number) for number, label in pairs(rows))
    (evaluation,) = world.ledger.evaluations.evaluations("model")
    found = evaluation.evaluation.document["labels"]
    weight_of_labelled = sum(
        weight for weight, (_, label) in zip(rows.weights, pairs(rows), strict=True) if label is not None
    )
    assert found["weighted_coverage"] == pytest.approx(weight_of_labelled / 400)


def test_instances_of_a_request_get_their_own_labels(world: World) -> None:
    seen = [Seen("a", -0.5, number=number, instance=number) for number in range(4)]
    world.traffic(*seen, until=1)
    world.judge()
    world.labels(*(Seen("a", 1, label=10.0 * number, instance=number) for number in (3, 1)), until=9)
    assert sorted(pairs(labelled(world)), key=str) == [(0, None), (1, 10), (2, None), (3, 30)]


def test_the_label_in_the_record_counts_until_the_stream_brings_one(world: World) -> None:
    world.traffic(*(Seen(str(number), -0.5, number=number, label=10.0 * number) for number in range(3)), until=1)
    world.judge()
    world.labels(Seen("1", 2, label=-1.0), until=9)
    assert sorted(pairs(labelled(world))) == [(0, 0), (1, -1), (2, 20)]


def test_labels_that_only_come_with_the_traffic_make_a_final_evaluation_at_once(world: World) -> None:
    options = settings(horizon=None)
    world.traffic(*(Seen(str(number), -0.5, number=number, label=1.0) for number in range(3)), until=0)
    world.judge()
    (joined,) = look(world, NOON, options)
    assert (joined.due.stage, joined.labels.counts.own) == (Stage.FINAL, 3)
    assert look(world, NOON + HOUR, options) == []


def test_windows_that_are_due_together_share_the_reading_of_labels(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(1, 7):
        seen = (Seen(f"{hour}-{number}", -hour + 0.5, number=number) for number in range(5))
        world.traffic(*seen, until=1)
        world.labels(*(Seen(f"{hour}-{number}", -hour + 2, label=10.0 * number) for number in range(5)), until=9)
    world.judge()
    reads: Counter[str] = Counter()
    get = world.storage.get

    def counted(name: str) -> bytes:
        reads[name] += 1
        return get(name)

    monkeypatch.setattr(world.storage, "get", counted)
    together = look(world, NOON + 9 * HOUR)
    assert [each.labels.counts.labelled for each in together] == [5] * 6
    assert [each.key.window for each in together] == [window(hour) for hour in range(6, 0, -1)]
    assert set(reads.values()) == {1}
    monkeypatch.setattr(labelling, "JOIN_ROWS", 9)
    labeller = Labeller(world.ledger, world.storage)
    apart = list(labeller.join("model", [each.due for each in together], LIVE, NOON))
    assert [each.labels.digest for each in apart] == [each.labels.digest for each in together]


def test_months_are_joined_range_by_range_as_at_once(world: World) -> None:
    seen = [Seen(str(number), -0.5 - number % 5, number=number) for number in range(400)]
    for part in range(3):
        world.traffic(*seen[part::3], until=1)
    told = [Seen(str(number), 0.5 - number % 5, label=10.0 * number) for number in range(0, 400, 2)]
    world.labels(*told[:70], until=1)
    world.labels(*told[70:], until=1)
    span = Window(NOON - 100 * HOUR, NOON + 100 * HOUR)
    labels = world.ledger.labels
    sides = labels.predictions("model", span), labels.spans("model", span)
    for rows in (30, 150, 10_000):
        found = list(join_in_ranges(*sides, world.storage, reach_of(LIVE), rows=rows, columns=["feature.number"]))
        assert len(found) == -(-400 // rows)
        joined = [
            pair
            for table, each in found
            for pair in zip(table.column("feature.number").to_pylist(), each.values.to_pylist(), strict=True)
        ]
        assert sorted(joined) == [(number, None if number % 2 else 10 * number) for number in range(400)]
        hashes = [each for table, _ in found for each in table.column("hash").to_pylist()]
        assert hashes == sorted(hashes)
    assert list(join_in_ranges([], sides[1], world.storage, reach_of(LIVE), rows=9)) == []


def test_a_window_whose_spans_are_gone_says_so_and_one_without_any_is_no_candidate(world: World) -> None:
    world.traffic(Seen("a", -0.5), until=1)
    world.judge()
    world.labels(Seen("a", 1, label=1.0), until=9)
    labeller = Labeller(world.ledger, world.storage)
    due = labeller.due("model", LIVE, NOON)
    Housekeeping(world.ledger.database, "default", world.storage).clean(HOUR, NOON + 50 * HOUR)
    (joined,) = labeller.join("model", due, LIVE, NOON)
    assert (joined.deleted, len(joined.labels)) == (2, 0)
    assert labeller.due("model", LIVE, NOON) == []


def test_a_span_that_cannot_be_read_is_tried_again_later(world: World) -> None:
    world.traffic(Seen("a", -0.5), until=1)
    world.judge()
    world.labels(Seen("a", 1, label=1.0), until=9)
    (span,) = world.ledger.labels.spans("model", Window(NOON, NOON + 9 * HOUR))
    world.storage.delete(span.name)
    with pytest.raises(TransientError, match="cannot read labels/"):
        look(world, NOON)


def test_every_label_is_counted_once_those_for_unknown_ids_among_them(world: World) -> None:
    counter = LabelCounter(world.ledger, world.storage)
    world.traffic(Seen("a", -0.5), Seen("b", -0.5), Seen("c", -5.5), until=3)
    world.labels(Seen("a", 1, label=1.0), Seen("a", 1, label=1.0), Seen("b", -0.9, label=1.0), until=3)
    world.labels(Seen("x", 1, label=1.0), Seen("c", -0.6, label=1.0), Seen("a", 0.5, label=1.0, instance=4), until=3)
    assert counter.count("model", LIVE, world.lease, NOON) is None, "predictions of early labels may still come"
    world.traffic(until=6)
    first = FateCounts(in_time=2, early=1, too_late=1, unknown=2)
    assert counter.count("model", LIVE, world.lease, NOON) == first
    world.labels(Seen("y", 1, label=1.0), until=3)
    world.traffic(until=9)
    assert counter.count("model", LIVE, world.lease, NOON) is None, "once in a horizon"
    world.traffic(until=10)
    assert counter.count("model", LIVE, world.lease, NOON) == FateCounts(unknown=1), (
        "late ones have a count of their own"
    )
    world.traffic(until=18)
    assert counter.count("model", LIVE, world.lease, NOON) is None
    assert world.ledger.labels.totals() == {"model": first + FateCounts(unknown=1)}
    counted = [(each.window, each.number, each.fates.labels) for each in world.ledger.labels.counts("model")]
    assert counted == [(window(1), 1, 2), (window(0), 1, 1), (window(-1), 1, 3), (window(-1), 2, 1)]


def test_a_label_whose_prediction_was_sampled_out_is_not_unknown(ledger: Ledger) -> None:
    world = World(ledger, theta=2**62)
    world.traffic(*(Seen(str(number), -0.5) for number in range(200)), until=20)
    world.theta = 2**64
    world.labels(*(Seen(str(number), 1, label=1.0) for number in range(220)), until=20)
    counted = LabelCounter(world.ledger, world.storage).count("model", LIVE, world.lease, NOON)
    assert counted is not None
    assert counted.labels == 220
    assert counted.in_time + counted.unsampled + counted.unknown == 220
    assert 30 < counted.in_time < 70
    assert counted.unsampled > 130
    assert 0 < counted.unknown <= 20


def test_more_labels_than_can_be_held_are_counted_in_turns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.jobs.label_counting.COUNT_ROWS", 7)
    world.traffic(Seen("0", -0.5), until=30)
    for turn in range(4):
        world.labels(*(Seen(f"{turn}-{number}", 1 + turn % 2, label=1.0) for number in range(3)), until=30)
    counter = LabelCounter(world.ledger, world.storage)
    turns = [counter.count("model", LIVE, world.lease, NOON) for _ in range(3)]
    assert [None if each is None else each.unknown for each in turns] == [6, 6, None]
