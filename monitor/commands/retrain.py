"""`driftline retrain`: models that are trained anew, and why, or why not."""

from __future__ import annotations

from pathlib import Path

import click

from monitor.commands.acting import acting_user
from monitor.commands.opening import opened_ledger, opened_model
from monitor.commands.options import by_option, config_option, document_option
from monitor.errors import InputError

_STATES = (
    "proposed",
    "approved",
    "gpu_check",
    "submitted",
    "running",
    "evaluating",
    "canary",
    "promoted",
    "rejected",
    "rolled_back",
    "failed",
    "cancelled",
)
_limit = click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="The newest N of them."
)


@click.group("retrain")
def command() -> None:
    """Look after retrains: ask for one, see how far they are and why, approve, cancel, confirm."""


@command.command("trigger")
@click.argument("model")
@config_option
@click.option("--reason", required=True, metavar="TEXT", help="Why; the trainer and the audit log are told.")
@click.option("--key", metavar="TEXT", help="Idempotency key: the same key asks once, however often it is given.")
@by_option
def trigger(*, model: str, config: Path, reason: str, key: str | None, actor: str | None) -> None:
    """Ask for MODEL to be trained anew; cooldown and quiet hours of policies do not hold that back.

    \b
    Example:
      driftline retrain trigger flights --reason "new carrier since March"
    """
    import hashlib

    from monitor.clock import SystemClock
    from monitor.jobs.retrain import events as retrain_events

    settings, _, ledger = opened_model(config, model)
    digest = None if key is None else hashlib.sha256(f"{model}\n{reason}".encode()).hexdigest()
    now = SystemClock().now()
    retrain = retrain_events.trigger(ledger, settings, model, actor or acting_user(), reason, now, key, digest)
    click.echo(f"retrain {retrain.retrain_id} of {model} is {retrain.state}")
    if retrain.state == "proposed":
        click.echo(f"it waits for somebody to say: driftline retrain approve {retrain.retrain_id}")


@command.command("list")
@config_option
@click.option("--model", metavar="MODEL", help="Only of this model.")
@click.option("--state", type=click.Choice(_STATES), help="Only in this state.")
@_limit
@document_option
def list_(*, config: Path, model: str | None, state: str | None, limit: int, format_: str) -> None:
    """List retrains, newest first.

    \b
    Example:
      driftline retrain list --model flights --format json | jq '.[].state'
    """
    import orjson
    from rich.console import Console

    from monitor.act.retrain import RetrainState
    from monitor.report.retrain_table import print_retrains, retrain_json

    wanted = None if state is None else RetrainState(state)
    found = opened_ledger(config).retrains.list(model, wanted, limit)
    if format_ == "json":
        click.echo(orjson.dumps([retrain_json(retrain) for retrain in found]).decode())
    elif found:
        print_retrains(Console(), found)
    else:
        click.echo("no retrains")


@command.command("show")
@click.argument("retrain_id", metavar="ID")
@config_option
@document_option
def show(*, retrain_id: str, config: Path, format_: str) -> None:
    """Show one retrain: all that happened to it, and why it was begun.

    \b
    Example:
      driftline retrain show r3f0a51be27c4d9e
    """
    import orjson
    from rich.console import Console

    from monitor.report.retrain_table import print_story, retrain_json, story_json

    ledger = opened_ledger(config)
    retrain = ledger.retrains.get(retrain_id)
    if retrain is None:
        raise InputError(f"there is no retrain {retrain_id!r}; see: driftline retrain list")
    events, decisions = ledger.retrains.events(retrain_id), ledger.decisions.list(retrain_id=retrain_id)
    if format_ == "json":
        document = retrain_json(retrain) | {"request": retrain.request, "details": retrain.details}
        click.echo(orjson.dumps(document | story_json(events, decisions)).decode())
    else:
        print_story(Console(), retrain, events, decisions)


@command.command("decisions")
@config_option
@click.option("--model", metavar="MODEL", help="Only about alerts of this model.")
@click.option("--policy", metavar="NAME", help="Only of this policy.")
@click.option("--alert", "fingerprint", metavar="FINGERPRINT", help="Only about this alert.")
@_limit
@document_option
def decisions_(
    *, config: Path, model: str | None, policy: str | None, fingerprint: str | None, limit: int, format_: str
) -> None:
    """List what policies decided, newest first, and why: also why nothing was done.

    \b
    Example:
      driftline retrain decisions --model flights
    """
    import orjson
    from rich.console import Console

    from monitor.report.retrain_table import decision_json, print_decisions

    found = opened_ledger(config).decisions.list(model, policy, fingerprint, limit=limit)
    if format_ == "json":
        click.echo(orjson.dumps([decision_json(each) for each in found]).decode())
    elif found:
        print_decisions(Console(), found)
    else:
        click.echo("no decisions")


@command.command("approve")
@click.argument("retrain_id", metavar="ID")
@config_option
@by_option
def approve(*, retrain_id: str, config: Path, actor: str | None) -> None:
    """Agree to a proposed retrain.

    \b
    Example:
      driftline retrain approve r3f0a51be27c4d9e
    """
    from monitor.clock import SystemClock
    from monitor.jobs.retrain import events as retrain_events

    who = actor or acting_user()
    retrain = retrain_events.approve(opened_ledger(config), retrain_id, who, SystemClock().now())
    click.echo(f"retrain {retrain_id} of {retrain.model} is {retrain.state}")


@command.command("cancel")
@click.argument("retrain_id", metavar="ID")
@config_option
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@by_option
def cancel(*, retrain_id: str, config: Path, reason: str, actor: str | None) -> None:
    """End a retrain: its run is stopped, and a canary is rolled back, by the monitor at its next look.

    \b
    Example:
      driftline retrain cancel r3f0a51be27c4d9e --reason "the labels were wrong"
    """
    from monitor.clock import SystemClock
    from monitor.jobs.retrain import events as retrain_events

    who = actor or acting_user()
    retrain = retrain_events.cancel(opened_ledger(config), retrain_id, who, SystemClock().now(), reason)
    told = "will be rolled back" if retrain.state == "canary" else f"is {retrain.state}"
    click.echo(f"retrain {retrain_id} of {retrain.model} {told}")


@command.command("confirm")
@click.argument("retrain_id", metavar="ID")
@config_option
@by_option
def confirm(*, retrain_id: str, config: Path, actor: str | None) -> None:
    """Say that a promoted retrain did what it was for: policies that stopped after some in vain go on.

    \b
    Example:
      driftline retrain confirm r3f0a51be27c4d9e
    """
    from monitor.clock import SystemClock
    from monitor.jobs.retrain import events as retrain_events

    who = actor or acting_user()
    retrain = retrain_events.confirm(opened_ledger(config), retrain_id, who, SystemClock().now())
    click.echo(f"retrain {retrain_id} of {retrain.model}: its alert counts as cleared")
