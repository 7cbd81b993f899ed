"""Two versions side by side: which metrics decide, at which level, and what they add up to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from monitor.errors import ConfigError
from monitor.evaluate.examples import Outcomes
from monitor.evaluate.versions.answers import Answers, Pairs
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.comparison import compare_answers, compare_pairs
from monitor.evaluate.versions.deciding import Verdict
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.result import Comparison, Metric, Within

HOUR = 3_600_000_000


def answers(n: int, seed: int, noise: float = 0.3, hours: int | None = 10) -> Answers:
    """Return answers to a binary problem; more noise makes a worse version."""
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1, n)
    labels = (random.random(n) < 1 / (1 + np.exp(-logits))).astype(np.float64)
    scores = 1 / (1 + np.exp(-(logits + noise * random.normal(size=n))))
    times = None if hours is None else np.sort(random.integers(0, hours, n)) * HOUR
    return Answers(Outcomes(labels, scores), hours=times)


def pairs(seed: int = 0, n: int = 4_000, noise: float = 0.0) -> Pairs:
    one = answers(n, seed)
    random = np.random.default_rng(seed + 100)
    candidate = np.clip(one.outcomes.predictions + noise * random.normal(size=n), 0, 1)
    return Pairs(one.outcomes.predictions, candidate, range(n), labels=one.outcomes.labels, hours=one.hours)


BINARY = Asked(Problem.BINARY)


def by_name(comparison: Comparison) -> dict[str, Metric]:
    return {metric.name: metric for metric in comparison.metrics}


def test_by_default_one_loss_decides_and_the_others_inform() -> None:
    found = compare_answers(answers(6_000, 1), answers(6_000, 2, noise=2.0), BINARY)
    assert found.verdict is Verdict.WORSE
    assert [metric.name for metric in found.metrics] == [
        "log_loss", "brier", "error", "auc", "precision", "recall", "f1",
    ]  # fmt: skip
    assert [metric.name for metric in found.metrics if metric.decides] == ["log_loss"]
    auc = by_name(found)["auc"]
    assert (auc.interval, auc.verdict, auc.reason) == (None, None, "good for one look only, so it does not decide")
    assert auc.fixed_interval is not None
    assert auc.fixed_interval[1] < 0


def test_metrics_that_are_named_share_the_false_alarms() -> None:
    asked = replace(BINARY, metrics=("error", "log_loss"), alpha=0.04)
    found = compare_answers(answers(500, 1), answers(500, 2), asked)
    assert {(metric.name, metric.level, metric.decides) for metric in found.metrics} == {
        ("error", 0.02, True),
        ("log_loss", 0.02, True),
    }
    alone = compare_answers(answers(500, 1), answers(500, 2), replace(asked, metrics=("error",)))
    shared, whole = by_name(found)["error"].interval, by_name(alone)["error"].interval
    assert shared is not None
    assert whole is not None
    assert shared[1] - shared[0] > whole[1] - whole[0]


def test_auc_decides_where_the_looks_are_counted() -> None:
    asked = replace(BINARY, metrics=("auc",), looks=5)
    found = compare_answers(answers(6_000, 1), answers(6_000, 2, noise=2.0), asked)
    (auc,) = found.metrics
    assert (auc.verdict, auc.level, auc.reason) == (Verdict.WORSE, 0.01, "good for each of 5 looks")
    better = compare_answers(answers(6_000, 2, noise=2.0), answers(6_000, 1), asked)
    assert better.verdict is Verdict.BETTER


@pytest.mark.parametrize(
    ("problem", "metrics", "said"),
    [
        (Problem.BINARY, ("auc",), "auc is no mean over examples"),
        (Problem.REGRESSION, ("auc",), "there is no metric 'auc' of a regression problem; known are: absolute_error"),
    ],
)
def test_what_cannot_be_asked_is_said(problem: Problem, metrics: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Asked(problem, metrics)


def test_too_few_rows_decide_nothing() -> None:
    asked = replace(BINARY, metrics=("log_loss", "auc", "precision"), looks=1)
    found = compare_answers(answers(49, 1), answers(49, 2), asked)
    assert {metric.verdict for metric in found.metrics} == {Verdict.UNDECIDED}
    assert {metric.interval or metric.fixed_interval for metric in found.metrics} == {None}
    assert by_name(found)["auc"].reason.startswith("an interval takes 50 examples that count for auc, of each version")


def test_examples_that_all_agree_tell_no_variance() -> None:
    one = answers(2_000, 1)
    right = replace(one, outcomes=replace(one.outcomes, predictions=one.outcomes.labels))
    (found,) = compare_answers(one, right, replace(BINARY, metrics=("precision",), looks=1)).metrics
    assert (found.verdict, found.fixed_interval) == (Verdict.UNDECIDED, None)
    assert "tells no variance" in found.reason


@pytest.mark.parametrize("limits", [{"margin": float("inf")}, {"tolerance": float("nan")}])
def test_limits_are_numbers(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="it has to be a number"):
        Asked(Problem.BINARY, **limits)  # type: ignore[arg-type]


def test_one_class_has_no_auc() -> None:
    one = answers(300, 1)
    none = replace(one, outcomes=replace(one.outcomes, labels=np.zeros(300)))
    auc = by_name(compare_answers(one, none, BINARY))["auc"]
    assert (auc.estimate, auc.fixed_interval, auc.reason) == (
        None,
        None,
        "auc is undefined for the rows of one version",
    )


def test_rows_without_label_or_prediction_are_left_out_and_told() -> None:
    one, two = answers(600, 1), answers(600, 2)
    labels, predictions = two.outcomes.labels.copy(), two.outcomes.predictions.copy()
    labels[:100], predictions[50:200] = np.nan, np.nan
    found = compare_answers(one, replace(two, outcomes=Outcomes(labels, predictions)), BINARY)
    assert found.seen[1].to_json() == {"rows": 600, "labelled": 500, "unanswered": 150, "requests": 600}
    assert by_name(found)["log_loss"].requests == (600, 400)
    assert "150 of 600 rows of the candidate have no prediction that is a number" in found.warnings[0]
    asked = replace(BINARY, metrics=("unanswered",))
    assert compare_answers(one, replace(two, outcomes=Outcomes(labels, predictions)), asked).verdict is Verdict.WORSE


def test_means_that_mislead_are_told() -> None:
    random = np.random.default_rng(3)

    def side(night: int, day: int) -> Answers:
        share = np.repeat([0.02, 0.4], [night, day])
        labels = (random.random(night + day) < share).astype(np.float64)
        return Answers(Outcomes(labels, np.full(night + day, 0.1)), hours=np.repeat([0, HOUR], [night, day]))

    found = compare_answers(side(500, 4_000), side(4_000, 500), replace(BINARY, metrics=("error",)))
    assert found.verdict is Verdict.UNDECIDED
    assert "error differs by -0.296 over all rows, but by 0.0065 within hours" in found.warnings[0]


@pytest.mark.parametrize(
    ("noise", "tolerance", "margin", "expected"),
    [
        pytest.param(0.0, None, 0.01, Verdict.EQUIVALENT, id="the same"),
        pytest.param(
            0.01, None, None, Verdict.UNDECIDED, id="nearly the same, and nobody says how near is near enough"
        ),
        pytest.param(0.01, 0.1, None, Within.TOLERANCE, id="within the tolerance, whatever labels do not tell"),
        pytest.param(0.01, 0.001, 0.01, Within.BEYOND, id="beyond the tolerance, though losses are equivalent"),
        pytest.param(0.3, 5.0, None, Verdict.WORSE, id="within a generous tolerance, and worse"),
    ],
)
def test_paired_versions_are(
    noise: float, tolerance: float | None, margin: float | None, expected: Verdict | Within
) -> None:
    assert compare_pairs(pairs(noise=noise), replace(BINARY, tolerance=tolerance, margin=margin)).verdict is expected


def test_paired_intervals_are_narrower_than_those_of_different_requests() -> None:
    rows = pairs(noise=0.01)
    together, apart = compare_pairs(rows, BINARY), compare_answers(*rows.answers(), BINARY)
    for name in ("log_loss", "error", "auc"):
        widths = []
        for each in (together, apart):
            interval = by_name(each)[name].fixed_interval
            assert interval is not None
            widths.append(interval[1] - interval[0])
        assert widths[0] < widths[1] / 3


def test_without_labels_and_tolerance_nothing_is_judged() -> None:
    found = compare_pairs(replace(pairs(), labels=None), BINARY)
    assert (found.verdict, found.metrics, found.mcnemar) == (None, (), None)
    document = found.to_json()
    assert document["verdict"] is None
    assert document["agreement"]["rows"] == 4_000


def test_the_hour_of_a_decision_is_told_by_its_end() -> None:
    asked = replace(BINARY, every=timedelta(minutes=30))
    found = compare_answers(answers(6_000, 1), answers(6_000, 2, noise=2.0), asked)
    metric = by_name(found)["log_loss"]
    assert metric.decided_in is not None
    hour = metric.decided_in // HOUR
    assert metric.to_json(asked.every)["decided_at"] == f"1970-01-01T{hour:02}:30:00Z"
    untimed = compare_answers(answers(6_000, 1, hours=None), answers(6_000, 2, noise=2.0, hours=None), asked)
    assert untimed.verdict is Verdict.WORSE
    assert untimed.metrics[0].to_json(asked.every)["decided_at"] is None
