"""Thresholds that a person sets, in the settings or in the schema: they decide, and calibrated comparisons inform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from monitor.compare.calibrated import corrected_level
from monitor.compare.case import PREVIOUS, TRAINING, Case, Reference
from monitor.compare.comparisons import Pair
from monitor.compare.findings import Finding, Kind, Outcome, Verdict
from monitor.compare.judge import calibrated_findings, judge
from monitor.compare.measures import measures
from monitor.compare.plan import Plan, plan_of
from monitor.compare.thresholds import all_measures, threshold_findings
from monitor.config.detection import DetectionSettings, Measure
from monitor.config.loading import load_detection
from monitor.errors import ConfigError
from monitor.profile.baseline import Baseline
from monitor.profile.moments import Moments
from monitor.profile.profile import Profile, count_rows
from monitor.records import Rows
from tests.slicing import baseline_of

OWN = "your own threshold"
OWN_DECIDES = "your own threshold decides about this feature"
SCHEMA_DECIDES = "the schema's threshold decides about this feature"
NUMBERS = {"cohens_w", "cohens_d", "out_of_range_share"}
WORDS = {"cohens_w", "unseen_share"}


def rows(seed: int, *, shift: float = 0.0, missing: float = 0.0, red: float = 0.5, count: int = 2_000) -> Rows:
    random = np.random.default_rng(seed)
    x = np.where(random.random(count) < missing, np.nan, random.normal(shift, 1.0, count))
    table = {
        "x": x,
        "y": random.normal(size=count),
        "colour": np.where(random.random(count) < red, "red", "blue"),
    }
    return Rows(pa.table(table), seen=count)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(1))


def settings(**thresholds: Mapping[str, float]) -> DetectionSettings:
    features = {name: {"thresholds": dict(each)} for name, each in thresholds.items()}
    return DetectionSettings.model_validate({"features": features})


def plan(
    current: Rows, baseline: Baseline, given: DetectionSettings, earlier: Mapping[str, Profile] | None = None
) -> Plan:
    references = [Reference.training(baseline)]
    references += [Reference.earlier(name, profile) for name, profile in (earlier or {}).items()]
    return plan_of(Case(count_rows(current, baseline), baseline, references, given))


def found(current: Rows, baseline: Baseline, given: DetectionSettings) -> dict[tuple[str | None, str], Finding]:
    case = Case(count_rows(current, baseline), baseline, [Reference.training(baseline)], given)
    return {(each.feature, each.measure): each for each in calibrated_findings(case)}


def pair_of(made: Plan, feature: str) -> Pair:
    (pair,) = [pair for pair, _ in made.pairs if pair.feature == feature]
    return pair


@pytest.mark.parametrize(
    ("feature", "measure"),
    [
        ("x", "jensen_shannon"),
        ("x", "l_infinity"),
        ("x", "psi"),
        ("x", "hellinger"),
        ("x", "kolmogorov_smirnov"),
        ("x", "wasserstein"),
        ("x", "missing_rate"),
        ("x", "out_of_range_share"),
        ("colour", "psi"),
        ("colour", "jensen_shannon"),
        ("colour", "missing_rate"),
        ("colour", "unseen_share"),
    ],
)
def test_a_finding_flags_when_its_value_is_above_the_threshold_and_only_then(
    baseline: Baseline, feature: str, measure: str
) -> None:
    current = rows(2, shift=0.4, missing=0.05, red=0.6)
    if measure == "unseen_share":
        colours = np.where(np.arange(2_000) % 50 == 0, "green", np.array(current.features["colour"]))
        current = replace(current, features=current.features.set_column(2, "colour", pa.array(colours)))
    value = found(current, baseline, settings(**{feature: {measure: 0.0}}))[feature, measure].value
    assert value is not None
    if measure != "missing_rate" or feature == "x":
        assert value > 0.0
    for threshold, flagged in ((value * 0.999, value > 0.0), (value, False), (value * 1.001 + 1e-9, False)):
        finding = found(current, baseline, settings(**{feature: {measure: threshold}}))[feature, measure]
        assert (finding.value, finding.threshold, finding.flagged) == (value, threshold, flagged)
        assert (finding.reason, finding.p_value, finding.outcome) == (OWN, None, Outcome.JUDGED)
        assert finding.kind is (Kind.MISSING_VALUES if measure == "missing_rate" else Kind.SKEW)
        assert finding.explanation.startswith(f"{feature}: ")


def test_calibrated_comparisons_of_values_inform_where_a_person_set_a_threshold_on_them(baseline: Baseline) -> None:
    current = rows(2, shift=1.0, missing=0.2)
    findings = found(current, baseline, settings(x={"psi": 5.0}))
    for measure in NUMBERS:
        finding = findings["x", measure]
        assert (finding.flagged, finding.reason, finding.outcome) == (False, OWN_DECIDES, Outcome.INFORMATIVE)
    assert findings["x", "cohens_w"].value == found(current, baseline, DetectionSettings())["x", "cohens_w"].value
    assert findings["x", "missing_rate"].flagged, "nobody set a threshold on missing values"
    assert not findings["x", "psi"].flagged


def test_a_threshold_on_missing_values_leaves_the_comparisons_of_values_alone(baseline: Baseline) -> None:
    current = rows(2, shift=1.0, missing=0.2)
    made = plan(current, baseline, settings(x={"missing_rate": 0.5}))
    (x,) = [
        [comparison.at(made.level) for comparison in planned] for pair, planned in made.pairs if pair.feature == "x"
    ]
    by_measure = {finding.measure: finding for finding in x}
    assert by_measure["cohens_w"].flagged
    assert by_measure["cohens_d"].flagged
    calibrated = by_measure["missing_rate"]
    assert (calibrated.flagged, calibrated.reason, calibrated.outcome) == (False, OWN_DECIDES, Outcome.INFORMATIVE)
    (own,) = threshold_findings(pair_of(made, "x"))
    assert (own.measure, own.flagged, own.threshold) == ("missing_rate", False, 0.5)


def test_other_features_are_judged_as_ever(baseline: Baseline) -> None:
    current = rows(2, shift=1.0, red=0.9)
    findings = found(current, baseline, settings(x={"psi": 5.0}))
    assert {feature for (feature, _), finding in findings.items() if finding.flagged} == {"colour"}
    assert all(finding.reason is None for (feature, _), finding in findings.items() if feature != "x")


@pytest.mark.parametrize(
    ("given", "deciding"),
    [
        pytest.param({}, 11, id="none: two features of numbers with four comparisons, categories with three"),
        pytest.param({"x": {"psi": 0.2}}, 8, id="on values: the three of them no longer count"),
        pytest.param({"x": {"missing_rate": 0.2}}, 10, id="on missing values: that one no longer counts"),
        pytest.param({"x": {"missing_rate": 0.2, "psi": 0.2}}, 7, id="on both"),
        pytest.param({"colour": {"psi": 0.2}}, 9, id="on categories"),
        pytest.param({name: {"missing_rate": 0.2, "psi": 0.2} for name in ("x", "y", "colour")}, 0, id="on everything"),
    ],
)
def test_what_only_informs_takes_no_share_of_the_level(
    baseline: Baseline, given: dict[str, dict[str, float]], deciding: int
) -> None:
    made = plan(rows(2), baseline, settings(**given))
    assert made.deciding == deciding
    assert made.level == corrected_level(0.01, deciding)


def test_a_threshold_that_is_passed_makes_the_verdict_and_one_that_is_not_unmakes_it(baseline: Baseline) -> None:
    moved, same = (count_rows(rows(2, shift=shift), baseline) for shift in (1.0, 0.0))
    assert judge(moved, baseline, {}, settings(x={"psi": 50.0})).verdict is Verdict.OK
    assert judge(same, baseline, {}, settings(x={"psi": 0.0})).verdict is Verdict.FLAGGED


def test_thresholds_hold_for_every_reference(baseline: Baseline) -> None:
    before = count_rows(rows(3), baseline)
    current = count_rows(rows(2, shift=1.0), baseline)
    result = judge(current, baseline, {PREVIOUS: before}, settings(x={"psi": 0.2}))
    assert {(each.reference, each.kind) for each in result.findings if each.flagged} == {
        (TRAINING, Kind.SKEW),
        (PREVIOUS, Kind.DRIFT),
    }


def test_a_threshold_on_what_a_feature_has_not_says_nothing(baseline: Baseline) -> None:
    findings = found(rows(2, red=0.9), baseline, settings(colour={"wasserstein": 0.1}))
    assert ("colour", "wasserstein") not in findings
    missing = rows(2, missing=1.0)
    none = found(missing, baseline, settings(x={"psi": 0.1, "missing_rate": 0.5}))
    assert ("x", "psi") not in none
    assert none["x", "missing_rate"].flagged


def test_distances_are_those_of_the_cells_and_shifts_those_of_the_moments(baseline: Baseline) -> None:
    made = pair_of(plan(rows(2, shift=0.5, missing=0.1), baseline, settings(x={"psi": 1.0})), "x")
    before = Moments(1.0, 1.0, None, None, 0.0, 2.0, 0.25)
    now = Moments(3.0, None, None, None, 0.0, 9.0, 0.75)
    pair = replace(made, current=replace(made.current, moments=now), other=replace(made.other, moments=before))
    found = all_measures(pair)
    distances = measures(pair.bins, pair.current.counts.values, pair.other.counts.values)
    assert {name: found[name] for name in distances} == dict(distances)
    assert found["missing_rate"] == pytest.approx(pair.current.counts.missing_share)
    scale = baseline.features["x"].bins.to_document()["scale"]
    assert found["mean_shift"] == pytest.approx(2.0 / scale)
    assert found["zero_rate"] == pytest.approx(0.5)
    assert "median_shift" not in found, "one side has none"
    assert found["out_of_range_share"] == pytest.approx(
        pair.current.counts.values.sums[[0, -1]].sum() / pair.current.counts.values.total
    )
    assert {"mean_shift", "zero_rate"} & all_measures(made).keys() == set(), "nothing is known of the moments"


def test_every_measure_that_a_threshold_can_be_set_on_is_measured(baseline: Baseline) -> None:
    made, moments = plan(rows(2), baseline, DetectionSettings()), Moments(1.0, 1.0, None, None, 0.0, 2.0, 0.25)
    x = pair_of(made, "x")
    numbers = replace(x, current=replace(x.current, moments=moments), other=replace(x.other, moments=moments))
    assert all_measures(numbers).keys() | all_measures(pair_of(made, "colour")).keys() == set(get_args(Measure))


def with_comparator(baseline: Baseline, feature: str, side: str, measure: str, limit: float) -> Baseline:
    schema = schema_pb2.Schema()
    getattr(getattr(schema.feature.add(name=feature), f"{side}_comparator"), measure).threshold = limit
    return replace(baseline, schema=schema.SerializeToString())


@pytest.mark.parametrize(
    ("feature", "side", "measure", "decided"),
    [
        ("x", "skew", "jensen_shannon_divergence", TRAINING),
        ("x", "drift", "jensen_shannon_divergence", PREVIOUS),
        ("colour", "skew", "infinity_norm", TRAINING),
        ("colour", "drift", "infinity_norm", PREVIOUS),
    ],
)
def test_a_comparator_of_the_schema_decides_about_its_feature_and_its_side(
    baseline: Baseline, feature: str, side: str, measure: str, decided: str
) -> None:
    earlier = {PREVIOUS: count_rows(rows(3), baseline)}
    current = rows(2, shift=1.0, red=0.9, missing=0.1)
    with_schema = with_comparator(baseline, feature, side, measure, 0.9)
    earlier_with = {PREVIOUS: replace(earlier[PREVIOUS], baseline=with_schema.fingerprint)}
    plain = plan(current, baseline, DetectionSettings(), earlier)
    made = plan(current, with_schema, DetectionSettings(), earlier_with)
    informing = {
        (pair.feature, pair.reference, finding.measure)
        for pair, planned in made.pairs
        for comparison in planned
        if (finding := comparison.at(made.level)).reason == SCHEMA_DECIDES
    }
    novel = {"out_of_range_share", "unseen_share"}
    values = (NUMBERS if feature == "x" else WORDS) - (novel if decided == PREVIOUS else set())
    assert informing == {(feature, decided, measure) for measure in values}, "missing values are no distance"
    assert made.deciding == plain.deciding - len(values)


def test_a_persons_threshold_is_named_before_the_schemas(baseline: Baseline) -> None:
    with_schema = with_comparator(baseline, "x", "skew", "jensen_shannon_divergence", 0.9)
    findings = found(rows(2, shift=1.0), with_schema, settings(x={"psi": 0.1}))
    assert findings["x", "cohens_w"].reason == OWN_DECIDES
    assert findings["x", "psi"].flagged


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("psy: 0.1", "features.x.thresholds.psy", id="no such measure"),
        pytest.param("cohens_w: 0.1", "features.x.thresholds.cohens_w", id="one that is calibrated"),
        pytest.param("psi: -0.1", "features.x.thresholds.psi: Input should be greater than", id="a negative limit"),
        pytest.param("psi: .inf", "features.x.thresholds.psi: Input should be a finite number", id="no limit at all"),
        pytest.param("psi: much", "features.x.thresholds.psi: Input should be a valid number", id="no number"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_an_error_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "d.yaml"
    file.write_text(f"features:\n  x:\n    thresholds:\n      {line}\n")
    with pytest.raises(ConfigError) as raised:
        load_detection(file)
    assert str(raised.value).startswith(f"{file}:4: {message}")
    assert "\n" not in str(raised.value)
