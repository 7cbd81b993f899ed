"""How well the demo's predictions met what happened, month by month. Pure; changes with the measures shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.records import EVENT_TIME, LABEL, PREDICTION


@dataclass(frozen=True, slots=True)
class Quality:
    """Predictions of one month against their labels; flights without a label count nowhere.

    Attributes:
        month: as 2013-07.
        late: share of flights that were late.
        predicted: mean predicted probability.
        auc: area under the ROC curve; NaN where all labels are equal.
    """

    month: str
    labels: int
    late: float
    predicted: float
    auc: float


def by_month(rows: pa.Table) -> list[Quality]:
    """Return one entry a month of event time (UTC), in order; months without labels are left out."""
    known = rows.filter(rows.column(LABEL).is_valid())
    months = known.column(EVENT_TIME).cast(pa.timestamp("us")).to_numpy().astype("datetime64[M]")
    labels = known.column(LABEL).to_numpy() == 1
    scores = known.column(PREDICTION).to_numpy()
    return [
        Quality(
            month=str(month),
            labels=int((months == month).sum()),
            late=float(labels[months == month].mean()),
            predicted=float(scores[months == month].mean()),
            auc=auc(labels[months == month], scores[months == month]),
        )
        for month in np.unique(months)
    ]


def auc(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """Return the probability that a positive scores above a negative, ties counting half (Mann-Whitney U / n1 n0)."""
    positives, negatives = scores[labels], np.sort(scores[~labels])
    if not len(positives) or not len(negatives):
        return float("nan")
    below = np.searchsorted(negatives, positives, "left")
    not_above = np.searchsorted(negatives, positives, "right")
    return float((below + not_above).sum() / 2 / (len(positives) * len(negatives)))
