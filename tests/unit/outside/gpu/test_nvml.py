"""GPUs of this machine: by a library that says what NVIDIA's does, and by the real one where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from monitor.act import gpu
from monitor.act.gpu_readings import Seen
from monitor.act.steps import Headroom
from monitor.clock import ManualClock, SystemClock
from monitor.config.gpus import GpuSettings
from monitor.outside.gpu.nvml import NvmlSource
from monitor.outside.gpu.watched import WatchedGpus, gpus_of
from monitor.outside.http import HttpClient

GIB = 2**30
SETTINGS = GpuSettings.model_validate({"source": "nvml"})


def error(code: int) -> pynvml.NVMLError:
    return pynvml.NVMLError(code)


@dataclass
class Card:
    """One GPU of the fake library; an answer that is an error is raised."""

    uuid: str = "GPU-a"
    answers: dict[str, Any] = field(default_factory=dict)
    instances: list[Card] = field(default_factory=list)


@dataclass
class FakeNvml:
    """The part of `pynvml` that is used, with its constants and errors."""

    cards: list[Card] = field(default_factory=lambda: [Card()])
    init: pynvml.NVMLError | None = None
    events: list[tuple[Card, int]] = field(default_factory=list)
    listening: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        own = {
            "nvmlInit": self._init,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(self.cards),
            "nvmlDeviceGetHandleByIndex": self._handle,
            "nvmlDeviceRegisterEvents": self._register,
            "nvmlEventSetCreate": object,
            "nvmlEventSetWait_v2": self._wait,
        }
        if name in own:
            return own[name]
        if name.startswith("nvmlDeviceGet"):
            return lambda card, *rest: self._answer(card, name.removeprefix("nvmlDeviceGet"), rest)
        return getattr(pynvml, name)

    def _init(self) -> None:
        if self.init is not None:
            raise self.init

    def _handle(self, index: int) -> Card:
        if "handle" in self.cards[index].answers:
            raise self.cards[index].answers["handle"]
        return self.cards[index]

    def _register(self, card: Card, types: int, events: object) -> None:
        if types == pynvml.nvmlEventTypeXidCriticalError:
            self.listening.append(card.uuid)

    def _wait(self, events: object, timeout: int) -> Any:
        assert timeout == 0
        if not self.events:
            raise error(pynvml.NVML_ERROR_TIMEOUT)
        card, xid = self.events.pop(0)
        return SimpleNamespace(device=card, eventData=xid)

    def _answer(self, card: Card, what: str, rest: tuple[Any, ...]) -> Any:
        known: dict[str, Callable[[], Any]] = {
            "UUID": lambda: card.uuid,
            "Name": lambda: "NVIDIA H200",
            "Temperature": lambda: 33,
            "PowerUsage": lambda: 76_500,
            "EnforcedPowerLimit": lambda: 700_000,
            "ClockInfo": lambda: 345,
            "CurrentClocksEventReasons": lambda: 1,
            "TotalEccErrors": lambda: 0,
            "RemappedRows": lambda: (0, 0, 0, 0),
            "MigMode": lambda: [int(bool(card.instances)), 0],
            "MaxMigDeviceCount": lambda: 7,
            "MigDeviceHandleByIndex": lambda: self._instance(card, rest[0]),
            "GpuInstanceId": lambda: 5,
            "MemoryInfo": lambda: SimpleNamespace(free=130 * GIB, total=140 * GIB),
            "Samples": lambda: (1, [_sample(percent) for percent in (0, 10, 20)]),
            "UtilizationRates": lambda: SimpleNamespace(gpu=99, memory=0),
        }
        answer = card.answers[what] if what in card.answers else known[what]()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _instance(self, card: Card, index: int) -> Any:
        return card.instances[index] if index < len(card.instances) else error(pynvml.NVML_ERROR_NOT_FOUND)


def _sample(percent: int) -> Any:
    return SimpleNamespace(timeStamp=1_700_000_000_000_000, sampleValue=SimpleNamespace(uiVal=percent))


class World:
    """GPUs of a fake library, with a clock that a test moves."""

    def __init__(self, fake: FakeNvml) -> None:
        self.fake = fake
        self.clock = ManualClock()
        self.gpus = WatchedGpus(SETTINGS, NvmlSource(SETTINGS, lambda: fake), None, self.clock)

    def look(self) -> Any:
        self.clock.advance(30)
        return self.gpus.headroom()


NOT_SUPPORTED = error(pynvml.NVML_ERROR_NOT_SUPPORTED)


@pytest.mark.parametrize(
    ("answers", "verdict", "reason"),
    [
        pytest.param({}, Headroom.HEALTHY, "1 of 1", id="an idle GPU"),
        pytest.param(
            {"Samples": (1, [_sample(97)])}, Headroom.BUSY, "utilisation 97%", id="one at work by its samples"
        ),
        pytest.param(
            {"Samples": NOT_SUPPORTED}, Headroom.BUSY, "utilisation 99%", id="one without samples, by its last second"
        ),
        pytest.param(
            {"Samples": NOT_SUPPORTED, "UtilizationRates": NOT_SUPPORTED},
            Headroom.UNKNOWN,
            "utilisation is not told",
            id="one that tells no utilisation",
        ),
        pytest.param({"TotalEccErrors": NOT_SUPPORTED}, Headroom.HEALTHY, "1 of 1", id="one without ECC memory"),
        pytest.param({"MigMode": NOT_SUPPORTED}, Headroom.HEALTHY, "1 of 1", id="one that cannot be cut"),
        pytest.param(
            {"RemappedRows": (0, 1, 0, 1)}, Headroom.FAILED, "could not be replaced", id="no memory rows are left"
        ),
        pytest.param({"CurrentClocksEventReasons": 0x48}, Headroom.SUSPECT, "held down", id="one that is throttled"),
        pytest.param(
            {"CurrentClocksEventReasons": NOT_SUPPORTED, "CurrentClocksThrottleReasons": 0x20},
            Headroom.SUSPECT,
            "thermal slowdown by the driver",
            id="one that is throttled, of an older driver",
        ),
        pytest.param(
            {"Temperature": error(pynvml.NVML_ERROR_GPU_IS_LOST)},
            Headroom.FAILED,
            "the driver says: GPU is lost",
            id="one that is lost while it is read",
        ),
        pytest.param(
            {"handle": error(pynvml.NVML_ERROR_GPU_IS_LOST)},
            Headroom.FAILED,
            "GPU is lost",
            id="one that was lost before",
        ),
        pytest.param(
            {"UUID": error(pynvml.NVML_ERROR_RESET_REQUIRED)},
            Headroom.FAILED,
            "requires restart",
            id="one that wants a reset",
        ),
    ],
)
def test_what_the_library_says(answers: dict[str, Any], verdict: Headroom, reason: str) -> None:
    found = World(FakeNvml([Card(answers=answers)])).look()
    assert (found.verdict, reason in found.reason) == (verdict, True), found


def test_a_reading_has_what_the_driver_tells() -> None:
    clock = ManualClock()
    (seen,), trouble = NvmlSource(SETTINGS, FakeNvml).look(clock.now())
    (reading,) = seen.readings
    assert (seen.name.index, seen.name.uuid, seen.name.product, trouble) == ("0", "GPU-a", "NVIDIA H200", "")
    assert reading.utilisation == pytest.approx(0.1)
    assert (reading.memory_free_bytes, reading.power_watts, reading.power_limit_watts) == (130.0 * GIB, 76.5, 700.0)
    assert (reading.temperature, reading.clock_mhz, reading.ecc_errors, reading.remap_failed) == (33, 345, 0, False)


def test_an_xid_error_is_told_once_and_counts_for_the_last_minutes() -> None:
    fake = FakeNvml([Card("GPU-a"), Card("GPU-b")])
    world = World(fake)
    assert world.look().verdict == Headroom.HEALTHY
    assert fake.listening == ["GPU-a", "GPU-b"]
    fake.events = [(fake.cards[1], 62), (fake.cards[1], 45)]
    found = world.look()
    assert (found.verdict, found.reason) == (Headroom.FAILED, "GPU 1: XID error 62, after which it must be reset")
    assert world.look().verdict == Headroom.FAILED
    for _ in range(10):
        found = world.look()
    assert found.verdict == Headroom.HEALTHY


def test_a_gpu_that_is_lost_is_the_one_that_was_there() -> None:
    fake = FakeNvml([Card("GPU-a"), Card("GPU-b")])
    world = World(fake)
    world.look()
    fake.cards[1].answers["handle"] = error(pynvml.NVML_ERROR_GPU_IS_LOST)
    found = world.look()
    assert found.verdict == Headroom.FAILED
    assert [each["uuid"] for each in found.details["gpus"]] == ["GPU-a", "GPU-b"]


def test_instances_are_free_where_their_memory_is_empty_and_unknown_where_it_is_not() -> None:
    full = SimpleNamespace(free=9 * GIB, total=16 * GIB)
    empty = SimpleNamespace(free=15.9 * GIB, total=16 * GIB)
    name = "NVIDIA H200 MIG 1g.18gb"
    used = Card("MIG-1", {"Name": name, "MemoryInfo": full, "GpuInstanceId": 9})
    free = Card("MIG-2", {"Name": name.encode(), "MemoryInfo": empty, "GpuInstanceId": 10})
    found = World(FakeNvml([Card(instances=[used, free], answers={"PowerUsage": 400_000})])).look()
    assert [(each["instance"], each["profile"], each["verdict"]) for each in found.details["gpus"]] == [
        ("9", "1g.18gb", "unknown"),
        ("10", "1g.18gb", "healthy"),
    ]


@pytest.mark.parametrize(
    ("library", "reason"),
    [
        pytest.param(
            lambda: FakeNvml(init=error(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)),
            "no NVIDIA GPU that can be asked: NVML Shared Library Not Found",
            id="a machine without a driver",
        ),
        pytest.param(lambda: FakeNvml([]), "this machine has no NVIDIA GPU", id="a driver without a GPU"),
        pytest.param(lambda: __import__("pynvml_that_is_not_there"), "nvidia-ml-py is not installed", id="no bindings"),
    ],
)
def test_absent_hardware_is_unknown(library: Callable[[], Any], reason: str) -> None:
    clock = ManualClock()
    gpus = WatchedGpus(SETTINGS, NvmlSource(SETTINGS, library), None, clock)
    for found in (gpus.headroom(), gpus.serving()):
        assert (found.verdict, reason in found.reason) == (Headroom.UNKNOWN, True), found


def test_a_driver_that_comes_back_is_asked_again() -> None:
    fake = FakeNvml(init=error(pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    world = World(fake)
    assert world.look().verdict == Headroom.UNKNOWN
    fake.init = None
    assert world.look().verdict == Headroom.HEALTHY


@pytest.fixture
def real_gpu() -> None:
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as missing:
        pytest.skip(f"this machine has no NVIDIA GPU ({missing}): NVML is tried on a fake library only")
    if count == 0:
        pytest.skip("this machine has no NVIDIA GPU: NVML is tried on a fake library only")


def test_a_real_gpu_is_read(real_gpu: None) -> None:
    clock = SystemClock()
    found = gpus_of(SETTINGS, HttpClient(clock), clock).headroom()
    assert found.details["gpus"], found
    for each in found.details["gpus"]:
        assert each["uuid"]
        assert each["memory_total_bytes"] > GIB
        assert 0 < each["temperature_celsius"] < 120
    assert found.verdict in set(Headroom)


def test_on_this_machine_it_is_known_or_unknown_but_never_an_error() -> None:
    clock = SystemClock()
    found, trouble = NvmlSource(SETTINGS).look(clock.now())
    verdict = gpu.headroom(Seen(tuple(found), trouble), SETTINGS, clock.now())
    assert verdict.reason
    assert bool(found) or verdict.verdict == Headroom.UNKNOWN
