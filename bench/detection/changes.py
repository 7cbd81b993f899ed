"""Changes that are injected into a window, each into one column; changes with the kinds of change that are measured.

Sizes are those of the reference: its standard deviation, mean and quantiles. A column keeps its type: whole numbers are
rounded up or down at random, so that their mean moves by what was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bench.detection.columns import Traits

CORRELATION = "correlation"
SHIFTS = ("shift_0.25", "shift_0.5")
UNSEEN = "never seen before"

Change = Callable[[pa.Array, Traits, np.random.Generator], pa.Array]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of change.

    Attributes:
        suits: whether a column can show it.
        apply: returns the changed column; of the same length and type.
        marginal: it changes the distribution of the column, by enough to be promised.
    """

    suits: Callable[[Traits], bool]
    apply: Change
    marginal: bool = True


def _shift(sizes: float) -> Change:
    def apply(column: pa.Array, traits: Traits, rng: np.random.Generator) -> pa.Array:
        return _mapped(column, lambda values: values + sizes * traits.deviation, rng)

    return apply


def _scale(column: pa.Array, traits: Traits, rng: np.random.Generator) -> pa.Array:
    return _mapped(column, lambda values: traits.mean + 1.3 * (values - traits.mean), rng)


def _unit(column: pa.Array, _: Traits, rng: np.random.Generator) -> pa.Array:
    factor = rng.choice([1.609, 2.54, 1000.0])
    return _mapped(column, lambda values: values * factor, rng)


def _clip(column: pa.Array, traits: Traits, rng: np.random.Generator) -> pa.Array:
    return _mapped(column, lambda values: np.minimum(values, traits.ninetieth), rng)


def _move(column: pa.Array, traits: Traits, rng: np.random.Generator) -> pa.Array:
    """Move a tenth of the rows out of one of the common categories into another category."""
    common = rng.choice(traits.common)
    other = rng.choice([value for value in traits.usual if value != common])
    held = np.flatnonzero(pc.fill_null(pc.equal(column, traits.value(common)), False).to_numpy(zero_copy_only=False))
    moved = rng.choice(held, min(len(held), round(0.1 * len(column))), replace=False)
    return _replaced(column, moved, traits.value(other))


def _unseen(column: pa.Array, _: Traits, rng: np.random.Generator) -> pa.Array:
    return _replaced(column, _some(column, 0.05, rng), pa.scalar(UNSEEN, column.type))


def _missing(column: pa.Array, _: Traits, rng: np.random.Generator) -> pa.Array:
    return _replaced(column, _some(column, 0.05, rng), pa.scalar(None, column.type))


def permuted(column: pa.Array, rng: np.random.Generator) -> pa.Array:
    """Return the same values in another order: no marginal changes, every dependence does."""
    return column.take(pa.array(rng.permutation(len(column))))


KINDS: Mapping[str, Kind] = {
    "shift_0.1": Kind(lambda traits: traits.measured, _shift(0.1), marginal=False),
    "shift_0.25": Kind(lambda traits: traits.measured, _shift(0.25)),
    "shift_0.5": Kind(lambda traits: traits.measured, _shift(0.5)),
    "scale_1.3": Kind(lambda traits: traits.measured, _scale),
    "unit": Kind(lambda traits: traits.measured and traits.shows_unit, _unit),
    "clip_90": Kind(lambda traits: traits.measured and traits.above_ninetieth >= 0.05, _clip),
    "mass_10": Kind(lambda traits: len(traits.common) > 0 and len(traits.usual) > 1, _move),
    "unseen_5": Kind(lambda traits: traits.text and not traits.identifying, _unseen),
    "missing_5": Kind(lambda traits: traits.missing <= 0.9, _missing),
}
"""What is injected into single columns, by name; CORRELATION takes two, and stands beside them."""

INSIDE_BLOCKS = (*SHIFTS, "missing_5")
"""What is also injected into natural blocks of time."""

MARGINAL = tuple(name for name, kind in KINDS.items() if kind.marginal)


def _mapped(
    column: pa.Array, change: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], rng: np.random.Generator
) -> pa.Array:
    there = pc.is_valid(column).to_numpy(zero_copy_only=False)
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False).astype(np.float64)
    changed = change(values)
    if pa.types.is_integer(column.type):
        changed = np.floor(changed + rng.random(len(changed))).astype(np.int64)
    return pa.array(changed, mask=~there).cast(column.type)


def _some(column: pa.Array, share: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return places of present values, `share` of all rows of the window."""
    there = np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False))
    return rng.choice(there, min(len(there), max(1, round(share * len(column)))), replace=False)


def _replaced(column: pa.Array, places: npt.NDArray[np.int64], value: pa.Scalar) -> pa.Array:
    chosen = np.zeros(len(column), bool)
    chosen[places] = True
    return pc.if_else(pa.array(chosen), value, column)
