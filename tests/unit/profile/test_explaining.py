from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from monitor.errors import InputError
from monitor.profile.document import Floats
from monitor.profile.explaining import permutation_attributions

RANDOM = np.random.default_rng(3)
ROWS = pa.table({"a": RANDOM.normal(size=40), "b": RANDOM.normal(size=40), "city": RANDOM.choice(["x", "y"], 40)})
BACKGROUND = pa.table({"a": np.arange(8.0), "b": np.arange(8.0), "city": ["x"] * 8})


def _linear(rows: pa.Table) -> Floats:
    return np.asarray(2.0 * rows.column("a").to_numpy() - 0.5 * rows.column("b").to_numpy())


def test_of_a_linear_model_it_is_the_coefficient_times_the_distance_from_the_background() -> None:
    found = permutation_attributions(_linear, ROWS, BACKGROUND, samples=8)
    assert_allclose(found["a"], 2.0 * (ROWS.column("a").to_numpy() - 3.5), atol=1e-12)
    assert_allclose(found["b"], -0.5 * (ROWS.column("b").to_numpy() - 3.5), atol=1e-12)
    assert_allclose(found["city"], 0.0)


def test_a_row_does_not_depend_on_the_others() -> None:
    whole = permutation_attributions(_linear, ROWS, BACKGROUND)
    alone = permutation_attributions(_linear, ROWS.slice(7, 1), BACKGROUND)
    assert alone["a"][0] == whole["a"][7]


def test_of_class_probabilities_it_is_how_much_of_them_moves() -> None:
    def classes(rows: pa.Table) -> Floats:
        first = np.asarray(rows.column("city").to_numpy() == "x", np.float64)
        return np.stack([first, 1.0 - first], axis=1)

    found = permutation_attributions(classes, ROWS, BACKGROUND, columns=["city"])
    assert_allclose(found["city"], ROWS.column("city").to_numpy() == "y")


def test_batches_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = permutation_attributions(_linear, ROWS, BACKGROUND, samples=4)
    monkeypatch.setattr("monitor.profile.explaining._BATCH_ROWS", 12)
    assert_allclose(permutation_attributions(_linear, ROWS, BACKGROUND, samples=4)["b"], whole["b"])


@pytest.mark.parametrize(
    ("background", "said"),
    [(BACKGROUND.slice(0, 0), "no background rows"), (BACKGROUND.drop(["city"]), "no column 'city'")],
    ids=["no rows", "a column lacking"],
)
def test_a_background_that_does_not_do_is_said(background: pa.Table, said: str) -> None:
    with pytest.raises(InputError, match=said):
        permutation_attributions(_linear, ROWS, background)
