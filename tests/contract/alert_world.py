"""A ledger in which windows are judged and evaluated by hand, with an alerter that looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import yaml
from sqlalchemy import select

from monitor.alert.alert import Alert
from monitor.clock import rfc3339
from monitor.config.loading import parse_settings
from monitor.config.settings import Settings, WindowSettings
from monitor.jobs.alert.alerting import Alerter
from monitor.records import WindowKey
from monitor.store import loop_tables as t
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement, SliceJudgement
from monitor.window.label_due import Look as LabelLook
from monitor.window.label_due import Stage
from tests.ledgers import EVALUATION, HOUR, NOON, Hand, held, key
from tests.unit.alert.findings import finding

LIVE = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
RECEIVERS = {
    "pager": {"type": "webhook", "url": "https://pager.test/x"},
    "quiet": {"type": "webhook", "url": "https://quiet.test/x", "send_resolved": False},
}


def settings_of(alerts: Sequence[Mapping[str, Any]], **more: Any) -> Settings:
    """Return settings of a live model with these rules and two receivers, of which one wants no ends."""
    windows = {"length": "1h", "allowed_lateness": "10m"}
    whole: dict[str, Any] = {
        "models": {"model": {"traffic": {"files": "requests"}, "windows": windows}},
        "alerts": list(alerts),
        "receivers": RECEIVERS,
    }
    return parse_settings(yaml.safe_dump(whole | more), "f.yaml", {})


@dataclass
class World:
    """One model of a ledger, its windows by how many hours before noon they start."""

    ledger: Ledger
    settings: Settings
    now: datetime = NOON + 6 * HOUR
    revisions: dict[WindowKey, int] = field(default_factory=dict)
    evaluated: dict[WindowKey, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hand = Hand.on(self.ledger.cuts)
        self.alerter = Alerter(self.ledger, self.settings)
        self.lease = held(self.ledger)

    def serve(self, hour: int, *versions: str) -> None:
        """Let an hour have rows of each version, and close it."""
        keys = [key(hour, version) for version in versions or ("1",)]
        self.hand.commit(self.hand.cut([(each, 1) for each in keys], newest=NOON + 24 * HOUR))
        self.ledger.windows.advance("model", "requests", LIVE, self.lease, NOON + 48 * HOUR)

    def judge(
        self, hour: int, *found: Mapping[str, Any], version: str = "1", slices: Mapping[str, Any] | None = None
    ) -> None:
        """Judge the next revision of an hour: these findings are flagged."""
        of = key(hour, version)
        if of not in self.revisions:
            self.serve(hour, version)
        else:
            self.hand.commit(self.hand.cut([(of, 1)], newest=NOON + 24 * HOUR))
        self.judge_served(hour, *found, version=version, slices=slices)

    def judge_served(
        self, hour: int, *found: Mapping[str, Any], version: str = "1", slices: Mapping[str, Any] | None = None
    ) -> None:
        """Judge an hour that was served."""
        of = key(hour, version)
        self.now += HOUR
        (pending,) = [each for each in self.ledger.windows.pending("model", 1000 * HOUR, self.now) if each.key == of]
        parts = {
            name: SliceJudgement(_document(of, each["slice"], [each]), {}) for name, each in (slices or {}).items()
        }
        judgement = Judgement(pending, _document(of, {}, found), {}, 1, "hash", parts)
        self.ledger.verdicts.record(judgement, self.lease, self.now)
        self.revisions[of] = pending.revision

    def evaluate(self, hour: int, *found: Mapping[str, Any], version: str = "1", stage: Stage = Stage.FINAL) -> None:
        """Record the next evaluation of an hour."""
        of = key(hour, version)
        self.evaluated[of] = self.evaluated.get(of, 0) + 1
        document = _document(of, {}, found) | {"slices": [{"slice": {}, "findings": list(found)}]}
        verdict = "flagged" if found else "ok"
        record = replace(
            EVALUATION, key=of, revision=self.evaluated[of], stage=stage, verdict=verdict, document=document
        )
        self.ledger.evaluations.record(record, LabelLook(1, 1, 1, None, self.now), self.lease, self.now)

    def look(self, minutes: int = 1) -> list[Alert]:
        """Let the alerter look, some time later."""
        self.now += timedelta(minutes=minutes)
        return self.alerter.tick("model", self.lease, self.now)

    def restart(self, settings: Settings | None = None) -> None:
        """Begin anew with what the ledger holds, maybe with other settings."""
        self.settings = settings or self.settings
        self.alerter = Alerter(self.ledger, self.settings)

    def told(self) -> dict[str, list[str]]:
        """Return the kinds of all messages by receiver, in their order."""
        with self.ledger.database.read() as connection:
            rows = connection.execute(select(t.outbox).order_by(t.outbox.c.receiver, t.outbox.c.sequence)).all()
        return {
            receiver: [row.kind for row in rows if row.receiver == receiver] for receiver in {r.receiver for r in rows}
        }

    def only(self) -> Alert:
        """Return the one alert there is, inactive or not."""
        with self.ledger.database.read() as connection:
            (fingerprint,) = connection.execute(select(t.alerts.c.fingerprint)).scalars()
        found = self.ledger.alerts.get(fingerprint)
        assert found is not None
        return found


SKEW = finding()


def _document(of: WindowKey, slice_: Mapping[str, str], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "verdict": "flagged" if found else "ok",
        "version": of.version,
        "slice": dict(slice_),
        "window_start": rfc3339(of.window.start),
        "window_end": rfc3339(of.window.end),
        "findings": list(found),
    }
