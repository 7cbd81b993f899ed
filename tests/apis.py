"""The API over a real ledger, for tests: its settings, a caller of each scope, and a model with something to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from prometheus_client import CollectorRegistry

from monitor.act.lifecycle import Event
from monitor.act.retrain import Retrain
from monitor.api.application import application
from monitor.clock import ManualClock
from monitor.config.loading import parse_settings
from monitor.config.settings import Settings
from monitor.health import Health
from monitor.store.ledger import Ledger
from monitor.store.token_ledger import Scope

ALERTMANAGERS = "an-alertmanagers-own-token"
SETTINGS = f"""
models:
  flights:
    traffic: {{files: requests.jsonl}}
    retrain: {{trainer: {{type: command, command: [train]}}, approval: required}}
  quiet:
    traffic: {{files: requests.jsonl}}
candidates: file:/models/candidates
api: {{alertmanager_token: {ALERTMANAGERS}}}
"""


@dataclass
class Api:
    """An application with its ledger, and a token of each scope."""

    ledger: Ledger
    clock: ManualClock = field(default_factory=ManualClock)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    settings: Settings = field(default_factory=lambda: parse_settings(SETTINGS, "driftline.yaml", {}))

    def __post_init__(self) -> None:
        now = self.clock.now()
        self.health = Health(self.clock)
        self.app: FastAPI = application(self.settings, self.ledger, self.registry, self.health, self.clock)
        self.tokens = {scope: self.ledger.tokens.create(f"a {scope}", scope, now, None) for scope in Scope}
        self.client = TestClient(self.app, raise_server_exceptions=False, client=("192.0.2.7", 50_000))

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        scope: Scope | None = Scope.ADMIN,
        given: str | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Ask with the token of a scope, another token, or none."""
        token = given if given is not None else self.tokens[scope] if scope is not None else None
        sent = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer: Response = self.client.request(
            method, path, json=body, content=content, headers=sent | dict(headers or {})
        )
        return answer

    def proposed(self, model: str = "flights", **request: Any) -> Retrain:
        """Return a new retrain that waits for a person."""
        now = self.clock.now()
        return self.ledger.retrains.propose(
            model,
            created_by="a test",
            now=now,
            request={"model": model, **request},
            reason="quality fell",
            deadline_at=now + timedelta(days=1),
        )

    def running(self, model: str = "flights") -> Retrain:
        """Return a new retrain that a trainer works on."""
        retrain, now = self.proposed(model), self.clock.now()
        for event in (Event.APPROVE, Event.SUBMIT, Event.START):
            retrain = self.ledger.retrains.change(retrain, event, "a test", str(event), now)
        return retrain


@contextmanager
def opened(folder: Path) -> Iterator[Api]:
    """Open an API over an empty ledger in a folder."""
    ledger = Ledger.open(f"sqlite:///{folder}/driftline.db", "default")
    api = Api(ledger)
    try:
        yield api
    finally:
        api.client.close()
        ledger.close()
