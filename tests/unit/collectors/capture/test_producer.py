from __future__ import annotations

import threading
from datetime import UTC, datetime

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from collectors.capture.exchange import Encoded
from collectors.capture.producer import CaptureProducer
from collectors.sampler import theta_of
from collectors.wire.messages import PredictionLog
from tests.unit.collectors.capture.sinks import WAIT_SECONDS, World, exchange


def test_a_message_says_in_its_headers_what_the_log_has_no_room_for() -> None:
    world = World.make(rate=0.999999)
    assert world.producer.offer(exchange())
    assert world.producer.close(WAIT_SECONDS)
    assert world.sink.headers() == {
        "driftline-request-id": "r-1",
        "driftline-model": "flights",
        "driftline-version": "3",
        "driftline-signature": "serving_default",
        "driftline-event-time": "2026-03-01T12:00:00.250000Z",
        "driftline-latency-seconds": "0.012500",
        "driftline-status": "200",
        "driftline-sampling-rate": "0.999999",
        "driftline-sampler": "xxh3_64",
    }
    (message,), (log,) = world.sink.messages, world.sink.logs()
    assert message.key == b"r-1"
    assert message.timestamp_ms == 1_772_366_400_250
    assert log.log_metadata.model_spec.name == "flights"
    assert log.log_metadata.timestamp_secs == 1_772_366_400
    assert log.log_metadata.sampling_config.sampling_rate == 0.999999


@given(st.lists(st.text(max_size=20), min_size=1), st.floats(0.001, 1.0))
def test_the_sampler_is_the_hash_of_the_id_as_collectors_use_it(ids: list[str], rate: float) -> None:
    world = World.make(rate=rate)
    kept = [one for one in ids if world.producer.wants(one)]
    assert kept == [one for one in ids if xxhash.xxh3_64_intdigest(one.encode()) < theta_of(rate)]
    assert world.count("sampled_out_total") == len(ids) - len(kept)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, float("nan")])
def test_a_rate_outside_of_its_range_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        World.make(rate=rate)


def test_what_the_sampler_leaves_out_is_never_encoded() -> None:
    world = World.make(rate=1e-18)
    world.producer.capture(model="flights", log=b"never looked at")
    assert world.producer.close(WAIT_SECONDS)
    assert world.totals() == {"sampled_out": 1}
    assert world.sink.messages == []


def test_while_kafka_is_away_offers_return_and_beyond_the_bound_are_dropped() -> None:
    world = World.make(max_buffer_bytes=10_000)
    world.sink.there = False
    taken = [world.producer.offer(exchange(f"r-{number}")) for number in range(1_000)]
    kept = sum(taken)
    assert 0 < kept < 10
    assert taken == [True] * kept + [False] * (1_000 - kept)
    assert world.count("buffered_bytes") <= 10_000
    assert world.sink.tried.wait(WAIT_SECONDS)
    world.sink.there = True
    assert world.producer.close(WAIT_SECONDS)
    assert world.totals() == {"sent": kept, "buffer_full": 1_000 - kept}
    assert [message.key for message in world.sink.messages] == [f"r-{number}".encode() for number in range(kept)]


def test_what_kafka_has_not_acknowledged_is_held_and_bounded_too() -> None:
    world = World.make(max_buffer_bytes=10_000)
    world.sink.answering = False
    while world.producer.offer(exchange()):
        pass
    full = world.count("buffered_bytes")
    assert not world.producer.close(0.2)
    assert 10_000 - 3_000 < full <= 10_000
    failed = world.totals().pop("failed")
    assert failed == len(world.sink.messages)
    for done in world.sink.unanswered:  # too late: they were counted
        done(True)
    assert world.totals() == {"failed": failed, "buffer_full": 1}


def test_closing_gives_up_at_its_deadline_and_counts_what_was_left() -> None:
    world = World.make()
    world.sink.there = False
    for number in range(5):
        world.producer.offer(exchange(f"r-{number}"))
    assert world.sink.tried.wait(WAIT_SECONDS)
    assert not world.producer.close(0.1)
    assert not world.producer.offer(exchange())
    totals = world.totals()
    assert totals.pop("failed", 0) + totals.pop("shutdown") == 6
    assert totals == {}
    assert world.count("buffered_bytes") == 0


