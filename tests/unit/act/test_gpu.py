"""Verdicts on GPUs from their readings: each case says what was read and what that means."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.act import gpu
from monitor.act.gpu_readings import Backlog, Gpu, GpuName, Reading, Seen, Throttle, throttle_of
from monitor.act.steps import Headroom
from monitor.config.gpus import GpuSettings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GIB = 2.0**30
FREE = Reading(
    NOW,
    utilisation=0.1,
    memory_free_bytes=70 * GIB,
    memory_total_bytes=80 * GIB,
    temperature=40,
    power_watts=80,
    power_limit_watts=700,
    throttle=frozenset(),
    xid=0,
    ecc_errors=0,
)
INSTANCE = replace(FREE, utilisation=None, activity=0.0)


def settings(**given_settings: Any) -> GpuSettings:
    return GpuSettings.model_validate({"source": "dcgm", "url": "http://gpu-1:9400/metrics", **given_settings})


def one(*readings: Reading, name: GpuName | None = None) -> Gpu:
    """A GPU with readings 30 s apart, the last of them now."""
    placed = [
        replace(reading, at=NOW - timedelta(seconds=30 * back)) for back, reading in enumerate(reversed(readings))
    ]
    return Gpu(name or GpuName("0", "GPU-a", "gpu-1"), tuple(reversed(placed)))


def mig(*readings: Reading) -> Gpu:
    return one(*readings, name=GpuName("0", "GPU-a", "gpu-1", "3", "1g.10gb"))


def changed(**values: Any) -> Reading:
    return replace(FREE, **values)


@pytest.mark.parametrize(
    ("seen", "verdict", "reason"),
    [
        pytest.param(one(FREE, FREE), Headroom.HEALTHY, "1 of 1 GPU(s) have room", id="little used and cool: room"),
        pytest.param(one(changed(utilisation=0.9), FREE), Headroom.HEALTHY, "room", id="one busy look of two: room"),
        pytest.param(
            one(changed(utilisation=0.9), changed(utilisation=0.8)),
            Headroom.BUSY,
            "GPU 0 of gpu-1: utilisation 85% over 30 s (more than 50%)",
            id="used for minutes: busy",
        ),
        pytest.param(
            one(FREE, changed(memory_free_bytes=8 * GIB), FREE),
            Headroom.BUSY,
            "8.0 GiB of memory free (less than 40.0)",
            id="memory that was taken once in these minutes: busy",
        ),
        pytest.param(one(changed(temperature=91)), Headroom.SUSPECT, "91 °C (more than 85)", id="hot: suspect"),
        pytest.param(
            one(changed(throttle=throttle_of(0x40))),
            Headroom.SUSPECT,
            "clock was held down: thermal slowdown by the hardware",
            id="throttled by heat: suspect",
        ),
        pytest.param(
            one(changed(throttle=throttle_of(0x04 | 0x01))),
            Headroom.HEALTHY,
            "room",
            id="at its power cap: that is work",
        ),
        pytest.param(
            one(FREE, changed(xid=79)),
            Headroom.FAILED,
            "XID error 79, after which",
            id="fell off the bus just now: failed",
        ),
        pytest.param(
            one(changed(xid=79), changed(xid=79)),
            Headroom.SUSPECT,
            "XID error 79 is the last it had, nobody knows when",
            id="an old fatal error that nobody cleared: suspect",
        ),
        pytest.param(
            one(FREE, changed(xid=79), changed(xid=0)),
            Headroom.HEALTHY,
            "room",
            id="a fatal error, and a reset since: room",
        ),
        pytest.param(
            one(changed(xid=None), changed(xid=48)),
            Headroom.FAILED,
            "XID error 48",
            id="an exporter shows errors from the first one on: new, so failed",
        ),
        pytest.param(
            one(FREE, changed(xid=74)), Headroom.SUSPECT, "XID error 74", id="an error of the links just now: suspect"
        ),
        pytest.param(one(FREE, changed(xid=31)), Headroom.HEALTHY, "room", id="a program's own error: room"),
        pytest.param(
            one(changed(xid=43), changed(xid=43)), Headroom.HEALTHY, "room", id="an old error of a program: room"
        ),
        pytest.param(
            one(changed(new_xids=(119,)), FREE), Headroom.HEALTHY, "room", id="a counted error, then a reset: room"
        ),
        pytest.param(
            one(changed(xid=None), changed(xid=None, new_xids=(119,))),
            Headroom.FAILED,
            "XID error 119",
            id="an error that the driver told of: failed",
        ),
        pytest.param(
            one(FREE, changed(ecc_errors=2)),
            Headroom.FAILED,
            "2 uncorrected memory error(s)",
            id="memory broke: failed",
        ),
        pytest.param(
            one(changed(ecc_errors=3), changed(ecc_errors=3)),
            Headroom.HEALTHY,
            "room",
            id="memory broke long ago: room",
        ),
        pytest.param(
            one(changed(ecc_errors=3), changed(ecc_errors=0)),
            Headroom.HEALTHY,
            "room",
            id="memory broke before the reset: room",
        ),
        pytest.param(
            one(changed(remap_failed=True)),
            Headroom.FAILED,
            "could not be replaced",
            id="no rows left to replace: failed",
        ),
        pytest.param(one(changed(remap_pending=True)), Headroom.SUSPECT, "waits for a reset", id="rows wait: suspect"),
        pytest.param(
            one(FREE, Reading(NOW, lost="GPU is lost")),
            Headroom.FAILED,
            "the driver says: GPU is lost",
            id="lost: failed",
        ),
        pytest.param(
            one(changed(utilisation=None)), Headroom.UNKNOWN, "utilisation is not told", id="no utilisation: unknown"
        ),
        pytest.param(
            one(changed(memory_free_bytes=None)), Headroom.UNKNOWN, "free memory is not told", id="no memory: unknown"
        ),
        pytest.param(
            one(changed(memory_free_bytes=None, utilisation=0.9)),
            Headroom.BUSY,
            "utilisation 90%",
            id="no memory told, but much used: busy all the same",
        ),
        pytest.param(one(), Headroom.UNKNOWN, "no reading within 5 min", id="no reading: unknown"),
        pytest.param(
            Gpu(GpuName("0"), (replace(FREE, at=NOW - timedelta(minutes=3)),)),
            Headroom.UNKNOWN,
            "last reading is 3 min old",
            id="stale: unknown",
        ),
        pytest.param(
            Gpu(GpuName("0"), (replace(FREE, at=NOW + timedelta(minutes=3)),)),
            Headroom.UNKNOWN,
            "no reading",
            id="readings from the future only, of a clock that was set back: unknown",
        ),
        pytest.param(
            mig(replace(INSTANCE, activity=0.9)),
            Headroom.BUSY,
            "GPU 0 instance 3 (1g.10gb) of gpu-1: utilisation 90%",
            id="an instance at work: busy",
        ),
        pytest.param(
            mig(replace(INSTANCE, utilisation=0.9, activity=0.2)),
            Headroom.HEALTHY,
            "room",
            id="an instance whose card is used by others: what the card shows is not its own",
        ),
        pytest.param(
            mig(replace(INSTANCE, power_watts=500)),
            Headroom.UNKNOWN,
            "does not prove that it is idle",
            id="an instance that shows no work, with memory in use on a card that works: unknown",
        ),
        pytest.param(
            mig(replace(INSTANCE, power_watts=500, memory_free_bytes=79 * GIB)),
            Headroom.HEALTHY,
            "room",
            id="an instance that shows no work, and whose memory is empty: room",
        ),
        pytest.param(
            mig(INSTANCE), Headroom.HEALTHY, "room", id="an instance that shows no work, on a cold card: room"
        ),
        pytest.param(
            one(replace(FREE, utilisation=None, activity=0.0, power_watts=None)),
            Headroom.UNKNOWN,
            "does not prove",
            id="a whole GPU of which only its engines are told: no proof that it is idle either",
        ),
    ],
)
def test_room_for_a_training(seen: Gpu, verdict: Headroom, reason: str) -> None:
    found = gpu.headroom(Seen((seen,)), settings(), NOW)
    assert (found.verdict, reason in found.reason) == (verdict, True), found


BUSY, BROKEN, HOT, STALE = (
    one(changed(utilisation=0.9)),
    one(FREE, changed(xid=79)),
    one(changed(temperature=99)),
    one(),
)


@pytest.mark.parametrize(
    ("gpus", "needed", "verdict"),
    [
        pytest.param((), None, Headroom.UNKNOWN, id="no GPU at all: unknown"),
        pytest.param((one(FREE), BUSY), None, Headroom.BUSY, id="all are needed and one is busy: busy"),
        pytest.param((one(FREE), BUSY), 1, Headroom.HEALTHY, id="one is needed and one is free: room"),
        pytest.param(
            (one(FREE), BROKEN), 2, Headroom.FAILED, id="two are needed and one failed: waiting will not help"
        ),
        pytest.param((one(FREE), BUSY, BROKEN), 2, Headroom.BUSY, id="two are needed, one is free, one will be: busy"),
        pytest.param((one(FREE), HOT, BROKEN), 2, Headroom.SUSPECT, id="two are needed, the second best is suspect"),
        pytest.param(
            (one(FREE), STALE, BUSY), 2, Headroom.UNKNOWN, id="two are needed, the second may be free: unknown"
        ),
        pytest.param((one(FREE),), 2, Headroom.UNKNOWN, id="two are needed and one is not listed any more: unknown"),
    ],
)
def test_room_on_several(gpus: tuple[Gpu, ...], needed: int | None, verdict: Headroom) -> None:
    assert gpu.headroom(Seen(gpus), settings(needed=needed), NOW).verdict == verdict


@pytest.mark.parametrize(
    ("given_settings", "verdict"),
    [
        pytest.param({"min_free_memory": "20GiB"}, Headroom.HEALTHY, id="30 GiB are free, 20 wanted"),
        pytest.param({"min_free_memory": "40960 MiB"}, Headroom.BUSY, id="30 GiB are free, 40 wanted"),
        pytest.param({"min_free_memory": "30%"}, Headroom.HEALTHY, id="37.5% are free, 30% wanted"),
        pytest.param({"min_free_memory": "20GiB", "max_utilisation": 0.05}, Headroom.BUSY, id="5% may be used"),
        pytest.param({"min_free_memory": "20GiB", "max_temperature": 39}, Headroom.SUSPECT, id="39 °C is too hot"),
        pytest.param({"min_free_memory": "20GiB", "stale_after": "5s"}, Headroom.UNKNOWN, id="10 s are too old"),
    ],
)
def test_limits_are_those_of_the_settings(given_settings: dict[str, Any], verdict: Headroom) -> None:
    reading = replace(FREE, memory_free_bytes=30 * GIB, at=NOW - timedelta(seconds=10))
    assert gpu.headroom(Seen((Gpu(GpuName("0"), (reading,)),)), settings(**given_settings), NOW).verdict == verdict


def test_an_error_that_is_known_not_to_matter_holds_nothing_back() -> None:
    seen = Seen((one(FREE, changed(xid=74)),))
    assert gpu.headroom(seen, settings(ignore_xids=[74]), NOW).verdict == Headroom.HEALTHY


BACKLOG = {"url": "http://serving:8501/monitoring/prometheus/metrics"}
SLOW = Backlog(requests=900, queue_seconds=0.4, latency_seconds=0.5)
QUICK = Backlog(requests=900, queue_seconds=0.001, latency_seconds=0.02)


@pytest.mark.parametrize(
    ("seen", "state", "verdict", "reason"),
    [
        pytest.param(Seen((one(FREE),), backlog=QUICK), "healthy", Headroom.HEALTHY, "20 ms a request", id="quick"),
        pytest.param(
            Seen((one(changed(utilisation=0.98)),), backlog=QUICK),
            "healthy",
            Headroom.HEALTHY,
            "utilisation 98%",
            id="fully used, and nobody waits: that is what it is for",
        ),
        pytest.param(
            Seen((one(changed(memory_free_bytes=0.0)),), backlog=QUICK),
            "healthy",
            Headroom.HEALTHY,
            "a request",
            id="all of its memory taken, as TensorFlow does: healthy",
        ),
        pytest.param(
            Seen((one(FREE),), backlog=SLOW),
            "starved",
            Headroom.SUSPECT,
            "400 ms in the queue (more than 50 ms), but utilisation 10%",
            id="requests wait, the GPU does too: starved",
        ),
        pytest.param(
            Seen((one(changed(utilisation=0.97)),), backlog=SLOW),
            "saturated",
            Headroom.BUSY,
            "400 ms in the queue",
            id="requests wait, the GPU works: saturated",
        ),
        pytest.param(
            Seen((one(changed(utilisation=0.97)),), backlog=Backlog(requests=9, latency_seconds=3)),
            "saturated",
            Headroom.BUSY,
            "3 s a request (more than 1 s)",
            id="without batching there is no queue, but requests take long: saturated",
        ),
        pytest.param(
            Seen((one(changed(throttle=frozenset({Throttle.HARDWARE_THERMAL}))),), backlog=SLOW),
            "unstable",
            Headroom.SUSPECT,
            "held down",
            id="throttled: unstable, whatever waits",
        ),
        pytest.param(
            Seen((one(FREE, changed(ecc_errors=1)),), backlog=QUICK),
            "unstable",
            Headroom.FAILED,
            "uncorrected",
            id="memory broke: unstable, and failed",
        ),
        pytest.param(
            Seen((one(changed(utilisation=None)),), backlog=SLOW),
            "unknown",
            Headroom.UNKNOWN,
            "not told",
            id="requests wait, and nobody knows for what: unknown",
        ),
        pytest.param(
            Seen((), "the exporter is gone", QUICK),
            "unknown",
            Headroom.UNKNOWN,
            "the exporter is gone",
            id="no GPU seen",
        ),
        pytest.param(
            Seen((one(FREE),), backlog=Backlog(requests=0.0)),
            "healthy",
            Headroom.HEALTHY,
            "no request was answered",
            id="no traffic: the GPU is well",
        ),
        pytest.param(
            Seen((one(changed(utilisation=0.99)),), backlog=Backlog(trouble="refused")),
            "saturated",
            Headroom.BUSY,
            "refused",
            id="fully used, and nobody can say who waits: saturated",
        ),
        pytest.param(
            Seen((one(FREE),), backlog=Backlog(trouble="refused")),
            "unknown",
            Headroom.UNKNOWN,
            "refused; utilisation 10%",
            id="little used, and nobody can say who waits: unknown",
        ),
    ],
)
def test_gpus_that_serve(seen: Seen, state: str, verdict: Headroom, reason: str) -> None:
    found = gpu.serving(seen, settings(backlog=BACKLOG), NOW)
    assert (found.details["state"], found.verdict, reason in found.reason) == (state, verdict, True), found


_numbers = st.none() | st.floats(0, 1)
_readings = st.builds(
    Reading,
    st.integers(-900, 300).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    utilisation=_numbers,
    activity=_numbers,
    memory_free_bytes=st.none() | st.floats(0, 80 * GIB),
    memory_total_bytes=st.none() | st.just(80 * GIB),
    temperature=st.none() | st.floats(20, 100),
    power_watts=st.none() | st.floats(0, 700),
    power_limit_watts=st.none() | st.just(700.0),
    throttle=st.none() | st.integers(0, 255).map(throttle_of),
    xid=st.none() | st.sampled_from([0, 13, 31, 74, 79]),
    ecc_errors=st.none() | st.integers(0, 3),
    remap_failed=st.none() | st.booleans(),
    lost=st.sampled_from(["", "", "", "GPU is lost"]),
)
_gpus = st.builds(
    lambda name, readings: Gpu(name, tuple(sorted(readings, key=lambda reading: reading.at))),
    st.sampled_from([GpuName("0"), GpuName("1", instance="3", profile="1g.10gb")]),
    st.lists(_readings, max_size=6),
)
_backlogs = st.builds(Backlog, st.none() | st.floats(0, 100), _numbers, _numbers)


@given(st.lists(_gpus, max_size=4), _backlogs, st.none() | st.integers(1, 4))
def test_nothing_is_healthy_that_was_not_read(gpus: list[Gpu], backlog: Backlog, needed: int | None) -> None:
    limits = settings(needed=needed, backlog=BACKLOG)
    read = sum(any(NOW - limits.stale_after <= reading.at <= NOW for reading in each.readings) for each in gpus)
    for judge in (gpu.headroom, gpu.serving):
        found = judge(Seen(tuple(gpus), backlog=backlog), limits, NOW)
        assert found.reason
        if found.verdict == Headroom.HEALTHY:
            assert read >= (needed or 1)


@given(st.lists(_gpus, min_size=1, max_size=4), st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_order_of_gpus_does_not_matter(gpus: list[Gpu], random: Any, needed: int) -> None:
    shuffled = list(gpus)
    random.shuffle(shuffled)
    for judge in (gpu.headroom, gpu.serving):
        one_way, other = (judge(Seen(tuple(each)), settings(needed=needed), NOW) for each in (gpus, shuffled))
        assert one_way.verdict == other.verdict


@given(st.lists(_gpus, max_size=3), st.integers(1, 4))
def test_one_more_broken_gpu_makes_no_room(gpus: list[Gpu], needed: int) -> None:
    without, more = (gpu.headroom(Seen(tuple(each)), settings(needed=needed), NOW) for each in (gpus, [*gpus, BROKEN]))
    assert more.verdict != Headroom.HEALTHY or without.verdict == Headroom.HEALTHY
