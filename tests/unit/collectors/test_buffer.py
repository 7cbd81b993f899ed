from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.buffer import Buffer
from collectors.decoders import decoder_of
from collectors.sampler import Sampler
from collectors.source import Block, Started
from collectors.streams import streams_of
from monitor.cuts import Claim, Partition
from monitor.errors import InvariantBroken
from monitor.records import SpanKind
from tests.unit.collectors.worlds import START, TYPES, record, settings

PARTITION = Partition("id", 0, "requests")
NOW = START + timedelta(days=1000)


def buffer(**flights: object) -> Buffer:
    made = Buffer("c", streams_of(settings(**flights)), Sampler(lambda _: None), decoder_of, 0.5)
    made.set_types({"flights": TYPES})
    made.start(Claim(PARTITION, None, 1), Started(0, 0), NOW)
    return made


def block(start: int, values: list[bytes | None], epoch: int = 1) -> Block:
    end = start + len(values)
    return Block(PARTITION, epoch, start, end, np.arange(start, end, dtype=np.int64), values)


def test_a_cut_covers_all_that_was_read_and_the_next_one_begins_behind_it() -> None:
    made = buffer()
    made.accept(block(0, [record(0), record(1)]), NOW)
    first = made.prepare(NOW)
    assert first is not None
    made.settle(first)
    made.accept(block(2, [record(2, minutes=90)]), NOW)
    second = made.prepare(NOW)
    assert second is not None
    assert [(step.start, step.end) for cut in (first, second) for step in cut.cut.ranges] == [(0, 2), (2, 3)]
    assert second.cut.ranges[0].max_event_time == START + timedelta(minutes=90)
    assert (second.cut.messages, second.cut.decoded) == (1, 1)


def test_preparing_twice_gives_the_same_cut_with_new_files() -> None:
    made = buffer()
    made.accept(block(0, [record(index) for index in range(100)]), NOW)
    one, two = made.prepare(NOW), made.prepare(NOW)
    assert one is not None
    assert two is not None
    assert one.cut.counts == two.cut.counts
    assert [file.content for file in one.files] == [file.content for file in two.files]
    assert not {file.span.span_id for file in one.files} & {file.span.span_id for file in two.files}


def test_a_new_claim_forgets_what_the_old_one_read() -> None:
    made = buffer()
    made.accept(block(0, [record(0), record(1)]), NOW)
    made.start(Claim(PARTITION, 1, 2), Started(1, 1), NOW)
    assert made.accept(block(2, [record(2)], epoch=1), NOW) is None
    made.accept(block(1, [record(1)], epoch=2), NOW)
    cut = made.prepare(NOW)
    assert cut is not None
    assert [(step.epoch, step.start, step.end) for step in cut.cut.ranges] == [(2, 1, 2)]
    assert cut.cut.messages == 1


def test_a_gap_between_blocks_is_a_broken_invariant() -> None:
    made = buffer()
    made.accept(block(0, [record(0)]), NOW)
    with pytest.raises(InvariantBroken, match="read up to 1, then from 5"):
        made.accept(block(5, [record(5)]), NOW)


def test_an_end_counts_only_if_nothing_was_read_since() -> None:
    made = buffer()
    made.accept(block(0, [record(0)]), NOW)
    made.at_end(PARTITION, 1, 0, NOW)
    stale = made.prepare(NOW)
    made.at_end(PARTITION, 1, 1, NOW)
    fresh = made.prepare(NOW + timedelta(minutes=5))
    assert stale is not None
    assert fresh is not None
    assert not stale.cut.ranges[0].at_end
    assert (fresh.cut.ranges[0].at_end, fresh.cut.ranges[0].checked_at) == (True, NOW)


def test_a_rate_drops_requests_by_their_id_and_counts_them() -> None:
    made = buffer(sampling={"rate": 0.5})
    made.accept(block(0, [record(index, minutes=1) for index in range(400)]), NOW)
    cut = made.prepare(NOW)
    assert cut is not None
    (count,) = cut.cut.counts
    kept = sum(span.rows for span in cut.cut.spans)
    assert count.records == 400 == kept + count.sampled_out
    assert 150 < kept < 250
    assert cut.cut.spans[0].theta == 2**63


def test_a_window_over_its_limit_keeps_the_smallest_hashes() -> None:
    made = buffer(sampling={"max_rows_per_window": 100})
    made.accept(block(0, [record(index, minutes=1) for index in range(1000)]), NOW)
    cut = made.prepare(NOW)
    assert cut is not None
    assert [span.rows for span in cut.cut.spans] == [101]
    assert cut.cut.counts[0].sampled_out == 899


def test_types_may_not_change_in_the_middle_of_a_cut() -> None:
    made = buffer()
    made.accept(block(0, [record(0)]), NOW)
    with pytest.raises(InvariantBroken, match="middle of a cut"):
        made.set_types({})


@given(
    seed=st.integers(0, 2**32),
    partitions=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    cuts=st.lists(st.booleans(), min_size=1, max_size=6),
)
def test_batching_and_cutting_never_change_which_rows_are_kept(
    seed: int, partitions: int, sizes: list[int], cuts: list[bool]
) -> None:
    rng = random.Random(seed)
    values = [record(index, minutes=rng.uniform(0, 180), version=rng.choice("ab")) for index in range(120)]
    made = buffer(sampling={"rate": 0.7})
    where = [Partition("id", number, "requests") for number in range(partitions)]
    for partition in where:
        made.start(Claim(partition, None, 1), Started(0, 0), NOW)
    position, rest, turn = dict.fromkeys(where, 0), list(values), 0
    rng.shuffle(rest)
    found: dict[tuple[SpanKind, str, str], int] = {}
    records = sampled_out = 0
    while rest or turn == 0:
        partition, size = where[turn % partitions], sizes[turn % len(sizes)]
        taken, rest = rest[:size], rest[size:]
        start = position[partition]
        offsets = np.arange(start, start + len(taken), dtype=np.int64)
        made.accept(Block(partition, 1, start, start + len(taken), offsets, taken), NOW)
        position[partition] += len(taken)
        if cuts[turn % len(cuts)] or not rest:
            prepared = made.prepare(NOW)
            assert prepared is not None
            made.settle(prepared)
            for span in prepared.cut.spans:
                key = span.kind, span.version, str(span.window)
                found[key] = found.get(key, 0) + span.rows
            records += sum(count.records for count in prepared.cut.counts)
            sampled_out += sum(count.sampled_out for count in prepared.cut.counts)
        turn += 1
    whole = buffer(sampling={"rate": 0.7})
    whole.accept(block(0, list(values)), NOW)
    once = whole.prepare(NOW)
    assert once is not None
    expected = {(span.kind, span.version, str(span.window)): span.rows for span in once.cut.spans}
    assert found == expected
    assert records == 120 == sampled_out + sum(found.values())
