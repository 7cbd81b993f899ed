"""`driftline token`: making, listing and revoking tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.clock import SystemClock
from monitor.commands.token import command
from monitor.errors import InputError
from monitor.store.ledger import Ledger
from monitor.store.token_ledger import Scope


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "driftline.yaml"
    file.write_text("models: {flights: {traffic: {files: requests.jsonl}}}\n")
    return file


def token(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--config", str(config)])


def ledger(config: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{config.parent}/state/driftline.db", "default")


def test_a_token_is_printed_once_and_alone(config: Path) -> None:
    done = token(config, "create", "trainer", "--scope", "operate", "--expires", "90d")
    assert done.exit_code == 0, done.output
    made = done.stdout.strip()
    found = ledger(config).tokens.verified(made, SystemClock().now())
    assert found is not None
    assert found.scope is Scope.OPERATE
    assert found.expires_at is not None
    assert (found.expires_at - found.created_at).days == 90
    assert "cannot be shown again" in done.stderr
    assert made not in done.stderr + token(config, "list").output


def test_tokens_are_listed_with_whether_they_are_accepted(config: Path) -> None:
    assert "no tokens; make one with: driftline token create NAME" in token(config, "list").output
    token(config, "create", "grafana")
    token(config, "create", "trainer")
    assert token(config, "revoke", "trainer").exit_code == 0
    listed = token(config, "list").output.splitlines()
    [grafana] = [line for line in listed if "grafana" in line]
    [trainer] = [line for line in listed if "trainer" in line]
    assert "read" in grafana
    assert "valid" in grafana
    assert "revoked" in trainer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "trainer", "--scope", "root"], "'root' is not one of"),
        (["create", "trainer", "--expires", "soon"], "soon"),
        (["create", "trainer", "--expires", "9999999w"], "year 9999"),
    ],
    ids=["no scope", "no duration", "too long"],
)
def test_usage_that_is_wrong(config: Path, arguments: list[str], said: str) -> None:
    done = token(config, *arguments)
    assert (done.exit_code, said in done.output) == (2, True), done.output


def test_what_cannot_be_done_is_one_line(config: Path) -> None:
    token(config, "create", "trainer")
    for arguments in (["create", "trainer"], ["revoke", "none"], ["create", "a\nb"]):
        error = token(config, *arguments).exception
        assert isinstance(error, InputError)
        assert "\n" not in str(error)
