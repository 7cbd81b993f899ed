"""A model that is retrained, for tests of what drives that: settings, a ledger, the outside in memory, and a clock."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import event

from monitor.act.retrain import Retrain, RetrainState
from monitor.alert.alert import Alert, AlertState, Origin, fingerprint_of
from monitor.config.settings import Settings
from monitor.jobs.retrain.retraining import Retrainer
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger
from tests.ledgers import NOON
from tests.unit.act.steps import MemoryGate, MemoryGpus, MemoryRollout, MemoryTrainer, Outside

MODEL = "model"
SECOND = timedelta(seconds=1)
LABELS = {"alertname": "QualityLost", "model": MODEL, "severity": "critical"}
FINGERPRINT = fingerprint_of(LABELS)
CANARY = {"webhook": {"url": "https://serving.example/canary"}}


def settings_of(*, policies: list[dict[str, Any]] | None = None, **retrain: Any) -> Settings:
    """Return settings of one model with a canary and headroom; `retrain` replaces parts of that section."""
    section = {
        "trainer": {"type": "kafka", "topic": "retrains"},
        "headroom": {"gpus": "training"},
        "canary": CANARY,
        "min_labelled_rows": 0,
        **retrain,
    }
    return Settings.model_validate(
        {
            "models": {
                MODEL: {
                    "traffic": {"topic": "traffic", "format": "json"},
                    "retrain": {name: value for name, value in section.items() if value is not None},
                    "serving_gpus": "serving",
                }
            },
            "kafka": {"bootstrap_servers": ["localhost:9092"]},
            "gpus": {"training": {"source": "nvml"}, "serving": {"source": "nvml"}},
            "receivers": {
                "team": {"type": "webhook", "url": "https://team.example/hook"},
                "pager": {"type": "webhook", "url": "https://pager.example/hook"},
            },
            "policies": policies or [],
        }
    )


@cache
def _empty() -> bytes:
    """Return an empty ledger's file: making its tables takes longer than most of these tests."""
    with tempfile.TemporaryDirectory() as folder:
        Ledger.open(f"sqlite:///{folder}/ledger.db", "default").close()
        return (Path(folder) / "ledger.db").read_bytes()


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """Open a new ledger, which need not outlive a power cut."""
    (folder / "ledger.db").write_bytes(_empty())
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", "default")
    event.listen(ledger.database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    ledger.database.close()  # connections are made anew, with that setting
    try:
        yield ledger
    finally:
        ledger.close()


def alert(state: AlertState = AlertState.FIRING, at: datetime = NOON, **labels: str) -> Alert:
    """Return what an Alertmanager says of the alert that these tests are about, which began at `at`."""
    ended = at + timedelta(minutes=30) if state is AlertState.RESOLVED else None
    return Alert(
        {**LABELS, **labels},
        {"summary": "quality fell"},
        state,
        Origin.ALERTMANAGER,
        at,
        fired_at=at,
        resolved_at=ended,
    )


def request(model: str, alert: Alert | None, reason: str, now: datetime) -> dict[str, Any]:
    return {"model": model, "why": reason, "alert": None if alert is None else alert.fingerprint}


def retrainer(ledger: Ledger, settings: Settings, outside: Outside) -> Retrainer:
    gpus = {"training": MemoryGpus(outside), "serving": MemoryGpus(outside)}
    return Retrainer(
        ledger, settings, {MODEL: MemoryTrainer(outside)}, gpus, MemoryGate(outside), MemoryRollout(outside)
    )


@dataclass
class World:
    """One monitor that looks every second of a clock that it moves itself."""

    ledger: Ledger
    settings: Settings = field(default_factory=settings_of)
    outside: Outside = field(default_factory=Outside)
    now: datetime = NOON
    holder: str = "monitor"
    _lease: Lease | None = None

    def __post_init__(self) -> None:
        self.retrainer = retrainer(self.ledger, self.settings, self.outside)

    def lease(self, duration: timedelta = timedelta(days=100)) -> Lease:
        lease = self.ledger.leases.acquire(f"model:{MODEL}", self.holder, self.now, duration)
        assert lease is not None
        return lease

    def held(self) -> Lease:
        """Return the lease that was taken at the first look."""
        self._lease = self._lease or self.lease()
        return self._lease

    def restart(self) -> None:
        """Forget all that was in memory."""
        self.retrainer = retrainer(self.ledger, self.settings, self.outside)

    def propose(self, state: RetrainState = RetrainState.APPROVED, **more: Any) -> Retrain:
        """Begin a retrain because of the alert."""
        given: dict[str, Any] = {"policy": "again", "fingerprint": FINGERPRINT, "episode": 1, "request": {}} | more
        return self.ledger.retrains.propose(MODEL, created_by="policy again", now=self.now, state=state, **given)

    def look(self, after: timedelta = SECOND) -> None:
        self.now += after
        self.retrainer.tick(MODEL, self.held(), self.now)

    def until(self, *states: RetrainState, every: timedelta = SECOND, looks: int = 500) -> Retrain:
        """Look until the newest retrain is in one of these states, and return it."""
        for _ in range(looks):
            newest = self.newest()
            if newest.state in states:
                return newest
            self.look(every)
        raise AssertionError(f"it stays {self.newest().state}: {self.newest().reason}")

    def until_ended(self, every: timedelta = SECOND) -> Retrain:
        return self.until(*(state for state in RetrainState if state.value in ENDED_NAMES), every=every)

    def newest(self) -> Retrain:
        return self.ledger.retrains.list(MODEL)[0]

    def way(self) -> list[str]:
        """Return the states that the newest retrain was in, in order."""
        states = [str(event.to_state) for event in self.ledger.retrains.events(self.newest().retrain_id)]
        return [state for place, state in enumerate(states) if place == 0 or states[place - 1] != state]


ENDED_NAMES = ("promoted", "rejected", "rolled_back", "failed", "cancelled")
