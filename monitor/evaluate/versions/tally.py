"""What is kept of one version's windows, however many there are; changes with what a comparison needs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from monitor.evaluate.versions.answers import Answers, concatenated
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.result import Seen
from monitor.evaluate.versions.streams import HourlyByLoss, window_sums
from monitor.evaluate.versions.sums import Hourly, added


@dataclass(frozen=True, slots=True)
class Tally:
    """One version so far; windows may be of any length, come in any order, and must not share requests.

    Attributes:
        seen: what there was; a request whose rows lie in two windows is counted in each.
        losses: hourly sums of each loss, whose size does not grow with the rows.
        rows: the rows that have both a label and a prediction, for metrics that are no sums; empty where no such metric is
            asked for, None where they were given up.
    """

    seen: Seen = field(default_factory=Seen)
    losses: HourlyByLoss = field(default_factory=dict)
    rows: tuple[Answers, ...] | None = ()

    @property
    def kept(self) -> int:
        """How many rows are kept."""
        return sum(len(each) for each in self.rows or ())

    def add(self, answers: Answers, asked: Asked) -> Tally:
        """Return this with the rows of a window.

        Raises:
            InputError: predictions do not fit the problem.
        """
        rows = self.rows
        if rows is not None and asked.ratios():
            rows = (*rows, replace(answers.judgeable(), hours=None))
        return Tally(self.seen + Seen.of(answers), _added(self.losses, window_sums(answers, asked)), rows)

    def without_rows(self) -> Self:
        """Return this without its rows, to which none will be added."""
        return replace(self, rows=None)

    def judgeable(self) -> Answers | None:
        """Return the rows of all windows that were kept, without times; None where they were given up."""
        return None if self.rows is None else concatenated(self.rows)


def _added(one: HourlyByLoss, other: Mapping[str, Hourly]) -> dict[str, Hourly]:
    return {name: added(one.get(name, {}), sums) for name, sums in other.items()}
