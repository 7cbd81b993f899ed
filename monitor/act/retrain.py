"""A request to retrain a model, from the wish to the promoted version; changes with what is known of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class RetrainState(StrEnum):
    """Where a retrain stands."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    GPU_CHECK = "gpu_check"
    SUBMITTED = "submitted"
    RUNNING = "running"
    EVALUATING = "evaluating"
    CANARY = "canary"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset(
    {
        RetrainState.PROMOTED,
        RetrainState.REJECTED,
        RetrainState.ROLLED_BACK,
        RetrainState.FAILED,
        RetrainState.CANCELLED,
    }
)
"""States that are not left again."""


class Confirmation(StrEnum):
    """Whether the alert that started a promoted retrain has cleared since."""

    NONE = "none"
    WAITING = "waiting"
    CLEARED = "cleared"
    NOT_CLEARED = "not_cleared"


@dataclass(frozen=True, slots=True)
class Retrain:
    """One retrain as the ledger holds it.

    Attributes:
        retrain_id: also the idempotency key towards the trainer.
        revision: grows with every change; changes are made by compare-and-set on it.
        policy: name of the policy that asked for it; empty where a person or a program did.
        fingerprint, episode: the alert that started it; empty and 0 without one.
        due_at: when the next step is to be tried.
        deadline_at: when the present state has lasted too long; None where it may last.
        attempts: tries of the present state's step so far.
        request: what the trainer gets: why, on what, baseline and expected outputs.
        reference: the trainer's own name of the run; empty before it was submitted.
        candidate: what the trainer reported: `uri`, `version`, `statistics`; empty before.
        details: what the steps found, by state: verdict of the GPU check, of the gate, of the canary.
        reason: why it is where it is, for a person.
        confirmation: about the alert, after the promotion; `confirm_until` bounds the waiting.
    """

    retrain_id: str
    model: str
    state: RetrainState
    revision: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    policy: str = ""
    fingerprint: str = ""
    episode: int = 0
    deadline_at: datetime | None = None
    attempts: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    candidate: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    confirmation: Confirmation = Confirmation.NONE
    confirm_until: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class RetrainEvent:
    """One thing that happened to a retrain; `document` says which event, and what was found."""

    number: int
    at: datetime
    from_state: str
    to_state: RetrainState
    actor: str
    reason: str
    document: Mapping[str, Any]
