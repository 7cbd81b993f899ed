"""What the ledger knows of one window when a rule looks at it; changes with who speaks of windows."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, exists, func, select

from monitor.alert.facts import Facts, FlaggedFinding, Source, quality_findings, traffic_findings
from monitor.clock import from_micros, to_micros
from monitor.records import SpanKind
from monitor.store import tables as t
from monitor.window.label_due import Stage

_FLAGGED = "flagged"
_TRAFFIC = (SpanKind.TRAFFIC, SpanKind.LATE)


def facts_of(connection: Connection, team: str, model: str, start: datetime, wanted: Collection[Source]) -> Facts:
    """Return what is known of the window that starts at `start`; sources that are not wanted have not spoken."""
    windows = t.windows.c
    rows = connection.execute(
        select(windows.version, windows.window_start, windows.revision).where(
            windows.team == team, windows.model == model, windows.window_start == to_micros(start)
        )
    ).all()
    return Facts(
        _traffic(connection, team, model, rows) if Source.TRAFFIC in wanted else None,
        _quality(connection, team, model, rows) if Source.QUALITY in wanted else None,
    )


def newest_data(connection: Connection, team: str, model: str) -> datetime | None:
    """Return the end of the newest window of which traffic was committed, closed or not; None before the first."""
    counted = t.window_counts.c
    end = connection.execute(
        select(counted.window_end)
        .where(counted.team == team, counted.model == model, counted.kind.in_(_TRAFFIC))
        .order_by(counted.window_start.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if end is None else from_micros(end)


def _traffic(
    connection: Connection, team: str, model: str, windows: Sequence[Row[str, int, int]]
) -> Sequence[FlaggedFinding] | None:
    """Return what was found of traffic; None until all versions of the window are judged."""
    if not windows or any(row.revision == 0 for row in windows):
        return None
    found = t.findings.c
    documents = [
        json.loads(text)
        for row in windows
        for text in connection.execute(
            select(found.document)
            .where(found.team == team, found.model == model, found.version == row.version)
            .where(found.window_start == row.window_start, found.revision == row.revision, found.verdict == _FLAGGED)
            .order_by(found.slice)
        ).scalars()
    ]
    return [finding for document in documents for finding in traffic_findings(document)]


def _quality(
    connection: Connection, team: str, model: str, windows: Sequence[Row[str, int, int]]
) -> Sequence[FlaggedFinding] | None:
    """Return what labels say; None until all versions that have rows to evaluate are evaluated with all their labels."""
    evaluated, spoken = t.evaluations.c, False
    findings: list[FlaggedFinding] = []
    for row in windows:
        mine = (evaluated.team == team, evaluated.model == model, evaluated.version == row.version)
        newest = connection.execute(
            select(evaluated.verdict, evaluated.document)
            .where(*mine, evaluated.window_start == row.window_start, evaluated.stage != Stage.PROVISIONAL)
            .order_by(evaluated.revision.desc())
            .limit(1)
        ).one_or_none()
        if newest is None and _can_be_evaluated(connection, team, model, row):
            return None
        if newest is not None:
            spoken = True
            if newest.verdict == _FLAGGED:
                findings += quality_findings(json.loads(newest.document))
    return findings if spoken else None


def _can_be_evaluated(connection: Connection, team: str, model: str, window: Row[str, int, int]) -> bool:
    spans = t.spans.c
    there = exists().where(
        spans.team == team,
        spans.model == model,
        spans.version == window.version,
        spans.window_start == window.window_start,
        spans.state == "sealed",
        spans.kind.in_(_TRAFFIC),
    )
    return bool(connection.execute(select(func.count()).where(there)).scalar_one())
