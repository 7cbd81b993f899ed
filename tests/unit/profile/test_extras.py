"""What baselines and profiles keep beside single columns: it survives its document, adds up, and is compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from monitor.compare.case import PREVIOUS, TRAINING, Case, Reference
from monitor.compare.findings import Finding, Kind, Verdict
from monitor.compare.judge import calibrated_findings, judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.extras import (
    NO_EXTRAS,
    NOTHING_BESIDE,
    BaselineExtras,
    ProfileExtras,
    added,
    is_attribution,
)
from monitor.profile.joint.counts import FIXED
from monitor.profile.profile import Profile, build_profile, count_rows
from monitor.profile.rollup import rolled_up
from monitor.records import Rows

HOUR = 3_600_000_000
TOPICS = {
    "food": ["the", "soup", "was", "warm", "and", "the", "bread", "came", "with", "good", "butter"],
    "cars": ["my", "engine", "makes", "an", "odd", "noise", "when", "brakes", "get", "cold", "again"],
}
SETTINGS = DetectionSettings(joint=True)


def rows(
    count: int,
    seed: int,
    *,
    topic: str = "food",
    turned: float = 0.0,
    leaning: float = 1.0,
    first_hour: int = 0,
) -> Rows:
    """Return rows with a text, a vector, two numbers that go together, and attributions; `turned` shifts the vectors."""
    random = np.random.default_rng(seed)
    words = np.array(TOPICS[topic])
    texts = [" ".join(words[random.integers(0, len(words), 8)]) for _ in range(count)]
    vectors = random.normal(size=(count, 8)) + turned
    x = random.normal(size=count)
    table = {
        "comment": texts,
        "embedding": pa.array(vectors.tolist()),
        "x": x,
        "y": x + random.normal(scale=0.5, size=count),
        "attribution.x": random.normal(scale=leaning, size=count),
        "attribution.y": random.normal(size=count),
    }
    times = first_hour * HOUR + np.sort(random.integers(0, 12 * HOUR, count))
    clusters = np.arange(count, dtype=np.uint64) + np.uint64(seed * 100_000)
    return Rows(pa.table(table), event_times=times, clusters=clusters, seen=count)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return create_baseline(rows(4_000, 1), block_length=timedelta(hours=1), joint=True)


def read_again(document: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(document, allow_nan=False))


def found(current: Profile, baseline: Baseline, settings: DetectionSettings = SETTINGS) -> list[Finding]:
    return list(calibrated_findings(Case(current, baseline, [Reference.training(baseline)], settings)))


def flagged(findings: list[Finding]) -> set[tuple[str | None, str]]:
    return {(each.feature, each.measure) for each in findings if each.flagged}


def test_derived_columns_stand_for_their_sources_and_attributions_are_no_features(baseline: Baseline) -> None:
    names = set(baseline.features)
    assert {"x", "y", "comment.length", "comment.language", "embedding.norm"} <= names
    assert not names & {"comment", "embedding", "attribution.x", "attribution.y"}
    assert set(baseline.extras.vectors) == {"embedding"}
    assert {"comment.length", "embedding.norm"} <= set(baseline.extras.moments)
    assert baseline.extras.attributions is not None
    assert baseline.extras.attributions.names == ("x", "y")
    assert baseline.extras.pairs is not None
    assert is_attribution("attribution.x")
    assert not is_attribution("attributions")


def test_a_baselines_extras_survive_their_document(baseline: Baseline) -> None:
    extras = baseline.extras
    again = BaselineExtras.from_document(read_again(extras.to_document()))
    assert again.to_document() == extras.to_document()
    assert (again.derived, again.moments) == (extras.derived, extras.moments)
    assert BaselineExtras.from_document(read_again(NO_EXTRAS.to_document())) == NO_EXTRAS


def test_a_profiles_extras_survive_their_document(baseline: Baseline) -> None:
    extras = count_rows(rows(500, 2), baseline).extras
    assert set(extras.vectors) == {"embedding"}
    assert extras.pairs is not None
    assert extras.attributions is not None
    again = ProfileExtras.from_document(read_again(extras.to_document()))
    assert again.to_document() == extras.to_document()
    assert again.moments == extras.moments
    assert ProfileExtras.from_document(read_again(NOTHING_BESIDE.to_document())) == NOTHING_BESIDE
    assert ProfileExtras.from_document(None) == NOTHING_BESIDE
    assert BaselineExtras.from_document(None) == NO_EXTRAS


@pytest.mark.parametrize("moved", [False, True], ids=["a window like it", "one in which all moved"])
def test_a_baseline_and_a_profile_from_their_documents_judge_alike(baseline: Baseline, moved: bool) -> None:
    again = Baseline.from_document(read_again(baseline.to_document()))
    profile = build_profile(rows(1_500, 2, topic="cars" if moved else "food", leaning=3.0 if moved else 1.0), baseline)
    kept = Profile.from_document(read_again(profile.to_document()))
    one, other = (judge(each, by, {}, SETTINGS) for each, by in ((profile, baseline), (kept, again)))
    assert again.fingerprint == baseline.fingerprint
    assert one.to_json() == other.to_json()
    assert (one.verdict is Verdict.FLAGGED) is moved


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"topic": "cars"}, {"comment.unknown_words": "cohens_w"}, id="what texts are about"),
        pytest.param({"turned": 0.5}, {"embedding": "vector_distance"}, id="where vectors point"),
        pytest.param(
            {"leaning": 3.0}, {"x": "attribution_share", "y": "attribution_share"}, id="what the model goes by"
        ),
    ],
)
def test_a_change_is_found_where_it_is(baseline: Baseline, current: dict[str, Any], expected: dict[str, str]) -> None:
    findings = found(count_rows(rows(1_500, 2, **current), baseline), baseline)
    assert {*expected.items()} <= flagged(findings)
    sources = {
        "comment" if str(name).startswith("comment") else str(name).split(".")[0] for name, _ in flagged(findings)
    }
    assert sources == {name.split(".")[0] for name in expected}
    assert {each.kind for each in findings if each.measure == "attribution_share"} == {Kind.ATTRIBUTION_DRIFT}
    singly = {each.kind for each in findings if each.feature in baseline.features}
    assert singly == {Kind.SKEW, Kind.MISSING_VALUES, Kind.ATTRIBUTION_DRIFT}
    assert [each.feature for each in findings if each.measure == "vector_distance"] == ["embedding"]


def test_a_change_of_what_goes_together_is_found_where_joint_drift_is_asked_for(baseline: Baseline) -> None:
    current = rows(1_500, 2)
    mixed = np.random.default_rng(0).permutation(np.array(current.features["y"]))
    loose = replace(current, features=current.features.set_column(3, "y", pa.array(mixed)))
    findings = found(count_rows(loose, baseline), baseline)
    assert {each.kind for each in findings if each.flagged} == {Kind.JOINT_DRIFT}
    plain = found(count_rows(loose, baseline), baseline, DetectionSettings())
    assert not any(each.kind is Kind.JOINT_DRIFT for each in plain)


def test_all_of_it_is_compared_with_earlier_windows_too(baseline: Baseline) -> None:
    before = build_profile(rows(1_500, 2), baseline)
    current = build_profile(rows(1_500, 3, topic="cars", turned=0.5, leaning=3.0), baseline)
    settings = DetectionSettings(references=["previous"], joint=True)
    result = judge(current, baseline, {PREVIOUS: before}, settings)
    assert {each.reference for each in result.findings if each.p_value is not None} == {PREVIOUS}
    assert {
        ("comment.language", "cohens_w"),
        ("embedding", "vector_distance"),
        ("x", "attribution_share"),
    } <= flagged(list(result.findings))
    same = judge(build_profile(rows(1_500, 4), baseline), baseline, {PREVIOUS: before}, settings)
    assert same.verdict is Verdict.OK
    measures = {each.measure for each in same.findings}
    assert {"vector_distance", "attribution_share"} <= measures


def test_what_an_earlier_window_lacks_is_not_compared_with_it(baseline: Baseline) -> None:
    bare = replace(build_profile(rows(1_500, 2), baseline), extras=NOTHING_BESIDE)
    current = build_profile(rows(1_500, 3, turned=0.5, leaning=3.0), baseline)
    settings = DetectionSettings(references=["previous"], joint=True)
    measures = {each.measure for each in judge(current, baseline, {PREVIOUS: bare}, settings).findings}
    assert not {"vector_distance", "attribution_share"} & measures


@pytest.mark.parametrize(
    ("ignored", "gone"),
    [
        ("comment", {"comment.length", "comment.words", "comment.unknown_words", "comment.language"}),
        ("comment.words", {"comment.words"}),
        (
            "embedding",
            {
                *("embedding", "embedding.norm", "embedding.centroid_cosine"),
                *("embedding.direction1", "embedding.direction2", "embedding.direction3"),
            },
        ),
    ],
    ids=["a text", "one column of it", "vectors"],
)
def test_what_is_derived_of_an_ignored_column_is_ignored_with_it(
    baseline: Baseline, ignored: str, gone: set[str]
) -> None:
    settings = DetectionSettings.model_validate({"joint": True, "features": {ignored: {"ignore": True}}})
    profile = count_rows(rows(1_500, 2), baseline)
    before, after = (
        {name for each in found(profile, baseline, given) for name in (each.feature or "").split(" x ")}
        for given in (SETTINGS, settings)
    )
    assert gone <= before
    assert after == before - gone


def test_a_least_effect_of_a_source_counts_for_what_is_derived_of_it(baseline: Baseline) -> None:
    settings = DetectionSettings.model_validate(
        {"features": {"embedding": {"min_effect": 9.0}, "comment": {"min_effect": 9.0}}}
    )
    findings = found(count_rows(rows(1_500, 2, topic="food", turned=0.5), baseline), baseline, settings)
    limits = {each.threshold for each in findings if each.measure == "cohens_w" and (each.feature or "")[:1] in "ce"}
    assert limits == {9.0}
    assert flagged(findings) <= {
        ("embedding.norm", "out_of_range_share"),
        ("embedding.direction1", "out_of_range_share"),
    }


def test_windows_rolled_up_have_the_extras_of_all_their_rows(baseline: Baseline) -> None:
    parts = [rows(700, 2), rows(500, 3, first_hour=12)]
    together = count_rows(
        Rows(
            pa.concat_tables([each.features for each in parts]),
            event_times=np.concatenate([each.event_times for each in parts if each.event_times is not None]),
            clusters=np.concatenate([each.clusters for each in parts if each.clusters is not None]),
        ),
        baseline,
    )
    rolled = rolled_up([count_rows(each, baseline) for each in parts])
    assert rolled.extras.moments == {}
    assert rolled.extras.vectors.keys() == together.extras.vectors.keys()
    one, other = rolled.extras.vectors["embedding"], together.extras.vectors["embedding"]
    assert_allclose(one.means, other.means)
    assert one.effective == pytest.approx(other.effective)
    assert rolled.extras.attributions is not None
    assert together.extras.attributions is not None
    assert_allclose(rolled.extras.attributions.products, together.extras.attributions.products)
    assert rolled.extras.pairs is not None
    assert together.extras.pairs is not None
    assert_allclose(rolled.extras.pairs.tables[:, FIXED], together.extras.pairs.tables[:, FIXED])
    a, b = (
        {(each.feature, each.measure): each.value for each in found(profile, baseline, DetectionSettings())}
        for profile in (rolled, together)
    )
    assert a.keys() == b.keys()
    for place, value in a.items():
        assert value == pytest.approx(b[place]), place


def test_what_one_of_several_windows_lacks_their_sum_lacks(baseline: Baseline) -> None:
    whole = count_rows(rows(300, 2), baseline).extras
    assert added([whole, NOTHING_BESIDE]) == NOTHING_BESIDE
    vectors_only = ProfileExtras(vectors=whole.vectors)
    assert added([whole, vectors_only]).vectors.keys() == {"embedding"}
    assert added([whole, vectors_only]).attributions is None


def older(baseline: Baseline) -> Baseline:
    """Return a baseline as a version that knew no calendar, slices or extras wrote it."""
    document = read_again(baseline.to_document())
    for name in ("calendar", "slices", "extras"):
        del document[name]
    seasonal = ("seasonal_values", "seasonal_presence", "seasonal_location")
    for feature in document["features"].values():
        if feature["blocks"] is not None:
            feature["blocks"] = {name: each for name, each in feature["blocks"].items() if name not in seasonal}
    return Baseline.from_document(document)


def plain(count: int, seed: int, x: float = 0.0) -> Rows:
    random = np.random.default_rng(seed)
    table = pa.table({"x": random.normal(x, 1.0, count), "kind": random.choice(["a", "b"], count)})
    return Rows(table, event_times=np.sort(random.integers(0, 200 * HOUR, count)))


@pytest.mark.parametrize(("x", "verdict"), [(0.0, Verdict.OK), (0.5, Verdict.FLAGGED)], ids=["alike", "moved"])
def test_an_older_baseline_is_judged_without_its_own_variation_in_time(x: float, verdict: Verdict) -> None:
    baseline = create_baseline(plain(4_000, 1), block_length=timedelta(hours=1))
    assert baseline.calendar is not None
    old = older(baseline)
    assert (old.calendar, old.extras, old.slices.kept) == (None, NO_EXTRAS, {})
    assert all(reference.blocks is None for reference in old.features.values())
    assert old.fingerprint == baseline.fingerprint, "windows that were profiled on it stay comparable"
    current = build_profile(plain(1_500, 2, x), baseline)
    result = judge(current, old, {}, SETTINGS)
    untimed = create_baseline(replace(plain(4_000, 1), event_times=None))
    assert result.verdict is verdict
    assert result.findings == judge(replace(current, baseline=untimed.fingerprint), untimed, {}, SETTINGS).findings
    json.dumps(result.to_json(), allow_nan=False)


def test_a_profile_of_before_there_were_extras_is_a_reference_still(baseline: Baseline) -> None:
    document = build_profile(rows(1_500, 2), baseline).to_document()
    for name in ("extras", "mix"):
        del document[name]
    old = Profile.from_document(read_again(document))
    assert (old.extras, old.mix) == (NOTHING_BESIDE, None)
    result = judge(build_profile(rows(1_500, 3), baseline), baseline, {PREVIOUS: old}, SETTINGS)
    assert result.verdict is Verdict.OK
    assert {each.reference for each in result.findings if each.measure == "cohens_w"} == {TRAINING, PREVIOUS}
