"""A baseline's days, where its windows are shorter: what builds up over weeks is followed from day to day; changes with that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from monitor.profile.calendar import Calendar, calendar_of
from monitor.profile.columns import Column
from monitor.profile.counts import Indices
from monitor.profile.document import Floats
from monitor.profile.features import Blocks
from monitor.profile.layout import Layout

DAY: Final = timedelta(days=1) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Daily:
    """Days as blocks of time, beside those that are as long as the windows.

    Attributes:
        blocks: by feature, on the cells of the baseline.
    """

    calendar: Calendar
    blocks: Mapping[str, Blocks]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "calendar": self.calendar.to_document(),
            "blocks": {name: blocks.to_document() for name, blocks in self.blocks.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Daily:
        """Undo `to_document`."""
        return cls(
            Calendar.from_document(document["calendar"]),
            {name: Blocks.from_document(each) for name, each in document["blocks"].items()},
        )


def daily_of(
    columns: Mapping[str, Column], times: Indices | None, length: int | None, weights: Floats | None
) -> Daily | None:
    """Return the days of a baseline whose blocks of time (`length`, microseconds) are shorter; None where there are too few."""
    if times is None or length is None or length >= DAY or DAY % length:
        return None
    found = calendar_of(times, DAY, weights)
    if found is None:
        return None
    calendar, days = found
    blocks = {name: Layout.of(column, weights, days).reference(None).blocks for name, column in columns.items()}
    return Daily(calendar, {name: each for name, each in blocks.items() if each is not None})
