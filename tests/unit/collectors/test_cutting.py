from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from collectors.buffer import Buffer
from collectors.cutting import LEASE, Committer
from collectors.decoders import decoder_of
from collectors.memory import MemoryLedger, MemoryStorage
from collectors.sampler import Sampler
from collectors.source import Block, Started
from collectors.streams import streams_of
from monitor.cuts import Cut, Partition
from monitor.errors import TransientError
from tests.unit.collectors.worlds import START, TYPES, record, settings

NOW = START + timedelta(days=1000)
PARTITION = Partition("id", 0, "requests")


class Unreachable(MemoryLedger):
    """A ledger that cannot commit for a while."""

    reachable = False

    def commit(self, cut: Cut, now: datetime) -> None:
        if not self.reachable:
            raise TransientError("the database is gone")
        super().commit(cut, now)


def filled(ledger: MemoryLedger) -> Buffer:
    buffer = Buffer("c", streams_of(settings()), Sampler(ledger.smallest_theta), decoder_of, 0.5)
    buffer.set_types({"flights": TYPES})
    buffer.start(ledger.claim(PARTITION, "c", NOW), Started(0, 0), NOW)
    values = [record(index, minutes=index) for index in range(120)]
    buffer.accept(Block(PARTITION, 1, 0, 120, np.arange(120, dtype=np.int64), values), NOW)
    return buffer


def test_a_cut_that_failed_is_tried_again_with_the_files_that_are_written() -> None:
    ledger, storage = Unreachable(), MemoryStorage()
    buffer, committer = filled(ledger), Committer(ledger, storage)
    for _ in range(3):
        with pytest.raises(TransientError):
            committer.commit(buffer.prepare, NOW)
    assert len(list(storage.list())) == 2
    ledger.reachable = True
    assert committer.commit(buffer.prepare, NOW) is not None
    assert sorted(storage.list()) == sorted(span.name for span in ledger.spans)


def test_a_cut_that_failed_until_its_intents_expire_gets_new_files() -> None:
    ledger, storage = Unreachable(), MemoryStorage()
    buffer, committer = filled(ledger), Committer(ledger, storage)
    with pytest.raises(TransientError):
        committer.commit(buffer.prepare, NOW)
    expired = set(storage.list())
    ledger.abandon_intents()
    ledger.reachable = True
    committer.commit(buffer.prepare, NOW + LEASE)
    assert {span.name for span in ledger.spans} == set(storage.list()) - expired
    assert sum(span.rows for span in ledger.spans) == 120
