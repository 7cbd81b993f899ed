"""Evaluations in the ledger: which windows are not done with, each look at their labels, and every revision of what was found."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from sqlalchemy import ColumnElement, Connection, Subquery, and_, exists, func, insert, or_, select, update

from monitor.clock import from_micros
from monitor.errors import StaleClaim
from monitor.records import SpanKind, Window, WindowKey
from monitor.store import alert_due, audit
from monitor.store import tables as t
from monitor.store.database import Database, micros, moment
from monitor.store.leases import Lease, require
from monitor.window.label_due import Candidate, Evaluated, Look, Stage
from monitor.window.label_reach import Reach, micros_of

_TRAFFIC = (SpanKind.TRAFFIC, SpanKind.LATE)
_WINDOW_COLUMNS = ("team", "model", "version", "window_start")


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One revision of what labels say of a window.

    Attributes:
        revision: from 1, of the window's evaluations.
        traffic_revision: the revision of the window whose rows were evaluated.
        verdict: as of findings: ok, flagged or insufficient_evidence.
        blessing: BLESSED, NOT_BLESSED or RUBBER_STAMPED; None where nothing was validated.
        labelled: how many of the rows had a label.
        labels_digest: `monitor.window.labels.Labels.digest`.
        document: JSON object with all else, without NaN and infinity.
    """

    key: WindowKey
    revision: int
    stage: Stage
    traffic_revision: int
    verdict: str
    blessing: str | None
    labelled: int
    rows: int
    labels_digest: str
    configuration_hash: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """An evaluation as it was recorded."""

    evaluation: EvaluationRecord
    recorded_at: datetime


