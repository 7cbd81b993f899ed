from __future__ import annotations

import numpy as np
import pyarrow as pa

from monitor.profile.derived.derived_moments import derived_moments
from monitor.profile.derived.plan import DerivedPlan, derive
from monitor.profile.derived.text import TextPlan
from monitor.profile.moments import Moments
from monitor.records import Rows

PLAN = DerivedPlan(texts={"comment": TextPlan(np.zeros(0, np.uint64))})


def test_moments_are_those_of_the_numbers_that_were_derived() -> None:
    rows = derive(Rows(pa.table({"comment": ["a" * n for n in range(11)] + [None], "age": [1.0] * 12})), PLAN)
    moments = derived_moments(rows, PLAN)
    assert set(moments) == {"comment.length", "comment.words", "comment.unknown_words"}
    assert moments["comment.length"] == Moments(5.0, 5.0, 1.0, 9.0, 0.0, 10.0, 1 / 11)


def test_weights_count() -> None:
    rows = Rows(pa.table({"comment": ["a", "aaa"]}), weights=np.array([3.0, 1.0]))
    found = derived_moments(derive(rows, PLAN), PLAN)["comment.length"]
    assert (found.mean, found.median) == (1.5, 1.0)


def test_a_column_without_values_or_not_there_has_no_moments() -> None:
    rows = Rows(pa.table({"comment": pa.array([None, None], pa.string())}))
    assert derived_moments(derive(rows, PLAN), PLAN) == {}
    assert derived_moments(Rows(pa.table({"age": [1.0]})), PLAN) == {}
