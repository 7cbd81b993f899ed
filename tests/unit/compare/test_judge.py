from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from monitor.compare.case import PREVIOUS, Case, Reference
from monitor.compare.findings import Finding, Kind, Outcome, Verdict, WindowFindings
from monitor.compare.judge import calibrated_findings, judge
from monitor.config.detection import DetectionSettings, FeatureSettings
from monitor.errors import InvariantBroken
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import build_profile, count_rows
from monitor.records import Misfits, Rows
from tests.unit.compare.samples import drawn, flights, of_months, rows_of, weather

SETTINGS = DetectionSettings()


@pytest.fixture(scope="module")
def january() -> Baseline:
    return create_baseline(replace(rows_of(of_months(flights(), 1)), event_times=None))


def _calibrated(rows: Rows, baseline: Baseline, settings: DetectionSettings = SETTINGS) -> list[Finding]:
    case = Case(count_rows(rows, baseline), baseline, [Reference.training(baseline)], settings)
    return list(calibrated_findings(case))


def _of(findings: WindowFindings, feature: str, measure: str, reference: str = "training") -> Finding:
    found = [f for f in findings.findings if (f.feature, f.measure, f.reference) == (feature, measure, reference)]
    assert len(found) == 1, [(f.feature, f.measure, f.reference) for f in findings.findings]
    return found[0]


def _strings(values: dict[str, int]) -> pa.Array:
    return pa.array([value for value, count in values.items() for _ in range(count)])


@pytest.mark.parametrize("seed", range(4))
def test_two_random_halves_of_one_month_agree(seed: int) -> None:
    table = of_months(flights(), 1)
    order = np.random.default_rng(seed).permutation(table.num_rows)
    half = table.num_rows // 2
    baseline = create_baseline(drawn(table, order[:half]))
    result = judge(build_profile(drawn(table, order[half:]), baseline), baseline, {}, SETTINGS)
    assert result.verdict is Verdict.OK
    assert all(f.outcome is not Outcome.INSUFFICIENT for f in result.findings)


@pytest.mark.parametrize("rows", [300, 1_000], ids=lambda n: f"windows of {n} rows")
def test_samples_of_the_baselines_own_month_are_rarely_flagged(january: Baseline, rows: int) -> None:
    table, random = of_months(flights(), 1), np.random.default_rng(rows)
    flagged = 0
    for _ in range(150):
        findings = _calibrated(drawn(table, random.choice(table.num_rows, rows, replace=False)), january)
        assert all(f.outcome is Outcome.JUDGED for f in findings)
        flagged += any(f.flagged for f in findings)
    # The budget spent is 0.005 a window; four or more of 150 have probability 0.007 at that rate.
    assert flagged <= 3


def test_january_against_july_is_flagged_and_says_what_moved(january: Baseline) -> None:
    result = judge(build_profile(rows_of(of_months(flights(), 7)), january), january, {}, SETTINGS)
    assert result.verdict is Verdict.FLAGGED
    moved = _of(result, "dest", "cohens_w")
    assert moved.flagged
    assert "%" in moved.explanation
    flags = [finding.flagged for finding in result.findings]
    assert flags == sorted(flags, reverse=True)
    assert all(f.value is not None for f in result.findings if f.measure == "cohens_w")
    for finding in result.findings:
        if finding.threshold is not None and finding.value is not None:
            assert finding.flagged == (finding.value > finding.threshold)
    json.dumps(result.to_json(), allow_nan=False)


