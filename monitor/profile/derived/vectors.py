"""What is derived of vectors: columns of numbers, and features whose means are tested; changes with what is known of them.

Everything random is drawn from PCG64's raw bits, whose stream never changes (numpy's NEP 19; those of its distributions
may), so a plan needs no matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from monitor.profile.counts import Indices
from monitor.profile.derived.arrays import evenly, matrix_of, numbers_or_null, spread_over, sums_by
from monitor.profile.derived.leave_out import TRIFLE, gap
from monitor.profile.document import Floats, pack_floats, unpack_floats

DIRECTIONS = 3
_COSINE = "centroid_cosine"
COLUMNS = ("norm", _COSINE, *(f"direction{i + 1}" for i in range(DIRECTIONS)))
PROJECTIONS = 64
"""Coordinates of which the mean is tested: the vector's own where it has no more, else as many random projections."""
FREQUENCIES = 16
"""Random frequencies; each gives a cosine and a sine."""
_SAMPLE = 4_096
"""Rows from which scales are learned."""
_LARGEST = 1e100
"""Numbers beyond it are cut to it, so that no square overflows."""
_DIRECTION_SEED, _PROJECTION_SEED, _FREQUENCY_SEED = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class VectorPlan:
    """How vectors of one length are made into numbers.

    Attributes:
        size: d, the length; a vector of another length, or one with a missing or infinite number, counts as missing.
        centroid: (d,) mean of the baseline; None where it is too close to the origin for its direction to mean anything.
        centre: (p,) median of each projection.
        scale: (p,) robust standard deviation of each projection, above 0.
        bandwidth: of the Gaussian kernel, the median distance of two standardised projections.
    """

    size: int
    centroid: Floats | None
    centre: Floats
    scale: Floats
    bandwidth: float

    def __eq__(self, other: object) -> bool:
        """Compare all numbers exactly."""
        return isinstance(other, VectorPlan) and self.to_document() == other.to_document()

    __hash__ = None  # type: ignore[assignment]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that are derived, without that of their source."""
        return tuple(name for name in COLUMNS if name != _COSINE or self.centroid is not None)

    def derive(self, column: pa.Array) -> Mapping[str, pa.Array]:
        """Return the columns of a column of vectors; see `columns`."""
        vectors, rows = _vectors(column, self.size)
        norms = _norms(vectors)
        derived = {"norm": norms}
        if self.centroid is not None:
            derived[_COSINE] = _cosines(vectors, norms, self.centroid)
        along = vectors @ _normal(_DIRECTION_SEED, self.size, DIRECTIONS) / np.sqrt(self.size)
        derived |= {f"direction{i + 1}": along[:, i] for i in range(DIRECTIONS)}
        return {name: numbers_or_null(spread_over(rows, values)) for name, values in derived.items()}

    def features(self, vectors: Floats) -> Floats:
        """Return the features (m, D) of vectors (m, d), all between -1 and 1.

        First tanh(z / 3) of each standardised projection z, which is linear for the bulk and lets no outlier rule the mean;
        then random Fourier features of z (Rahimi and Recht 2007, Random features for large-scale kernel machines), whose
        mean difference is the maximum mean discrepancy of a Gaussian kernel (Gretton et al. 2012, JMLR 13:723).
        """
        z = (_projected(vectors) - self.centre) / self.scale
        phases = z @ (_normal(_FREQUENCY_SEED, z.shape[1], FREQUENCIES) / self.bandwidth)
        return np.concatenate([np.tanh(z / 3.0), np.cos(phases), np.sin(phases)], axis=1)

    def features_of(self, column: pa.Array) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Return the features (m, D) of the vectors of a column, and which rows (n,) of the column they are."""
        vectors, rows = _vectors(column, self.size)
        return self.features(vectors), rows

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "size": self.size,
            "centroid": None if self.centroid is None else pack_floats(self.centroid),
            "centre": pack_floats(self.centre),
            "scale": pack_floats(self.scale),
            "bandwidth": self.bandwidth,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> VectorPlan:
        """Undo `to_document`."""
        centroid = document["centroid"]
        return cls(
            int(document["size"]),
            None if centroid is None else unpack_floats(centroid),
            unpack_floats(document["centre"]),
            unpack_floats(document["scale"]),
            float(document["bandwidth"]),
        )


def learn_vectors(column: pa.Array, size: int, units: Indices) -> tuple[VectorPlan, Mapping[str, pa.Array]]:
    """Return the plan of a baseline's column, and its own columns as fresh rows would have them.

    Args:
        column: lists of numbers.
        size: length of the vectors.
        units: (n,) what is left out with each row, numbered from 0; see `leave_out`.
    """
    vectors, rows = _vectors(column, size)
    z = _projected(vectors[evenly(len(vectors), _SAMPLE)])
    centre, scale = _centre_and_scale(z)
    centroid, cosines = _centroid(vectors, units[rows])
    plan = VectorPlan(size, centroid, centre, scale, _bandwidth((z - centre) / scale))
    columns = dict(plan.derive(column))
    if centroid is not None:
        columns[_COSINE] = numbers_or_null(spread_over(rows, cosines))
    return plan, columns


def _vectors(column: pa.Array, size: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    numbers, rows = matrix_of(column, size)
    beyond = numbers.size > 0 and max(float(numbers.max()), -float(numbers.min())) > _LARGEST
    return np.clip(numbers, -_LARGEST, _LARGEST) if beyond else numbers, rows


def _projected(vectors: Floats) -> Floats:
    size = vectors.shape[1]
    if size <= PROJECTIONS:
        return vectors
    projected: Floats = vectors @ (_normal(_PROJECTION_SEED, size, PROJECTIONS) / np.sqrt(size))
    return projected


@lru_cache(maxsize=16)
def _normal(seed: int, rows: int, columns: int) -> Floats:
    """Return a matrix of standard normal numbers that depends on the arguments alone."""
    bits = np.random.PCG64(seed).random_raw(rows * columns) >> np.uint64(11)
    matrix: Floats = special.ndtri((bits.astype(np.float64) + 0.5) / 2.0**53).reshape(rows, columns)
    matrix.flags.writeable = False
    return matrix


def _norms(vectors: Floats) -> Floats:
    norms: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return norms


def _cosines(vectors: Floats, norms: Floats, centroid: Floats) -> Floats:
    """Return the cosine of the angle between each vector and the centroid; NaN where the vector is zero."""
    return _ratio(vectors @ centroid, norms * np.linalg.norm(centroid))


def _ratio(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0.0)
    return ratio


def _centroid(vectors: Floats, units: Indices) -> tuple[Floats | None, Floats]:
    """Return the mean, and each row's cosine with the mean of the other units; None where leaving out matters."""
    numbers = np.unique(units, return_inverse=True)[1]
    sizes = np.bincount(numbers).astype(np.float64)
    if len(sizes) < 2:
        return None, np.zeros(0)
    total = vectors.sum(axis=0)
    sums = vectors if len(sizes) == len(vectors) else sums_by(numbers, vectors, len(sizes))
    own = np.empty(len(vectors))
    for start in range(0, len(vectors), _SAMPLE):
        part = slice(start, start + _SAMPLE)
        own[part] = np.einsum("ij,ij->i", vectors[part], sums[numbers[part]])
    # The mean of the others points along total - sum; |total - sum|^2 is multiplied out, so that no second matrix is made.
    length = np.sqrt(np.maximum(total @ total - 2.0 * (sums @ total) + np.einsum("ij,ij->i", sums, sums), 0.0))
    norms = _norms(vectors)
    fresh = _ratio(vectors @ total - own, norms * length[numbers])
    centroid = total / len(vectors)
    return (centroid if gap(_cosines(vectors, norms, centroid), fresh) <= TRIFLE else None), fresh


def _centre_and_scale(z: Floats) -> tuple[Floats, Floats]:
    if len(z) == 0:
        return np.zeros(z.shape[1]), np.ones(z.shape[1])
    low, centre, high = np.percentile(z, [25.0, 50.0, 75.0], axis=0)
    scale = (high - low) / 1.349
    scale = np.where(scale > 0.0, scale, z.std(axis=0))
    return centre, np.where(scale > 0.0, scale, 1.0)


def _bandwidth(z: Floats) -> float:
    """Return the median distance of two rows (the median heuristic of Gretton et al. 2012, section 8)."""
    half = len(z) // 2
    distances = _norms(z[:half] - z[half : 2 * half])
    middle = float(np.median(distances)) if half else 0.0
    return middle if middle > 0.0 else 1.0
