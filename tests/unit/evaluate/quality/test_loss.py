"""Loss of quality: flagged when it is real, and no more often than the budget says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tensorflow_model_analysis.metrics.metric_types import MetricKey

from monitor.compare.findings import Finding, Kind, Outcome
from monitor.evaluate.evaluation import Evaluation
from monitor.evaluate.quality.direction import Worse
from monitor.evaluate.quality.loss import Terms, losses
from monitor.evaluate.quality.reference import QualityReference, block_of, reference_of

AUC, LOSS, CALIBRATION, COUNT = (MetricKey(name) for name in ("auc", "loss", "calibration", "example_count"))
WORSE = {AUC: Worse.LOWER, LOSS: Worse.HIGHER, CALIBRATION: Worse.EITHER, COUNT: None}
OSLO = (("city", "oslo"),)
TERMS = Terms(alpha=0.01, min_labels=300)


def _evaluation(sizes: dict[Any, int], **metrics: float) -> Evaluation:
    values = {key: value for key in WORSE if (value := metrics.get(key.name)) is not None}
    return Evaluation({key: dict(values) for key in sizes}, examples=sizes)


def _usual(values: list[float], name: str = "auc", size: int = 1_000) -> QualityReference:
    return reference_of("training", [block_of(_evaluation({(): size}, **{name: value})) for value in values])


def _found(evaluation: Evaluation, reference: QualityReference | None, terms: Terms = TERMS) -> dict[str, Finding]:
    return {finding.measure: finding for finding in losses(evaluation, reference, WORSE, terms)[()]}


TEN = [0.80, 0.81, 0.79, 0.80, 0.82, 0.78, 0.80, 0.81, 0.79, 0.80]


@pytest.mark.parametrize(
    ("metric", "value", "flagged"),
    [
        ("auc", 0.80, False),
        ("auc", 0.60, True),
        ("auc", 0.99, False),  # better is no loss
        ("loss", 0.60, False),
        ("loss", 0.99, True),
        ("calibration", 0.60, True),
        ("calibration", 0.99, True),
    ],
)
def test_a_metric_is_flagged_the_way_it_gets_worse(metric: str, value: float, flagged: bool) -> None:
    found = _found(_evaluation({(): 1_000}, **{metric: value}), _usual(TEN, metric))[metric]
    assert (found.kind, found.flagged) == (Kind.QUALITY, flagged)
    assert found.p_value is not None
    assert (found.p_value < TERMS.alpha / 3) is flagged


def test_the_p_value_is_that_of_a_prediction_interval() -> None:
    found = _found(_evaluation({(): 1_000}, auc=0.77), _usual(TEN))["auc"]
    t = (0.77 - np.mean(TEN)) / (np.std(TEN, ddof=1) * np.sqrt(1.1))
    assert found.p_value == pytest.approx(stats.t.cdf(t, 9))


def test_fewer_labels_than_the_blocks_have_widen_what_is_usual() -> None:
    many, few = (_found(_evaluation({(): size}, auc=0.7), _usual(TEN, size=4_000))["auc"] for size in (4_000, 1_000))
    assert many.threshold is not None
    assert few.threshold is not None
    assert np.mean(TEN) - few.threshold == pytest.approx(2.0 * (np.mean(TEN) - many.threshold))


@pytest.mark.parametrize(
    ("evaluation", "reference", "reason"),
    [
        (_evaluation({(): 299}, auc=0.1), _usual(TEN), "299 labelled examples; 300 are needed"),
        (_evaluation({(): 1_000}, auc=0.1), _usual(TEN[:7]), "7 earlier blocks; 8 are needed"),
        (_evaluation({(): 1_000}, auc=0.1), None, "0 earlier blocks; 8 are needed"),
        (_evaluation({(): 1_000}, auc=float("nan")), _usual(TEN), "it is no number"),
    ],
    ids=["few labels", "few blocks", "no reference", "no number"],
)
def test_too_little_is_insufficient_evidence(
    evaluation: Evaluation, reference: QualityReference | None, reason: str
) -> None:
    found = _found(evaluation, reference)["auc"]
    assert (found.flagged, found.reason, found.outcome) == (False, reason, Outcome.INSUFFICIENT)


def test_what_says_nothing_of_quality_informs_only() -> None:
    found = _found(_evaluation({(): 1_000}, example_count=1e6), _usual(TEN, "example_count"))["example_count"]
    assert (found.flagged, found.outcome) == (False, Outcome.INFORMATIVE)


def test_before_all_labels_have_come_nothing_is_flagged() -> None:
    found = _found(_evaluation({(): 1_000}, auc=0.1), _usual(TEN), Terms(0.01, 300, final=False))["auc"]
    assert not found.flagged
    assert found.reason is not None
    assert found.reason.startswith("labels are still coming")


def test_slices_share_half_of_the_budget() -> None:
    sizes: dict[Any, int] = {(): 2_000, OSLO: 500, (("city", "rome"),): 500, (("city", "tiny"),): 20}
    reference = reference_of("training", [block_of(_evaluation(sizes, auc=value)) for value in TEN])
    found = losses(_evaluation(sizes, auc=0.8), reference, WORSE, TERMS)
    overall, oslo, tiny = (found[key][0] for key in ((), OSLO, (("city", "tiny"),)))
    assert overall.threshold is not None
    assert oslo.threshold is not None
    spread = np.std(TEN, ddof=1) * np.sqrt(1.1)
    assert overall.threshold == pytest.approx(np.mean(TEN) - spread * stats.t.isf(0.005 / 3, 9))
    assert oslo.threshold == pytest.approx(np.mean(TEN) - spread * stats.t.isf(0.0025 / 3, 9))
    assert tiny.outcome is Outcome.INSUFFICIENT


def test_false_alarms_stay_within_the_budget() -> None:
    random = np.random.default_rng(0)
    flagged = 0
    for _ in range(2_000):
        values = random.normal(0.8, 0.02, (21, 2))
        blocks = [block_of(_evaluation({(): 1_000}, auc=auc, loss=loss)) for auc, loss in values[:20]]
        window = _evaluation({(): 1_000}, auc=values[20, 0], loss=values[20, 1])
        found = losses(window, reference_of("training", blocks), {AUC: Worse.LOWER, LOSS: Worse.HIGHER}, TERMS)[()]
        flagged += any(finding.flagged for finding in found)
    # A share of 0.01 of 2,000 windows; 33 is its 99.7% quantile.
    assert flagged <= 33


def test_a_reference_is_read_back_as_it_was_kept() -> None:
    blocks = [block_of(_evaluation({(): 1_000, OSLO: 10}, auc=0.8)), block_of(_evaluation({(): 900}, loss=0.2))]
    reference = reference_of("training", blocks)
    again = QualityReference.from_document(reference.to_document())
    assert again.to_document() == reference.to_document()
    assert list(again.slices[""].sizes) == [1_000, 900]
    np.testing.assert_array_equal(again.slices[""].values["auc"], [0.8, np.nan])
    np.testing.assert_array_equal(again.slices[""].values["loss"], [np.nan, 0.2])
