from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from monitor.compare.dependence import MEASURE, dependence_findings
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.columns import Column
from monitor.profile.joint.counts import PairCounts, count_pairs
from monitor.profile.joint.reference import PairReference, pair_reference
from monitor.profile.layout import Layout

Numbers = npt.NDArray[np.float64]
LEVEL = 1e-5


def _rows(count: int, seed: int) -> dict[str, Numbers]:
    rng = np.random.default_rng(seed)
    temp = rng.normal(15.0, 8.0, count)
    return {
        "dewp": temp - 5.0 + rng.normal(0.0, 4.0, count),
        "rush": np.floor(temp / 4.0),
        "temp": temp,
        "wind": rng.gamma(2.0, 3.0, count),
    }


def _read(rows: Mapping[str, Numbers]) -> dict[str, Column]:
    return {name: Column.of(pa.chunked_array([values])) for name, values in rows.items()}


_BASE = _read(_rows(20_000, seed=0))
FEATURES = {name: Layout.of(column, None, None).reference(None) for name, column in _BASE.items()}
KNOWN = pair_reference(_BASE, FEATURES, None, None, None)


def _counted(rows: Mapping[str, Numbers]) -> PairCounts:
    return count_pairs(_read(rows), KNOWN.layout, FEATURES, None, None)


def _judged(
    rows: Mapping[str, Numbers],
    *,
    known: PairReference = KNOWN,
    other: PairCounts | None = None,
    ignored: tuple[str, ...] = (),
    moved: tuple[str, ...] = (),
    min_effect: float = 0.1,
) -> dict[str, Finding]:
    findings = dependence_findings(
        _counted(rows),
        KNOWN.counts if other is None else other,
        known,
        reference="training",
        level=LEVEL,
        min_effect=min_effect,
        blocks=(1.0, 30.0),
        ignored=ignored,
        moved=moved,
    )
    return {finding.feature or "": finding for finding in findings}


def _flagged(findings: Mapping[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.flagged}


def _permuted(rows: Mapping[str, Numbers], name: str) -> dict[str, Numbers]:
    return {**rows, name: np.random.default_rng(9).permutation(rows[name])}


PAIRS_OF_DEWP = {"dewp x temp", "dewp x rush"}


@pytest.mark.parametrize("count", [300, 1_000, 5_000])
def test_a_permuted_column_is_found_in_every_pair_that_it_belonged_to(count: int) -> None:
    findings = _judged(_permuted(_rows(count, seed=1), "dewp"))
    assert _flagged(findings) == PAIRS_OF_DEWP
    found = findings["dewp x temp"]
    assert found.kind is Kind.JOINT_DRIFT
    assert found.measure == MEASURE
    assert found.value is not None
    assert found.threshold is not None
    assert found.value > found.threshold >= 0.1
    assert found.p_value is not None
    assert found.p_value < LEVEL / len(findings)
    assert found.explanation.startswith("dewp and temp: they moved together before (Cramer's V 0.")
    assert "of the rows" in found.explanation


@pytest.mark.parametrize("count", [300, 1_000, 5_000])
def test_rows_like_the_baselines_are_no_news(count: int) -> None:
    findings = _judged(_rows(count, seed=2))
    assert len(findings) == 6
    assert not _flagged(findings)


def test_a_new_dependence_is_found() -> None:
    rows = _rows(1_000, seed=3)
    rows["wind"] = 6.0 + 0.5 * np.abs(rows["temp"] - 15.0) + np.random.default_rng(0).normal(size=1_000)
    findings = _judged(rows)
    assert _flagged(findings) >= {"temp x wind"}
    assert "more than before" in findings["temp x wind"].explanation


def test_a_turned_dependence_is_found_though_it_is_as_strong_as_before() -> None:
    rows = _rows(1_000, seed=4)
    rows["dewp"] = 20.0 - rows["dewp"]
    findings = _judged(rows)
    assert _flagged(findings) == PAIRS_OF_DEWP
    assert "in another way" in findings["dewp x temp"].explanation


def _sampled(rows: Mapping[str, Numbers]) -> dict[str, Numbers]:
    kept = np.random.default_rng(1).random(len(rows["temp"])) < 1.0 / (1.0 + np.exp((rows["temp"] - 15.0) / 4.0))
    return {name: values[kept] for name, values in rows.items()}


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: {**rows, "temp": rows["temp"] + 4.0},
        lambda rows: {**rows, "temp": 15.0 + 1.3 * (rows["temp"] - 15.0)},
        lambda rows: {**rows, "temp": rows["temp"] * 1.8 + 32.0},
        lambda rows: {**rows, "temp": rows["temp"] * 1_000.0},
        lambda rows: {**rows, "temp": np.minimum(rows["temp"], 25.0)},
        lambda rows: {**rows, "temp": np.where(np.arange(5_000) % 20 == 0, np.nan, rows["temp"])},
        lambda rows: {**rows, "temp": np.full(5_000, 15.0)},
        _sampled,
    ],
    ids=[
        "shifted",
        "scaled",
        "in another unit",
        "a thousandfold",
        "clipped",
        "missing",
        "constant",
        "cold rows preferred",
    ],
)
def test_a_change_of_one_column_alone_is_not_flagged(change: object) -> None:
    assert callable(change)
    assert not _flagged(_judged(change(_rows(5_000, seed=5))))