def test_tfdv_distances_equal_those_of_a_schema_with_comparators(january: Baseline) -> None:
    import tensorflow_data_validation as tfdv

    profile = build_profile(rows_of(of_months(flights(), 7)), january)
    previous = build_profile(rows_of(of_months(flights(), 6)), january)
    result = judge(profile, january, {PREVIOUS: previous}, SETTINGS)
    schema = schema_pb2.Schema()
    schema.ParseFromString(january.schema)
    for name in ("dest", "distance"):
        feature = tfdv.get_feature(schema, name)
        for comparator in (feature.skew_comparator, feature.drift_comparator):
            comparator.jensen_shannon_divergence.threshold = 0.01
            if name == "dest":
                comparator.infinity_norm.threshold = 0.01
    stats = [statistics_pb2.DatasetFeatureStatisticsList() for _ in range(3)]
    for parsed, serialized in zip(stats, (january.statistics, profile.statistics, previous.statistics), strict=True):
        parsed.ParseFromString(serialized)
    skew = tfdv.validate_statistics(stats[0], schema, serving_statistics=stats[1]).drift_skew_info
    drift = tfdv.validate_statistics(stats[1], schema, previous_statistics=stats[2]).drift_skew_info
    names = {1: "infinity_norm", 2: "jensen_shannon_divergence"}
    expected = {
        (info.path.step[0], names[m.type], reference): m.value
        for infos, field, reference in (
            (skew, "skew_measurements", "training"),
            (drift, "drift_measurements", "previous"),
        )
        for info in infos
        for m in getattr(info, field)
    }
    assert len(expected) == 6
    for (feature_name, measure, reference), value in expected.items():
        finding = _of(result, feature_name, measure, reference)
        assert finding.value == value
        assert not finding.flagged
        assert finding.outcome is Outcome.INFORMATIVE
        assert finding.threshold is None


@pytest.mark.parametrize(
    ("limit", "flagged"),
    [(0.2, True), (0.9, False)],
    ids=["the user's threshold is passed", "it is not passed"],
)
def test_a_tfdv_distance_flags_only_by_the_users_own_threshold(limit: float, flagged: bool) -> None:
    reference = Rows(pa.table({"colour": _strings({"red": 500, "blue": 500})}))
    schema = schema_pb2.Schema()
    schema.ParseFromString(create_baseline(reference).schema)
    schema.feature[0].skew_comparator.infinity_norm.threshold = limit
    baseline = create_baseline(reference, schema=schema.SerializeToString())
    profile = build_profile(Rows(pa.table({"colour": _strings({"red": 900, "blue": 100})})), baseline)
    finding = _of(judge(profile, baseline, {}, SETTINGS), "colour", "infinity_norm")
    assert finding.value == pytest.approx(0.4)
    assert finding.threshold == limit
    assert finding.flagged is flagged
    assert finding.outcome is Outcome.JUDGED


