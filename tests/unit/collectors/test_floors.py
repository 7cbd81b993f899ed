"""Floors from decoded rows to the rows of a window: any number of collectors, restarts and batches give the same."""

from __future__ import annotations

import io
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from collectors.buffer import Buffer, Decode
from collectors.sampler import Sampler
from collectors.source import Block, Started
from collectors.streams import Stream, streams_of
from collectors.wire.blocks import HASH_RATE, LATENCY, RATE, STATUS, Decoded, Envelope
from collectors.wire.json_records import JsonDecoder
from monitor.cuts import Claim, Partition, SealedSpan
from monitor.hashing import hash_ids
from monitor.records import Rows, SpanKind
from monitor.window.rows import rows_of_window
from tests.unit.collectors.worlds import START, TYPES, record, settings

PARTITION = Partition("id", 0, "requests")
NOW = START + timedelta(days=1000)
RARE = 40
"""One record in so many is an error, and one in so many is of a rare carrier."""


def message(index: int, hash_rates: Sequence[float] = (1.0,)) -> dict[str, Any]:
    carrier = "ZZ" if index % RARE == 1 else ["UA", "AA"][index % 2]
    return {
        "value": record(index, minutes=1, features={"distance": index, "carrier": carrier}),
        "status": "500" if index % RARE == 0 else "200",
        "latency": 3.0 if index % RARE == 2 else 0.1,
        "hash_rate": hash_rates[index % len(hash_rates)],
    }


def decoder_of(stream: Stream, envelope: Envelope) -> Decode:
    """Read JSON records, and what their headers say from `Block.headers`, as formats with headers do."""
    records = JsonDecoder(envelope)

    def decode(block: Block, now: Any) -> Decoded:
        decoded = records.decode(block.values, now)
        said = [{name: value.decode() for name, value in pairs} for pairs in block.headers]
        columns = {
            name: pa.array([kind(each[name]) for each in said])
            for name, kind in ((RATE, float), (HASH_RATE, float), (LATENCY, float), (STATUS, str))
        }
        parts = {
            model: pa.table([columns.get(name, table.column(name)) for name in table.column_names], schema=table.schema)
            for model, table in decoded.parts.items()
        }
        return Decoded(parts, decoded.dead, decoded.decoded)

    return decode


class Collectors:
    """Buffers that commit into one list of spans and counts."""

    def __init__(self, count: int, sampling: dict[str, Any]) -> None:
        self.streams = streams_of(settings(sampling=sampling))
        self.spans: list[SealedSpan] = []
        self.tables: list[pa.Table] = []
        self.strata: Counter[str] = Counter()
        self.dropped = 0
        self.buffers = [self.new() for _ in range(count)]

    def new(self) -> Buffer:
        sampler = Sampler(lambda _: min((span.theta for span in self.spans), default=None))
        made = Buffer("c", self.streams, sampler, decoder_of, 0.5)
        made.set_types({"flights": TYPES})
        made.start(Claim(PARTITION, None, 1), Started(0, 0), NOW)
        return made

    def restart(self, number: int) -> None:
        self.buffers[number] = self.new()

    def cut(self, number: int, blocks: Sequence[Sequence[dict[str, Any]]], *, lost: bool = False) -> None:
        made = self.buffers[number]
        made.start(Claim(PARTITION, 0, 1), Started(0, 0), NOW)
        end = 0
        for messages in blocks:
            headers = [
                [
                    (STATUS, each["status"].encode()),
                    (LATENCY, str(each["latency"]).encode()),
                    (HASH_RATE, str(each["hash_rate"]).encode()),
                    (RATE, str(each.get("rate", 1.0)).encode()),
                ]
                for each in messages
            ]
            offsets = np.arange(end, end + len(messages), dtype=np.int64)
            values = [each["value"] for each in messages]
            made.accept(Block(PARTITION, 1, end, end + len(messages), offsets, values, headers=headers), NOW)
            end += len(messages)
        prepared = made.prepare(NOW)
        assert prepared is not None
        if lost:
            return
        made.settle(prepared)
        self.spans += [file.span for file in prepared.files]
        self.tables += [pq.read_table(io.BytesIO(file.content)) for file in prepared.files]
        for count in prepared.cut.counts:
            self.strata[count.stratum] += count.records
            self.dropped += count.sampled_out

    def rows(self) -> Rows:
        options = self.streams[1].models["flights"].sampling
        return rows_of_window(
            self.tables,
            TYPES,
            theta=min(span.theta for span in self.spans),
            max_rows=options.max_rows_per_window,
            seen=sum(self.strata.values()),
            strata=self.strata,
            floors=options.floors,
        )


