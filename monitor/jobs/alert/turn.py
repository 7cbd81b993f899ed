"""One look at one model: what becomes of its alerts, before it is recorded; changes with what is told when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from monitor.alert.alert import Alert, AlertState, Origin
from monitor.alert.expression import Outcome
from monitor.alert.memory import Memory, remembered
from monitor.alert.no_data import standing_without_data
from monitor.alert.notification import Notification, Told, alert_document, told_to
from monitor.alert.routing import routed
from monitor.alert.silence import Silence
from monitor.alert.state import Standing, Step, retired, standing_of, transition
from monitor.alert.telling import tellings
from monitor.alert.templates import annotated
from monitor.clock import rfc3339
from monitor.config.settings import Settings
from monitor.jobs.alert.rules import Rule
from monitor.store.alert_ledger import Happened, Revised
from monitor.store.alert_rows import KeptAlert

_OURS = "a rule of the settings makes this alert: what an Alertmanager says of it does not count"


@dataclass
class _Draft:
    """An alert while a turn works on it."""

    before: KeptAlert
    alert: Alert
    memory: Memory
    happened: list[Happened] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return (self.alert, self.memory) != (self.before.alert, self.before.memory) or bool(self.happened)


@dataclass
class Turn:
    """One look at one model: what becomes of its alerts, in memory."""

    settings: Settings
    load_silences: Callable[[], Sequence[Silence]]
    now: datetime
    known: Mapping[str, KeptAlert]
    drafts: dict[str, _Draft] = field(default_factory=dict)

    def window(self, rule: Rule, start: datetime, found: Outcome) -> datetime | None:
        """Take what a rule says of a window.

        Returns the start of the window whose findings are to be shown, where the one that they are of matches no longer.
        """
        draft = self._of(rule)
        memory, alert = draft.memory, draft.alert
        if memory.rule != rule.digest:
            memory = replace(memory, rule=rule.digest, windows=())
        said_before = dict(memory.windows).get(start)
        memory = remembered(memory, start, matched=found.matched, most=rule.timing.windows)
        if start not in dict(memory.windows):
            return None  # older than all that decides
        standing = standing_of(memory.windows, rule.timing)
        if said_before is not None and said_before != found.matched:
            standing = replace(standing, reason=f"{standing.reason}; the window from {rfc3339(start)} was restated")
        newest = max((each for each, matched in memory.windows if matched), default=None)
        if start == memory.windows[-1][0]:
            alert = replace(alert, muted=tuple(found.muted))
        draft.memory = memory
        draft.alert = alert
        if found.matched and start == newest:
            self.show(rule, found)
        self._apply(draft, draft.alert, standing)
        return newest if said_before and newest is not None and newest < start and not found.matched else None

    def show(self, rule: Rule, found: Outcome) -> None:
        """Let an alert tell of what was found of the newest window that matches."""
        draft = self._of(rule)
        windows = [rfc3339(each) for each, matched in draft.memory.windows if matched]
        texts = annotated(rule.settings.annotations, rule.labels, found.findings, windows)
        draft.alert = replace(draft.alert, findings=tuple(found.findings), annotations=texts, updated_at=self.now)

    def silence_of(
        self, rule: Rule, last: datetime | None, at: datetime | None, limit: timedelta, *, replays: bool
    ) -> None:
        """Take what a rule about missing data says."""
        draft = self._of(rule)
        if last is None and not replays:
            draft.memory = replace(draft.memory, since=draft.memory.since or self.now)
            last = draft.memory.since
        standing = standing_without_data(last, at, limit)
        alert = draft.alert
        if standing.holds is AlertState.FIRING and alert.state is not AlertState.FIRING:
            alert = replace(alert, annotations=annotated(rule.settings.annotations, rule.labels, (), ()))
        self._apply(draft, alert, standing)

    def retire(self, fingerprint: str, why: str) -> None:
        """Take that nobody looks after an alert any more."""
        draft = self._draft(fingerprint)
        step = retired(draft.alert, draft.memory.covered, why, self.now)
        self._follow(draft, step)

    def tell(self, fingerprint: str) -> None:
        """Tell whoever is to be told of an alert as it stands."""
        self._tell(self._draft(fingerprint))

    def revised(self) -> list[Revised]:
        """Return what is to be recorded."""
        return [
            Revised(
                draft.before,
                KeptAlert(draft.alert, draft.memory, draft.before.revision + 1),
                draft.happened,
                draft.notifications,
            )
            for draft in self.drafts.values()
            if draft.changed
        ]

    def _of(self, rule: Rule) -> _Draft:
        if rule.fingerprint not in self.drafts and rule.fingerprint not in self.known:
            alert = rule.fresh(self.now)
            self.drafts[rule.fingerprint] = _Draft(KeptAlert(alert), alert, Memory(rule=rule.digest))
        return self._draft(rule.fingerprint)

    def _draft(self, fingerprint: str) -> _Draft:
        if fingerprint not in self.drafts:
            kept = self.known[fingerprint]
            draft = self.drafts[fingerprint] = _Draft(kept, kept.alert, kept.memory)
            if kept.alert.origin is not Origin.DRIFTLINE:
                self._adopt(draft)
        return self.drafts[fingerprint]

    def _adopt(self, draft: _Draft) -> None:
        """Make an alert that an Alertmanager told of one of ours: what its windows say is yet to be seen, and nobody was told."""
        draft.alert = replace(draft.alert, origin=Origin.DRIFTLINE)
        if draft.alert.state is AlertState.FIRING:
            self._follow(draft, retired(draft.alert, draft.memory.covered, _OURS, self.now))

    def _apply(self, draft: _Draft, alert: Alert, standing: Standing) -> None:
        self._follow(draft, transition(alert, standing, draft.memory.covered, self.now))

    def _follow(self, draft: _Draft, step: Step) -> None:
        for change in step.changes:
            if change.alert.state is AlertState.FIRING:
                self._tell_of_the_episode_before(draft)
            draft.alert = change.alert
            muting = self._muting(draft.alert) if AlertState.FIRING in (change.before, change.alert.state) else None
            said = f"{change.reason}; {_named(muting)}" if muting else change.reason
            draft.happened.append(Happened(change.before, change.alert, said))
            self._tell(draft)
        draft.alert = step.alert
        draft.memory = replace(draft.memory, covered=step.covered)

    def _tell_of_the_episode_before(self, draft: _Draft) -> None:
        """Tell of an end that a silence has put off so far: an end wakes nobody, and later it would be forgotten."""
        ended = [
            name for name, each in self.settings.receivers.items() if each.send_resolved and name in draft.memory.told
        ]
        draft.notifications += self._messages(draft.alert, Told.RESOLVED, ended)
        draft.memory = replace(draft.memory, told={})

    def _tell(self, draft: _Draft) -> None:
        alert, told = draft.alert, draft.memory.told
        if alert.state is not AlertState.FIRING and not told:
            return
        known = self.settings.receivers
        receivers = routed(alert.labels, self.settings.routes, known)
        forget = [name for name in receivers if known[name].type == "alertmanager"]
        for name in forget:
            receivers[name] = min(receivers[name], known[name].holds_for / 2)
        want_the_end = [name for name, each in known.items() if each.send_resolved]
        found = tellings(alert, told, receivers, want_the_end, forget, silenced=False, now=self.now)
        if not found.said and found.told == told:
            return
        if self._muting(alert) is not None:
            return
        for kind, names in found.said:
            draft.notifications += self._messages(alert, kind, names)
        draft.memory = replace(draft.memory, told=found.told)
        if draft.happened and draft.happened[-1].alert is alert:
            return
        for kind, names in found.said:
            if kind is not Told.REPEATED:  # told later than it happened: a silence has ended, or a receiver is new
                draft.happened.append(
                    Happened(alert.state, alert, f"{', '.join(sorted(names))}: told that it is {kind}")
                )

    def _messages(self, alert: Alert, kind: Told, receivers: Sequence[str]) -> Iterable[Notification]:
        if kind is Told.RESOLVED and alert.state is not AlertState.RESOLVED:
            alert = replace(alert, state=AlertState.RESOLVED)  # it is pending again by now
        url = self.settings.api.public_url
        links = {} if url is None else {"Alert": f"{url.rstrip('/')}/alerts/{alert.fingerprint}"}
        part = rfc3339(self.now) if kind is Told.REPEATED else ""
        return told_to(receivers, kind, alert, alert_document(alert, links), part)

    def _muting(self, alert: Alert) -> Silence | None:
        return next((silence for silence in self._silences if silence.mutes(alert.labels)), None)

    @cached_property
    def _silences(self) -> Sequence[Silence]:
        return self.load_silences()


def _named(silence: Silence) -> str:
    why = f": {silence.comment}" if silence.comment else ""
    return f"nobody is told, by silence {silence.silence_id} of {silence.created_by}{why}"
