"""How a verdict came about: whoever does it again with what is shown gets the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from scipy import stats

from monitor.compare.calibrated import corrected_level
from monitor.compare.case import PREVIOUS, Case, Reference
from monitor.compare.explanation import Explained, cell_labels, explained
from monitor.compare.findings import Finding
from monitor.compare.judge import judge
from monitor.compare.measures import hellinger, jensen_shannon
from monitor.compare.plan import plan_of
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.profile import Profile, count_rows
from monitor.records import Rows
from monitor.report.explained import print_explained
from tests.slicing import HOUR, baseline_of

SETTINGS = DetectionSettings()


def rows(seed: int, *, red: float = 0.5, shift: float = 0.0, count: int = 3_000, timed: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    rest = (1.0 - red) / 2.0
    x = np.where(random.random(count) < 0.1, np.nan, random.normal(shift, 1.0, count))
    times = np.sort(random.integers(0, 240, count)) * HOUR
    colours = random.choice(["red", "green", "blue"], count, p=[red, rest, rest])
    return Rows(pa.table({"colour": colours, "x": x}), event_times=times if timed else None)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(rows(1))


def case_of(profile: Profile, baseline: Baseline, settings: DetectionSettings = SETTINGS, **earlier: Profile) -> Case:
    references = [Reference.training(baseline), *(Reference.earlier(name, each) for name, each in earlier.items())]
    return Case(profile, baseline, references, settings)


def explain(feature: str, current: Rows, baseline: Baseline) -> Explained:
    (one,) = explained(plan_of(case_of(count_rows(current, baseline), baseline)), feature)
    return one


def of(findings: Sequence[Finding], measure: str) -> Finding:
    (found,) = [each for each in findings if each.measure == measure]
    return found


def w_of(one: Explained) -> float:
    """Compute Cohen's w of the cells as somebody would who has only what is shown."""
    before, now = (np.array([getattr(cell, side) for cell in one.cells[:-1]]) for side in ("reference", "current"))
    q, p = before / before.sum(), now / now.sum()
    big, n = one.effective
    pooled = (p * n + q * big) / (n + big)
    return math.sqrt(float(((p - q) ** 2 / pooled).sum()))


def test_the_cells_give_the_value_and_the_level_gives_the_threshold(baseline: Baseline) -> None:
    one = explain("colour", rows(2, red=0.6), baseline)
    finding = of(one.findings, "cohens_w")
    assert finding.value == pytest.approx(w_of(one))
    big, n = one.effective
    assert (big, n) == (3_000.0, 3_000.0)
    h = n * big / (n + big)
    assert finding.threshold == pytest.approx(max(0.1, math.sqrt(stats.chi2.isf(one.level, 2) / h)))
    assert finding.p_value == pytest.approx(stats.chi2.sf(h * w_of(one) ** 2, 2))
    assert finding.flagged


def test_numbers_of_many_cells_give_the_value_too(baseline: Baseline) -> None:
    one = explain("x", rows(2, shift=0.2), baseline)
    inner = [cell for cell in one.cells[:-1] if min(cell.reference, cell.current) >= 40.0]
    assert len(inner) >= 15
    # The cells outside of the range expect too few rows and are joined with their neighbours.
    assert of(one.findings, "cohens_w").value == pytest.approx(w_of(one), rel=0.02)


def test_the_findings_are_those_of_the_verdict(baseline: Baseline) -> None:
    profile = count_rows(rows(2, red=0.6, shift=0.5), baseline)
    before = count_rows(rows(3), baseline)
    plan = plan_of(case_of(profile, baseline, previous=before))
    judged = judge(profile, baseline, {PREVIOUS: before}, SETTINGS)
    for feature in ("colour", "x"):
        made = explained(plan, feature)
        assert [each.reference for each in made] == ["training", "previous"]
        shown = [finding for each in made for finding in each.findings]
        assert len(shown) == sum(each.feature == feature and each.p_value is not None for each in judged.findings)
        assert all(finding in judged.findings for finding in shown)


def test_the_level_is_that_of_all_comparisons_of_the_window(baseline: Baseline) -> None:
    one = explain("colour", rows(2), baseline)
    assert one.deciding == 3 + 4
    assert one.level == corrected_level(0.01, 7)


def test_parts_say_which_cells_it_comes_from(baseline: Baseline) -> None:
    one = explain("colour", rows(2, red=0.8), baseline)
    parts = {cell.label: cell.part for cell in one.cells}
    assert list(parts) == ["blue", "green", "red", "missing"], "in the order of the values, empty cells left out"
    red = one.cells[2]
    q, p = red.reference / 3_000.0, red.current / 3_000.0
    assert parts["red"] == pytest.approx((p - q) ** 2 / ((p + q) / 2.0) / w_of(one) ** 2)
    assert sum(parts.values()) == pytest.approx(1.0)
    assert parts["missing"] == 0.0


def test_missing_values_stand_last_with_their_rows(baseline: Baseline) -> None:
    current = rows(2)
    one = explain("x", current, baseline)
    missing = one.cells[-1]
    assert missing.label == "missing"
    assert missing.current == np.isnan(np.array(current.features["x"])).sum()
    assert missing.current + sum(cell.current for cell in one.cells[:-1]) == 3_000.0


def test_distances_are_those_of_the_shown_cells(baseline: Baseline) -> None:
    one = explain("colour", rows(2, red=0.6), baseline)
    q, p = (np.array([getattr(cell, side) for cell in one.cells[:-1]]) / 3_000.0 for side in ("reference", "current"))
    assert one.measures["jensen_shannon"] == pytest.approx(jensen_shannon(p, q))
    assert one.measures["hellinger"] == pytest.approx(hellinger(p, q))
    assert one.measures["l_infinity"] == pytest.approx(float(np.abs(p - q).max()))


