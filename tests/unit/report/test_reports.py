"""The reports of a comparison: the verdict first, then what moved; nothing from the data can break them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from monitor.compare.findings import Finding, Outcome, Verdict, WindowFindings
from monitor.profile.bins import CategoricalBins, NumericBins
from monitor.profile.counts import Counts
from monitor.profile.features import FeatureCounts
from monitor.records import Window
from monitor.report.digest import Tally, digest, flagged_features
from monitor.report.distributions import Bar, Distribution, spread
from monitor.report.documents import json_line, json_list
from monitor.report.html import render_check
from monitor.report.terminal import print_backtest, print_check

MakeFinding = Callable[..., Finding]
MakeFound = Callable[..., WindowFindings]

NASTY = "<script>alert('x')</script> [bold] ' \" &"


def terminal(found: WindowFindings, width: int = 120) -> str:
    stream = io.StringIO()
    print_check(Console(file=stream, width=width, highlight=False), [found], "train.csv", 500, "now [draft].csv")
    return stream.getvalue()


def page(found: WindowFindings, *charts: Distribution) -> str:
    return render_check([found], charts, reference="train.csv", reference_rows=500, current="now.csv")


def test_the_verdict_comes_first_and_the_flagged_features_are_named(finding: MakeFinding, found: MakeFound) -> None:
    report = terminal(found(Verdict.FLAGGED, finding("temp", flagged=True, value=0.7), finding("wind")))
    assert report.splitlines()[0].strip() == "FLAGGED   1 feature changed: temp"
    assert "mean from 1 to 2" in report
    assert "0.7" in report
    assert "wind" not in report
    assert "now [draft].csv · 1,000 rows" in report


def test_a_quiet_comparison_tells_how_near_it_came(finding: MakeFinding, found: MakeFound) -> None:
    report = terminal(found(Verdict.OK, finding("temp", value=0.02), finding("wind", value=0.09)))
    assert report.splitlines()[0].strip() == "OK   none of 2 comparisons shows a change that matters"
    assert "wind Cohen's w 0.09 (limit 0.1)" in report


def test_lacking_evidence_tells_how_much_would_do_and_only_once(finding: MakeFinding, found: MakeFound) -> None:
    few = [finding(name, outcome=Outcome.INSUFFICIENT, value=None) for name in ("a", "b")]
    report = terminal(found(Verdict.INSUFFICIENT, *few, rows=20))
    assert report.splitlines()[0].strip() == "INSUFFICIENT EVIDENCE   2 of 2 comparisons lack evidence"
    assert report.count("300 would do") == 1


def test_no_rows_are_called_no_rows(found: MakeFound) -> None:
    assert digest(found(Verdict.INSUFFICIENT, rows=0)).headline == "there are no rows to judge"


def test_long_lists_are_cut_and_say_so(finding: MakeFinding, found: MakeFound) -> None:
    report = terminal(found(Verdict.FLAGGED, *[finding(f"f{number}", flagged=True) for number in range(40)]))
    assert "40 features changed: f0, f1, f2, f3, f4 and 35 more" in report
    assert "and 10 more: see --format json" in report
    assert "f35" not in report


def test_names_from_the_data_are_text_and_nothing_else(finding: MakeFinding, found: MakeFound) -> None:
    nasty = found(Verdict.FLAGGED, finding(NASTY, flagged=True))
    assert "[bold]" in terminal(nasty, width=300)
    html = page(nasty, Distribution(NASTY, [Bar(NASTY, 0.5, 0.5)]))
    assert "<script" not in html
    assert "&lt;script&gt;alert" in html


def test_the_page_needs_nothing_from_the_network_and_is_well_formed(finding: MakeFinding, found: MakeFound) -> None:
    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.loaded: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
            if tag not in ("meta", "i"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag != "i":
                assert self.open.pop() == tag

    parser = Parser()
    parser.feed(page(found(Verdict.FLAGGED, finding(flagged=True)), Distribution("temp", [Bar("below 5", 0.25, 1.0)])))
    assert (parser.open, parser.loaded) == ([], [])


def test_bars_are_drawn_to_the_longest(finding: MakeFinding, found: MakeFound) -> None:
    html = page(found(Verdict.FLAGGED, finding(flagged=True)), Distribution("temp", [Bar("below 5", 0.1, 0.4)]))
    assert 'class="bar reference" style="width: 25.00%"' in html
    assert 'class="bar current" style="width: 100.00%"' in html


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_makes_a_page(verdict: Verdict, finding: MakeFinding, found: MakeFound) -> None:
    outcomes = [finding(outcome=outcome, value=None) for outcome in Outcome]
    assert digest(found(verdict)).verdict in page(found(verdict, *outcomes))


def test_json_holds_no_number_that_json_lacks(finding: MakeFinding, found: MakeFound) -> None:
    odd = replace(finding(), value=math.nan, threshold=math.inf, p_value=-math.inf)
    listed = json.loads(json_list([found(Verdict.OK, odd)]), parse_constant=pytest.fail)
    assert listed[0]["findings"][0]["value"] is None
    assert listed[0]["window_start"] is None
    line = json_line(found(Verdict.OK, finding("a\nb")))
    assert line.count("\n") == 1
    assert json.loads(line)["findings"][0]["feature"] == "a\nb"


def test_a_backtest_is_summed_up(finding: MakeFinding, found: MakeFound) -> None:
    tally = Tally()
    start = datetime(2013, 3, 1, tzinfo=UTC)
    for day in range(4):
        window = Window(start + timedelta(days=day), start + timedelta(days=day + 1))
        flagged = [finding("temp", flagged=True), finding("temp", flagged=True)] if day < 3 else []
        tally.add(replace(found(Verdict.FLAGGED if flagged else Verdict.OK, *flagged), window=window))
    stream = io.StringIO()
    print_backtest(Console(file=stream, width=100), tally)
    report = stream.getvalue()
    assert "4 windows of 4,000 rows, 2013-03-01 00:00 to 2013-03-05 00:00" in report
    assert "1 ok  3 flagged" in report
    assert "75%" in report


def test_features_are_named_once_in_the_order_of_the_findings(finding: MakeFinding) -> None:
    assert flagged_features(
        [finding("b", flagged=True), finding("a", flagged=True), finding("b", flagged=True), finding("c")]
    ) == [
        "b",
        "a",
    ]


def counts(cells: list[float], missing: float) -> FeatureCounts:
    def of(sums: list[float]) -> Counts:
        array = np.array(sums)
        return Counts(array, array, array, float(array.sum()))

    return FeatureCounts(of(cells), of([sum(cells), missing]))


def test_numbers_are_spread_over_their_cells() -> None:
    chart = spread("temp", NumericBins(np.array([0.0, 10.0])), counts([0, 4, 2], 2), counts([5, 0, 0], 0))
    assert chart.bars == [
        Bar("below 0", 0.0, 1.0),
        Bar("0 to 10", 0.5, 0.0),
        Bar("10 and above", 0.25, 0.0),
        Bar("missing", 0.25, 0.0),
    ]


def test_categories_without_a_cell_of_their_own_are_one_bar() -> None:
    bins = CategoricalBins((b"UA", b""), (b"AA",), complete=True)
    before = [4.0, 4.0, *[1.0, 1.0], *[0.0] * (bins.size - 5), 0.0]
    chart = spread("carrier", bins, counts(before, 0), counts([0.0] * bins.size, 0))
    assert chart.bars == [Bar("UA", 0.4, 0.0), Bar("(empty text)", 0.4, 0.0), Bar("other known values", 0.2, 0.0)]
