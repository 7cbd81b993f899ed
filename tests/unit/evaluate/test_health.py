"""The health of outputs: what a broken model gives away is flagged, and what a sound one does is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from monitor.compare.findings import Finding, Kind, Outcome
from monitor.evaluate.examples import Floats
from monitor.evaluate.health import health_findings, kind_of
from monitor.evaluate.model_outputs import OutputKind, Outputs, outputs_of, predicted_classes
from monitor.profile.columns import Column
from monitor.profile.features import FeatureReference
from monitor.profile.layout import Layout

LEVEL = 0.001
RANDOM = np.random.default_rng(1)
ROWS = 1_000


def reference_of(values: pa.Array) -> FeatureReference:
    return Layout.of(Column.of(pa.chunked_array([values])), None, None).reference(None)


def scores(count: int, random: np.random.Generator = RANDOM) -> Floats:
    drawn: Floats = random.beta(1.0, 3.0, count)
    return drawn


PROBABILITIES = reference_of(pa.array(scores(50_000)))
NUMBERS = reference_of(pa.array(RANDOM.normal(100.0, 20.0, 50_000)))
CLASSES = reference_of(pa.array(RANDOM.choice(["cat", "dog", "owl"], 50_000, p=[0.9, 0.08, 0.02])))
RARE = reference_of(pa.array(RANDOM.beta(1.0, 100.0, 50_000)))
SATURATED = reference_of(pa.array(np.where(RANDOM.random(50_000) < 0.3, 1.0, scores(50_000))))


def found(outputs: Outputs, known: FeatureReference | None) -> dict[str, Finding]:
    return {each.measure: each for each in health_findings(outputs, "score", known, LEVEL)}


def flagged(outputs: Outputs, known: FeatureReference | None) -> set[str]:
    return {measure for measure, each in found(outputs, known).items() if each.flagged}


def of(values: Floats, known: FeatureReference = PROBABILITIES) -> Outputs:
    return outputs_of(pa.array(values, from_pandas=False), None, kind_of(known))


def with_some(count: int, value: float) -> Floats:
    values = scores(ROWS)
    values[:count] = value
    return values


@pytest.mark.parametrize(
    ("values", "measures"),
    [
        (np.full(ROWS, 0.31), {"most_common_share", "one_class_share"}),
        (np.full(ROWS, 0.9999), {"most_common_share", "one_class_share"}),
        (with_some(200, 0.31), {"most_common_share"}),
        (with_some(20, np.nan), {"missing_share"}),
        (with_some(20, np.inf), {"infinite_share"}),
        (with_some(20, -0.2), {"outside_share"}),
        (with_some(20, 1.2), {"outside_share"}),
        (with_some(200, 1.0), {"one_share", "most_common_share"}),
        (with_some(200, 1.0 - 1e-7), {"one_share", "most_common_share"}),
        (with_some(200, 0.0), {"zero_share", "most_common_share"}),
        (with_some(200, 1e-12), {"zero_share", "most_common_share"}),
        (np.where(np.arange(ROWS) % 2, 0.0, 1.0), {"zero_share", "one_share", "most_common_share"}),
        (scores(ROWS) / 2.0, {"one_class_share"}),
        (scores(ROWS), set()),
        (with_some(1, np.nan), set()),
        (with_some(20, 0.31), set()),
    ],
    ids=[
        "one constant",
        "one constant near 1",
        "a fallback value for a fifth",
        "NaN",
        "infinite",
        "below 0",
        "above 1",
        "a fifth is 1",
        "a fifth is clipped as Keras clips",
        "a fifth is 0",
        "a fifth underflows",
        "hard 0 and 1",
        "no positive prediction any more",
        "sound",
        "one NaN in a thousand",
        "a value that some requests share",
    ],
)
def test_what_probabilities_give_away(values: Floats, measures: set[str]) -> None:
    assert flagged(of(values), PROBABILITIES) == measures


@pytest.mark.parametrize(
    ("values", "measures"),
    [
        (np.full(ROWS, 101.5), {"most_common_share"}),
        (np.full(ROWS, np.nan), {"missing_share"}),
        (np.where(np.arange(ROWS) % 50, RANDOM.normal(100.0, 20.0, ROWS), -np.inf), {"infinite_share"}),
        (np.minimum(RANDOM.normal(100.0, 20.0, ROWS), 110.0), {"most_common_share"}),
        (RANDOM.normal(100.0, 20.0, ROWS), set()),
        (RANDOM.normal(500.0, 20.0, ROWS), set()),
    ],
    ids=["one constant", "all NaN", "infinite", "clipped", "sound", "moved, which is drift"],
)
def test_what_numbers_give_away(values: Floats, measures: set[str]) -> None:
    assert flagged(of(values, NUMBERS), NUMBERS) == measures


@pytest.mark.parametrize(
    ("classes", "measures"),
    [
        (["dog"] * ROWS, {"one_class_share"}),
        (["cat"] * ROWS, {"one_class_share"}),
        (["cat"] * 40, set()),
        (["cat"] * 700 + ["dog"] * 300, set()),
        (["cat"] * 900 + ["dog"] * 80 + [None] * 20, {"missing_share"}),
    ],
    ids=["a rare one always", "the common one always", "the common one forty times", "sound", "none"],
)
def test_what_classes_give_away(classes: list[str | None], measures: set[str]) -> None:
    assert flagged(outputs_of(pa.array(classes), None, OutputKind.CLASS), CLASSES) == measures


def test_a_model_that_always_saturated_is_not_told_so_again() -> None:
    values = np.where(RANDOM.random(ROWS) < 0.3, 1.0, scores(ROWS))
    assert flagged(of(values, SATURATED), SATURATED) == set()


def test_a_model_that_never_predicted_positive_is_not_told_so() -> None:
    assert flagged(of(RANDOM.beta(1.0, 100.0, ROWS), RARE), RARE) == set()


def test_few_rows_that_are_alike_may_come_from_requests_that_are() -> None:
    few = found(of(np.full(20, 0.31)), PROBABILITIES)["most_common_share"]
    assert not few.flagged
    assert few.outcome is Outcome.INFORMATIVE
    assert few.reason == "too few rows: 20 effective, 30 are needed"
    clustered = outputs_of(pa.array(np.full(ROWS, 0.31)), None, OutputKind.PROBABILITY, effective=10.0)
    assert flagged(clustered, PROBABILITIES) == set()


def test_sound_windows_are_flagged_no_more_often_than_stated() -> None:
    random = np.random.default_rng(2)
    alarms = sum(
        bool(
            {
                each.measure
                for each in health_findings(of(scores(300, random)), "score", PROBABILITIES, 0.01)
                if each.flagged
            }
        )
        for _ in range(300)
    )
    assert alarms <= 3


def test_without_a_reference_it_informs() -> None:
    for each in found(of(np.full(ROWS, np.nan)), None).values():
        assert each.outcome is Outcome.INFORMATIVE
        assert not each.flagged
        assert each.p_value is None
        assert each.reason == "there is no reference to compare with: informs only"


def test_numbers_are_no_reference_of_classes() -> None:
    classes = outputs_of(pa.array(["cat"] * ROWS), None, OutputKind.CLASS)
    assert flagged(classes, PROBABILITIES) == set()
    assert flagged(of(np.full(ROWS, 0.3)), CLASSES) == set()


def test_a_finding_tells_both_shares() -> None:
    constant = found(of(np.full(ROWS, 0.31)), PROBABILITIES)["most_common_share"]
    assert constant.kind is Kind.OUTPUT_HEALTH
    assert constant.value == 1.0
    assert constant.threshold is not None
    assert constant.threshold < 0.2
    assert constant.p_value is not None
    assert constant.p_value < 1e-9
    assert constant.explanation.startswith("score: all outputs are 0.31, at most ")
    broken = found(of(with_some(20, np.nan)), PROBABILITIES)["missing_share"]
    assert broken.explanation == "score: 2.0% of the outputs are missing or NaN, at most 0.0% in training"


@pytest.mark.parametrize(
    ("known", "kind"),
    [
        (PROBABILITIES, OutputKind.PROBABILITY),
        (SATURATED, OutputKind.PROBABILITY),
        (NUMBERS, OutputKind.NUMBER),
        (CLASSES, OutputKind.CLASS),
        (reference_of(pa.array([0.0, 1.0, 2.0] * 100)), OutputKind.NUMBER),
        (reference_of(pa.array([None, None], pa.float64())), OutputKind.NUMBER),
    ],
)
def test_what_outputs_are_is_told_by_those_of_training(known: FeatureReference, kind: OutputKind) -> None:
    assert kind_of(known) is kind


def test_shares_are_of_the_rows_weight() -> None:
    values, weights = pa.array([np.nan, 1.0, 0.5, None], from_pandas=False), np.array([1.0, 2.0, 4.0, 3.0])
    counted = outputs_of(values, weights, OutputKind.PROBABILITY)
    assert (counted.missing, counted.nan, counted.at_one) == (0.3, 0.1, 0.2)
    assert counted.common == 0.5
    assert counted.common_share == pytest.approx(4.0 / 6.0)
    assert counted.effective == pytest.approx(100.0 / 30.0)
    assert counted.invalid == pytest.approx(0.4)
    assert counted.distribution["mean"] == pytest.approx(4.0 / 6.0)


def test_a_distribution_is_summed_up() -> None:
    counted = outputs_of(pa.array(np.linspace(0.0, 1.0, 10_001)), None, OutputKind.PROBABILITY)
    summed = counted.distribution
    assert [summed[name] for name in ("lowest", "p01", "p10", "p50", "p90", "p99", "highest")] == pytest.approx(
        [0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0], abs=2e-4
    )
    assert summed["deviation"] == pytest.approx(12.0**-0.5, abs=1e-4)
    assert counted.histogram == pytest.approx([0.05] * 20, abs=2e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: outputs_of(pa.array([], pa.float64()), None, OutputKind.PROBABILITY),
        lambda: outputs_of(pa.array([None], pa.string()), None, OutputKind.CLASS),
        lambda: outputs_of(pa.array([np.inf, np.nan], from_pandas=False), None, OutputKind.NUMBER),
        lambda: outputs_of(pa.array([0.2, 7.0]), None, OutputKind.PROBABILITY),
    ],
    ids=["no rows", "no class", "no number", "one probability"],
)
def test_json_holds_finite_numbers_only(make: Callable[[], Outputs]) -> None:
    outputs = make()
    json.dumps(outputs.to_json(), allow_nan=False)
    for each in health_findings(outputs, "score", PROBABILITIES, LEVEL):
        json.dumps(each.to_json(), allow_nan=False)


@pytest.mark.parametrize("chunks", [1, 3])
def test_lists_of_scores_are_classes(chunks: int) -> None:
    lists = [[0.2, 0.8], None, [0.9, 0.1], [0.5], [np.nan, 0.5], [0.3, 0.7]]
    column = pa.chunked_array([pa.array(part.tolist()) for part in np.array_split(np.array(lists, object), chunks)])
    counted = outputs_of(column, None, OutputKind.PROBABILITY)
    assert counted.kind is OutputKind.CLASS
    assert counted.common == "1"
    assert counted.common_share == pytest.approx(2.0 / 3.0)
    assert counted.missing == 0.5


def test_a_column_without_rows_has_no_outputs() -> None:
    for kind in (pa.float64(), pa.list_(pa.float64())):
        assert outputs_of(pa.chunked_array([], kind), None, OutputKind.NUMBER).rows == 0


def test_scores_of_several_classes_are_the_class_with_the_highest() -> None:
    given = np.array([[0.2, 0.8], [0.6, 0.4], [np.nan, 1.0]])
    assert predicted_classes(given).to_pylist() == ["1", "0", None]
