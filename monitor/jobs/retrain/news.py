"""What people are told of retrains; changes with whom and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.act.retrain import Retrain
from monitor.alert.alert import ALERT_NAME, MODEL, SEVERITY, TEAM
from monitor.alert.notification import Notification, Told, message_id
from monitor.alert.routing import routed
from monitor.config.settings import Settings

NEWS_NAME = "Retrain"
"""`alertname` by which routes know news of retrains; their severity is `info`."""


@dataclass(frozen=True, slots=True)
class News:
    """Makes messages about retrains for those who are to know of them."""

    settings: Settings

    def of(self, retrain: Retrain, title: str, text: str, kind: Told = Told.NEWS, part: str = "") -> list[Notification]:
        """Return the messages, one a receiver; `part` tells several of one kind in the same state apart."""
        document = self.document(retrain, title, text)
        return [
            Notification(
                message_id(retrain.retrain_id, kind, str(retrain.state), part, receiver),
                receiver,
                retrain.retrain_id,
                kind,
                document,
            )
            for receiver in self.receivers(retrain)
        ]

    def document(
        self, retrain: Retrain, title: str, text: str, links: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return what is told of a retrain as JSON."""
        return {
            "retrain": retrain.retrain_id,
            "model": retrain.model,
            "state": str(retrain.state),
            "fingerprint": retrain.fingerprint,
            "title": title,
            "text": text,
            "links": dict(links or {}),
        }

    def receivers(self, retrain: Retrain) -> list[str]:
        """Return whom to tell: the receiver of the policy that asked, else those whom the routes name."""
        policy = next((each for each in self.settings.policies if each.name == retrain.policy), None)
        return self.told(retrain.model, None if policy is None else policy.receiver)

    def told(self, model: str, receiver: str | None) -> list[str]:
        """Return whom to tell of a model: `receiver`, or those whom the routes name for news of it."""
        if receiver is not None:
            return [receiver]
        labels = {ALERT_NAME: NEWS_NAME, MODEL: model, SEVERITY: "info", TEAM: self.settings.team}
        return sorted(routed(labels, self.settings.routes, self.settings.receivers))