def collected(messages: Sequence[dict[str, Any]], sampling: dict[str, Any]) -> Collectors:
    world = Collectors(1, sampling)
    world.cut(0, [messages])
    return world


FLOORS = [{"by": ["status"], "rows": 5}, {"by": ["latency"], "rows": 3}, {"by": ["carrier"], "rows": 4}]


@hypothesis_settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([1.0, 0.5, 0.05]),
    hash_rates=st.sampled_from([(1.0,), (0.5,), (1.0, 0.4)]),
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from(["commit", "lose", "restart"])),
        min_size=1,
        max_size=8,
    ),
)
def test_the_rows_of_a_window_and_their_weights_do_not_depend_on_how_it_was_collected(
    seed: int, rate: float, hash_rates: tuple[float, ...], steps: list[tuple[int, int, str]]
) -> None:
    sampling = {"rate": rate, "max_rows_per_window": 100, "floors": FLOORS}
    messages = captured(message(index, hash_rates) for index in range(400))
    once = collected(messages, sampling).rows()
    world = Collectors(3, sampling)
    shuffled = random.Random(seed).sample(messages, len(messages))
    size = -(-len(shuffled) // len(steps))
    for place, (who, pieces, fate) in enumerate(steps):
        mine = shuffled[place * size : (place + 1) * size]
        if not mine:
            continue
        blocks = [piece for number in range(pieces) if (piece := mine[number::pieces])]
        if fate == "restart":
            world.restart(who)
        if fate == "lose":
            world.cut(who, blocks, lost=True)
        world.cut((who + (fate == "lose")) % 3, blocks)
    many = world.rows()
    assert many.features.equals(once.features)
    assert np.array_equal(many.clusters, once.clusters)  # type: ignore[arg-type]
    assert many.seen == once.seen == len(messages)
    assert (many.weights is None) == (once.weights is None)
    if many.weights is not None:
        assert np.array_equal(many.weights, once.weights)  # type: ignore[arg-type]
    assert (many.uniform is None) == (once.uniform is None)
    assert sum(table.num_rows for table in world.tables) + world.dropped == len(messages)


def captured(messages: Any) -> list[dict[str, Any]]:
    """Return the messages that come through, where a proxy samples by the hash that we use."""
    every = list(messages)
    hashes = hash_ids(pa.array([f"r-{index}" for index in range(len(every))]))
    return [each for each, value in zip(every, hashes.tolist(), strict=True) if value < each["hash_rate"] * 2**64]


def test_a_floor_keeps_rows_of_each_rare_stratum_that_the_rate_would_lose() -> None:
    messages = [message(index) for index in range(4000)]
    world = collected(messages, {"rate": 0.01, "floors": [{"by": ["status"], "rows": 50}]})
    rows = world.rows()
    distances = rows.features.column("distance").to_pylist()
    assert sum(index % RARE == 0 for index in distances) == 50
    assert 20 < sum(index % RARE != 0 for index in distances) < 60
    assert rows.uniform is not None
    assert rows.uniform.sum() < len(rows)


def test_strata_are_counted_whether_their_rows_are_kept_or_not() -> None:
    world = collected([message(index) for index in range(400)], {"rate": 0.05, "floors": FLOORS})
    assert world.strata == {
        "status=error": 10,
        "latency=slow": 10,
        "carrier=ZZ": 10,
        "carrier=AA": 190,
        "carrier=UA": 180,
    }


def test_weights_add_up_to_what_was_seen_of_each_stratum() -> None:
    world = collected([message(index) for index in range(4000)], {"rate": 0.1, "floors": FLOORS})
    rows = world.rows()
    assert rows.weights is not None
    totals: dict[str, float] = defaultdict(float)
    for index, weight in zip(rows.features.column("distance").to_pylist(), rows.weights.tolist(), strict=True):
        totals["error" if index % RARE == 0 else "slow" if index % RARE == 2 else "other"] += weight
    assert totals["error"] == pytest.approx(100)
    assert totals["slow"] == pytest.approx(100)
    assert rows.weights.sum() == pytest.approx(4000)


def test_rows_have_no_weights_where_nothing_was_dropped() -> None:
    rows = collected([message(index) for index in range(300)], {"floors": FLOORS}).rows()
    assert (len(rows), rows.weights, rows.uniform) == (300, None, None)


def test_a_feature_of_many_values_makes_no_more_than_fifty_strata() -> None:
    messages = [
        {**message(index), "value": record(index, minutes=1, features={"carrier": f"c{index % 200}"})}
        for index in range(2000)
    ]
    sampling = {"rate": 0.01, "floors": [{"by": ["carrier"], "rows": 3}]}
    whole = collected(messages, sampling)
    assert len(whole.strata) == 51
    assert whole.strata[""] == 1500
    pieces = Collectors(2, sampling)
    for place in range(10):
        pieces.cut(place % 2, [messages[place::10]])
    assert len(pieces.strata) > 51, "a cut cannot know which strata are the first of all"
    assert pieces.rows().features.equals(whole.rows().features)
    assert np.array_equal(pieces.rows().weights, whole.rows().weights)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rates", "independent", "sampling"),
    [
        pytest.param((1.0,), (1.0,), {"rate": 0.1}, id="our own rate"),
        pytest.param((1.0,), (1.0,), {"rate": 1.0, "max_rows_per_window": 300}, id="a full window"),
        pytest.param((0.2, 1.0), (1.0,), {"rate": 1.0}, id="proxies that capture at different rates by the same hash"),
        pytest.param((0.2, 1.0), (1.0,), {"rate": 0.4}, id="the same, and our own rate between them"),
        pytest.param((0.5, 1.0), (1.0,), {"rate": 1.0, "max_rows_per_window": 300}, id="the same, and a full window"),
        pytest.param((1.0,), (0.5, 1.0), {"rate": 0.3}, id="a rate that is independent of the hash"),
    ],
)
def test_weighted_counts_estimate_all_traffic(
    rates: tuple[float, ...], independent: tuple[float, ...], sampling: dict[str, Any]
) -> None:
    """Over many windows the mean estimate of the requests that were made is the truth, within four standard errors."""
    every, errors = [], []
    requests = 1200
    for window in range(16):
        drawn = random.Random(window)
        ids = [f"{window}-{index}" for index in range(requests)]
        hashes = hash_ids(pa.array(ids))
        messages = []
        for index, name in enumerate(ids):
            other = independent[index % len(independent)]
            made = message(index, rates) | {"rate": other}
            made["value"] = record(index, minutes=1, request_id=name, features={"distance": index})
            if int(hashes[index]) < made["hash_rate"] * 2**64 and drawn.random() < other:
                messages.append(made)
        rows = collected(messages, {**sampling, "floors": [{"by": ["status"], "rows": 20}]}).rows()
        weights = np.full(len(rows), 1.0) if rows.weights is None else rows.weights
        rare = np.array([index % RARE == 0 for index in rows.features.column("distance").to_pylist()])
        every.append(weights.sum())
        errors.append(weights[rare].sum())
    for found, truth in ((every, requests), (errors, requests / RARE)):
        error = np.std(found) / np.sqrt(len(found))
        assert abs(np.mean(found) - truth) <= 4 * error + 1e-6 * truth
        assert np.std(found) < 0.5 * truth


def test_labels_are_all_kept_where_a_floor_may_have_kept_their_request() -> None:
    without, with_floors = (
        next(s for s in streams_of(settings(sampling=sampling)) if s.kind is SpanKind.LABELS)
        for sampling in ({"rate": 0.1}, {"rate": 0.1, "floors": FLOORS})
    )
    from collectors.intake import Intake

    assert Intake(SpanKind.LABELS, without.models["flights"]).theta < 2**61
    assert Intake(SpanKind.LABELS, with_floors.models["flights"]).theta == 2**64
