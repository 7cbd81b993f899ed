"""How the dependence within two-way tables differs between two samples, whatever their margins; changes with the measure.

All functions take P tables at once, (P, S, S), and answer with (P,) arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.profile.counts import Indices
from monitor.profile.document import Floats

EXPECTED = 5.0
"""Rows that the smallest cell of independent columns must expect in the smaller sample; smaller groups are joined."""
_ROUNDS, _STEPS = 8, 8
_RIDGE = 1e-12


@dataclass(frozen=True, slots=True)
class Change:
    """The difference in dependence of P pairs of tables.

    Attributes:
        squared: sum over cells of (p - e)^2 / (p_i. p_.j), where p are the current shares and e the other side's, raked to
            the margins of p. Its root over `scale` is the change of Cramer's V where one table is as the other but weaker.
        scale: min(rows, columns) - 1 after joining; 0 where the margins leave no dependence to compare.
        h: nN / (n + N) of the effective numbers of rows.
        trace: h times the expected `squared` where the dependence is the same: the sum of the weights of the chi-squares
            of one degree of freedom that h times `squared` is then a sum of.
        trace_squares: sum of the squares of these weights.
        largest: the largest of these weights.
        now, before: Cramer's V of the current and of the other table.
        seen, expected: (P, s, s) the shares p and e, on the groups as joined.
        rows, columns: (P, S, s) ones where a group is part of a joined group.
    """

    squared: Floats
    scale: Floats
    h: Floats
    trace: Floats
    trace_squares: Floats
    largest: Floats
    now: Floats
    before: Floats
    seen: Floats
    expected: Floats
    rows: Floats
    columns: Floats


def change(current: Floats, other: Floats, n: Floats, big: Floats, *, tails: bool = True) -> Change:
    """Compare tables of effectively `n` rows with others of `big`.

    Raking (iterative proportional fitting, Deming and Stephan, 1940) gives the other table the margins of the current one
    and leaves its odds ratios as they are, so what differs afterwards is the dependence. The divisor is the share that
    independent columns would give the cell, not the raked one, as in Pearson's statistic of no three-way interaction
    (Bartlett, 1935): where one column follows from the other most raked shares are zero, and one stray row would weigh
    without bound.

    Args:
        current: (P, S, S) counts.
        other: (P, S, S) counts.
        n: (P,) effective numbers of rows of `current`.
        big: (P,) those of `other`.
        tails: also find `largest`, which takes most of the time; zeros otherwise.
    """
    p, q = _shares(current), _shares(other)
    smaller = np.maximum(np.minimum(n, big), 1.0)
    least = np.sqrt(EXPECTED / smaller)
    rows = _joins(np.minimum(p.sum(axis=2), q.sum(axis=2)), least)
    columns = _joins(np.minimum(p.sum(axis=1), q.sum(axis=1)), least)
    used = int(max(rows.any(axis=(0, 1)).sum(), columns.any(axis=(0, 1)).sum()))
    rows, columns = rows[:, :, :used], columns[:, :, :used]
    p, q = (np.swapaxes(rows, 1, 2) @ table @ columns for table in (p, q))
    down, across, size = p.sum(axis=2), p.sum(axis=1), big[:, None, None]
    # One row's worth of independence, or a cell that holds no row could never be raked up.
    full = (q * size + q.sum(axis=2)[:, :, None] * q.sum(axis=1)[:, None, :]) / (size + 1.0)
    pooled = (p * n[:, None, None] + full * size) / np.maximum(n + big, 1e-300)[:, None, None]
    independent, loose = down[:, :, None] * across[:, None, :], (EXPECTED / (smaller + EXPECTED))[:, None, None]
    inverse = _inverse(independent)
    expected = raked(full, down, across)
    # A few rows' worth of independence here too: stray rows of a near-function come in whole rows, not in parts.
    spread = raked(pooled, down, across) * (1.0 - loose) + independent * loose
    trace, trace_squares, largest = _weights(spread, inverse, tails=tails)
    return Change(
        squared=((p - expected) ** 2 * inverse).sum(axis=(1, 2)),
        scale=_scale(p),
        h=n * big / np.maximum(n + big, 1e-300),
        trace=trace,
        trace_squares=trace_squares,
        largest=largest,
        now=cramers_v(p),
        before=cramers_v(q),
        seen=p,
        expected=expected,
        rows=rows,
        columns=columns,
    )


def raked(tables: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return tables with the margins `rows` and `columns`, (P, S) each, and the odds ratios of `tables`.

    Raking alone closes in by the squared correlation of the two sides a round, which is slow where one nearly follows
    from the other, so Newton's steps on the logarithms of its factors end it.
    """
    fitted = _scaled(tables, rows, columns, _ROUNDS)
    side = tables.shape[1]
    for _ in range(_STEPS):
        down, across = fitted.sum(axis=2), fitted.sum(axis=1)
        missed = np.concatenate([rows - down, columns - across], axis=1)
        # The ridge keeps groups without rows, and factors that may move against each other, solvable.
        step = np.linalg.solve(_gram(fitted) + _RIDGE * np.eye(2 * side), missed[:, :, None])[:, :, 0]
        step = np.clip(step, -1.0, 1.0)
        fitted *= np.exp(step[:, :side, None] + step[:, None, side:])
    return _scaled(fitted, rows, columns, 1)


