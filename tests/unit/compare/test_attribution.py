from __future__ import annotations

import numpy as np
import pytest

from monitor.compare.attribution import attribution_findings, ndcg
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.attributions import AttributionCounts
from monitor.profile.document import Floats

NAMES = ("carrier", "distance", "hour", "origin")
TRAINED = np.array([0.2, 0.5, 0.2, 0.1])
MOVED = np.array([0.4, 0.1, 0.3, 0.2])


def _drawn(seed: int, rows: int, means: Floats = TRAINED, spread: float = 0.7) -> dict[str, Floats]:
    random = np.random.default_rng(seed)
    sizes = means * np.exp(spread * random.normal(size=(rows, len(means))))
    signed = sizes * random.choice([-1.0, 1.0], sizes.shape)
    return dict(zip(NAMES, signed.T, strict=True))


def _found(
    now: AttributionCounts, before: AttributionCounts, level: float = 0.005, min_effect: float = 0.02
) -> dict[str | None, Finding]:
    found = attribution_findings(now, before, level=level, min_effect=min_effect, reference_name="training")
    return {finding.feature: finding for finding in found}


REFERENCE = AttributionCounts.of(_drawn(1, 5_000))


def test_each_feature_has_a_finding_and_a_sentence_that_a_person_reads() -> None:
    found = _found(AttributionCounts.of(_drawn(2, 1_000, MOVED)), REFERENCE)
    assert set(found) == {*NAMES, None}
    fallen = found["distance"]
    assert fallen.flagged
    assert fallen.kind is Kind.ATTRIBUTION_DRIFT
    assert fallen.explanation.startswith("distance fell from rank 1 (")
    assert "of attribution) to rank 4 (" in fallen.explanation
    assert fallen.value == pytest.approx(0.4, abs=0.03)
    assert fallen.p_value is not None
    assert fallen.p_value < 1e-10


def test_attributions_of_the_same_model_and_data_are_no_drift() -> None:
    found = _found(AttributionCounts.of(_drawn(3, 1_000)), REFERENCE)
    assert not any(finding.flagged for finding in found.values())
    assert found["distance"].explanation.startswith("distance keeps rank 1: ")


def test_false_alarms_keep_to_the_level_though_attributions_have_heavy_tails() -> None:
    alarms = 0
    for seed in range(150):
        now = AttributionCounts.of(_drawn(seed + 10, 300, spread=1.3))
        before = AttributionCounts.of(_drawn(seed + 10_000, 2_000, spread=1.3))
        alarms += any(finding.flagged for finding in _found(now, before, level=0.05, min_effect=0.0).values())
    # A plain t-test at this level flags far more.
    assert alarms <= 7


def test_a_change_below_the_least_effect_does_not_flag_however_sure() -> None:
    slightly = np.array([0.21, 0.49, 0.2, 0.1])
    now, before = AttributionCounts.of(_drawn(4, 50_000, slightly)), AttributionCounts.of(_drawn(5, 50_000))
    assert any(finding.flagged for finding in _found(now, before, min_effect=0.0).values())
    assert not any(finding.flagged for finding in _found(now, before).values())


def test_too_few_rows_are_said_and_how_many_would_do() -> None:
    found = _found(AttributionCounts.of(_drawn(6, 20, spread=1.0)), REFERENCE)
    lacking = found["distance"]
    assert lacking.outcome is Outcome.INSUFFICIENT
    assert lacking.reason is not None
    assert lacking.reason.startswith("too few rows: 20 of about ")


def test_rows_of_one_request_count_as_one() -> None:
    once = _drawn(7, 40, MOVED)
    often = {name: np.repeat(values, 50) for name, values in once.items()}
    alone = AttributionCounts.of(once)
    together = AttributionCounts.of(often, clusters=np.repeat(np.arange(40), 50))
    first, second = _found(alone, REFERENCE), _found(together, REFERENCE)
    for name in NAMES:
        assert second[name].p_value == pytest.approx(first[name].p_value)
    unaware = _found(AttributionCounts.of(often), REFERENCE)
    assert float(unaware["hour"].p_value or 0.0) < float(first["hour"].p_value or 0.0) / 1e3


def test_days_that_differ_by_themselves_are_no_drift_where_the_reference_knows_days() -> None:
    random = np.random.default_rng(8)

    def days(count: int) -> dict[str, Floats]:
        drawn = [
            _drawn(int(random.integers(1 << 30)), 500, TRAINED * np.exp(0.2 * random.normal(size=4)))
            for _ in range(count)
        ]
        return {name: np.concatenate([day[name] for day in drawn]) for name in NAMES}

    past, numbers = days(30), np.repeat(np.arange(30), 500)
    aware, unaware = AttributionCounts.of(past, blocks=numbers), AttributionCounts.of(past)
    today = [AttributionCounts.of(days(1), blocks=np.zeros(500, np.int64)) for _ in range(20)]
    assert sum(any(f.flagged for f in _found(day, unaware).values()) for day in today) >= 10
    assert sum(any(f.flagged for f in _found(day, aware).values()) for day in today) <= 1
    shifted = AttributionCounts.of(_drawn(9, 500, MOVED), blocks=np.zeros(500, np.int64))
    assert _found(shifted, aware)["distance"].flagged


def test_a_feature_on_one_side_only_has_no_attribution_on_the_other() -> None:
    more = {**_drawn(10, 1_000), "weather": np.full(1_000, 0.5)}
    found = _found(AttributionCounts.of(more), REFERENCE)
    assert found["weather"].flagged
    assert "from rank 5 (0.0% of attribution)" in found["weather"].explanation


@pytest.mark.parametrize("side", ["window", "reference"])
def test_without_attributions_there_is_no_evidence(side: str) -> None:
    nothing = AttributionCounts.of({name: np.zeros(100) for name in NAMES})
    pair = (nothing, REFERENCE) if side == "window" else (REFERENCE, nothing)
    found = _found(*pair)
    assert [finding.outcome for finding in found.values()] == [Outcome.INSUFFICIENT]


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ((3.0, 2.0, 1.0), 1.0),
        ((30.0, 20.0, 10.0), 1.0),
        ((1.0, 2.0, 3.0), (1 + 2 / np.log2(3) + 1.5) / (3 + 2 / np.log2(3) + 0.5)),
    ],
    ids=["the same", "the same ranks", "turned round"],
)
def test_ndcg_discounts_by_rank(current: tuple[float, ...], expected: float) -> None:
    assert ndcg(np.array(current), np.array([3.0, 2.0, 1.0])) == pytest.approx(expected)


def test_the_agreement_of_ranks_only_informs() -> None:
    agreement = _found(AttributionCounts.of(_drawn(2, 1_000, MOVED)), REFERENCE)[None]
    assert agreement.outcome is Outcome.INFORMATIVE
    assert not agreement.flagged
    assert agreement.value is not None
    assert agreement.value < 0.9
