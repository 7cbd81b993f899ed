"""Windows that are added up tell the same as all their rows together, however they are cut and in whatever order they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.evaluate.examples import Outcomes
from monitor.evaluate.versions.answers import Answers, concatenated
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.comparison import compare_answers, compare_tallies
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.result import Comparison
from monitor.evaluate.versions.tally import Tally

HOUR = 3_600_000_000
BINARY = Asked(Problem.BINARY)


def answers(seed: int, n: int = 1_200) -> Answers:
    """Return requests of three rows each within ten hours; every tenth row has no label, every twentieth no prediction."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n).astype(np.float64)
    scores = np.clip(0.2 + 0.6 * labels + 0.3 * random.normal(size=n), 0, 1)
    labels[::10], scores[5::20] = np.nan, np.nan
    clusters = np.arange(n, dtype=np.uint64) // np.uint64(3)
    hours = (np.arange(n) // 3 * 10 // (n // 3)) * HOUR
    return Answers(Outcomes(labels, scores, random.uniform(0.5, 2, n)), clusters, hours)


def tallied(side: Answers, windows: np.random.Generator, count: int) -> Tally:
    """Return the tally of a side, cut into windows of whole requests, in any order."""
    assert side.clusters is not None
    window = windows.integers(0, count, side.requests)[side.clusters.astype(np.int64)]
    tally = Tally()
    for each in windows.permutation(count):
        tally = tally.add(side.take(np.flatnonzero(window == each)), BINARY)
    return tally


def told(found: Comparison) -> list[tuple[object, ...]]:
    """Return what is said in words and counts, without the numbers that rounding may change."""
    said = [(each.name, each.verdict, each.reason, each.requests, each.decided_in) for each in found.metrics]
    return [found.seen, *said, tuple(found.warnings)]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), count=st.integers(1, 12))
def test_windows_add_up(seed: int, count: int) -> None:
    one, two = answers(seed), answers(seed + 1)
    whole = compare_answers(one, two, BINARY)
    windows = np.random.default_rng(seed)
    found = compare_tallies(tallied(one, windows, count), tallied(two, windows, count), BINARY)
    assert told(found) == told(whole)
    for mine, theirs in zip(found.metrics, whole.metrics, strict=True):
        for one_value, other in zip(
            (mine.stable, mine.candidate, mine.estimate, *(mine.interval or ()), *(mine.fixed_interval or ())),
            (
                theirs.stable,
                theirs.candidate,
                theirs.estimate,
                *(theirs.interval or ()),
                *(theirs.fixed_interval or ()),
            ),
            strict=True,
        ):
            assert one_value == pytest.approx(other, rel=1e-9, abs=1e-12)


def test_rows_are_kept_only_for_metrics_that_need_them() -> None:
    side = answers(1)
    judgeable = len(side.judgeable())
    assert Tally().add(side, BINARY).kept == judgeable
    assert Tally().add(side, replace(BINARY, metrics=("log_loss",))).kept == 0
    given_up = Tally().add(side, BINARY).without_rows().add(side, BINARY)
    assert (given_up.kept, given_up.judgeable()) == (0, None)
    names = [metric.name for metric in compare_tallies(given_up, given_up, BINARY).metrics]
    assert names == ["log_loss", "brier", "error"]


def test_rows_without_weights_weigh_one_among_others() -> None:
    weighted, plain = answers(1, 30), answers(2, 30)
    both = concatenated([weighted, replace(plain, outcomes=replace(plain.outcomes, weights=None))])
    assert both.outcomes.weights is not None
    assert weighted.outcomes.weights is not None
    assert both.outcomes.weights.tolist() == [*weighted.outcomes.weights.tolist(), *[1.0] * 30]
    assert len(concatenated([])) == 0
