"""Replays dead letters for the command: chooses, reads, commits; changes with the order of these."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from collectors.letter_topic import KafkaLetterTopic
from collectors.replaying import Found, Replayed, Replayer, find
from collectors.source import Source
from collectors.sources import open_sources
from collectors.streams import Stream, streams_of
from monitor.clock import Clock
from monitor.config.settings import Settings
from monitor.dead_letters import Choice, StoredLetter
from monitor.errors import InputError, StaleClaim
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage

_BATCH = 1_000
"""Letters that are read and committed at once: they are in memory together."""
_READ_SECONDS = 30.0


def replay_into_records(
    settings: Settings, ledger: Ledger, letters: Sequence[StoredLetter], clock: Clock, *, dry_run: bool
) -> Replayed:
    """Make records of the letters that can be read by now; each of them once, whoever else replays them."""
    total = Replayed()
    storage = open_storage(settings.spans.uri)

    def each(streams: Sequence[Stream], found: Found) -> None:
        replayer = Replayer(f"replay:{uuid.uuid4().hex[:8]}", streams, ledger.cuts, storage, clock)
        part = replayer.replay(found, dry_run=dry_run)
        total.became_records += part.became_records
        total.still_dead += part.still_dead
        total.gone += part.gone

    try:
        _found(settings, ledger, letters, clock, each)
    except StaleClaim as error:
        raise StaleClaim(
            f"{error}; {total.became_records} letter(s) before became records, the others are as they were: run it again"
        ) from error
    return total


def copy_to_topic(
    settings: Settings, ledger: Ledger, letters: Sequence[StoredLetter], topic: str, clock: Clock
) -> Replayed:
    """Send the letters' messages to `topic` as they were; each at least once, `became_records` counts the copies.

    Raises:
        InputError: Driftline itself reads `topic`, so that copies would count as other messages; or some are too large.
    """
    if settings.kafka is None:
        raise InputError("--to-topic needs a `kafka` section in the settings")
    total = Replayed()
    target = KafkaLetterTopic(settings.kafka, topic)
    stored = {(each.letter.partition, each.letter.offset): each for each in letters}

    def each(streams: Sequence[Stream], found: Found) -> None:
        del streams
        messages = [
            (
                stored[block.partition, int(offset)],
                block.values[row] or b"",
                list(block.headers[row] if block.headers else []),
            )
            for block in found.blocks
            for row, offset in enumerate(block.offsets)
            if block.table is None
        ]
        target.copy(messages)
        ledger.dead_letters.mark_copied([message[0] for message in messages], topic, clock.now())
        total.became_records += len(messages)
        total.gone += len(found.gone) + sum(len(block) for block in found.blocks if block.table is not None)

    try:
        _found(settings, ledger, letters, clock, each)
    finally:
        target.close()
    return total


def chosen(settings: Settings, ledger: Ledger, choice: Choice, limit: int) -> list[StoredLetter]:
    """Return the oldest letters that are meant; raises InputError where none of their streams is read any more."""
    names = {stream.name for stream in streams_of(settings)}
    if choice.topic is not None and choice.topic not in names:
        raise InputError(f"no model reads {choice.topic!r}; the settings read: {', '.join(sorted(names))}")
    return [stored for stored in ledger.dead_letters.find(choice, limit) if stored.letter.partition.name in names]


def _found(
    settings: Settings,
    ledger: Ledger,
    letters: Sequence[StoredLetter],
    clock: Clock,
    each: Callable[[Sequence[Stream], Found], None],
) -> None:
    """Read the letters batch by batch, in a consumer group of this call's own, and hand over what is found."""
    kafka = settings.kafka and settings.kafka.model_copy(
        update={"group_id": f"{settings.kafka.group_id}-replay-{uuid.uuid4().hex[:8]}"}
    )
    names = {stored.letter.partition.name for stored in letters}
    alone = settings.model_copy(update={"kafka": kafka})
    with _opened(alone, ledger, clock, names) as sources:
        for streams, source in sources.values():
            mine = {stream.name for stream in streams}
            of_source = [stored for stored in letters if stored.letter.partition.name in mine]
            for at in range(0, len(of_source), _BATCH):
                each(streams, find(source, of_source[at : at + _BATCH], clock, _READ_SECONDS))


@contextmanager
def _opened(
    settings: Settings, ledger: Ledger, clock: Clock, names: set[str]
) -> Iterator[Mapping[str, tuple[Sequence[Stream], Source]]]:
    sources = open_sources(settings, clock, ledger.cuts.column_types, only=names)
    try:
        yield sources
    finally:
        for _, source in sources.values():
            source.close()
