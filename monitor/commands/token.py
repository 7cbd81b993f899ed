"""`driftline token`: who may use the HTTP API."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from monitor.commands.acting import acting_user
from monitor.commands.options import config_option
from monitor.commands.times import Duration


@click.group("token")
def command() -> None:
    """Make, list and revoke the tokens of the HTTP API."""


@command.command("create")
@click.argument("name")
@config_option
@click.option(
    "--scope",
    type=click.Choice(["read", "operate", "admin"]),
    default="read",
    show_default=True,
    help="What it allows: to look; to act on alerts, silences and retrains too; to read the audit log too.",
)
@click.option("--expires", type=Duration("a token's life"), metavar="TIME", help="How long it is accepted, as 90d.")
def create(*, name: str, config: Path, scope: str, expires: timedelta | None) -> None:
    """Make a token called NAME and print it, this once: only its SHA-256 is kept.

    \b
    Examples:
      driftline token create grafana
      driftline token create trainer --scope operate --expires 90d > trainer.token
    """
    from monitor.clock import SystemClock, rfc3339
    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger
    from monitor.store.token_ledger import Scope

    settings = load_settings(config)
    now = SystemClock().now()
    try:
        until = None if expires is None else now + expires
    except OverflowError:
        raise click.UsageError("--expires lies beyond the year 9999") from None
    tokens = Ledger.open(settings.store, settings.team).tokens
    click.echo(tokens.create(name, Scope(scope), now, until, acting_user()))
    lasts = "until it is revoked" if until is None else f"until {rfc3339(until.replace(microsecond=0))}"
    click.echo(f"token {name!r} has scope {scope} and is accepted {lasts}; it cannot be shown again", err=True)


@command.command("list")
@config_option
def list_(*, config: Path) -> None:
    """List tokens by name, revoked and expired ones too; the tokens themselves are not kept.

    \b
    Example:
      driftline token list
    """
    from rich.console import Console
    from rich.markup import escape

    from monitor.clock import SystemClock
    from monitor.config.loading import load_settings
    from monitor.report.listing import listing, second
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    now = SystemClock().now()
    found = Ledger.open(settings.store, settings.team).tokens.list()
    if not found:
        click.echo("no tokens; make one with: driftline token create NAME")
        return
    table = listing("name", "scope", "created at (UTC)", "expires at (UTC)", "state", whole=("name",))
    for token in found:
        state = "revoked" if token.revoked else "valid" if token.valid(now) else "expired"
        table.add_row(escape(token.name), token.scope, second(token.created_at), second(token.expires_at), state)
    Console().print(table)


@command.command("revoke")
@click.argument("name")
@config_option
def revoke(*, name: str, config: Path) -> None:
    """Refuse the token called NAME from now on; its name is not used again.

    \b
    Example:
      driftline token revoke trainer
    """
    from monitor.clock import SystemClock
    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    Ledger.open(settings.store, settings.team).tokens.revoke(name, SystemClock().now(), acting_user())
    click.echo(f"token {name!r} is refused from now on")
