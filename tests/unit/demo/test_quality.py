from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.demo import quality
from monitor.records import EVENT_TIME, EVENT_TIME_TYPE, LABEL, PREDICTION


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 0.9])), min_size=1, max_size=25))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[bool, float]]) -> None:
    positives = [score for label, score in pairs if label]
    negatives = [score for label, score in pairs if not label]
    labels = np.array([label for label, _ in pairs])
    measured = quality.auc(labels, np.array([score for _, score in pairs]))
    if not positives or not negatives:
        assert math.isnan(measured)
        return
    wins = sum((high > low) + (high == low) / 2 for high in positives for low in negatives)
    assert measured == pytest.approx(wins / (len(positives) * len(negatives)))


def test_months_are_of_utc_and_flights_without_label_count_nowhere() -> None:
    rows = pa.table(
        {
            EVENT_TIME: pa.array(
                [
                    datetime(2013, 6, 30, 23, 59, tzinfo=UTC),
                    datetime(2013, 7, 1, tzinfo=UTC),
                    datetime(2013, 7, 2, tzinfo=UTC),
                    datetime(2013, 7, 3, tzinfo=UTC),
                    datetime(2013, 8, 1, tzinfo=UTC),
                ],
                EVENT_TIME_TYPE,
            ),
            LABEL: pa.array([1, 1, 0, None, None], pa.int64()),
            PREDICTION: [0.5, 0.2, 0.4, 0.9, 0.9],
        }
    )
    june, july = quality.by_month(rows)
    assert (june.month, june.labels, june.late, june.predicted) == ("2013-06", 1, 1.0, 0.5)
    assert (july.month, july.labels, july.late, july.auc) == ("2013-07", 2, 0.5, 0.0)
    assert july.predicted == pytest.approx(0.3)
