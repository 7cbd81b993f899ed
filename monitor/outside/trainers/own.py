"""A trainer of the user's own over HTTP: a body from templates, and paths into its answers; changes with what settings offer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.config.json_paths import value_at
from monitor.config.trainers import CancelSettings, StatusSettings
from monitor.errors import InputError, TransientError
from monitor.outside.http import Answer, place
from monitor.outside.trainers.reports import by_state, lost
from monitor.outside.trainers.server import Server
from monitor.outside.trainers.templates import filled

_LONGEST_REFERENCE = 512


@dataclass(frozen=True)
class OwnTrainer:
    """`monitor.act.steps.Trainer` of a server that settings describe."""

    server: Server
    body: dict[str, Any] = field(repr=False)
    method: str
    reference: str | None
    already: tuple[int, ...]
    status: StatusSettings | None
    stop: CancelSettings | None

    def submit(self, retrain: Retrain) -> str:
        """Send the body, with the id of the retrain as Idempotency-Key."""
        body = filled(self.body, request_of(retrain))
        key = {"Idempotency-Key": retrain.retrain_id}
        answer = self.server.ask(self.method, self.server.base, json=body, headers=key, also=self.already)
        return self._reference(answer, retrain)

    def poll(self, retrain: Retrain) -> Report | None:
        """Ask for the state; None where settings do not say how."""
        if self.status is None:
            return None
        url = _placed(self.status.url.get_secret_value(), retrain)
        document = self.server.get(url)
        if document is None:
            return lost(place(url))
        paths = {"uri": self.status.uri, "version": self.status.version, "statistics": self.status.statistics}
        told = {name: value_at(document, path) for name, path in paths.items() if path is not None}
        reason = None if self.status.reason is None else value_at(document, self.status.reason)
        state = value_at(document, self.status.state)
        return by_state(
            str(state) if isinstance(state, int) else state, _states(self.status), told, request_of(retrain), reason
        )

    def cancel(self, retrain: Retrain) -> None:
        """Ask to stop the run, where settings say how; a TransientError where the run's name, which that takes, is not known."""
        if self.stop is None:
            return
        url = self.stop.url.get_secret_value()
        if not retrain.reference and "{reference}" in url:
            raise TransientError("it is not known how the trainer calls the run")
        self.server.stop(self.stop.method, _placed(url, retrain))

    def _reference(self, answer: Answer, retrain: Retrain) -> str:
        if self.reference is None:
            return retrain.retrain_id
        document = _document(answer)
        found = value_at(document, self.reference)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if found is None and answer.status in self.already:
            return retrain.retrain_id
        if not isinstance(found, str) or not found.isprintable() or not 0 < len(found) <= _LONGEST_REFERENCE:
            raise InputError(f"the trainer's answer has no name of the run at {self.reference}")
        return found


def _document(answer: Answer) -> Any:
    try:
        return answer.json()
    except InputError:
        return None


def _placed(url: str, retrain: Retrain) -> str:
    """Return an address of the settings with the names of the run put in, each as one segment whatever it holds."""
    if retrain.reference in {".", ".."}:
        raise InputError("the trainer's name of the run cannot be a part of an address")
    reference = quote(retrain.reference, safe="")
    return url.replace("{retrain_id}", quote(retrain.retrain_id, safe="")).replace("{reference}", reference)


def _states(status: StatusSettings) -> dict[str, Progress]:
    named = (
        (status.waiting, Progress.WAITING),
        (status.running, Progress.RUNNING),
        (status.completed, Progress.COMPLETED),
        (status.failed, Progress.FAILED),
    )
    return {state: progress for states, progress in named for state in states}
