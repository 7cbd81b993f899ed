"""How far predictions for the same rows agree, and McNemar's test."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, spearmanr

from monitor.evaluate.versions.agreement import Looking, agreement, agreement_by_slice, differences
from monitor.evaluate.versions.answers import Pairs
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.mcnemar import mcnemar

NAN, INF = math.nan, math.inf


def pairs(stable: object, candidate: object, **more: object) -> Pairs:
    one, two = np.array(stable, np.float64), np.array(candidate, np.float64)
    return Pairs(one, two, names=[f"r{row}" for row in range(len(one))], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("problem", "stable", "candidate", "expected"),
    [
        pytest.param(Problem.REGRESSION, [1, -2], [1.5, -2], [0.5, 0], id="absolute differences"),
        pytest.param(Problem.REGRESSION, [NAN, 1, NAN], [1, NAN, NAN], [INF, INF, 0], id="only one side has a number"),
        pytest.param(Problem.REGRESSION, [INF, INF], [INF, -INF], [0, INF], id="infinite predictions"),
        pytest.param(Problem.MULTICLASS, [[0.1, 0.9]], [[0.4, 0.7]], [0.3], id="the largest over the classes"),
        pytest.param(Problem.CLASSES, [3, 5, 5], [3, 1, NAN], [0, 1, INF], id="another class is a difference of one"),
    ],
)
def test_rows_are_apart_by(problem: Problem, stable: object, candidate: object, expected: list[float]) -> None:
    assert differences(pairs(stable, candidate), problem).tolist() == pytest.approx(expected)


def test_agreement_tells_sizes_decisions_and_the_furthest_rows() -> None:
    random = np.random.default_rng(0)
    stable = random.random(1_000)
    candidate = np.clip(stable + random.normal(0, 0.01, 1_000), 0, 1)
    candidate[7], candidate[9] = 0.0, NAN
    found = agreement(pairs(stable, candidate), Looking(Problem.BINARY, tolerance=0.05, examples=2))
    apart = np.delete(np.abs(stable - candidate), 9)
    assert (found.rows, found.one_sided) == (1_000, 1)
    assert found.largest == pytest.approx(apart.max())
    assert found.quantiles == pytest.approx({level: np.quantile(apart, level) for level in found.quantiles})
    assert found.beyond == 1 + (apart > 0.05).sum()
    assert found.changed == pytest.approx(np.mean(np.delete((stable > 0.5) != (candidate > 0.5), 9)))
    assert found.rank_correlation == pytest.approx(spearmanr(np.delete(stable, 9), np.delete(candidate, 9)).statistic)
    assert [example.name for example in found.examples] == ["r9", "r7"]
    document = found.to_json()
    assert document["examples"][0] == {"row": "r9", "stable": stable[9], "candidate": None, "difference": None}


def test_equal_predictions_have_no_examples_and_constant_ones_no_correlation() -> None:
    found = agreement(pairs([0.5, 0.5], [0.5, 0.5]), Looking(Problem.BINARY, tolerance=0.0))
    assert (found.largest, found.beyond, found.changed, found.examples) == (0.0, 0, 0.0, ())
    assert math.isnan(found.correlation)
    assert found.to_json()["correlation"] is None


def test_classes_are_shown_by_their_names() -> None:
    found = agreement(pairs([0, 1, NAN], [0, 0, NAN], classes=["cat", "dog"]), Looking(Problem.CLASSES))
    assert found.changed == 0.5
    assert [(each.stable, each.candidate) for each in found.examples] == [("dog", "cat")]


def test_no_rows_that_both_answered_have_no_largest_difference() -> None:
    found = agreement(pairs([NAN], [1.0]), Looking(Problem.REGRESSION, tolerance=1.0))
    assert (found.beyond, found.one_sided, found.changed) == (1, 1, None)
    assert found.to_json()["largest_difference"] is None


def test_slices_stand_in_the_order_of_their_largest_differences() -> None:
    rows = pairs([0.0, 0.0, 0.0], [0.1, 0.3, 0.0], features=pa.table({"country": ["de", "fr", "us"]}))
    found = agreement_by_slice(rows, Looking(Problem.REGRESSION), ("country",))
    assert {name: each.largest for name, each in found.items()} == {
        "country=fr": 0.3,
        "country=de": 0.1,
        "country=us": 0.0,
    }
    assert list(found) == ["country=fr", "country=de", "country=us"]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 5))
def test_mcnemar_is_the_binomial_test_of_the_rows_that_changed(stable: int, candidate: int, both: int) -> None:
    one = np.array([True] * stable + [False] * candidate + [True] * both, np.bool_)
    two = np.array([False] * stable + [True] * candidate + [True] * both, np.bool_)
    found = mcnemar(one, two, independent=True)
    assert (found.only_stable_wrong, found.only_candidate_wrong) == (stable, candidate)
    expected = binomtest(stable, stable + candidate).pvalue if stable + candidate else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)


def test_mcnemar_has_no_p_value_for_rows_that_share_requests() -> None:
    assert mcnemar(np.array([True]), np.array([False]), independent=False).p_value is None