class SqlEvaluations:
    """Evaluations in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def candidates(self, model: str, reach: Reach, mark: datetime | None, restate_for: timedelta) -> list[Candidate]:
        """Return the judged windows with spans that have no final evaluation, or may be restated; oldest first, as one snapshot.

        Args:
            model: the model.
            reach: of its labels.
            mark: the watermark of its labels, None before the first.
            restate_for: how long after the horizon something new restates an evaluation.
        """
        windows, evaluated = t.windows.c, t.evaluations.c
        same = [evaluated[name] == windows[name] for name in _WINDOW_COLUMNS]
        open_ = ~exists().where(*same, evaluated.stage != Stage.PROVISIONAL)
        if mark is not None:
            open_ = or_(windows.window_end >= micros(mark - reach.horizon - restate_for), open_)
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.windows)
                .where(windows.team == self._team, windows.model == model, windows.revision > 0, open_)
                .where(self._has_spans())
                .order_by(windows.window_start, windows.version)
            ).all()
            keys = [WindowKey(model, row.version, _window(row)) for row in rows]
            starts = sorted({row.window_start for row in rows})
            looks, newest = self._looks(connection, model, starts), self._evaluated(connection, model, starts)
            arrived = self._arrivals(connection, model, [key.window for key in keys], reach)
        return [
            Candidate(key, row.revision, count, looks.get(key), newest.get(key))
            for key, row, count in zip(keys, rows, arrived, strict=True)
        ]

    def looked(self, key: WindowKey, look: Look, lease: Lease) -> None:
        """Note a look at a window's labels that was not worth an evaluation; raises StaleClaim when the lease is lost."""
        with self._database.write() as connection:
            require(connection, self._team, lease)
            self._look(connection, key, look)

    def record(self, evaluation: EvaluationRecord, look: Look, lease: Lease, now: datetime) -> None:
        """Record the next revision of a window's evaluation, and the look that it comes from; nothing is ever overwritten.

        Raises:
            StaleClaim: the lease is lost, or the revision was recorded by somebody else.
        """
        text = json.dumps(evaluation.document, allow_nan=False)
        with self._database.write() as connection:
            require(connection, self._team, lease)
            before = connection.execute(
                select(func.max(t.evaluations.c.revision)).where(self._is(t.evaluations, evaluation.key))
            ).scalar_one()
            if (before or 0) + 1 != evaluation.revision:
                raise StaleClaim(
                    f"evaluation {evaluation.revision} of {evaluation.key.window} was recorded by another monitor"
                )
            connection.execute(
                insert(t.evaluations).values(
                    {name: getattr(evaluation, name) for name in _RECORDED}
                    | self._row_key(evaluation.key)
                    | {
                        "window_end": micros(evaluation.key.window.end),
                        "fencing_token": lease.token,
                        "recorded_at": micros(now),
                        "document": text,
                    }
                )
            )
            self._look(connection, evaluation.key, look)
            audit.append(connection, self._team, lease.holder, "window_evaluated", _audit_body(evaluation, text), now)
            if evaluation.stage is not Stage.PROVISIONAL:
                alert_due.note(connection, self._team, evaluation.key)

    def evaluations(self, model: str) -> list[RecordedEvaluation]:
        """Return the newest revision of every evaluated window, in window order."""
        newest = self._newest(model)
        evaluated = t.evaluations.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.evaluations)
                .join(newest, and_(*(evaluated[column.name] == column for column in newest.c)))
                .where(evaluated.team == self._team)
                .order_by(evaluated.window_start, evaluated.version)
            ).all()
        return list(map(_recorded, rows))

    def history(self, key: WindowKey) -> list[RecordedEvaluation]:
        """Return every revision of a window's evaluation, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.evaluations).where(self._is(t.evaluations, key)).order_by(t.evaluations.c.revision)
            ).all()
        return list(map(_recorded, rows))

    def last_before(self, key: WindowKey, count: int) -> list[RecordedEvaluation]:
        """Return the newest revisions of the last windows of a version that are final and end before `key`, oldest first."""
        return self._before(key, count, t.evaluations.c.window_start.desc())[::-1]

    def first_before(self, key: WindowKey, configuration_hash: str, count: int) -> list[RecordedEvaluation]:
        """Return those of the first windows that were evaluated by a configuration."""
        mine = t.evaluations.c.configuration_hash == configuration_hash
        return self._before(key, count, t.evaluations.c.window_start.asc(), mine)

    def _before(
        self, key: WindowKey, count: int, order: ColumnElement[int], *wanted: ColumnElement[bool]
    ) -> list[RecordedEvaluation]:
        newest, evaluated = self._newest(key.model), t.evaluations.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.evaluations)
                .join(newest, and_(*(evaluated[column.name] == column for column in newest.c)))
                .where(evaluated.team == self._team, evaluated.version == key.version, *wanted)
                .where(evaluated.stage != Stage.PROVISIONAL, evaluated.window_end <= micros(key.window.start))
                .order_by(order)
                .limit(count)
            ).all()
        return list(map(_recorded, rows))

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Return how many windows were evaluated, newest revision each, by (model, stage, verdict)."""
        newest = self._newest(None)
        evaluated = t.evaluations.c
        by = (evaluated.model, evaluated.stage, evaluated.verdict)
        with self._database.read() as connection:
            rows = connection.execute(
                select(*by, func.count())
                .join(newest, and_(*(evaluated[column.name] == column for column in newest.c)))
                .where(evaluated.team == self._team)
                .group_by(*by)
            ).all()
        return {(row[0], row[1], row[2]): int(row[3]) for row in rows}

    def latest(self) -> list[EvaluationRecord]:
        """Return the newest window of each version of each model whose labels were complete, in its newest revision."""
        evaluated = t.evaluations.c
        complete = and_(evaluated.team == self._team, evaluated.stage != Stage.PROVISIONAL)
        version = (evaluated.model, evaluated.version)
        newest_start = func.max(evaluated.window_start).label("window_start")
        last = select(*version, newest_start).where(complete).group_by(*version).subquery()
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.evaluations)
                .join(last, and_(*(evaluated[column.name] == column for column in last.c)))
                .where(complete)
                .order_by(*version, evaluated.revision)
            ).all()
        newest = {(row.model, row.version): row for row in rows}
        return [_recorded(row).evaluation for row in newest.values()]

    def _newest(self, model: str | None) -> Subquery:
        """Return the keys of the newest revision of all evaluated windows, of one model or of all."""
        key = [t.evaluations.c[name] for name in _WINDOW_COLUMNS[1:]]
        chosen = select(*key, func.max(t.evaluations.c.revision).label("revision"))
        chosen = chosen.where(t.evaluations.c.team == self._team)
        if model is not None:
            chosen = chosen.where(t.evaluations.c.model == model)
        return chosen.group_by(*key).subquery()

    def _has_spans(self) -> ColumnElement[bool]:
        """Return the condition that some rows of a window can still be read."""
        same = [t.spans.c[name] == t.windows.c[name] for name in _WINDOW_COLUMNS]
        return exists().where(*same, t.spans.c.state == "sealed", t.spans.c.kind.in_(_TRAFFIC))

    def _looks(self, connection: Connection, model: str, starts: Sequence[int]) -> dict[WindowKey, Look]:
        looks = t.label_looks.c
        rows = [
            row
            for batch in _batches(starts)
            for row in connection.execute(
                select(t.label_looks, t.windows.c.window_end)
                .join(t.windows, and_(*(t.windows.c[name] == looks[name] for name in _WINDOW_COLUMNS)))
                .where(looks.team == self._team, looks.model == model, looks.window_start.in_(batch))
            )
        ]
        return {
            WindowKey(model, row.version, _window(row)): Look(
                row.number, row.arrived, row.traffic_revision, moment(row.watermark), from_micros(row.looked_at)
            )
            for row in rows
        }

    def _evaluated(self, connection: Connection, model: str, starts: Sequence[int]) -> dict[WindowKey, Evaluated]:
        evaluated = t.evaluations.c
        columns = [evaluated[name] for name in ("version", "window_start", "window_end", *_EVALUATED)]
        rows = [
            row
            for batch in _batches(starts)
            for row in connection.execute(
                select(*columns)
                .where(evaluated.team == self._team, evaluated.model == model, evaluated.window_start.in_(batch))
                .order_by(evaluated.revision)
            )
        ]
        return {  # in order of revisions, so that the newest stays
            WindowKey(model, row.version, _window(row)): Evaluated(
                Stage(row.stage), row.revision, row.traffic_revision, row.labelled, row.rows, row.labels_digest
            )
            for row in rows
        }

    def _arrivals(self, connection: Connection, model: str, windows: Sequence[Window], reach: Reach) -> list[int]:
        """Return for each window how many spans of labels were committed that may be of it, also those deleted since."""
        if not windows:
            return []
        spans = t.spans.c
        early, horizon = micros_of(reach.early), micros_of(reach.horizon)
        starts = [(micros(window.start) or 0) - early for window in windows]
        ends = [(micros(window.end) or 0) + horizon for window in windows]
        rows = connection.execute(
            select(spans.window_start, spans.window_end, func.count().label("spans"))
            .where(spans.team == self._team, spans.model == model, spans.kind == SpanKind.LABELS)
            .where(spans.window_start < max(ends), spans.window_end > min(starts))
            .group_by(spans.window_start, spans.window_end)
            .order_by(spans.window_start)
        ).all()
        # Label windows do not overlap unless their length was changed: the sums are then a little too high or too low, and
        # all that anybody asks is whether they changed.
        label_starts, label_ends = [row.window_start for row in rows], sorted(row.window_end for row in rows)
        sums = [0, *accumulate(int(row.spans) for row in rows)]
        return [
            sums[bisect_left(label_starts, end)] - sums[bisect_right(label_ends, start)]
            for start, end in zip(starts, ends, strict=True)
        ]

    def _look(self, connection: Connection, key: WindowKey, look: Look) -> None:
        values = {
            "number": look.number,
            "arrived": look.arrived,
            "traffic_revision": look.traffic_revision,
            "watermark": micros(look.mark),
            "looked_at": micros(look.at),
        }
        where = self._is(t.label_looks, key)
        if not connection.execute(update(t.label_looks).where(where).values(values)).rowcount:
            connection.execute(insert(t.label_looks).values(self._row_key(key) | values))

    def _is(self, table: Any, key: WindowKey) -> ColumnElement[bool]:
        return and_(*(table.c[name] == value for name, value in self._row_key(key).items()))

    def _row_key(self, key: WindowKey) -> dict[str, Any]:
        return {
            "team": self._team,
            "model": key.model,
            "version": key.version,
            "window_start": micros(key.window.start),
        }


