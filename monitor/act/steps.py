"""What a retrain needs from outside, a port for each step; changes with what a step can answer.

A step may be tried again after a crash: what it does is the same, however often it is asked with the same retrain. An outside
thing that does not answer is a TransientError: the step is tried later, until the deadline of the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from monitor.act.retrain import Retrain


class Headroom(StrEnum):
    """What a look at GPUs says."""

    HEALTHY = "healthy"
    BUSY = "busy"
    SUSPECT = "suspect"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found: `verdict` is a word of that step's, `reason` a line for a person, `details` JSON for the record."""

    verdict: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Progress(StrEnum):
    """What a trainer says of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Report:
    """What a trainer says, asked or by itself.

    Attributes:
        candidate: of a completed run: `uri` (under the configured candidates), `version`, and what else it tells: `statistics`.
    """

    progress: Progress
    reason: str = ""
    candidate: Mapping[str, Any] = field(default_factory=dict)


class Trainer(Protocol):
    """Who trains."""

    def submit(self, retrain: Retrain) -> str:
        """Ask for a training run and return the trainer's name of it; the id of the retrain makes asking twice ask once.

        Raises:
            TransientError: it could not be reached: may be tried again.
            InputError: it refused.
        """
        ...

    def poll(self, retrain: Retrain) -> Report | None:
        """Return how the run of `retrain.reference` goes; None where this trainer reports by itself only."""
        ...

    def cancel(self, retrain: Retrain) -> None:
        """Ask to stop the run, where that can be asked; the end of it is not waited for."""
        ...


class Gpus(Protocol):
    """Some GPUs."""

    def headroom(self) -> Found:
        """Say whether there is room for a training; `verdict` is a Headroom."""
        ...

    def serving(self) -> Found:
        """Say how the GPUs that serve do; `verdict` is a Headroom."""
        ...


class GateVerdict(StrEnum):
    """What a gate says of a candidate."""

    PASSED = "passed"
    REJECTED = "rejected"


class Gate(Protocol):
    """What a candidate must pass before it serves anybody."""

    def judge(self, retrain: Retrain) -> Found:
        """Load the candidate, smoke-test it and evaluate it beside the present model; `verdict` is a GateVerdict."""
        ...


class CanaryVerdict(StrEnum):
    """What watching a canary says."""

    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"


class Rollout(Protocol):
    """What brings a version into service. Each is done again safely."""

    def begin(self, retrain: Retrain) -> Found:
        """Serve the candidate beside the stable version; returns once it answers: WAITING, or BAD where it does not."""
        ...

    def watch(self, retrain: Retrain) -> Found:
        """Compare candidate and stable on live traffic since the canary began; `verdict` is a CanaryVerdict."""
        ...

    def promote(self, retrain: Retrain) -> Found:
        """Make the candidate the stable version, and adopt a new baseline where settings say so."""
        ...

    def roll_back(self, retrain: Retrain) -> Found:
        """Take the candidate out of service."""
        ...
