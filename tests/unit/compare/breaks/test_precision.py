from __future__ import annotations

import numpy as np
import pytest

from monitor.compare.breaks.causes import Cause
from monitor.compare.breaks.precision import find_rounding
from monitor.profile.document import Floats
from tests.unit.compare.breaks.columns_of import pair

RANDOM = np.random.default_rng(1)
FARES = RANDOM.lognormal(2.5, 0.6, 4_000).round(2)
SHARES = RANDOM.random(4_000)
HALVES = np.rint(RANDOM.lognormal(2.5, 0.6, 4_000) * 2.0) / 2.0


@pytest.mark.parametrize(
    ("before", "now", "detail"),
    [
        (FARES, np.rint(FARES[:300]), "to whole numbers"),
        (FARES, np.floor(FARES[:300]), "to whole numbers"),
        (SHARES, SHARES[:300].round(1), "to multiples of 0.1"),
        (FARES, FARES[:300], None),
        (FARES, np.rint(FARES[:300] * 3.0), None),
        (np.rint(FARES), np.rint(FARES[:300]), None),
        (np.where(SHARES < 0.7, 0.0, FARES), np.zeros(300), None),
    ],
    ids=["rounded", "cut off", "rounded shares", "not rounded", "moved as well", "always whole", "all zero"],
)
def test_lost_digits(before: Floats, now: Floats, detail: str | None) -> None:
    found = find_rounding("fare", *pair(before, now))
    assert (found.detail if found else None) == detail
    assert found is None or found.cause is Cause.ROUNDED


def test_a_few_round_numbers_more_are_no_break() -> None:
    now = np.where(RANDOM.random(300) < 0.5, np.rint(HALVES[:300]), HALVES[:300])
    assert find_rounding("fare", *pair(HALVES, now)) is None