_EVALUATED = ("stage", "revision", "traffic_revision", "labelled", "rows", "labels_digest")
_BATCH = 500
"""Values in one statement."""
_RECORDED = (
    "revision", "stage", "traffic_revision", "verdict", "blessing", "labelled", "rows", "labels_digest", "configuration_hash",
)  # fmt: skip


def _window(row: Any) -> Window:
    return Window(from_micros(row.window_start), from_micros(row.window_end))


def _batches(starts: Sequence[int]) -> Iterator[Sequence[int]]:
    return (starts[first : first + _BATCH] for first in range(0, len(starts), _BATCH))


def _recorded(row: Any) -> RecordedEvaluation:
    values = {name: getattr(row, name) for name in _RECORDED}
    evaluation = EvaluationRecord(
        key=WindowKey(row.model, row.version, _window(row)),
        **values | {"stage": Stage(row.stage), "document": json.loads(row.document)},
    )
    return RecordedEvaluation(evaluation, from_micros(row.recorded_at))


def _audit_body(evaluation: EvaluationRecord, text: str) -> dict[str, Any]:
    """Return what the audit log says; the digest is that of the document as stored."""
    key = evaluation.key
    return {name: getattr(evaluation, name) for name in _RECORDED} | {
        "model": key.model,
        "version": key.version,
        "window_start": key.window.start.isoformat(),
        "window_end": key.window.end.isoformat(),
        "evaluation_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
