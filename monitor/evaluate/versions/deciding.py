"""Is the candidate better or worse: the verdict that intervals give, look after look; changes with what a verdict takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from monitor.evaluate.versions.blocks import LEAST, Blocks
from monitor.evaluate.versions.boundary import anytime_multiplier, normal_multiplier

Interval = tuple[float, float]
"""Lower and upper end, of candidate less stable."""

_UNSEEN = 4.0
"""Squares of the largest loss that are added to the sum of squares of a loss with a bound.

Where nothing was seen in n requests, the fixed-time 95% interval then ends at 3.9 / n, as the exact one does (3.7 / n). Agresti
and Coull (1998) add four requests likewise.
"""


class Verdict(StrEnum):
    """What is known of the candidate beside the stable version."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    """The difference is within the margin, on either side."""
    NO_WORSE = "no_worse"
    """Not worse by more than the margin; whether better is not known."""
    UNDECIDED = "no_difference_yet"


@dataclass(frozen=True, slots=True)
class Rule:
    """When a difference counts.

    Attributes:
        alpha: probability that an interval excludes the truth at any look at all.
        margin: largest difference that does not matter, in units of the loss; None where every difference does.
        expected: requests of the candidate at which the interval shall be narrowest. It costs little to be wrong: with a
            tenth or ten times as many the interval is 26% or 7% wider.
        bound: the largest loss, where losses take few values only.
        least: requests of either version before anything is said.
    """

    alpha: float = 0.05
    margin: float | None = None
    expected: int = 1_000
    bound: float | None = None
    least: int = LEAST


@dataclass(frozen=True, slots=True)
class Decision:
    """What is known after all looks so far.

    Attributes:
        verdict: the last one that was reached; an interval that later holds zero again does not take it back, an opposite
            verdict does.
        reason: one sentence.
        requests: of the stable version and of the candidate, those that wait for a full block included.
        estimate: candidate less stable, within hours; None before the first look.
        interval: the confidence sequence now; None before the first look.
        fixed_interval: an ordinary interval, for whoever looks this once only.
        decided_in: start of the hour in which the verdict was reached, in microseconds; None where there is none yet.
        looks: hours at which there was something new to see.
    """

    verdict: Verdict
    reason: str
    requests: tuple[int, int]
    estimate: float | None = None
    interval: Interval | None = None
    fixed_interval: Interval | None = None
    decided_in: int | None = None
    looks: int = 0


def judged(interval: Interval, margin: float | None) -> Verdict:
    """Return what an interval of a loss's difference says: small is good."""
    lower, upper = interval
    if margin is not None and -margin <= lower and upper <= margin:
        return Verdict.EQUIVALENT
    if upper < 0.0:
        return Verdict.BETTER
    if lower > 0.0:
        return Verdict.WORSE
    return Verdict.NO_WORSE if margin is not None and upper <= margin else Verdict.UNDECIDED


def decide(blocks: Blocks, rule: Rule, requests: tuple[int, int]) -> Decision:
    """Look after every block, and return what is known in the end.

    Blocks are weighted by their information, which depends on the numbers of requests alone. So the sum of their
    differences less the true one is a martingale, and its variance the sum of theirs. The sequence takes the larger variance
    of the two for both versions: of skewed losses, a hundred requests of a canary often miss the rare large ones, and have
    too low a mean *and* too low a variance. The fixed interval takes each version's own, as Welch's test does.
    """
    if not len(blocks):
        reason = f"a look takes {rule.least} requests with labels of each version in the same hours"
        return Decision(Verdict.UNDECIDED, reason, requests)
    weights = blocks.information[:, None]
    information = np.cumsum(blocks.information)
    heaviest = np.maximum.accumulate((weights / blocks.effective).max(axis=1))
    unseen = _UNSEEN * np.square(heaviest * (rule.bound or 0.0))
    variance = np.cumsum(weights * blocks.spreads, axis=0).max(axis=1) + unseen
    estimates = np.cumsum(blocks.information * blocks.differences) / information
    widths = np.sqrt(variance) / information * anytime_multiplier(information, rule.expected, rule.alpha)
    intervals = list(zip((estimates - widths).tolist(), (estimates + widths).tolist(), strict=True))
    verdict, place = _last_verdict([judged(interval, rule.margin) for interval in intervals])
    own = float((weights**2 * blocks.spreads / blocks.effective).sum() + unseen[-1])
    estimate, fixed = float(estimates[-1]), math.sqrt(own) / float(information[-1]) * normal_multiplier(rule.alpha)
    return Decision(
        verdict=verdict,
        reason=_reason(verdict, intervals[-1], rule, int(blocks.requests[:, 1].sum())),
        requests=requests,
        estimate=estimate,
        interval=intervals[-1],
        fixed_interval=(estimate - fixed, estimate + fixed),
        decided_in=None if place is None else int(blocks.hours[place]),
        looks=len(blocks),
    )


def _last_verdict(looks: list[Verdict]) -> tuple[Verdict, int | None]:
    """Return the verdict that holds after all looks, and the look at which it was reached."""
    verdict, place = Verdict.UNDECIDED, None
    for look, found in enumerate(looks):
        # To be no worse is implied by being better or equivalent, and takes neither back.
        implied = found is Verdict.NO_WORSE and verdict in {Verdict.BETTER, Verdict.EQUIVALENT}
        if found not in {Verdict.UNDECIDED, verdict} and not implied:
            verdict, place = found, look
    return verdict, place


def _reason(verdict: Verdict, now: Interval, rule: Rule, candidate: int) -> str:
    said = {
        Verdict.BETTER: "the interval lies below zero",
        Verdict.WORSE: "the interval lies above zero",
        Verdict.EQUIVALENT: f"the interval lies within {rule.margin} of zero",
        Verdict.NO_WORSE: f"the interval ends below {rule.margin}",
        Verdict.UNDECIDED: "the interval holds zero",
    }[verdict]
    if judged(now, rule.margin) is Verdict.UNDECIDED and verdict is not Verdict.UNDECIDED:
        return (
            said.replace("lies", "lay").replace("ends", "ended")
            + " when this was decided; it is wider or elsewhere now"
        )
    if verdict is Verdict.UNDECIDED and rule.margin:
        width = (now[1] - now[0]) / 2.0
        return f"{said}, and ends above {rule.margin}; {_needed(candidate, width, rule.margin)}"
    return said


def _needed(candidate: int, width: float, margin: float) -> str:
    """Say how many requests would do if the versions did not differ; widths fall as the root of their number."""
    needed = candidate * (width / margin) ** 2
    return f"about {float(f'{needed:.1e}'):,.0f} requests of the candidate tell, if the two are equal"
