"""What the ledger keeps of approval links, and that each is used once."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import select

from monitor.store import loop_tables as t
from monitor.store.approval_ledger import ApprovalLink
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON


@pytest.fixture
def token(ledger: Ledger) -> str:
    return ledger.approvals.issue("r1", NOON, NOON + HOUR)


def test_looking_at_a_link_changes_nothing(ledger: Ledger, token: str) -> None:
    for _ in range(2):
        assert ledger.approvals.peek(token) == ApprovalLink("r1", NOON + HOUR)
    assert len(ledger.pages.audit(0, 10)) == 1


def test_a_link_is_used_once(ledger: Ledger, token: str) -> None:
    used = ledger.approvals.use(token, "approve", NOON)
    assert used == ApprovalLink("r1", NOON + HOUR, NOON, "approve")
    assert ledger.approvals.use(token, "reject", NOON) is None
    assert ledger.approvals.peek(token) == used


def test_of_many_that_use_a_link_at_once_one_does(ledger: Ledger, token: str) -> None:
    start, used = threading.Barrier(8), []

    def use(name: str) -> None:
        start.wait(10)
        if ledger.approvals.use(token, name, NOON) is not None:
            used.append(name)

    threads = [threading.Thread(target=use, args=(f"thread {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    link = ledger.approvals.peek(token)
    assert link is not None
    assert used == [link.used_for]
    actions = [entry.action for entry in ledger.pages.audit(0, 100)]
    assert actions == ["approval_link_issued", "approval_link_used"]


@pytest.mark.parametrize(("late", "open_"), [(timedelta(microseconds=-1), True), (timedelta(0), False)], ids=str)
def test_a_link_lasts_until_the_moment_it_was_given_for(
    ledger: Ledger, token: str, late: timedelta, open_: bool
) -> None:
    now = NOON + HOUR + late
    link = ledger.approvals.peek(token)
    assert link is not None
    assert link.open(now) == open_
    assert (ledger.approvals.use(token, "approve", now) is not None) == open_


@pytest.mark.parametrize("wrong", ["", "x" * 10_000, "a\0b", "\ud800"])
def test_a_link_that_nobody_was_sent(ledger: Ledger, token: str, wrong: str) -> None:
    assert ledger.approvals.peek(wrong) is None
    assert ledger.approvals.use(wrong, "approve", NOON) is None
    assert ledger.approvals.peek(token) is not None


def test_a_link_is_for_one_team(ledger: Ledger, ledger_url: str, token: str) -> None:
    another = Ledger.open(ledger_url, "another")
    assert another.approvals.peek(token) is None
    assert another.approvals.use(token, "approve", NOON) is None
    another.close()


def test_neither_the_ledger_nor_its_audit_log_holds_the_link(ledger: Ledger, token: str) -> None:
    ledger.approvals.use(token, "approve", NOON)
    with ledger.database.read() as connection:
        kept = str(connection.execute(select(t.approval_links)).all())
    assert token not in kept + str(ledger.pages.audit(0, 10))
    assert ledger.audit_break() is None
