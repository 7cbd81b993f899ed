"""The ledger: one database, opened once, with its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from monitor.clock import from_micros
from monitor.store import audit
from monitor.store import tables as t
from monitor.store.alert_ledger import SqlAlerts
from monitor.store.approval_ledger import SqlApprovals
from monitor.store.baseline_ledger import SqlBaselines
from monitor.store.calibration_ledger import SqlCalibrations
from monitor.store.cut_ledger import SqlCutLedger
from monitor.store.database import Database, moment
from monitor.store.dead_letter_ledger import SqlDeadLetters
from monitor.store.decision_ledger import SqlDecisions
from monitor.store.estimate_ledger import SqlEstimates
from monitor.store.evaluation_ledger import SqlEvaluations
from monitor.store.inbox_ledger import SqlInbox
from monitor.store.label_ledger import SqlLabels
from monitor.store.leases import SqlLeases
from monitor.store.marks import SqlMarks
from monitor.store.outbox import SqlOutbox
from monitor.store.page_ledger import SqlPages
from monitor.store.retrain_ledger import SqlRetrains
from monitor.store.rollout_ledger import SqlRollouts
from monitor.store.silence_ledger import SqlSilences
from monitor.store.token_ledger import SqlTokens
from monitor.store.verdict_ledger import SqlVerdicts
from monitor.store.window_ledger import SqlWindowLedger


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that the store offers to one team."""

    database: Database
    team: str
    cuts: SqlCutLedger
    windows: SqlWindowLedger
    verdicts: SqlVerdicts
    baselines: SqlBaselines
    leases: SqlLeases
    dead_letters: SqlDeadLetters
    marks: SqlMarks
    labels: SqlLabels
    evaluations: SqlEvaluations
    calibrations: SqlCalibrations
    estimates: SqlEstimates
    alerts: SqlAlerts
    silences: SqlSilences
    retrains: SqlRetrains
    decisions: SqlDecisions
    rollouts: SqlRollouts
    tokens: SqlTokens
    approvals: SqlApprovals
    inbox: SqlInbox
    pages: SqlPages
    outbox: SqlOutbox

    @classmethod
    def open(cls, url: str, team: str) -> Ledger:
        """Open the database at `url`, making or upgrading its tables; raises ConfigError or TransientError."""
        database = Database(url)
        return cls(
            database,
            team,
            SqlCutLedger(database, team),
            SqlWindowLedger(database, team),
            SqlVerdicts(database, team),
            SqlBaselines(database, team),
            SqlLeases(database, team),
            SqlDeadLetters(database, team),
            SqlMarks(database, team),
            SqlLabels(database, team),
            SqlEvaluations(database, team),
            SqlCalibrations(database, team),
            SqlEstimates(database, team),
            SqlAlerts(database, team),
            SqlSilences(database, team),
            SqlRetrains(database, team),
            SqlDecisions(database, team),
            SqlRollouts(database, team),
            SqlTokens(database, team),
            SqlApprovals(database, team),
            SqlInbox(database, team),
            SqlPages(database, team),
            SqlOutbox(database, team),
        )

    def close(self) -> None:
        """Close all connections."""
        self.database.close()

    def answers(self) -> bool:
        """Say whether the database answers: true, or a TransientError."""
        with self.database.read() as connection:
            return bool(connection.execute(select(1)).scalar_one())

    def findings(self, model: str) -> list[dict[str, Any]]:
        """Return the newest findings objects of every judged window, in window order: all rows first, then slices."""
        return self.verdicts.findings(model)

    def identities(self) -> dict[str, int]:
        """Return the totals over committed ranges: messages, decoded, dead_lettered, records, sampled_out, kept, late, lost.

        Two identities hold: messages = decoded + dead_lettered, and records = sampled_out + kept + late.
        """
        names = ("messages", "decoded", "dead_lettered", "records", "sampled_out", "kept", "late")
        sums = [func.coalesce(func.sum(t.cuts.c[name]), 0).label(name) for name in names]
        lost = func.coalesce(func.sum(t.lost_ranges.c.end_offset - t.lost_ranges.c.start_offset), 0)
        with self.database.read() as connection:
            row: Mapping[str, Any] = connection.execute(select(*sums).where(t.cuts.c.team == self.team)).one()._asdict()
            gone = connection.execute(select(lost).where(t.lost_ranges.c.team == self.team)).scalar_one()
        return {name: int(value) for name, value in row.items()} | {"lost": int(gone)}

    def watermarks(self) -> dict[str, datetime]:
        """Return the watermark of every model that has one."""
        with self.database.read() as connection:
            rows = connection.execute(select(t.streams).where(t.streams.c.team == self.team)).all()
        return {row.model: from_micros(row.watermark) for row in rows if moment(row.watermark) is not None}

    def verdict_counts(self) -> dict[tuple[str, str], int]:
        """Return how many windows were judged, newest revision each, by (model, the window's verdict)."""
        return self.verdicts.counts()

    def audit_break(self) -> str | None:
        """Say where the audit log was tampered with, None where its hash chain is whole."""
        with self.database.read() as connection:
            return audit.first_break(connection, self.team)
