"""Whoever else brings versions into service, asked by signed requests; changes with what these say.

What was asked has the retrain's id, so that asking twice asks once: header `Idempotency-Key`, and the id of Standard Webhooks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from standardwebhooks.webhooks import Webhook
from typing_extensions import override

from monitor.clock import Clock
from monitor.config.canary import CanaryWebhookSettings
from monitor.errors import InputError, TransientError
from monitor.outside.serving import EnsureAllowed, Folder, Plan, Serving, always_allowed

_PASSING = frozenset({408, 425, 429})


class Answered(Protocol):
    """What a server said."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    @property
    def method(self) -> str:
        """The method that was answered, after redirects."""
        ...


class Client(Protocol):
    """Who asks; `monitor.outside.http.HttpClient` does."""

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None, content: bytes, timeout_seconds: float
    ) -> Answered:
        """Return the answer, whatever its status; raises TransientError or InputError."""
        ...


@dataclass(frozen=True)
class CanaryWebhook(Serving):
    """One retrain of one model.

    Attributes:
        stable: tells which version serves now, empty where nobody knows; it is given the candidate's.
        candidate: what the trainer reported.
    """

    settings: CanaryWebhookSettings
    model: str
    retrain_id: str
    candidate: Mapping[str, Any]
    stable: Callable[[str], str]
    client: Client
    clock: Clock
    ensure_allowed: EnsureAllowed = always_allowed

    @override
    def plan(self, candidate: str) -> Plan:
        """Return what is to change; what serves is asked nothing."""
        return Plan(self.stable(candidate), candidate)

    @override
    def begin(self, plan: Plan, folder: Folder) -> None:
        """Ask to serve the candidate beside the stable version; an answer of 2xx says that it does."""
        self._ask("begin", plan)

    @override
    def promote(self, plan: Plan) -> None:
        """Ask to make the candidate the stable version."""
        self._ask("promote", plan)

    @override
    def roll_back(self, plan: Plan) -> str:
        """Ask to take the candidate out of service."""
        self._ask("rollback", plan)
        return ""

    def _ask(self, action: str, plan: Plan) -> None:
        message_id = f"{self.retrain_id}.{action}"
        content = json.dumps(
            {
                "type": f"driftline.canary.{action}",
                "action": action,
                "retrain_id": self.retrain_id,
                "model": self.model,
                "stable_version": plan.stable or None,
                "candidate_version": plan.candidate,
                "candidate_uri": self.candidate.get("uri"),
            },
            allow_nan=False,
        )
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message_id,
            **self._signed(message_id, content),
        }
        url = self.settings.url.get_secret_value()
        self.ensure_allowed()
        answer = self.client.send(
            "POST",
            url,
            headers=headers,
            content=content.encode(),
            timeout_seconds=self.settings.timeout.total_seconds(),
        )
        if answer.method != "POST":
            raise InputError("the canary's webhook redirects in a way that drops what is sent")
        if 200 <= answer.status < 300:
            return
        said = f"the canary's webhook answered {action} with {answer.status}"
        if answer.status >= 500 or answer.status in _PASSING:
            raise TransientError(said)
        raise InputError(said)

    def _signed(self, message_id: str, content: str) -> dict[str, str]:
        secret = self.settings.signing_secret
        if secret is None:
            return {}
        now = self.clock.now()
        signature = Webhook(secret.get_secret_value()).sign(message_id, now, content)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
