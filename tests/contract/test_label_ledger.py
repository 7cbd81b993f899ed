"""Labels in the ledger: their watermark, their spans, and that each is counted once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from collectors.memory import MemoryStorage
from monitor.config.settings import WindowSettings
from monitor.cuts import Partition
from monitor.errors import StaleClaim
from monitor.records import SpanKind, Window
from monitor.store.housekeeping import Housekeeping
from monitor.store.label_ledger import Uncounted
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from monitor.window.label_fates import FateCounts
from monitor.window.label_reach import Reach
from tests.ledgers import HOUR, NOON, Hand, held, key, window

SETTINGS = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
LABELS = Partition("labels-id", 0, "labels")
MINUTE = timedelta(minutes=1)
REACH = Reach(4 * HOUR)
ALL = Window(NOON - 100 * HOUR, NOON + 100 * HOUR)


def advance(ledger: Ledger, settings: WindowSettings = SETTINGS, now: datetime = NOON) -> datetime | None:
    return ledger.labels.advance("model", "labels", settings, held(ledger), now)


def labels(ledger: Ledger, *hours: int, rows: int = 5) -> None:
    """Commit a label span of each of these hours before noon."""
    hand = Hand.on(ledger.cuts, LABELS)
    hand.commit(hand.cut([(key(hour, ""), rows) for hour in hours], kind=SpanKind.LABELS, newest=NOON))


def traffic(ledger: Ledger, *hours: int, until: datetime = NOON, theta: int = 2**64) -> None:
    """Commit a traffic span of each of these hours, and that the traffic is complete so far."""
    hand = Hand.on(ledger.cuts)
    hand.commit(hand.cut([(key(hour), 5) for hour in hours], newest=until + 10 * MINUTE, theta=theta))
    ledger.windows.advance("model", "requests", SETTINGS, held(ledger), NOON + 100 * HOUR)


def uncounted(ledger: Ledger, at_most: int = 1000) -> Uncounted:
    found = ledger.labels.uncounted("model", REACH, at_most)
    assert found is not None
    return found


def record(ledger: Ledger, found: Uncounted, lease: Lease | None = None) -> None:
    fates = {span.window: FateCounts(in_time=1, unknown=2) for span in found.spans}
    ledger.labels.record(found, fates, REACH, lease or held(ledger), NOON)


def test_labels_have_a_watermark_of_their_own_that_never_goes_back(ledger: Ledger) -> None:
    assert advance(ledger) is None
    assert ledger.labels.watermark("model") is None
    hand = Hand.on(ledger.cuts, LABELS)
    hand.commit(hand.cut([(key(5, ""), 3)], kind=SpanKind.LABELS, newest=NOON - 4 * HOUR))
    assert advance(ledger) == NOON - 4 * HOUR - 10 * MINUTE
    ledger.cuts.expect([LABELS, Partition("labels-id", 1, "labels")], NOON)
    slow = Hand.on(ledger.cuts, Partition("labels-id", 1, "labels"))
    slow.commit(slow.cut([(key(9, ""), 3)], kind=SpanKind.LABELS))
    assert advance(ledger) == NOON - 4 * HOUR - 10 * MINUTE
    assert ledger.labels.watermark("model") == NOON - 4 * HOUR - 10 * MINUTE
    assert ledger.watermarks() == {}, "that of the traffic is another"


@pytest.mark.parametrize(
    ("time", "mark"),
    [
        pytest.param("live", NOON + HOUR - 10 * MINUTE, id="live: complete up to the last look at the quiet input"),
        pytest.param("replay", NOON - 4 * HOUR - 10 * MINUTE, id="replay: the wall clock says nothing"),
    ],
)
def test_quiet_labels_are_complete_as_quiet_traffic_is(ledger: Ledger, time: str, mark: datetime) -> None:
    hand = Hand.on(ledger.cuts, LABELS)
    hand.commit(hand.cut([(key(5, ""), 3)], kind=SpanKind.LABELS, newest=NOON - 4 * HOUR))
    hand.at_end = True
    hand.commit(hand.cut(checked_at=NOON + HOUR, progressed_at=NOON))
    settings = SETTINGS.model_copy(update={"time": time})
    assert advance(ledger, settings, NOON + 2 * HOUR) == mark


def test_a_monitor_that_lost_its_lease_moves_no_watermark(ledger: Ledger) -> None:
    mine = held(ledger)
    ledger.leases.release(mine)
    other = ledger.leases.acquire("model:model", "other", NOON + 200 * HOUR, HOUR)
    assert other is not None
    labels(ledger, 3)
    with pytest.raises(StaleClaim):
        ledger.labels.advance("model", "labels", SETTINGS, mine, NOON)
    assert ledger.labels.watermark("model") is None


def test_spans_are_found_by_the_time_that_they_cover(ledger: Ledger) -> None:
    labels(ledger, 5, 4, 3)
    traffic(ledger, 5, 4)
    found = ledger.labels.spans("model", Window(window(4).start + MINUTE, window(3).start))
    assert [(span.window, span.rows, span.min_hash, span.max_hash) for span in found] == [(window(4), 5, 5, 2**64 - 1)]
    assert len(ledger.labels.spans("model", ALL)) == 3
    assert [span.window for span in ledger.labels.predictions("model", ALL)] == [window(5), window(4)]
    assert ledger.labels.spans("another", ALL) == []


def test_labels_are_counted_when_the_traffic_that_they_may_be_of_is_complete(ledger: Ledger) -> None:
    labels(ledger, 9, 8, 7)
    assert ledger.labels.uncounted("model", REACH, 1000) is None, "there is no traffic yet"
    traffic(ledger, 20, 14, 9, 4, until=NOON - 4 * HOUR)
    found = uncounted(ledger)
    assert [span.window for span in found.spans] == [window(9)], "others wait for predictions that may still come"
    assert [span.window for span in found.predictions] == [window(14), window(9)], (
        "those within two horizons, and early"
    )
    assert not found.more
    record(ledger, found)
    traffic(ledger, until=NOON - HOUR)
    assert ledger.labels.uncounted("model", REACH, 1000) is None, "once in a horizon"
    traffic(ledger, until=NOON)
    assert [span.window for span in uncounted(ledger).spans] == [window(8), window(7)]


def test_each_label_is_counted_once_and_late_ones_under_a_number_of_their_own(ledger: Ledger) -> None:
    labels(ledger, 20, 20, 19)
    traffic(ledger, 20)
    first = uncounted(ledger)
    record(ledger, first)
    with pytest.raises(StaleClaim):
        record(ledger, first)
    labels(ledger, 19)
    traffic(ledger, until=NOON + 4 * HOUR)
    record(ledger, uncounted(ledger))
    found = ledger.labels.counts("model")
    assert [(each.window, each.number) for each in found] == [(window(20), 1), (window(19), 1), (window(19), 2)]
    assert found[0].fates == FateCounts(in_time=1, unknown=2)
    assert ledger.labels.totals() == {"model": FateCounts(in_time=3, unknown=6)}


def test_counting_needs_the_lease(ledger: Ledger) -> None:
    labels(ledger, 20)
    traffic(ledger, 20)
    found, mine = uncounted(ledger), held(ledger)
    ledger.leases.release(mine)
    assert ledger.leases.acquire("model:model", "other", NOON + 200 * HOUR, HOUR) is not None
    with pytest.raises(StaleClaim):
        record(ledger, found, mine)
    assert ledger.labels.counts("model") == []


def test_what_is_too_much_or_too_far_for_one_time_is_left_for_the_next(ledger: Ledger) -> None:
    labels(ledger, 40, 39, 38, 30, 30)
    traffic(ledger, 40)
    sizes = []
    for _ in range(3):
        found = uncounted(ledger, at_most=11)
        sizes.append(([span.window for span in found.spans], found.more))
        record(ledger, found)
    assert sizes == [
        ([window(40), window(39)], True),
        ([window(38)], True),
        ([window(30), window(30)], False),
    ]
    assert ledger.labels.uncounted("model", REACH, 11) is None


def test_predictions_that_are_gone_are_told(ledger: Ledger) -> None:
    traffic(ledger, 21, 20, 9)
    Housekeeping(ledger.database, "default", MemoryStorage()).clean(HOUR, NOON + 3 * HOUR)
    labels(ledger, 19)
    found = uncounted(ledger)
    assert (found.predictions, len(found.deleted)) == ([], 2)
    record(ledger, found)
    assert [each.deleted_spans for each in ledger.labels.counts("model")] == [2]
    assert ledger.labels.deleted("model", ALL) == 0
    Housekeeping(ledger.database, "default", MemoryStorage()).clean(HOUR, NOON + 3 * HOUR)
    assert ledger.labels.deleted("model", ALL) == 1
