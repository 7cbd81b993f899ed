"""Which of an Alertmanager's messages tell something."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from monitor.store import loop_tables as t
from monitor.store.inbox_ledger import SqlInbox
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON

MESSAGES = [(NOON + hours * HOUR, status) for hours in range(3) for status in ("firing", "resolved")]
"""In the order in which they were true."""


def told(inbox: SqlInbox, messages: list[int]) -> list[int]:
    """Deal with messages, by their places above, as the API does, and return those that told something."""
    found = []
    for place in messages:
        starts, status = MESSAGES[place]
        if inbox.news("fingerprint", starts, status, NOON):
            found.append(place)
            inbox.remember("fingerprint", starts, status, NOON)
    return found


def test_each_message_tells_something_once(ledger: Ledger) -> None:
    everything = list(range(len(MESSAGES)))
    assert told(ledger.inbox, everything) == everything
    assert told(ledger.inbox, everything[::-1]) == []


def test_alerts_and_teams_do_not_share_their_messages(ledger: Ledger, ledger_url: str) -> None:
    ledger.inbox.remember("fingerprint", NOON, "firing", NOON)
    assert ledger.inbox.news("another", NOON, "firing", NOON)
    another = Ledger.open(ledger_url, "another")
    assert another.inbox.news("fingerprint", NOON, "firing", NOON)
    another.close()


def test_the_same_message_is_noted_once_by_any_number_that_do_so_at_once(ledger: Ledger) -> None:
    start = threading.Barrier(6)

    def note() -> None:
        start.wait(10)
        ledger.inbox.remember("fingerprint", NOON, "firing", NOON)

    threads = [threading.Thread(target=note) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with ledger.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(t.alert_inbox)).scalar_one() == 1


def test_whatever_the_order_what_is_told_last_is_the_newest_and_nothing_goes_back(ledger: Ledger) -> None:
    @given(st.lists(st.sampled_from(range(len(MESSAGES))), min_size=1, max_size=12))
    def holds(messages: list[int]) -> None:
        with ledger.database.write() as connection:
            connection.execute(delete(t.alert_inbox))
        found = told(ledger.inbox, messages)
        assert found == sorted(set(found))
        assert found[-1] == max(messages)

    holds()
