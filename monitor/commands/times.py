"""Durations and moments as options; changes with how people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click


class Duration(click.ParamType[timedelta]):
    """Text such as 15m, 1h or 1d, of at least a second."""

    name = "duration"

    def __init__(self, of: str) -> None:
        """Take what it is the length of, for messages."""
        self.of = of

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration; fails as click does."""
        from monitor.config.durations import parse_duration

        try:
            duration = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if duration < timedelta(seconds=1):
            self.fail(f"{self.of} is at least 1s long", param, ctx)
        return duration


class Moment(click.ParamType[datetime]):
    """A day or a moment, RFC 3339; UTC where it has no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment, aware, in UTC; fails as click does."""
        try:
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):  # the latter where it has no UTC within the years 1 to 9999
            self.fail(f"{value!r} is no RFC 3339 time", param, ctx)
