"""What people are told of retrains; changes with whom and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from monitor.act.retrain import Retrain
from monitor.alert.notification import Notification, Told, message_id
from monitor.config.settings import Settings


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
        """Return whom to tell: the receiver of the policy that asked, else everybody."""
        for policy in self.settings.policies:
            if policy.name == retrain.policy and policy.receiver is not None:
                return [policy.receiver]
        return sorted(self.settings.receivers)


Tell = Callable[[Retrain, str, str], list[Notification]]
"""Makes messages of a retrain, a title and a text."""