def test_a_small_change_is_not_flagged_however_sure_it_is() -> None:
    rows = _rows(20_000, seed=6)
    rows["dewp"] = rows["dewp"] + np.random.default_rng(0).normal(0.0, 2.5, 20_000)
    assert not _flagged(_judged(rows))
    assert "dewp x temp" in _flagged(_judged(rows, min_effect=0.001))


def test_ignored_features_are_not_compared() -> None:
    assert set(_judged(_rows(1_000, seed=1), ignored=("dewp", "wind"))) == {"rush x temp"}
    assert _judged(_rows(1_000, seed=1), ignored=("dewp", "wind", "rush")) == {}


def test_pairs_of_a_feature_whose_values_moved_are_measured_and_not_flagged() -> None:
    findings = _judged(_permuted(_rows(1_000, seed=1), "dewp"), moved=("temp",))
    assert _flagged(findings) == {"dewp x rush"}
    told = findings["dewp x temp"]
    assert told.outcome is Outcome.INFORMATIVE
    assert told.reason == "the values of temp changed by themselves, which may take the dependence along"
    assert told.value is not None
    assert told.value > 0.3


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "too few rows or values"), (8, "too few rows or values"), (60, "effective rows on")],
    ids=["no rows", "eight rows", "sixty rows"],
)
def test_too_few_rows_inform_and_never_make_a_window_insufficient(count: int, said: str) -> None:
    for finding in _judged(_permuted(_rows(count, seed=1), "dewp")).values():
        assert finding.outcome is Outcome.INFORMATIVE
        assert finding.reason is not None
        assert said in finding.reason
        assert not finding.flagged


def test_an_earlier_window_is_compared_on_both_numbers_of_rows() -> None:
    before = _counted(_rows(1_000, seed=7))
    assert not _flagged(_judged(_rows(1_000, seed=8), other=before))
    assert _flagged(_judged(_permuted(_rows(1_000, seed=8), "dewp"), other=before)) == PAIRS_OF_DEWP


def test_what_varies_from_block_to_block_is_no_news() -> None:
    varying = np.tile([0.4, 0.1, 0.01, 30.0], (len(KNOWN.layout.pairs), 1))
    known = PairReference(KNOWN.layout, KNOWN.counts, varying)
    assert not _flagged(_judged(_permuted(_rows(1_000, seed=1), "dewp"), known=known))
    steady = PairReference(KNOWN.layout, KNOWN.counts, np.tile([1e-4, 1e-8, 1e-10, 30.0], (len(KNOWN.layout.pairs), 1)))
    assert _flagged(_judged(_permuted(_rows(1_000, seed=1), "dewp"), known=steady)) == PAIRS_OF_DEWP
