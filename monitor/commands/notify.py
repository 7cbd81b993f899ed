"""`driftline notify`: messages to receivers, and whether they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.acting import acting_user
from monitor.commands.options import config_option, lines_option

if TYPE_CHECKING:
    from monitor.store.outbox import Message

_STATES = {"waiting": "waiting", "sent": "sent", "given-up": "given_up"}


@click.group("notify")
def command() -> None:
    """Try receivers, see what became of messages, and send them again."""


@command.command("test")
@click.argument("receiver")
@config_option
def test(*, receiver: str, config: Path) -> None:
    """Send a test message to RECEIVER at once, and say what it answered.

    The message goes past the ledger: it is tried once, from here, with the settings that alerts are sent with.

    \b
    Examples:
      driftline notify test team
    """
    from monitor.alert.notification import Notification, Told, message_id
    from monitor.clock import SystemClock, rfc3339
    from monitor.config.loading import load_settings
    from monitor.errors import InputError, TransientError
    from monitor.outside.http import HttpClient, Refused
    from monitor.outside.receivers.sending import sender_of

    settings = load_settings(config)
    if receiver not in settings.receivers:
        known = ", ".join(sorted(settings.receivers)) or "none"
        raise InputError(f"{config} has no receiver {receiver!r}; it has: {known}")
    clock = SystemClock()
    now = clock.now()
    document = {"title": "Driftline can reach you", "text": "Somebody ran `driftline notify test`: nothing is wrong."}
    told = Notification(message_id("test", receiver, rfc3339(now)), receiver, "driftline-test", Told.TEST, document)
    try:
        sender_of(receiver, settings.receivers[receiver], HttpClient(clock)).send(told, now, now)
    except Refused as error:
        raise InputError(f"{receiver} did not take the message, and never will: {error}") from error
    except TransientError as error:
        raise TransientError(f"{receiver} did not take the message; an alert would be sent again: {error}") from error
    took = (clock.now() - now).total_seconds()
    click.echo(f"{receiver} took the message {told.message_id} in {took:.2f} s")


@command.command("list")
@config_option
@click.option("--state", type=click.Choice(list(_STATES)), help="Only messages that are in this state.")
@click.option("--receiver", metavar="NAME", help="Only messages to this receiver.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="The newest N of them."
)
@lines_option
def list_(*, config: Path, state: str | None, receiver: str | None, limit: int, format_: str) -> None:
    """List messages, oldest first: those that wait, were sent, or were given up, and why.

    \b
    Examples:
      driftline notify list --state given-up
      driftline notify list --receiver team --format jsonl | jq .error
    """
    import orjson

    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger
    from monitor.store.outbox import MessageState

    settings = load_settings(config)
    wanted = MessageState(_STATES[state]) if state else None
    found = Ledger.open(settings.store, settings.team).outbox.find(wanted, receiver, limit)
    if format_ == "jsonl":
        for message in found:
            click.echo(orjson.dumps(_document(message)).decode())
    elif found:
        _print_table(found)
    else:
        click.echo("no messages")


@command.command("resend")
@click.argument("message_id", metavar="ID")
@config_option
@click.option("--by", "actor", metavar="NAME", help="Who says so; your user name without it.")
def resend(*, message_id: str, config: Path, actor: str | None) -> None:
    """Have the message ID sent again, also one that was sent or given up.

    The next tick of a monitor sends it, with the same id: a receiver that took it already may drop it. Its age counts from now.

    \b
    Examples:
      driftline notify resend msg_6f1ed002ab5595859014ebf0951522d9
    """
    from monitor.clock import SystemClock
    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    ledger = Ledger.open(settings.store, settings.team)
    message = ledger.outbox.resend(message_id, actor or acting_user(), SystemClock().now())
    click.echo(f"{message_id} waits to be sent to {message.notification.receiver}")


def _document(message: Message) -> dict[str, object]:
    from monitor.alert.notification import Told
    from monitor.clock import rfc3339

    told = message.notification
    # A link of an approval is a key to it, for those whom it was sent to.
    document = {name: value for name, value in told.document.items() if (told.kind, name) != (Told.APPROVAL, "links")}
    return {
        "id": told.message_id,
        "receiver": told.receiver,
        "kind": str(told.kind),
        "subject": told.subject,
        "state": str(message.state),
        "attempts": message.attempts,
        "created_at": rfc3339(message.created_at),
        "due_at": rfc3339(message.due_at),
        "ended_at": rfc3339(message.ended_at) if message.ended_at else None,
        "error": message.error,
        "document": document,
    }


def _print_table(found: list[Message]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from monitor.report.listing import listing, second

    whole = ("message", "receiver", "kind", "state")
    table = listing("message", "receiver", "kind", "state", "in vain", "why", whole=whole, numbers=("in vain",))
    for message in found:
        told = message.notification
        table.add_row(
            f"{told.message_id}\n{second(message.created_at)}",
            escape(told.receiver),
            str(told.kind),
            str(message.state).replace("_", " "),
            str(message.attempts),
            escape(message.error),
        )
    Console().print(table)
