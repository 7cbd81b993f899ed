"""What can be done about an alert, each thing as it is written together with the decision; changes with these things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from monitor.act.decision import Decided, Decision, Outcome
from monitor.act.policy import Facts
from monitor.act.retrain import Retrain, RetrainState
from monitor.act.steps import Found, Gpus, Headroom
from monitor.act.timing import words
from monitor.alert.alert import Alert
from monitor.alert.notification import Notification, Told, alert_document, message_id, told_to
from monitor.clock import rfc3339
from monitor.config.policies import PolicySettings
from monitor.config.settings import Settings
from monitor.errors import InputError, TransientError
from monitor.jobs.retrain.events import RequestFor, asked
from monitor.jobs.retrain.news import News
from monitor.store import outbox
from monitor.store.ledger import Ledger
from monitor.store.retrain_rows import wish

_GPU_SECONDS = 5.0
"""How long GPUs may keep the judging of all models waiting."""


@dataclass(frozen=True, slots=True)
class Action:
    """A decision that acts, and what is written in its transaction."""

    decided: Decided
    write: Callable[[Connection], None]


@dataclass
class Actions:
    """Makes actions of decisions; asks outside things where need be, and writes nothing yet but approval links."""

    ledger: Ledger
    settings: Settings
    request_for: RequestFor
    gpus: Mapping[str, Gpus]
    executor: Executor | None = None

    def __post_init__(self) -> None:
        """Set up what lives as long as this."""
        self._news = News(self.settings)
        self._by_name = {
            "retrain": self._retrain,
            "gpu_check": self._gpu_check,
            "promote": self._ask_for("promote"),
            "rollback": self._ask_for("roll_back"),
            "page": self._page,
        }

    def of(self, policy: PolicySettings, alert: Alert, decision: Decision, facts: Facts, now: datetime) -> Action:
        """Return what a policy does about an alert; raises InputError where it cannot be done."""
        return self._by_name[policy.action](policy, alert, decision, facts, now)

    def _retrain(self, policy: PolicySettings, alert: Alert, decision: Decision, facts: Facts, now: datetime) -> Action:
        if facts.retrain is None:
            raise InputError(f"nothing says how {alert.model} is retrained")
        why = _why(policy, alert)
        waits = decision.outcome is Outcome.ASKED
        until = now + facts.retrain.approve_within
        wished = wish(
            alert.model,
            created_by=f"policy {policy.name}",
            now=now,
            request=self.request_for(alert.model, alert, why, now),
            policy=policy.name,
            fingerprint=alert.fingerprint,
            episode=alert.episode,
            state=RetrainState.PROPOSED if waits else RetrainState.APPROVED,
            deadline_at=until if waits else None,
            reason=f"{why}; waits for approval" if waits else why,
        )
        if waits:
            told = self._approval(wished, why, words(facts.retrain.approve_within), until, now)
        else:
            told = self._news.of(wished, f"Retraining {alert.model}", why)

        def write(connection: Connection) -> None:
            self.ledger.retrains.propose_in(connection, wished, now)
            outbox.put(connection, self.ledger.team, told, now)

        reason = f"{decision.reason}: retrain {wished.retrain_id}"
        return Action(_decided(policy, alert, replace(decision, reason=reason), wished.retrain_id), write)

    def _approval(
        self, wished: Retrain, why: str, within: str, until: datetime, now: datetime
    ) -> Sequence[Notification]:
        """Return the messages that ask for approval; each has a link of its own, so that one that is used names nobody else."""
        title = f"Approve retraining {wished.model}?"
        text = f"{why}. Within {within}; or: driftline retrain approve {wished.retrain_id}"
        url = self.settings.api.public_url
        found = []
        for each in self._news.of(wished, title, text, Told.APPROVAL):
            links = {}
            if url is not None:
                token = self.ledger.approvals.issue(wished.retrain_id, now, until)
                links = {"Approve or reject": f"{url.rstrip('/')}/approve/{token}"}
            found.append(replace(each, document=self._news.document(wished, title, text, links)))
        return found

    def _gpu_check(
        self, policy: PolicySettings, alert: Alert, decision: Decision, facts: Facts, now: datetime
    ) -> Action:
        found = self._serving(facts.serving_gpus or "")
        reason = f"the GPUs that serve {alert.model} are {found.verdict}: {found.reason}"
        document = {
            "model": alert.model,
            "fingerprint": alert.fingerprint,
            "title": f"GPUs of {alert.model}: {found.verdict}",
            "text": f"{reason} ({_why(policy, alert)})",
            "links": {},
            "gpus": {"verdict": str(found.verdict), "reason": found.reason, **found.details},
        }
        told = [
            Notification(
                message_id(alert.fingerprint, str(alert.episode), policy.name, rfc3339(now), receiver),
                receiver,
                alert.fingerprint,
                Told.NEWS,
                document,
            )
            for receiver in self._news.told(alert.model, policy.receiver)
        ]
        return self._telling(policy, alert, replace(decision, reason=reason), told, now)

    def _serving(self, name: str) -> Found:
        gpus = self.gpus.get(name)
        if gpus is None:
            raise InputError(f"there are no GPUs {name!r} to be asked")
        try:
            if self.executor is None:
                return gpus.serving()
            return self.executor.submit(gpus.serving).result(_GPU_SECONDS)
        except TimeoutError:
            return Found(Headroom.UNKNOWN, f"they did not answer within {_GPU_SECONDS:g} seconds")
        except TransientError as error:
            return Found(Headroom.UNKNOWN, str(error))

    def _page(self, policy: PolicySettings, alert: Alert, decision: Decision, _facts: Facts, now: datetime) -> Action:
        document = alert_document(alert, {}, f"paged by policy {policy.name}")
        receiver = policy.receiver or ""
        told = told_to([receiver], Told.PAGE, alert, document, f"{policy.name} {rfc3339(now)}")
        action = self._telling(policy, alert, replace(decision, reason=f"paged {receiver}"), told, now)

        def write(connection: Connection) -> None:
            action.write(connection)
            if self.settings.receivers[receiver].send_resolved:
                self.ledger.alerts.paged(connection, alert, receiver, now)

        return replace(action, write=write)

    def _telling(
        self,
        policy: PolicySettings,
        alert: Alert,
        decision: Decision,
        told: Sequence[Notification],
        now: datetime,
    ) -> Action:
        def write(connection: Connection) -> None:
            outbox.put(connection, self.ledger.team, told, now)

        return Action(_decided(policy, alert, decision), write)

    def _ask_for(self, what: str) -> Callable[[PolicySettings, Alert, Decision, Facts, datetime], Action]:
        def action(policy: PolicySettings, alert: Alert, decision: Decision, facts: Facts, now: datetime) -> Action:
            live = facts.live
            if live is None:
                raise InputError(f"{alert.model} has no canary")
            actor, why = f"policy {policy.name}", _why(policy, alert)
            event, found = asked(live, what, actor, why, now)

            def write(connection: Connection) -> None:
                self.ledger.retrains.change_in(connection, live, event, actor, why, now, found=found)

            reason = f"asked retrain {live.retrain_id} to {what.replace('_', ' ')}"
            return Action(_decided(policy, alert, replace(decision, reason=reason), live.retrain_id), write)

        return action


def _why(policy: PolicySettings, alert: Alert) -> str:
    summary = alert.annotations.get("summary", "")
    return f"policy {policy.name}: {alert.name} fires" + (f": {summary}" if summary else "")


def _decided(policy: PolicySettings, alert: Alert, decision: Decision, retrain_id: str | None = None) -> Decided:
    return Decided(policy.name, alert.fingerprint, alert.episode, alert.model, decision, retrain_id)