def test_what_cannot_be_encoded_is_counted_and_does_not_stop_the_next() -> None:
    world = World.make()

    def broken() -> Encoded:
        raise RecursionError

    world.producer.offer(exchange("bad", encode=broken))
    world.producer.offer(exchange("good"))
    assert world.producer.close(WAIT_SECONDS)
    assert world.totals() == {"sent": 1, "unreadable": 1}


def test_what_kafka_would_refuse_is_too_large() -> None:
    world = World.make()
    world.sink.largest = 1_000
    world.producer.capture(model="flights", request_id="large", log=bytes(2_000))
    world.producer.capture(model="flights", request_id="small", features={"miles": 3})
    assert world.producer.close(WAIT_SECONDS)
    assert world.totals() == {"sent": 1, "too_large": 1}


def test_what_does_not_arrive_has_failed() -> None:
    world = World.make()
    world.sink.arrives = False
    world.producer.offer(exchange())
    assert world.producer.close(WAIT_SECONDS)
    assert world.totals() == {"failed": 1}


def test_many_threads_lose_nothing_and_every_request_is_counted_once() -> None:
    world = World.make(rate=0.5, max_buffer_bytes=200_000)

    def serve(thread: int) -> None:
        for number in range(500):
            request = f"{thread}-{number}"
            if world.producer.wants(request):
                world.producer.offer(exchange(request))

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.producer.close(WAIT_SECONDS)
    assert sum(world.totals().values()) == 2_000
    assert world.count("sent_total") == len(world.sink.messages) == len({one.key for one in world.sink.messages})


def test_features_and_a_prediction_become_a_predict_log() -> None:
    world = World.make()
    made = world.producer.capture(
        model="flights",
        version="7",
        features={"miles": 1400, "carrier": "UA", "delay": None, "embedding": np.zeros(3, np.float32)},
        prediction=0.25,
        event_time=datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert world.producer.close(WAIT_SECONDS)
    (log,) = world.sink.logs()
    assert world.sink.headers()["driftline-request-id"] == made
    inputs = log.predict_log.request.inputs
    assert sorted(inputs) == ["carrier", "embedding", "miles"]
    assert [dim.size for dim in inputs["embedding"].tensor_shape.dim] == [1, 3]
    assert list(log.predict_log.response.outputs["outputs"].double_val) == [0.25]
    assert log.predict_log.request.model_spec.version.value == 7


def test_a_batch_has_one_row_for_each_instance() -> None:
    world = World.make()
    world.producer.capture(model="m", features=[{"a": 1}, {"a": 2}], prediction=[{"p": 0.5}, {"p": 1.5}])
    assert world.producer.close(WAIT_SECONDS)
    (log,) = world.sink.logs()
    assert list(log.predict_log.request.inputs["a"].int64_val) == [1, 2]
    assert list(log.predict_log.response.outputs["p"].double_val) == [0.5, 1.5]


def test_a_log_is_passed_on_with_its_fields() -> None:
    world = World.make()
    given = PredictionLog()
    given.session_run_log.request.fetch.append("y")
    world.producer.capture(model="m", log=given)
    assert world.producer.close(WAIT_SECONDS)
    (log,) = world.sink.logs()
    assert list(log.session_run_log.request.fetch) == ["y"]
    assert log.log_metadata.model_spec.name == "m"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param({}, "features", id="neither features nor a log"),
        pytest.param({"features": {"a": 1}, "log": b""}, "features", id="both"),
        pytest.param({"features": {"a": 1}, "event_time": datetime(2026, 3, 1)}, "zone", id="a time without a zone"),  # noqa: DTZ001
    ],
)
def test_a_misuse_is_told_to_the_programmer(arguments: dict[str, object], says: str) -> None:
    world = World.make()
    with pytest.raises(ValueError, match=says):
        world.producer.capture(model="m", **arguments)  # type: ignore[arg-type]


def test_a_producer_that_was_never_used_closes_at_once() -> None:
    producer: CaptureProducer = World.make().producer
    assert producer.close(0.0)
    assert producer.close(0.0)
