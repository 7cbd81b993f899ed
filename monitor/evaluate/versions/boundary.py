"""How wide intervals are, in standard errors: for one look, and for any number of them; changes with the boundary.

An ordinary 95% interval that is looked at every hour excludes a true difference of zero sooner or later, nearly surely. A
confidence sequence holds the truth at all looks together with probability 1 - alpha, however often one looks, and whenever
one stops.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import lambertw, ndtri

from monitor.evaluate.examples import Floats


def anytime_multiplier(information: Floats, expected: float, alpha: float) -> Floats:
    """Return how many standard errors wide the confidence sequence is to either side.

    It is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Time-uniform central limit
    theory and asymptotic confidence sequences, Annals of Statistics 2024), whose boundary is Robbins' normal mixture: with
    x = information * rho² its half width is sqrt((1 + 1/x) log((1 + x) / alpha²)) standard errors. rho² is chosen so that
    this is least at `expected`, where x solves log((1 + x) / alpha²) = x.
    """
    best = -float(lambertw(-(alpha**2) / math.e, k=-1).real) - 1.0
    x = information * (best / expected)
    multiplier: Floats = np.sqrt((1.0 + 1.0 / x) * np.log((1.0 + x) / alpha**2))
    return multiplier


def normal_multiplier(alpha: float) -> float:
    """Return how many standard errors wide an interval is to either side that is looked at once."""
    return float(ndtri(1.0 - alpha / 2.0))
