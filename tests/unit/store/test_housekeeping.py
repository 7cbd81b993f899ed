"""Span files that nobody will read disappear, and no others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from monitor.errors import StaleClaim
from monitor.store.housekeeping import Housekeeping
from monitor.store.ledger import Ledger
from monitor.store.span_storage import open_storage
from tests.ledgers import HOUR, NOON, Hand, key

KEEP = timedelta(days=90)


def test_an_intent_whose_lease_ran_out_is_abandoned_with_its_file_and_cannot_commit(tmp_path: Path) -> None:
    ledger, storage = Ledger.open(f"sqlite:///{tmp_path}/l.db", "default"), open_storage(f"{tmp_path}/spans")
    housekeeping = Housekeeping(ledger.database, "default", storage)
    hand = Hand.on(ledger.cuts)
    cut = hand.cut([(key(5), 1)])
    storage.put(cut.spans[0].name, b"x")
    assert housekeeping.clean(KEEP, NOON) == 0
    assert housekeeping.clean(KEEP, NOON + 2 * HOUR) == 1
    assert list(storage.list()) == []
    with pytest.raises(StaleClaim):
        ledger.cuts.commit(cut, NOON)
    ledger.close()


def test_a_sealed_span_is_deleted_after_its_time_and_a_grace_period_and_stays_counted(tmp_path: Path) -> None:
    ledger, storage = Ledger.open(f"sqlite:///{tmp_path}/l.db", "default"), open_storage(f"{tmp_path}/spans")
    housekeeping = Housekeeping(ledger.database, "default", storage)
    hand = Hand.on(ledger.cuts)
    cut = hand.cut([(key(5), 1)])
    storage.put(cut.spans[0].name, b"x")
    hand.commit(cut)
    past = NOON + KEEP + HOUR
    assert housekeeping.clean(KEEP, past) == 0, "marked first"
    assert list(storage.list()) == [cut.spans[0].name]
    assert housekeeping.clean(KEEP, past + 2 * HOUR) == 1
    assert list(storage.list()) == []
    assert ledger.identities()["kept"] == 1
    ledger.close()
