"""The collectors' side of the ledger: claims, intents, and cuts that commit whole or not at all."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update

from monitor.cuts import Claim, Count, Cut, Partition
from monitor.errors import InvariantBroken, StaleClaim
from monitor.records import ColumnTypes, FeatureType, SpanKind, ValueType, WindowKey
from monitor.store import tables as t
from monitor.store.database import Database, micros, unsigned


class SqlCutLedger:
    """`monitor.cuts.CutLedger` in SQL; safe to share between threads."""

    def __init__(self, database: Database, team: str) -> None:
        """Work on `database` in the name of `team`."""
        self._database = database
        self._team = team

    def expect(self, partitions: Sequence[Partition], now: datetime) -> None:
        """Make known the complete set of partitions of their names; others of these names no longer hold a watermark."""
        with self._database.write() as connection:
            for name in sorted({partition.name for partition in partitions}):
                current = {(p.source, p.number) for p in partitions if p.name == name}
                known = connection.execute(
                    select(t.partitions.c.source, t.partitions.c.number, t.partitions.c.retired).where(
                        t.partitions.c.team == self._team, t.partitions.c.name == name
                    )
                ).all()
                for source, number, retired in known:
                    if retired is ((source, number) in current):
                        connection.execute(
                            update(t.partitions).where(self._is(Partition(source, number))).values(retired=not retired)
                        )
                for source, number in sorted(current - {(row.source, row.number) for row in known}):
                    connection.execute(insert(t.partitions).values(self._new(Partition(source, number, name), now)))

    def claim(self, partition: Partition, collector: str, now: datetime) -> Claim:
        """Take the partition over from whoever had it."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(t.partitions)
                .where(self._is(partition))
                .values(
                    epoch=t.partitions.c.epoch + 1,
                    owner=collector,
                    at_end=False,
                    checked_at=micros(now),
                    progressed_at=micros(now),
                )
            ).rowcount
            if not changed:
                row = self._new(partition, now) | {"owner": collector, "epoch": 1}
                connection.execute(insert(t.partitions).values(row))
            row_now = connection.execute(
                select(t.partitions.c.next_offset, t.partitions.c.epoch).where(self._is(partition))
            ).one()
        return Claim(partition, row_now.next_offset, row_now.epoch)

    def intend(self, spans: Sequence[tuple[str, str]], lease_until: datetime) -> None:
        """Record (span id, file name) before the files are written, so that nothing is ever orphaned."""
        if not spans:
            return
        rows = [
            {
                "span_id": span_id,
                "team": self._team,
                "name": name,
                "state": "writing",
                "lease_until": micros(lease_until),
            }
            for span_id, name in spans
        ]
        with self._database.write() as connection:
            connection.execute(insert(t.spans), rows)

    def commit(self, cut: Cut, now: datetime) -> None:
        """Commit all of the cut or nothing; see `monitor.cuts.CutLedger.commit`."""
        _check_messages(cut)
        with self._database.write() as connection:
            closed_until = self._lock_streams(connection, sorted({count.key.model for count in cut.counts}))
            self._advance(connection, cut)
            if not cut.messages and not cut.lost and not cut.replayed:
                return
            self._take_back(connection, cut, now)
            counts = _resolve_late(cut.counts, closed_until)
            late = self._seal(connection, cut, closed_until, now)
            self._insert_counts(connection, cut, counts, late, now)
            self._insert_dead_letters(connection, cut, now)

    def column_types(self, model: str) -> ColumnTypes:
        """Return the types of the model's active baseline; empty where it has none."""
        with self._database.read() as connection:
            document = connection.execute(
                select(t.baselines.c.column_types)
                .join(
                    t.active_baselines,
                    and_(
                        t.active_baselines.c.team == t.baselines.c.team,
                        t.active_baselines.c.model == t.baselines.c.model,
                        t.active_baselines.c.number == t.baselines.c.number,
                    ),
                )
                .where(t.baselines.c.team == self._team, t.baselines.c.model == model)
            ).scalar_one_or_none()
        return {} if document is None else decode_types(document)

    def smallest_theta(self, key: WindowKey) -> int | None:
        """Return the smallest theta among the window's committed traffic spans, None where there are none."""
        with self._database.read() as connection:
            theta = connection.execute(
                select(func.min(t.spans.c.theta)).where(
                    t.spans.c.team == self._team,
                    t.spans.c.model == key.model,
                    t.spans.c.version == key.version,
                    t.spans.c.window_start == micros(key.window.start),
                    t.spans.c.kind.in_([SpanKind.TRAFFIC, SpanKind.LATE]),
                    t.spans.c.state == "sealed",
                )
            ).scalar_one_or_none()
        return None if theta is None else int(theta)

    def _is(self, partition: Partition) -> ColumnElement[bool]:
        return and_(
            t.partitions.c.team == self._team,
            t.partitions.c.source == partition.source,
            t.partitions.c.number == partition.number,
        )

    def _new(self, partition: Partition, now: datetime) -> dict[str, object]:
        return {
            "team": self._team,
            "source": partition.source,
            "number": partition.number,
            "name": partition.name,
            "retired": False,
            "epoch": 0,
            "at_end": False,
            "checked_at": micros(now),
            "progressed_at": micros(now),
        }

    def _lock_streams(self, connection: Connection, models: Sequence[str]) -> dict[str, int]:
        """Hold back the closing of these models' windows until this transaction ends; return how far they are closed."""
        closed: dict[str, int] = {}
        for model in models:
            where = and_(t.streams.c.team == self._team, t.streams.c.model == model)
            row = connection.execute(select(t.streams.c.closed_until).where(where).with_for_update()).one_or_none()
            if row is None:
                connection.execute(insert(t.streams).values(team=self._team, model=model))
            elif row.closed_until is not None:
                closed[model] = row.closed_until
        return closed

    def _advance(self, connection: Connection, cut: Cut) -> None:
        for step in sorted(cut.ranges, key=lambda step: step.partition):
            stored = t.partitions.c
            newest = micros(step.max_event_time)
            values: dict[str, object] = {
                "next_offset": step.end,
                "at_end": step.at_end,
                "checked_at": micros(step.checked_at),
                "progressed_at": micros(step.progressed_at),
            }
            changed = connection.execute(
                update(t.partitions)
                .where(
                    self._is(step.partition),
                    stored.epoch == step.epoch,
                    (stored.next_offset == step.start) | stored.next_offset.is_(None),
                )
                .values(values)
            ).rowcount
            if changed != 1:
                raise StaleClaim(f"{step.partition.name}/{step.partition.number} was taken over by another collector")
            if newest is not None:
                connection.execute(
                    update(t.partitions)
                    .where(
                        self._is(step.partition),
                        stored.max_event_time.is_(None) | (stored.max_event_time < newest),
                    )
                    .values(max_event_time=newest)
                )
            if step.end > step.start:
                connection.execute(
                    insert(t.cut_ranges).values(
                        cut_id=cut.cut_id,
                        team=self._team,
                        source=step.partition.source,
                        number=step.partition.number,
                        start_offset=step.start,
                        end_offset=step.end,
                    )
                )

    def _seal(self, connection: Connection, cut: Cut, closed_until: dict[str, int], now: datetime) -> int:
        """Turn intents into sealed spans; return how many rows of them are late."""
        late_rows = 0
        for span in cut.spans:
            end = micros(span.window.end)
            late = span.kind is SpanKind.TRAFFIC and end is not None and end <= closed_until.get(span.model, end - 1)
            late_rows += span.rows if late else 0
            changed = connection.execute(
                update(t.spans)
                .where(t.spans.c.span_id == span.span_id, t.spans.c.state == "writing")
                .values(
                    state="sealed",
                    created_at=micros(now),
                    cut_id=cut.cut_id,
                    kind=SpanKind.LATE if late else span.kind,
                    model=span.model,
                    version=span.version,
                    window_start=micros(span.window.start),
                    window_end=end,
                    rows=span.rows,
                    size_bytes=span.size_bytes,
                    misfits=span.misfits,
                    theta=unsigned(span.theta),
                    min_hash=unsigned(span.min_hash),
                    max_hash=unsigned(span.max_hash),
                )
            ).rowcount
            if changed != 1:
                raise StaleClaim(f"the intent of span {span.span_id} expired before its cut was committed")
        return late_rows

    def _insert_counts(
        self, connection: Connection, cut: Cut, counts: Sequence[Count], late: int, now: datetime
    ) -> None:
        records = sum(count.records for count in counts)
        sampled_out = sum(count.sampled_out for count in counts)
        kept = sum(span.rows for span in cut.spans) - late
        if records != sampled_out + kept + late:
            raise InvariantBroken(
                f"cut {cut.cut_id}: {records} records, but {sampled_out} + {kept} + {late} accounted for"
            )
        connection.execute(
            insert(t.cuts).values(
                cut_id=cut.cut_id,
                team=self._team,
                collector=cut.collector,
                committed_at=micros(now),
                messages=cut.messages,
                decoded=cut.decoded,
                dead_lettered=len(cut.dead_letters) - len(cut.replayed),
                records=records,
                sampled_out=sampled_out,
                kept=kept,
                late=late,
            )
        )
        if counts:
            connection.execute(
                insert(t.window_counts),
                [
                    {
                        "cut_id": cut.cut_id,
                        "team": self._team,
                        "kind": str(count.kind),
                        "model": count.key.model,
                        "version": count.key.version,
                        "window_start": micros(count.key.window.start),
                        "window_end": micros(count.key.window.end),
                        "stratum": count.stratum,
                        "records": count.records,
                        "sampled_out": count.sampled_out,
                    }
                    for count in counts
                ],
            )

    def _take_back(self, connection: Connection, cut: Cut, now: datetime) -> None:
        """Mark the dead letters that this cut makes records of; each is one only once."""
        letters = t.dead_letters.c
        for partition, offset in sorted(cut.replayed):
            changed = connection.execute(
                update(t.dead_letters)
                .where(
                    letters.team == self._team,
                    letters.source == partition.source,
                    letters.number == partition.number,
                    letters.offset == offset,
                    letters.replayed_at.is_(None),
                )
                .values(replayed_at=micros(now), content=None, headers=None)
            ).rowcount
            if changed != 1:
                raise StaleClaim(
                    f"{partition.name}/{partition.number}/{offset} was replayed by somebody else meanwhile"
                )

    def _insert_dead_letters(self, connection: Connection, cut: Cut, now: datetime) -> None:
        where = [(letter.partition, letter) for letter in cut.dead_letters]
        if where:
            connection.execute(
                insert(t.dead_letters),
                [
                    {
                        "team": self._team,
                        "source": partition.source,
                        "number": partition.number,
                        "offset": letter.offset,
                        "name": partition.name,
                        "reason": letter.reason,
                        "digest": letter.digest,
                        "size_bytes": letter.size_bytes,
                        "recorded_at": micros(now),
                        "content": letter.content,
                        "headers": encode_headers(letter.headers),
                        "forwarded": False,
                    }
                    for partition, letter in where
                ],
            )
        for lost in cut.lost:
            connection.execute(
                insert(t.lost_ranges).values(
                    team=self._team,
                    source=lost.partition.source,
                    number=lost.partition.number,
                    start_offset=lost.start,
                    end_offset=lost.end,
                    recorded_at=micros(now),
                )
            )


