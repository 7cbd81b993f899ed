from __future__ import annotations

import numpy as np
import pytest

from monitor.compare.breaks.units import KNOWN, free_units


def test_no_known_factor_is_as_small_as_a_drift() -> None:
    assert all(max(unit.factor, 1.0 / unit.factor) >= 1.5 for unit in KNOWN if unit.offset == 0.0)


def test_every_change_is_known_both_ways() -> None:
    for unit in KNOWN:
        assert unit.change is not None
        one, other = unit.change.split(" became ")
        back = next(
            each for each in KNOWN if each.change == f"{other} became {one}" and _undoes(unit.factor, each.factor)
        )
        np.testing.assert_allclose(back(unit(np.array([-3.0, 0.0, 17.0]))), [-3.0, 0.0, 17.0], atol=1e-9)


def _undoes(factor: float, other: float) -> bool:
    return abs(factor * other - 1.0) < 1e-12


@pytest.mark.parametrize(("celsius", "fahrenheit"), [(0.0, 32.0), (100.0, 212.0), (-40.0, -40.0)])
def test_temperatures(celsius: float, fahrenheit: float) -> None:
    change = next(unit for unit in KNOWN if unit.change == "Celsius became Fahrenheit")
    assert change(np.array([celsius]))[0] == pytest.approx(fahrenheit)


def test_a_free_factor_is_far_from_one() -> None:
    found = [unit.factor for unit in free_units(np.array([2.0, 30.0, -6.0, 0.1]), np.array([1.0, 3.0, 6.0, 1.0]), 5.0)]
    assert found == [0.1, 10.0]
