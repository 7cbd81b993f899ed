"""What a join found, in numbers that add up over parts of a window, windows and weeks; changes with what is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from monitor.additive import Additive
from monitor.window.label_delay import Delays


@dataclass(frozen=True, slots=True)
class LabelCounts(Additive):
    """What was joined with n predictions. A label that joins two predictions of one request id counts for both.

    labels joined = `labelled` + `duplicates` + `corrections`.

    Attributes:
        predictions: n.
        labelled: how many of them have a label.
        own: how many of these have the one that came in their own record, because there is no other.
        texts: how many of these have a text.
        duplicates: further labels with a value that the prediction has already.
        corrections: further values of predictions that have one already; the newest counts.
        early: labels that are older than their prediction; they are joined.
        too_late: labels that were read and lie beyond their prediction's horizon; they are not joined. Only labels that may be of
            some prediction of the window are read: how many come too late at all is counted with the labels, not here.
        weight, labelled_weight: sums over the predictions, and over those with a label.
        delays: from a prediction to its first label; none for labels that came with it or before.
    """

    predictions: int = 0
    labelled: int = 0
    own: int = 0
    texts: int = 0
    duplicates: int = 0
    corrections: int = 0
    early: int = 0
    too_late: int = 0
    weight: float = 0.0
    labelled_weight: float = 0.0
    delays: Delays = field(default_factory=Delays)

    @property
    def coverage(self) -> float | None:
        """Share of the predictions that have a label; None where there are none."""
        return self.labelled / self.predictions if self.predictions else None

    @property
    def weighted_coverage(self) -> float | None:
        """The same of the traffic that the predictions stand for."""
        return self.labelled_weight / self.weight if self.weight else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, delays in seconds."""
        names = ("predictions", "labelled", "own", "texts", "duplicates", "corrections", "early", "too_late")
        return {name: getattr(self, name) for name in names} | {
            "coverage": self.coverage,
            "weighted_coverage": self.weighted_coverage,
            "delay_seconds": self.delays.to_json(),
        }