def encode_types(types: ColumnTypes) -> str:
    """Return column types as the JSON text that the baselines table holds."""
    return json.dumps({name: [str(kind.value), kind.multivalent] for name, kind in sorted(types.items())})


def decode_types(document: str) -> ColumnTypes:
    """Read `encode_types`."""
    return {name: FeatureType(ValueType(value), multi) for name, (value, multi) in json.loads(document).items()}


def encode_headers(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """Return message headers as the JSON text that the dead letters' table holds; None for none."""
    return json.dumps([[name, base64.b64encode(value).decode()] for name, value in headers]) if headers else None


def decode_headers(document: str | None) -> list[tuple[str, bytes]]:
    """Read `encode_headers`."""
    return [(name, base64.b64decode(value)) for name, value in json.loads(document)] if document else []


def _check_messages(cut: Cut) -> None:
    dead = len(cut.dead_letters)
    read = cut.messages + len(cut.replayed)
    if read != cut.decoded + dead:
        raise InvariantBroken(f"cut {cut.cut_id}: {read} messages, but {cut.decoded} + {dead} accounted for")


def _resolve_late(counts: Sequence[Count], closed_until: dict[str, int]) -> list[Count]:
    """Rename traffic of closed windows to late, and add up counts that then share a key."""
    totals: dict[tuple[SpanKind, WindowKey, str], list[int]] = defaultdict(lambda: [0, 0])
    for count in counts:
        end = micros(count.key.window.end)
        frontier = closed_until.get(count.key.model)
        late = count.kind is SpanKind.TRAFFIC and frontier is not None and end is not None and end <= frontier
        total = totals[SpanKind.LATE if late else count.kind, count.key, count.stratum]
        total[0] += count.records
        total[1] += count.sampled_out
    return [Count(kind, key, records, dropped, stratum) for (kind, key, stratum), (records, dropped) in totals.items()]
