from __future__ import annotations

from io import StringIO

import pytest
from rich import box
from rich.console import Console
from rich.table import Table

from monitor.demo.follow import Measured
from monitor.demo.quality_display import show_quality
from monitor.window.label_fates import FateCounts
from tests.unit.demo.measured import LOST, day

LOST_BY_ACCURACY = {**LOST, "measure": "binary_accuracy", "explanation": "binary_accuracy fell: quality is lost"}


def shown(measured: Measured, width: int = 80) -> str:
    text = StringIO()
    console = Console(file=text, width=width)
    show_quality(measured, Table(box=box.SIMPLE_HEAD, padding=(0, 1)), console)
    return text.getvalue()


def weeks_of(*lost: bool, labelled: int = 1000) -> Measured:
    estimates = {"auc": (0.72, True), "binary_accuracy": (0.84, False), "binary_crossentropy": (0.5, True)}
    windows = [
        day(f"2013-07-{1 + 7 * number:02}", *([LOST] if each else []), labelled=labelled, estimates=estimates)
        for number, each in enumerate(lost)
    ]
    return Measured(windows, 12, FateCounts(in_time=9, unknown=3))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("2013-07-08", id="every week"),
        pytest.param("30% 10%", id="late flights, and what the model said"),
        pytest.param("0.70 ~0.72", id="AUC by labels, and as estimated"),
        pytest.param("80% ?84%", id="an estimate that is not to be relied on"),
        pytest.param("1: crossentropy", id="days on which quality was lost, and by what"),
        pytest.param("Quality was lost on 1 of 2 days, first on 2013-07-08", id="when it began"),
        pytest.param("The scores alone had said 0.500, and did not show it.", id="whether it could be seen before"),
        pytest.param("Labels came for 99.0% of the flights", id="how many labels came"),
        pytest.param("half of them within 1.0 h on a usual day, 99% within 2.5 h on any", id="how long they took"),
        pytest.param("3 of 12 looked up so far are of unknown flights", id="labels of nobody"),
    ],
)
def test_of_the_model_it_says(said: str) -> None:
    assert said in " ".join(shown(weeks_of(False, True)).split())


def test_the_table_fits_80_columns_whole() -> None:
    text = shown(weeks_of(True, True, labelled=12_345))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_where_nothing_was_lost_it_says_so() -> None:
    assert "Quality was lost on no day." in shown(weeks_of(False))


def test_a_loss_without_an_estimate_is_told_alone() -> None:
    text = " ".join(shown(Measured([day("2013-07-01", LOST_BY_ACCURACY)], 1, FateCounts())).split())
    assert "first on 2013-07-01: binary_accuracy fell." in text
    assert "The scores alone" not in text


def test_without_labels_it_says_so() -> None:
    assert "No labels came." in shown(Measured([], 0, FateCounts()))
