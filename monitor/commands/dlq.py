"""`driftline dlq`: the messages that could not be read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.options import config_option

if TYPE_CHECKING:
    from monitor.dead_letters import StoredLetter

_topic = click.option("--topic", metavar="TOPIC", help="Only of this topic (or files as configured).")
_reason = click.option("--reason", metavar="TEXT", help="Only those whose reason holds this text.")
_since = click.option(
    "--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Only those recorded since then, in UTC."
)


@click.group("dlq")
def command() -> None:
    """Look after dead letters: messages that could not be read, by their place, reason and digest."""


@command.command("list")
@config_option
@_topic
@_reason
@_since
@click.option("--waiting", is_flag=True, help="Only those that were not replayed.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="The newest N of them."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "jsonl"]),
    default="table",
    show_default=True,
    help="A table, or a JSON object a line.",
)
def list_(
    *,
    config: Path,
    topic: str | None,
    reason: str | None,
    since: datetime | None,
    waiting: bool,
    limit: int,
    format_: str,
) -> None:
    """List dead letters, oldest first.

    \b
    Examples:
      driftline dlq list --topic flights.requests --since 2026-03-01
      driftline dlq list --reason json --format jsonl | jq .digest
    """
    import orjson

    from monitor.config.loading import load_settings
    from monitor.dead_letters import Choice
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    letters = Ledger.open(settings.store, settings.team).dead_letters
    choice = Choice(topic, reason, since.replace(tzinfo=UTC) if since else None, waiting)
    found = letters.find(choice, limit, newest=True)
    if format_ == "jsonl":
        for stored in found:
            click.echo(orjson.dumps(_document(stored)).decode())
    elif found:
        _print_table(found)
    else:
        click.echo("no dead letters")
    if (count := letters.count(choice)) > len(found):
        click.echo(f"the newest {len(found)} of {count}; --limit shows more", err=True)


@command.command("replay")
@config_option
@_topic
@_reason
@_since
@click.option(
    "--limit", type=click.IntRange(min=1), default=10_000, show_default=True, metavar="N", help="The oldest N of them."
)
@click.option(
    "--to-topic", metavar="TOPIC", help="Send copies of the messages there, instead of making records of them."
)
@click.option("--dry-run", is_flag=True, help="Only say what would become records.")
def replay(
    *,
    config: Path,
    topic: str | None,
    reason: str | None,
    since: datetime | None,
    limit: int,
    to_topic: str | None,
    dry_run: bool,
) -> None:
    """Read dead letters again, and make records of those that can be read by now.

    Each message is read at its place in the topic or file again, or taken from the bytes that were kept, and decoded by today's
    settings. What can be read is committed once, however often this runs and wherever it is killed; windows that are closed get
    a new revision within `restate_for`. With --to-topic copies go to another topic at least once, and nothing is decoded.

    \b
    Examples:
      driftline dlq replay --topic flights.requests --dry-run
      driftline dlq replay --reason 'not monitored'
      driftline dlq replay --reason 'not JSON' --to-topic flights.repair
    """
    from monitor.clock import SystemClock
    from monitor.config.loading import load_settings
    from monitor.dead_letters import Choice
    from monitor.jobs.replaying import chosen, copy_to_topic, replay_into_records
    from monitor.logs import configure_logs
    from monitor.store.ledger import Ledger

    if to_topic is not None and dry_run:
        raise click.UsageError("--dry-run decodes, and --to-topic does not: give one of them")
    configure_logs(as_json=False)
    settings = load_settings(config)
    ledger = Ledger.open(settings.store, settings.team)
    choice = Choice(topic, reason, since.replace(tzinfo=UTC) if since else None, waiting=True)
    letters = chosen(settings, ledger, choice, limit)
    if to_topic is not None:
        done = copy_to_topic(settings, ledger, letters, to_topic, SystemClock())
        click.echo(f"{done.became_records} of {len(letters)} dead letter(s) were copied to {to_topic}")
    else:
        done = replay_into_records(settings, ledger, letters, SystemClock(), dry_run=dry_run)
        verb = "would become" if dry_run else "became"
        click.echo(f"{done.became_records} of {len(letters)} dead letter(s) {verb} records")
    for text, count in sorted(done.still_dead.items()):
        click.echo(f"{count} can still not be read: {text}")
    if done.gone:
        click.echo(f"{done.gone} are no longer at their place, and their bytes were not kept")


def _document(stored: StoredLetter) -> dict[str, object]:
    from monitor.clock import rfc3339

    letter = stored.letter
    return {
        "topic": letter.partition.name,
        "topic_id": letter.partition.source,
        "partition": letter.partition.number,
        "offset": letter.offset,
        "reason": letter.reason,
        "digest": letter.digest,
        "size_bytes": letter.size_bytes,
        "bytes_kept": letter.content is not None,
        "recorded_at": rfc3339(stored.recorded_at),
        "forwarded": stored.forwarded,
        "replayed_at": rfc3339(stored.replayed_at) if stored.replayed_at else None,
        "replayed_to": stored.replayed_to,
    }


def _state(stored: StoredLetter) -> str:
    if stored.replayed_at is None:
        return "waiting"
    return f"copied to {stored.replayed_to}" if stored.replayed_to else "replayed"


def _print_table(found: list[StoredLetter]) -> None:
    from rich.console import Console
    from rich.markup import escape

    from monitor.report.listing import listing, second

    headings = ("recorded at (UTC)", "topic/partition/offset", "reason", "bytes", "state")
    table = listing(*headings, numbers=("bytes",))
    for stored in found:
        table.add_row(
            second(stored.recorded_at),
            escape(stored.place),
            escape(stored.letter.reason),
            str(stored.letter.size_bytes),
            escape(_state(stored)),
        )
    Console().print(table)
