"""`driftline audit`: can the log be trusted?"""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.options import config_option
from monitor.errors import InvariantBroken


@click.group("audit")
def command() -> None:
    """Look after the audit log: every baseline and every judged window, in a hash chain."""


@command.command("verify")
@config_option
def verify(*, config: Path) -> None:
    """Check that nothing in the log was altered, removed or cut off; exit 0 when it is whole, 70 when not.

    \b
    Example:
      driftline audit verify --config driftline.yaml
    """
    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    found = Ledger.open(settings.store, settings.team).audit_break()
    if found is not None:
        raise InvariantBroken(f"the audit log of team {settings.team!r} was tampered with: {found}")
    click.echo(f"the audit log of team {settings.team!r} is whole")
