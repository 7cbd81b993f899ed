"""Differences of two versions block by block of time, from their hourly sums; changes with how hours make blocks.

Versions are compared only within the same hours. Labels come easier at night and a canary gets more traffic by the day, so two
means over all hours would differ though the versions do not (Simpson's paradox); differences within hours do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from monitor.evaluate.examples import Floats
from monitor.evaluate.versions.sums import Hourly, Sums

LEAST = 50
"""Requests of either version that a block has at least: fewer neither tell a variance nor have a nearly normal mean."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """k differences of candidate less stable, in order of time; where an array is (k, 2), the stable version is first.

    Attributes:
        hours: int64 (k,), start of the last hour of each block, in microseconds since the epoch.
        differences: (k,), of the mean losses.
        spreads: (k, 2), variance of a request's loss.
        effective: (k, 2), how many requests of equal weight those of the block are worth.
        requests: int64 (k, 2).
    """

    hours: npt.NDArray[np.int64]
    differences: Floats
    spreads: Floats
    effective: Floats
    requests: npt.NDArray[np.int64]

    @classmethod
    def of(cls, blocks: Sequence[tuple[int, float, Sums, Sums]]) -> Self:
        """Return blocks of the start of an hour, a difference, and the sums of the stable version and of the candidate."""
        pairs = [(stable, candidate) for _, _, stable, candidate in blocks]
        return cls(
            np.array([hour for hour, *_ in blocks], np.int64),
            np.array([difference for _, difference, *_ in blocks], np.float64),
            _pairs([[each.variance * each.effective for each in pair] for pair in pairs], np.float64),
            _pairs([[each.effective for each in pair] for pair in pairs], np.float64),
            _pairs([[each.requests for each in pair] for pair in pairs], np.int64),
        )

    def __len__(self) -> int:
        """Return k."""
        return len(self.hours)

    @property
    def information(self) -> Floats:
        """(k,), the weight of each block: so many requests, beside very many of the other version, would be worth the same."""
        return np.asarray(1.0 / (1.0 / self.effective).sum(axis=1), np.float64)


def unpaired_blocks(stable: Hourly, candidate: Hourly, least: int = LEAST) -> Blocks:
    """Return the blocks of two versions that answered different requests.

    Hours in which one of them answered none are left out; consecutive others make one block until both have `least`
    requests, and those after the last full block wait. This depends on how many requests there were, never on their
    losses, and so biases nothing.
    """
    found = _blocks(stable, candidate, least)
    return Blocks.of([(hour, two.unbiased_mean - one.unbiased_mean, one, two) for hour, one, two in found])


def paired_blocks(differences: Hourly, least: int = LEAST) -> Blocks:
    """Return the blocks of two versions that answered the same requests, from the sums of their losses' differences.

    The differences stand as the candidate's losses, beside a stable version that is known without error.
    """
    found = list(_blocks(differences, differences, least))
    blocks = Blocks.of([(hour, sums.unbiased_mean, sums, sums) for hour, sums, _ in found])
    exact = np.array([True, False])
    return replace(
        blocks, spreads=np.where(exact, 0.0, blocks.spreads), effective=np.where(exact, np.inf, blocks.effective)
    )


def _pairs(rows: list[list[float]], kind: type[np.generic]) -> npt.NDArray[Any]:
    return np.array(rows, kind).reshape(-1, 2)


def _blocks(stable: Hourly, candidate: Hourly, least: int) -> Iterator[tuple[int, Sums, Sums]]:
    one, two = Sums(), Sums()
    for hour in sorted(stable.keys() & candidate.keys()):
        one, two = one + stable[hour], two + candidate[hour]
        if min(one.requests, two.requests) >= least:
            yield hour, one, two
            one, two = Sums(), Sums()