def test_a_reference_is_shown_as_it_is_expected_in_the_windows_season() -> None:
    timed = rows(1, timed=True, count=24_000)
    assert timed.event_times is not None
    night = timed.event_times // HOUR % 24 < 12
    colours = np.where(night, "red", np.array(timed.features["colour"]))
    seasonal = baseline_of(replace(timed, features=timed.features.set_column(0, "colour", pa.array(colours))))
    now = Rows(pa.table({"colour": ["red"] * 300, "x": [0.0] * 300}), event_times=np.full(300, 500 * 24 * HOUR))
    one = explain("colour", now, seasonal)
    assert [(cell.label, cell.reference > 0.0) for cell in one.cells[:-1]] == [("red", True)]
    assert one.effective[0] < 2_000.0, "of the rows of that hour"
    assert of(one.findings, "cohens_w").value == 0.0


def test_values_that_occur_once_in_the_reference_are_shown_as_they_are_compared() -> None:
    random = np.random.default_rng(0)

    def ids(first: int) -> Rows:
        usual = random.choice(["a", "b", "c"], 2_000).tolist()
        return Rows(pa.table({"c": usual + [f"id{number}" for number in range(first, first + 300)]}))

    with_ids = baseline_of(ids(0))
    for first in (0, 1_000):
        one = explain("c", ids(first), with_ids)
        finding = of(one.findings, "cohens_w")
        assert not finding.flagged
        assert finding.value == pytest.approx(w_of(one), rel=0.05)


def test_the_references_own_rows_are_at_no_distance_from_it() -> None:
    ids = Rows(pa.table({"c": ["a"] * 500 + [f"id{number}" for number in range(300)]}))
    one = explain("c", ids, baseline_of(ids))
    assert one.measures["jensen_shannon"] == pytest.approx(0.0)


def test_a_feature_that_is_not_compared_has_no_explanation(baseline: Baseline) -> None:
    plan = plan_of(case_of(count_rows(rows(2), baseline), baseline))
    assert explained(plan, "colours") == []
    ignoring = DetectionSettings.model_validate({"features": {"x": {"ignore": True}}})
    assert explained(plan_of(case_of(count_rows(rows(2), baseline), baseline, ignoring)), "x") == []


def test_a_feature_without_values_is_explained_by_what_is_missing(baseline: Baseline) -> None:
    none = rows(2)
    none = replace(none, features=none.features.set_column(1, "x", pa.array([None] * 3_000, pa.float64())))
    one = explain("x", none, baseline)
    assert [finding.measure for finding in one.findings] == ["missing_rate"]
    assert one.cells[-1].current == 3_000.0
    assert all(cell.part == 0.0 or cell.current == 0.0 for cell in one.cells)
    assert one.measures.keys() == {"missing_rate"}


@pytest.mark.parametrize(
    ("bins", "labels"),
    [
        pytest.param(NumericBins(np.array([])), ["any number"], id="no edges"),
        pytest.param(NumericBins(np.array([1.5])), ["below 1.5", "1.5 and above"], id="one"),
        pytest.param(
            NumericBins(np.array([0.0, 1.0 / 3.0, 2e9])),
            ["below 0", "0 to 0.333333", "0.333333 to 2e+09", "2e+09 and above"],
            id="three",
        ),
        pytest.param(
            NumericBins(np.array([5.0, np.nextafter(5.0, 6.0)])),
            ["below 5", "5", "5 and above"],
            id="a cell of one value",
        ),
        pytest.param(
            CategoricalBins((b"", b"UA", b"\xff"), (b"x",), complete=True),
            ["(empty text)", "UA", "\\xff", *["other known values"] * 16, "values new to the reference"],
            id="categories",
        ),
    ],
)
def test_cells_are_named_by_the_values_that_they_hold(bins: NumericBins | CategoricalBins, labels: list[str]) -> None:
    assert cell_labels(bins) == labels
    assert len(labels) == bins.size


def printed(one: Sequence[Explained]) -> str:
    stream = StringIO()
    print_explained(Console(file=stream, width=120, highlight=False), one, 0.01)
    return stream.getvalue()


def test_a_page_says_cells_distances_level_formulas_and_the_distribution_of_no_change(baseline: Baseline) -> None:
    one = explain("colour", rows(2, red=0.6), baseline)
    page = printed([one])
    assert page.startswith("colour against training\n")
    finding = of(one.findings, "cohens_w")
    for said in (
        "distances on these cells",
        "half of 0.01 / 7 comparisons of this window = 0.000714 for each",
        f"Cohen's w {finding.value:.3g}, limit {finding.threshold:.3g}, p = {finding.p_value:.3g}: flagged",
        "w = sqrt(sum (p - q)^2 / pooled share)",
        finding.null,
        finding.explanation,
    ):
        assert said in " ".join(page.split()), said


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    odd = Rows(pa.table({"[b]": ["[red]", "[/]"] * 500}))
    page = printed([explain("[b]", odd, baseline_of(odd))])
    assert "[b] against training" in page
    assert "[red]" in page
    assert "[/]" in page


def test_hash_buckets_of_other_values_are_one_line() -> None:
    random = np.random.default_rng(1)
    many = Rows(pa.table({"c": random.integers(0, 500, 5_000).astype(str)}))
    page = printed([explain("c", many, baseline_of(many))])
    assert page.count("other known values") == 1
    assert "100.00%" in page
