"""What the API answers, for its OpenAPI document and to hold it to that; changes with what is shown of a thing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.act.retrain import Confirmation, RetrainState
from monitor.alert.alert import AlertState, Origin

Verdict = Literal["ok", "flagged", "insufficient_evidence"]


class _Shown(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ModelAnswer(_Shown):
    """A monitored model and how it does."""

    name: str
    watermark: datetime | None = Field(description="Event time up to which its traffic is complete.")
    baseline: int | None = Field(description="Number of the active baseline.")
    windows: dict[str, int] = Field(description="Judged windows by verdict.")
    firing: list[str] = Field(description="Fingerprints of its firing alerts.")
    retrain: str | None = Field(description="Id of the retrain that has not ended.")


class WindowAnswer(_Shown):
    """A closed window; without verdict before it was judged."""

    version: str
    start: datetime
    end: datetime
    revision: int
    closed_at: datetime
    judged_at: datetime | None
    verdict: Verdict | None = Field(description="Flagged where any slice is.")
    baseline: int | None


class EvaluationAnswer(_Shown):
    """What labels say of a window, in its newest revision."""

    version: str
    window_start: datetime
    window_end: datetime
    revision: int
    stage: str
    verdict: str
    blessing: str | None
    labelled: int
    rows: int
    recorded_at: datetime
    document: dict[str, Any]


class BaselineAnswer(_Shown):
    """A baseline; the profile itself stays in the ledger."""

    number: int
    active: bool
    rows: int
    created_at: datetime
    created_by: str
    provenance: dict[str, Any]


class FindingAnswer(BaseModel):
    """One measured comparison."""

    model_config = ConfigDict(extra="allow")

    kind: str
    feature: str | None
    reference: str
    measure: str
    value: float | None
    threshold: float | None
    p_value: float | None
    flagged: bool
    reason: str | None
    explanation: str


class FindingsAnswer(BaseModel):
    """What was found of one window and slice: the object that `driftline check` and `backtest` write."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    model: str | None
    version: str | None
    slice: dict[str, str]
    baseline: int | None
    window_start: str | None
    window_end: str | None
    revision: int
    rows_seen: int
    rows: int
    n_effective: float
    verdict: Verdict
    findings: list[FindingAnswer]


class AlertAnswer(_Shown):
    """An alert of a model."""

    fingerprint: str
    name: str
    model: str
    origin: Origin
    state: AlertState
    episode: int = Field(description="How often it has fired anew.")
    labels: dict[str, str]
    annotations: dict[str, str]
    active_at: datetime | None
    fired_at: datetime | None
    resolved_at: datetime | None
    updated_at: datetime
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    assignee: str | None
    silenced: bool = Field(False, description="Whether a silence mutes it now.")
    findings: list[dict[str, Any]] = Field(description="The flagged findings behind it, the strongest first.")


class AlertEventAnswer(_Shown):
    """One thing that happened to an alert."""

    number: int
    episode: int
    at: datetime
    from_state: str
    to_state: str
    actor: str
    reason: str


class AlertWithEvents(AlertAnswer):
    """An alert and what happened to it."""

    events: list[AlertEventAnswer]


class SilenceAnswer(_Shown):
    """A silence: alerts whose labels match are told to nobody while it lasts."""

    silence_id: str
    matchers: str
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str


class TakenAnswer(BaseModel):
    """What became of alerts that an Alertmanager posted."""

    taken: int
    repeated: int = Field(description="Seen before, or older than what was seen: they change nothing.")
    ignored: int = Field(description="Made by a rule of Driftline's own settings: what is said of them does not count.")
    refused: int = Field(description="No alerts that can be taken; the log says why.")


class RetrainAnswer(_Shown):
    """A retrain and where it stands."""

    retrain_id: str
    model: str
    state: RetrainState
    revision: int
    reason: str
    policy: str
    fingerprint: str
    episode: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    deadline_at: datetime | None
    attempts: int
    reference: str = Field(description="The trainer's own name of the run.")
    candidate: dict[str, Any] = Field(description="What the trainer reported.")
    details: dict[str, Any] = Field(description="What the steps found.")
    confirmation: Confirmation
    confirm_until: datetime | None


class RetrainEventAnswer(_Shown):
    """One thing that happened to a retrain."""

    number: int
    at: datetime
    from_state: str
    to_state: RetrainState
    actor: str
    reason: str
    document: dict[str, Any]


class RetrainWithEvents(RetrainAnswer):
    """A retrain, what its trainer gets, and what happened to it."""

    request: dict[str, Any]
    events: list[RetrainEventAnswer]


class DecisionAnswer(_Shown):
    """What a policy decided about an alert; the same decision again is counted, not written again."""

    policy: str
    fingerprint: str
    episode: int
    number: int
    model: str
    action: str
    outcome: str
    rule: str
    reason: str
    retrain_id: str | None
    first_at: datetime
    last_at: datetime
    times: int


class AuditAnswer(BaseModel):
    """One entry of the audit log; `hash` is over the one before and all else in it."""

    sequence: int
    recorded_at: datetime
    actor: str
    action: str
    body: dict[str, Any]
    previous_hash: str
    hash: str
