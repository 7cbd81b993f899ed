"""How much a reference varies by itself from block to block of time; changes with how that widens a null distribution.

A block is held against what the rest of the reference had in the block's own seasons. What it differs by, beyond what its
number of rows explains, is the variation of a block; a window as long as a block varies as much, and a longer one less, by how
long the deviations last (an autoregression of first order, by the correlation of neighbouring blocks).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from monitor.profile.counts import Indices
from monitor.profile.document import Floats

_LONGEST_MEMORY = 0.95

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Between:
    """The variation of one block in w^2, its sampling noise taken off.

    Attributes:
        mean, variance: of w^2 between a block and what is expected of it.
        uncertainty: variance of `mean` itself.
        memory: correlation of neighbouring blocks, from 0 to 0.95.
        blocks: how many tell it.
    """

    mean: float
    variance: float
    uncertainty: float
    memory: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Variation:
    """The blocks of a reference, and what was expected of each.

    Attributes:
        blocks: (B, K) counts in the same cells as the comparison; or (B, 2) weights and totals of a score.
        expected: (B, K) shares, or (B, 1) means, of the reference in the block's seasons.
        own: (B,) share that the block itself has in what is expected of it.
        behind: (B,) rows behind that expectation, the block's own included.
        neighbours: (P,) places of blocks that the next one follows without a gap.
        window, reference: how many blocks the window and what it is compared with cover.
        ratio: effective rows per row.
    """

    blocks: Floats
    expected: Floats
    own: Floats
    behind: Floats
    neighbours: Indices
    window: float = 1.0
    reference: float = 1.0
    ratio: float = 1.0

    @classmethod
    def around(
        cls, blocks: Floats, whole: Floats, *, window: float = 1.0, reference: float | None = None, ratio: float = 1.0
    ) -> Variation:
        """Hold (B, K) counts against the shares of all rows, (K,) counts `whole`, without seasons or memory."""
        total = float(whole.sum())
        expected = np.broadcast_to(whole / total, blocks.shape)
        own = np.clip(blocks.sum(axis=1) / total, 0.0, 1.0)
        covered = float(len(blocks)) if reference is None else reference
        behind = np.full(len(blocks), total)
        return cls(blocks, expected, own, behind, np.zeros(0, np.int64), window, covered, ratio)

    def mirrored(self) -> Variation:
        """Return the variation of the opposite of a property, of which K = 2."""
        return replace(self, blocks=self.blocks[:, ::-1], expected=self.expected[:, ::-1])

    def factor(self, memory: float) -> float:
        """Return the variance of (window - reference) in units of that of one block."""
        return _of_mean(self.window, memory) + _of_mean(self.reference, memory)

    def of_shares(self, groups: Indices) -> Between | None:
        """Return the variation over groups of neighbouring cells, given by the first of each; None with fewer than two blocks."""
        here = np.add.reduceat(self.blocks, groups, axis=1) * self.ratio
        expected = np.add.reduceat(self.expected, groups, axis=1)
        n, big = here.sum(axis=1), self.behind * self.ratio * (1.0 - self.own)
        kept = (n >= 2.0) & (big >= 2.0)
        if kept.sum() < 2:
            return None
        here, expected, n, big, own = here[kept], expected[kept], n[kept], big[kept], self.own[kept]
        difference = (here / n[:, None] - expected) / (1.0 - own)[:, None]
        # Rounding, and blocks of several seasons, may leave a little less than nothing for the others.
        others = np.maximum(here / n[:, None] - difference, 0.0)
        pooled = (here + others * big[:, None]) / (n + big)[:, None]
        scaled = np.divide(difference, np.sqrt(pooled), out=np.zeros_like(pooled), where=pooled > 0.0)
        return self.between(scaled, kept, (n, big), (pooled > 0.0).sum(axis=1) - 1)

    def between(self, residuals: Floats, kept: Mask, rows: tuple[Floats, Floats], freedom: Floats | Indices) -> Between:
        """Return the variation of a block by the squared lengths of standardised residuals, sampling noise taken off.

        Args:
            residuals: (b, R) of the b blocks that are kept.
            kept: (B,) which blocks those are.
            rows: (b,) effective rows of each, and behind what is expected of it.
            freedom: (b,) degrees of freedom of each.
        """
        n, big = rows
        squared = (residuals**2).sum(axis=1)
        h, count = n * big / (n + big), len(n)
        mean = float((h * squared - freedom).sum() / h.sum())
        if mean <= 0.0:
            return Between(0.0, 0.0, 0.0, 0.0, count)
        noise = 4.0 * mean / h + 2.0 * freedom / h**2
        total = float(np.average((squared - mean - freedom / h) ** 2, weights=h)) * count / (count - 1)
        # Cauchy-Schwarz: a quadratic form of rank r has at least this variance.
        least = 2.0 * mean**2 / max(1, int(freedom.max()))
        variance = max(least, total - float(np.average(noise, weights=h)))
        return Between(mean, variance, total / count, self._memory(residuals, kept, mean), count)

    def of_means(self, spread: float) -> tuple[float, float]:
        """Return the variance that blocks add to a difference of means, and its degrees of freedom.

        Args:
            spread: variance of one value, whose part in the blocks' means is taken off.
        """
        weights = self.blocks[:, 0]
        kept = (weights > 0.0) & (self.own < 1.0)
        count = int(kept.sum())
        if count < 2:
            return 0.0, 1.0
        weights, own = weights[kept], self.own[kept]
        # Both divisions undo the block's own part in its expectation: one the difference, half of the other its variance.
        residuals = (self.blocks[kept, 1] / weights - self.expected[kept, 0]) / np.sqrt(1.0 - own)
        observed = float(np.average(residuals**2, weights=weights))
        own_variance = max(0.0, observed - spread * count / float(weights.sum()))
        if own_variance <= 0.0:
            return 0.0, float(count - 1)
        memory = self._memory(residuals[:, None], kept, own_variance)
        return own_variance * self.factor(memory), float(count - 1)

    def _memory(self, residuals: Floats, kept: Mask, variance: float) -> float:
        """Return the correlation of neighbours; sampling noise is independent from block to block, so it needs no correction."""
        place = np.cumsum(kept) - 1
        first = self.neighbours[kept[self.neighbours] & kept[self.neighbours + 1]] if len(self.neighbours) else []
        if len(first) == 0 or max(self.window, self.reference) <= 1.0:
            return 0.0
        products = (residuals[place[first]] * residuals[place[first] + 1]).sum(axis=1)
        return float(np.clip(products.mean() / variance, 0.0, _LONGEST_MEMORY))


def _of_mean(blocks: float, memory: float) -> float:
    """Return the variance of a mean of neighbouring blocks in units of one block's.

    Of m: (1 + r) / (1 - r) / m - 2 r (1 - r^m) / (m (1 - r))^2 (Box, Jenkins and Reinsel, Time Series Analysis, 2.1).
    """
    m = max(1.0, blocks)
    if memory <= 0.0:
        return 1.0 / m
    faded = float(memory**m)
    return (1.0 + memory) / (1.0 - memory) / m - 2.0 * memory * (1.0 - faded) / (m * (1.0 - memory)) ** 2
