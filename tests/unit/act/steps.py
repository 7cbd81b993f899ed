"""The ports of a retrain in memory: what happened outside outlives whoever asked, and each effect is counted by its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.act.retrain import Retrain
from monitor.act.steps import CanaryVerdict, Found, GateVerdict, Headroom, Progress, Report
from monitor.errors import DriftlineError

CANDIDATE = {"uri": "candidates/7", "version": "7", "statistics": {"rows": 10}}


@dataclass
class Outside:
    """The world beside Driftline, and how it answers.

    Attributes:
        pause: called before and after every effect; a test raises there.
        answers: by step, what is said at each call in turn (a verdict, or an error to raise); the last is said again.
        runs, stopped, canaries: what there is, by retrain.
        stable: which retrain's candidate all are served by.
        asked: how often each step was asked.
    """

    pause: Callable[[str], None] = lambda _: None
    answers: dict[str, list[object]] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    canaries: set[str] = field(default_factory=set)
    stable: str = ""
    promoted: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)

    def answer(self, step: str, usual: object) -> object:
        """Return what is said at this call; raises an error that is to be raised."""
        said = self.answers.get(step, [usual])
        found = said[min(self.asked[step], len(said) - 1)]
        self.asked[step] += 1
        if isinstance(found, DriftlineError):
            raise found
        return found

    def found(self, step: str, usual: str) -> Found:
        said = self.answer(step, usual)
        return said if isinstance(said, Found) else Found(str(said), f"{step} says {said}")


@dataclass
class MemoryTrainer:
    """Trains at once; the second submission of a retrain is the first."""

    outside: Outside

    def submit(self, retrain: Retrain) -> str:
        self.outside.pause("before submit")
        self.outside.answer("submit", "")
        self.outside.runs.setdefault(retrain.retrain_id, f"run-{len(self.outside.runs) + 1}")
        self.outside.pause("after submit")
        return self.outside.runs[retrain.retrain_id]

    def poll(self, retrain: Retrain) -> Report | None:
        assert retrain.reference == self.outside.runs[retrain.retrain_id], "a run is asked about by its name"
        said = self.outside.answer("poll", Progress.COMPLETED)
        if said is None or isinstance(said, Report):
            return said
        assert isinstance(said, Progress)
        return Report(said, "", CANDIDATE if said is Progress.COMPLETED else {})

    def cancel(self, retrain: Retrain) -> None:
        self.outside.pause("before cancel")
        self.outside.answer("cancel", "")
        self.outside.stopped.add(retrain.retrain_id)
        self.outside.pause("after cancel")


@dataclass
class MemoryGpus:
    outside: Outside

    def headroom(self) -> Found:
        return self.outside.found("headroom", Headroom.HEALTHY)

    def serving(self) -> Found:
        return self.outside.found("serving", Headroom.HEALTHY)


@dataclass
class MemoryGate:
    outside: Outside

    def judge(self, retrain: Retrain) -> Found:
        assert retrain.candidate, "there is something to judge"
        self.outside.pause("before judge")
        return self.outside.found("judge", GateVerdict.PASSED)


@dataclass
class MemoryRollout:
    outside: Outside

    def begin(self, retrain: Retrain) -> Found:
        self.outside.pause("before begin")
        found = self.outside.found("begin", CanaryVerdict.WAITING)
        if found.verdict != CanaryVerdict.BAD:
            self.outside.canaries.add(retrain.retrain_id)
        self.outside.pause("after begin")
        return found

    def watch(self, retrain: Retrain) -> Found:
        assert retrain.retrain_id in self.outside.canaries
        return self.outside.found("watch", CanaryVerdict.GOOD)

    def promote(self, retrain: Retrain) -> Found:
        self.outside.pause("before promote")
        found = self.outside.found("promote", CanaryVerdict.GOOD)
        if found.verdict != CanaryVerdict.BAD:
            self.outside.stable = retrain.retrain_id
            self.outside.promoted.add(retrain.retrain_id)
            self.outside.canaries.discard(retrain.retrain_id)
        self.outside.pause("after promote")
        return found

    def roll_back(self, retrain: Retrain) -> Found:
        self.outside.pause("before roll back")
        found = self.outside.found("roll_back", CanaryVerdict.GOOD)
        self.outside.canaries.discard(retrain.retrain_id)
        self.outside.pause("after roll back")
        return found
