"""How time is taken: on one core, in turns, as medians; changes with how measurements are made comparable."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that hold numeric libraries of a child process to one thread."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over the runs of one piece of work, in seconds.

    On one core both are the same, unless other programs use that core too: then `wall_seconds` is longer, and only
    `cpu_seconds` (all threads of the process) still says what the work costs.
    """

    cpu_seconds: float
    wall_seconds: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[Sequence[float]]) -> Timing:
        """Return the medians of (CPU, wall) pairs."""
        cpu, wall = zip(*seconds, strict=True)
        return cls(statistics.median(cpu), statistics.median(wall), len(seconds))

    @property
    def disturbed(self) -> bool:
        """Other programs took so much of the core that wall-clock times mean little."""
        return self.wall_seconds > 1.1 * self.cpu_seconds

    def rate(self, rows: int) -> float:
        """Return rows per second of one core."""
        return rows / self.cpu_seconds


def hold_to_one_core() -> int:
    """Bind all threads of this process, and those of its children to come, to one core; return its number."""
    core = max(os.sched_getaffinity(0))
    # Binding the process binds only its first thread; libraries may have started theirs on import.
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})
    pa.set_cpu_count(1)
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    return core


def in_turns(works: Mapping[str, Callable[[], object]], runs: int) -> dict[str, Timing]:
    """Time each work `runs` times after one to warm up, in turns, so that a slow spell of the machine hits all alike."""
    for work in works.values():
        work()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: Timing.of(pairs) for name, pairs in seconds.items()}
