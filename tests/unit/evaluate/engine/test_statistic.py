"""Sums by slice: the laws that let slices, hours and resamples be made by adding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluate.engine import statistic
from monitor.evaluate.engine.statistic import Entries, Membership, sums_by_slice
from monitor.evaluate.examples import Floats


def _entries(random: np.random.Generator, rows: int, per_row: int, cells: int) -> Entries:
    shape = (rows,) if per_row == 1 else (rows, per_row)
    cell = random.integers(0, cells, shape) if cells > 1 else None
    return Entries([random.normal(size=shape) for _ in range(2)], cell, cells)


def _slowly(entries: Entries, membership: Membership, times: Floats | None) -> Floats:
    found = np.zeros((len(membership.keys), len(entries.values), entries.cells))
    rows = range(len(membership.codes)) if membership.rows is None else membership.rows
    for row, code in zip(rows, membership.codes, strict=True):
        if code < 0:
            continue
        for channel, values in enumerate(entries.values):
            for place, value in enumerate(np.atleast_1d(values[row])):
                cell = 0 if entries.cell is None else np.atleast_1d(entries.cell[row])[place]
                found[code, channel, cell] += value * (1.0 if times is None else times[row])
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 12),
    per_row=st.integers(1, 3),
    cells=st.sampled_from([1, 4]),
    several=st.booleans(),
    resampled=st.booleans(),
    slices=st.integers(1, 5),
)
def test_sums_are_those_of_adding_one_by_one(
    seed: int, rows: int, per_row: int, cells: int, several: bool, resampled: bool, slices: int
) -> None:
    random = np.random.default_rng(seed)
    entries = _entries(random, rows, per_row, cells)
    members = random.integers(0, max(1, rows), 2 * rows if rows else 0) if several else None
    codes = random.integers(-1, slices, rows if members is None else len(members))
    membership = Membership([(("a", code),) for code in range(slices)], codes, members)
    times = random.poisson(1.0, rows).astype(float) if resampled else None
    found = dict(sums_by_slice(entries, membership, times))
    assert list(found) == list(range(slices))
    np.testing.assert_allclose(np.stack(list(found.values())), _slowly(entries, membership, times), atol=1e-9)


def test_many_slices_are_done_in_several_goes_with_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    entries = _entries(random, 500, 2, 4)
    membership = Membership([(("a", code),) for code in range(60)], random.integers(-1, 60, 500))
    at_once = dict(sums_by_slice(entries, membership))
    monkeypatch.setattr(statistic, "_CELLS_AT_ONCE", 4 * 2 * 7)
    in_goes = dict(sums_by_slice(entries, membership))
    for code in range(60):
        np.testing.assert_allclose(at_once[code], in_goes[code])


def test_the_sums_of_parts_add_up_to_the_sums_of_the_whole() -> None:
    random = np.random.default_rng(1)
    entries, codes = _entries(random, 400, 1, 4), random.integers(0, 3, 400)
    keys = [(("a", code),) for code in range(3)]
    whole = dict(sums_by_slice(entries, Membership(keys, codes)))
    parts = [
        dict(
            sums_by_slice(
                Entries([values[part] for values in entries.values], entries.cell[part], 4),  # type: ignore[index]
                Membership(keys, codes[part]),
            )
        )
        for part in (slice(0, 150), slice(150, 400))
    ]
    for code in range(3):
        np.testing.assert_allclose(whole[code], parts[0][code] + parts[1][code])


@pytest.mark.parametrize(
    ("counted", "sizes"), [(None, [2, 1]), ([1.0, 0.0, 3.0, 1.0], [2, 0])], ids=["all", "one left out"]
)
def test_sizes_count_examples_and_not_how_often_they_count(counted: list[float] | None, sizes: list[int]) -> None:
    membership = Membership(["x", "y"], np.asarray([0, 1, 0, -1]))
    assert membership.sizes(None if counted is None else np.asarray(counted)).tolist() == sizes
