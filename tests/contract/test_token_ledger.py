"""What the ledger keeps of API tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from monitor.errors import InputError
from monitor.store import loop_tables as t
from monitor.store.ledger import Ledger
from monitor.store.token_ledger import Scope
from tests.ledgers import HOUR, NOON


def test_a_token_is_what_its_owner_was_given(ledger: Ledger) -> None:
    token = ledger.tokens.create("trainer", Scope.OPERATE, NOON, NOON + HOUR, "ada")
    assert token.startswith("dlt_")
    assert len(token) == 47, "256 bits"
    found = ledger.tokens.verified(token, NOON)
    assert found is not None
    assert (found.name, found.scope, found.created_at, found.expires_at) == (
        "trainer",
        Scope.OPERATE,
        NOON,
        NOON + HOUR,
    )
    assert ledger.tokens.list() == [found]


@pytest.mark.parametrize("wrong", ["", "dlt_", "x" * 10_000, "dlt_\ud800", "a\0b"])
def test_a_token_that_nobody_was_given(ledger: Ledger, wrong: str) -> None:
    token = ledger.tokens.create("trainer", Scope.OPERATE, NOON, None)
    assert ledger.tokens.verified(wrong, NOON) is None
    assert ledger.tokens.verified(token[:-1], NOON) is None
    assert ledger.tokens.verified(token + " ", NOON) is None


def test_a_token_lasts_until_the_moment_it_was_given_for(ledger: Ledger) -> None:
    brief = ledger.tokens.create("brief", Scope.READ, NOON, NOON + HOUR)
    lasting = ledger.tokens.create("lasting", Scope.READ, NOON, None)
    assert ledger.tokens.verified(brief, NOON + HOUR - timedelta(microseconds=1)) is not None
    assert ledger.tokens.verified(brief, NOON + HOUR) is None
    assert ledger.tokens.verified(lasting, NOON + 10_000 * HOUR) is not None


def test_a_revoked_token_and_its_name_are_not_used_again(ledger: Ledger) -> None:
    token = ledger.tokens.create("trainer", Scope.READ, NOON, None)
    ledger.tokens.revoke("trainer", NOON, "ada")
    ledger.tokens.revoke("trainer", NOON, "ada")
    assert ledger.tokens.verified(token, NOON) is None
    assert [each.revoked for each in ledger.tokens.list()] == [True]
    with pytest.raises(InputError, match="there is a token 'trainer' already, or was"):
        ledger.tokens.create("trainer", Scope.ADMIN, NOON, None)
    with pytest.raises(InputError, match="no token 'none'"):
        ledger.tokens.revoke("none", NOON)


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "x" * 101])
def test_a_name_that_is_none(ledger: Ledger, name: str) -> None:
    with pytest.raises(InputError):
        ledger.tokens.create(name, Scope.READ, NOON, None)
    assert ledger.tokens.list() == []


def test_a_token_is_for_one_team(ledger: Ledger, ledger_url: str) -> None:
    token = ledger.tokens.create("trainer", Scope.READ, NOON, None)
    another = Ledger.open(ledger_url, "another")
    assert another.tokens.verified(token, NOON) is None
    assert another.tokens.list() == []
    another.close()


def test_neither_the_ledger_nor_its_audit_log_holds_the_token(ledger: Ledger) -> None:
    token = ledger.tokens.create("trainer", Scope.READ, NOON, None, "ada")
    ledger.tokens.revoke("trainer", NOON + HOUR, "bob")
    with ledger.database.read() as connection:
        kept = str(connection.execute(select(t.api_tokens)).all())
    entries = ledger.pages.audit(0, 10)
    assert [(entry.action, entry.actor) for entry in entries] == [("token_created", "ada"), ("token_revoked", "bob")]
    assert token not in kept + str(entries)
    assert ledger.audit_break() is None


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_includes_itself_and_the_smaller_ones(scope: Scope) -> None:
    included = [other for other in Scope if scope.includes(other)]
    assert included == list(Scope)[: list(Scope).index(scope) + 1]
