"""The predictions of served rows as numbers, labelled or not; changes with what a prediction column may hold."""

from __future__ import annotations

import numpy as np

from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.evaluate.reading import Side, numbers_of
from monitor.records import Rows


def served_scores(rows: Rows) -> Floats:
    """Return the predictions, float64 (n,) or (n, K), NaN where there is none.

    Raises:
        InputError: the rows hold no predictions, or text that spells no numbers.
    """
    if rows.prediction is None:
        raise InputError("the rows hold no predictions")
    found = numbers_of(
        Side(rows.features.select([rows.prediction]), {}, "the served rows"), rows.prediction, "prediction"
    )
    values = found.values.copy()
    values[found.missing] = np.nan
    return values