def _scaled(tables: Floats, rows: Floats, columns: Floats, rounds: int) -> Floats:
    fitted = tables.copy()
    for _ in range(rounds):
        fitted *= (rows * _inverse(fitted.sum(axis=2)))[:, :, None]
        fitted *= (columns * _inverse(fitted.sum(axis=1)))[:, None, :]
    return fitted


def _gram(m: Floats) -> Floats:
    """Return A' diag(m) A for each table, (P, 2 S, 2 S), with A the indicators of rows and columns."""
    count, side, _ = m.shape
    gram = np.zeros((count, 2 * side, 2 * side))
    place = np.arange(side)
    gram[:, place, place], gram[:, side + place, side + place] = m.sum(axis=2), m.sum(axis=1)
    gram[:, :side, side:], gram[:, side:, :side] = m, np.swapaxes(m, 1, 2)
    return gram


def _weights(m: Floats, inverse: Floats, *, tails: bool) -> tuple[Floats, Floats, Floats]:
    """Return sum, sum of squares and largest of the eigenvalues of the covariance of the scaled residuals.

    The residuals of a table with shares m from its fit to its own margins have the covariance D - D A (A'D A)^- A'D over the
    number of rows, with D = diag(m) and A the indicators of rows and columns (Haberman, 1974).
    """
    count, side, _ = m.shape
    cells = m.reshape(count, side * side)
    design = np.zeros((side * side, 2 * side))
    place = np.arange(side * side)
    design[place, place // side] = design[place, side + place % side] = 1.0
    scaled = cells[:, :, None] * design
    explained = np.linalg.solve(_gram(m) + _RIDGE * np.eye(2 * side), np.swapaxes(scaled, 1, 2))
    covariance = -scaled @ explained
    covariance[:, place, place] += cells
    root = np.sqrt(inverse.reshape(count, side * side))
    covariance *= root[:, :, None] * root[:, None, :]
    trace = np.trace(covariance, axis1=1, axis2=2)
    squares = (covariance**2).sum(axis=(1, 2))
    largest = np.linalg.eigvalsh(covariance)[:, -1] if tails else np.zeros(count)
    return trace, squares, largest


def _shares(tables: Floats) -> Floats:
    shares: Floats = tables / np.maximum(tables.sum(axis=(1, 2)), 1e-300)[:, None, None]
    return shares


def _joins(shares: Floats, least: Floats) -> Floats:
    """Return (P, S, S) ones where a group becomes part of a joined group: neighbours, until both samples hold `least`."""
    count, side = shares.shape
    group: Indices = np.zeros((count, side), np.int64)
    held, number = np.zeros(count), np.zeros(count, np.int64)
    for place in range(side):
        full = (held >= least) & (place > 0)
        number = number + full
        held = np.where(full, 0.0, held) + shares[:, place]
        group[:, place] = number
    short = (held < least) & (number > 0)
    group -= (group == number[:, None]) & short[:, None]
    joins: Floats = (group[:, :, None] == np.arange(side)).astype(np.float64)
    return joins


def cramers_v(tables: Floats) -> Floats:
    """Return Cramer's V (1946, Mathematical Methods of Statistics, 21.9): 0 for independence, 1 for a function."""
    p = _shares(tables)
    down, across = p.sum(axis=2), p.sum(axis=1)
    expected = down[:, :, None] * across[:, None, :]
    squared = ((p - expected) ** 2 * _inverse(expected)).sum(axis=(1, 2))
    v: Floats = np.sqrt(squared / np.maximum(_scale(p), 1.0))
    return v


def _scale(p: Floats) -> Floats:
    """Return min(rows, columns) - 1 of the groups that hold anything; 0 without any."""
    held = np.minimum((p.sum(axis=2) > 0.0).sum(axis=1), (p.sum(axis=1) > 0.0).sum(axis=1))
    scale: Floats = np.maximum(held - 1.0, 0.0)
    return scale


def _inverse(values: Floats) -> Floats:
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 1e-12)