@pytest.mark.parametrize(
    ("written", "flagged"),
    [(False, False), (True, True)],
    ids=["an inferred domain warns", "a domain that the user wrote flags"],
)
def test_values_outside_of_a_domain(written: bool, flagged: bool) -> None:
    reference = Rows(pa.table({"colour": _strings({"red": 600, "blue": 400})}))
    inferred = create_baseline(reference)
    baseline = create_baseline(reference, schema=inferred.schema) if written else inferred
    profile = build_profile(Rows(pa.table({"colour": _strings({"red": 597, "blue": 400, "green": 3})})), baseline)
    result = judge(profile, baseline, {}, SETTINGS)
    finding = _of(result, "colour", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")
    assert finding.kind is Kind.SCHEMA_ANOMALY
    assert finding.flagged is flagged
    assert "green" in finding.explanation
    assert (finding.reason is not None) is not flagged


@pytest.mark.parametrize("written", [False, True], ids=["inferred schema", "written schema"])
def test_a_column_that_is_gone_flags(written: bool) -> None:
    reference = Rows(pa.table({"a": np.arange(500) % 7, "b": np.arange(500) % 3}))
    inferred = create_baseline(reference)
    baseline = create_baseline(reference, schema=inferred.schema) if written else inferred
    result = judge(build_profile(Rows(pa.table({"a": np.arange(500) % 7})), baseline), baseline, {}, SETTINGS)
    assert _of(result, "b", "SCHEMA_MISSING_COLUMN").flagged
    assert result.verdict is Verdict.FLAGGED


def test_a_missing_label_and_a_new_prediction_are_no_anomaly() -> None:
    values = np.arange(600) % 5
    training = Rows(pa.table({"a": values, "late": values % 2}), label="late")
    serving = Rows(pa.table({"a": values, "score": values / 5.0}), prediction="score")
    plain = create_baseline(training)
    written = schema_pb2.Schema()
    written.ParseFromString(plain.schema)
    del written.default_environment[:]
    for feature in written.feature:
        del feature.not_in_environment[:]
    for baseline in (plain, create_baseline(training, schema=written.SerializeToString())):
        result = judge(build_profile(serving, baseline), baseline, {}, SETTINGS)
        assert [f for f in result.findings if f.kind is Kind.SCHEMA_ANOMALY] == []
        assert all(f.feature != "late" for f in result.findings)
        assert result.verdict is Verdict.OK


def test_a_column_that_only_the_schema_knows_informs() -> None:
    rows = Rows(pa.table({"a": np.arange(600) % 5}))
    wide = create_baseline(Rows(pa.table({"a": np.arange(600) % 5, "id": np.arange(600)})))
    baseline = create_baseline(rows, schema=wide.schema)
    result = judge(build_profile(rows, baseline), baseline, {}, SETTINGS)
    assert not _of(result, "id", "SCHEMA_MISSING_COLUMN").flagged
    assert result.verdict is Verdict.OK


def test_values_of_the_wrong_type_are_a_flagged_finding() -> None:
    rows = Rows(pa.table({"a": np.arange(600) % 5}))
    baseline = create_baseline(rows)
    result = judge(build_profile(replace(rows, misfits={"a": Misfits(6, ('"x"',))}), baseline), baseline, {}, SETTINGS)
    finding = _of(result, "a", "type_mismatch")
    assert finding.flagged
    assert finding.value == 0.01
    assert '"x"' in finding.explanation


def test_a_prediction_that_the_baseline_lacks_drifts_against_the_previous_window() -> None:
    random = np.random.default_rng(0)
    training = create_baseline(Rows(pa.table({"a": random.normal(size=2_000)})))

    def window(mean: float) -> Rows:
        score = np.clip(random.normal(mean, 0.1, 2_000), 0.0, 1.0)
        return Rows(pa.table({"a": random.normal(size=2_000), "score": score}), prediction="score")

    before, same, moved = (build_profile(window(mean), training) for mean in (0.4, 0.4, 0.55))
    quiet = judge(same, training, {PREVIOUS: before}, SETTINGS)
    loud = judge(moved, training, {PREVIOUS: before}, SETTINGS)
    assert quiet.verdict is Verdict.OK
    finding = _of(loud, "score", "cohens_w", "previous")
    assert finding.kind is Kind.PREDICTION_DRIFT
    assert finding.flagged
    assert _of(loud, "score", "jensen_shannon_divergence", "previous").kind is Kind.PREDICTION_DRIFT
    assert {f.feature for f in loud.findings if f.flagged} == {"score"}


def test_a_new_category_of_five_percent_flags_even_among_300_rows_but_new_ids_do_not() -> None:
    random = np.random.default_rng(3)
    base = {"kind": random.choice(["a", "b", "c"], 5_000), "id": [f"id{i}" for i in range(5_000)]}
    baseline = create_baseline(Rows(pa.table(base)))
    kinds = np.concatenate([random.choice(["a", "b", "c"], 285), np.full(15, "new")])
    findings = _calibrated(Rows(pa.table({"kind": kinds, "id": [f"id{i}" for i in range(9_000, 9_300)]})), baseline)
    assert [(f.feature, f.measure) for f in findings if f.flagged] == [("kind", "unseen_share")]
    assert "'new' 5.0%" in next(f.explanation for f in findings if f.flagged)


def test_mass_outside_of_the_training_range_flags_and_names_the_maximum() -> None:
    random = np.random.default_rng(3)
    baseline = create_baseline(Rows(pa.table({"temp": random.uniform(0.0, 64.9, 5_000).round(1)})))
    values = np.concatenate([random.uniform(0.0, 64.9, 620), random.uniform(70.0, 90.0, 380)])
    findings = _calibrated(Rows(pa.table({"temp": values})), baseline)
    outside = next(f for f in findings if f.measure == "out_of_range_share")
    assert outside.flagged
    assert "38.0% above the training maximum 64.9" in outside.explanation
    assert next(f for f in findings if f.measure == "cohens_w").flagged


@pytest.mark.parametrize(
    ("missing", "flagged"),
    [(0, False), (5, False), (30, True)],
    ids=["nothing missing", "0.5% missing is below the least effect", "3% missing"],
)
def test_missing_values(missing: int, flagged: bool) -> None:
    baseline = create_baseline(Rows(pa.table({"a": np.arange(5_000) % 10})))
    values = [None if i < missing else i % 10 for i in range(1_000)]
    findings = _calibrated(Rows(pa.table({"a": pa.array(values, pa.int64())})), baseline)
    finding = next(f for f in findings if f.kind is Kind.MISSING_VALUES)
    assert finding.flagged is flagged
    assert finding.value == pytest.approx(missing / 1_000)


def test_settings_ignore_a_feature_or_raise_its_least_effect() -> None:
    random = np.random.default_rng(5)
    baseline = create_baseline(Rows(pa.table({n: random.normal(size=4_000) for n in "abc"})))
    moved = Rows(pa.table({n: random.normal(0.4, size=4_000) for n in "abc"}))
    settings = DetectionSettings(features={"a": FeatureSettings(ignore=True), "b": FeatureSettings(min_effect=0.6)})
    result = judge(build_profile(moved, baseline), baseline, {}, settings)
    assert {f.feature for f in result.findings if f.flagged} == {"c"}
    assert "a" not in {f.feature for f in result.findings}
    assert _of(result, "b", "cohens_w").threshold == 0.6


def test_few_rows_are_no_evidence_and_the_reason_says_how_many_would_do() -> None:
    random = np.random.default_rng(5)
    baseline = create_baseline(Rows(pa.table({"a": random.normal(size=4_000)})))
    result = judge(build_profile(Rows(pa.table({"a": random.normal(size=20)})), baseline), baseline, {}, SETTINGS)
    assert result.verdict is Verdict.INSUFFICIENT
    reason = _of(result, "a", "cohens_w").reason
    assert reason is not None
    assert reason.startswith("too few rows: 20 effective")
    enough = int(reason.split("about ")[1].split(" ")[0])
    table = Rows(pa.table({"a": random.normal(size=enough + 10)}))
    assert judge(build_profile(table, baseline), baseline, {}, SETTINGS).verdict is Verdict.OK


def test_a_window_without_rows_is_no_evidence() -> None:
    baseline = create_baseline(Rows(pa.table({"a": np.arange(100)})))
    empty = Rows(pa.table({"a": pa.array([], pa.int64())}), seen=7)
    result = judge(build_profile(empty, baseline), replace(baseline, number=4), {}, SETTINGS)
    assert result.verdict is Verdict.INSUFFICIENT
    assert (result.rows, result.rows_seen, result.baseline) == (0, 7, 4)
    assert result.findings[0].reason


def test_rows_of_one_request_are_not_independent_evidence() -> None:
    random = np.random.default_rng(8)
    baseline = create_baseline(Rows(pa.table({"a": random.normal(size=5_000)})))
    # 40 requests of 50 equal instances are 40 observations, not 2,000.
    of_request = np.repeat(np.arange(40, dtype=np.uint64), 50)
    rows = Rows(pa.table({"a": random.normal(size=40)[of_request]}))
    clustered = _calibrated(replace(rows, clusters=of_request), baseline)
    assert any(f.flagged for f in _calibrated(rows, baseline))
    assert not any(f.flagged for f in clustered)
    assert count_rows(replace(rows, clusters=of_request), baseline).n_effective == pytest.approx(40.0)


def _odd(n: int, random: np.random.Generator) -> pa.Table:
    normal = random.normal(size=n)
    return pa.table(
        {
            "all missing": pa.array([None] * n, pa.float64()),
            "all missing text": pa.array([None] * n, pa.string()),
            "constant": pa.array([5] * n, pa.int64()),
            "ids": pa.array([f"{value}" for value in random.random(n)], pa.string()),
            "big ids": pa.array(random.integers(0, 2**62, n), pa.int64()),
            "huge": np.where(normal > 0.0, 1e308, -1e308),
            "infinite": np.where(normal > 1.0, np.inf, normal),
            "only infinite": np.full(n, np.inf),
            "nan": np.where(normal > 1.0, np.nan, normal),
            "list": pa.array([[1.5] * int(v) for v in random.integers(0, 4, n)], pa.list_(pa.float64())),
            "bytes": pa.array([bytes([int(v)]) for v in random.integers(0, 256, n)], pa.binary()),
        }
    )


@pytest.mark.parametrize(
    ("reference", "rows", "verdict"),
    [
        (1_000, 1_000, Verdict.OK),
        (12_000, 1_000, Verdict.OK),
        (1_000, 1, Verdict.INSUFFICIENT),
        (1, 1, Verdict.INSUFFICIENT),
        (1_000, 0, Verdict.INSUFFICIENT),
    ],
    ids=["a thousand rows", "more ids than are remembered", "one row", "one row each", "none"],
)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_odd_columns_neither_crash_nor_flag(reference: int, rows: int, verdict: Verdict, weighted: bool) -> None:
    random = np.random.default_rng(4)

    def odd(n: int) -> Rows:
        return Rows(_odd(n, random), weights=random.uniform(1.0, 2.0, n) if weighted else None)

    baseline = create_baseline(odd(reference))
    profile = build_profile(odd(rows), baseline)
    result = judge(profile, baseline, {PREVIOUS: profile}, SETTINGS)
    assert [f for f in result.findings if f.flagged] == []
    assert judge(profile, baseline, {}, SETTINGS).verdict is verdict
    json.dumps(result.to_json(), allow_nan=False)


def test_a_profile_of_another_baseline_is_refused() -> None:
    one, two = (create_baseline(Rows(pa.table({"a": np.arange(n)}))) for n in (50, 60))
    with pytest.raises(InvariantBroken):
        judge(build_profile(Rows(pa.table({"a": np.arange(50)})), one), two, {}, SETTINGS)


def test_a_normal_winter_day_is_no_drift_but_a_summer_day_is() -> None:
    table = weather()
    winter = rows_of(of_months(table, 1, 2))
    baseline = create_baseline(winter, block_length=timedelta(days=1))
    assert baseline.blocks > 50

    def flagged(*months: int) -> Counter[str]:
        days = of_months(table, *months)
        counted: Counter[str] = Counter()
        for month in months:
            for day in range(1, 29):
                one = days.filter(
                    pa.compute.and_(pa.compute.equal(days["month"], month), pa.compute.equal(days["day"], day))
                )
                counted.update({str(f.feature) for f in _calibrated(rows_of(one), baseline) if f.flagged})
        return counted

    assert flagged(1, 2).total() <= 2
    summer = flagged(7)
    assert summer["temp"] == 28
    assert summer["dewp"] >= 20


def test_without_block_variation_every_winter_day_would_be_flagged() -> None:
    table = weather()
    baseline = create_baseline(rows_of(of_months(table, 1, 2)))
    day = table.filter(pa.compute.and_(pa.compute.equal(table["month"], 1), pa.compute.equal(table["day"], 24)))
    # Too few rows for shares, but this cold day's missing gusts stand out of the two months' mix.
    findings = _calibrated(replace(rows_of(pa.concat_tables([day] * 5)), event_times=None), baseline)
    assert any(f.flagged and f.feature == "temp" for f in findings)
