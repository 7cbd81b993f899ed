"""Quiet hours are those of the clock on the wall, over midnight and on days on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from monitor.act.quiet_hours import quiet
from monitor.config.hours import Hours, Zone, parse_hours

NIGHT = "22:00-06:00"


@pytest.mark.parametrize(
    ("said", "at", "zone", "is_quiet"),
    [
        ("before the night", "2026-03-01T21:59:59", "UTC", False),
        ("the first minute", "2026-03-01T22:00:00", "UTC", True),
        ("midnight", "2026-03-02T00:00:00", "UTC", True),
        ("the last second", "2026-03-02T05:59:59", "UTC", True),
        ("the end is not quiet", "2026-03-02T06:00:00", "UTC", False),
        ("Berlin is an hour ahead in winter", "2026-03-01T21:00:00", "Europe/Berlin", True),
        ("and two in summer", "2026-07-01T20:00:00", "Europe/Berlin", True),
        ("summer's morning comes early in UTC", "2026-07-01T04:00:00", "Europe/Berlin", False),
        ("the hour that is skipped in spring is no hour", "2026-03-29T04:30:00", "Europe/Berlin", False),
        ("the hour that comes twice in autumn is quiet twice", "2026-10-25T00:30:00", "Europe/Berlin", True),
        ("that is, the second time too", "2026-10-25T01:30:00", "Europe/Berlin", True),
        ("Kathmandu is 5:45 ahead", "2026-03-01T16:14:59", "Asia/Kathmandu", False),
        ("to the minute", "2026-03-01T16:15:00", "Asia/Kathmandu", True),
    ],
)
def test_nights(said: str, at: str, zone: str, is_quiet: bool) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert (quiet([NIGHT], zone, now) is not None) is is_quiet, said


def test_the_hours_that_hold_are_named() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert quiet([NIGHT, "11:30-13:00"], "UTC", noon) == "11:30-13:00"
    assert quiet([], "UTC", noon) is None


@pytest.mark.parametrize(
    "text", ["22-6", "24:00-06:00", "22:60-06:00", "22:00-22:00", "night", "", "22:00-06:00-07:00"]
)
def test_what_is_no_part_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"22:00|no part"):
        parse_hours(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Hours).validate_python(text)


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../../etc/passwd", "/etc/localtime", "Europe"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        TypeAdapter(Zone).validate_python(zone)
