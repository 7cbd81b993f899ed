"""Two versions side by side: metrics with verdicts, and how far paired predictions agree; changes with what is compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from monitor.evaluate.versions.agreement import Agreement, agreement, agreement_by_slice
from monitor.evaluate.versions.answers import Answers, Pairs
from monitor.evaluate.versions.asked import UNANSWERED, Asked
from monitor.evaluate.versions.blocks import LEAST
from monitor.evaluate.versions.boundary import normal_multiplier
from monitor.evaluate.versions.deciding import Verdict, judged
from monitor.evaluate.versions.losses import decisions
from monitor.evaluate.versions.mcnemar import McNemar, mcnemar
from monitor.evaluate.versions.ratios import Estimate, Ratio
from monitor.evaluate.versions.result import Comparison, Metric, Seen
from monitor.evaluate.versions.sequential import PairedSequential
from monitor.evaluate.versions.streams import follow, loss_metric, losses_of
from monitor.evaluate.versions.sums import hourly_sums
from monitor.evaluate.versions.tally import Tally


def compare_answers(stable: Answers, candidate: Answers, asked: Asked) -> Comparison:
    """Compare two versions that answered different requests.

    Raises:
        InputError: predictions do not fit the problem.
    """
    timed = stable.hours is not None
    return compare_tallies(Tally().add(stable, asked), Tally().add(candidate, asked), asked, timed=timed)


def compare_tallies(stable: Tally, candidate: Tally, asked: Asked, *, timed: bool = True) -> Comparison:
    """Compare two versions that answered different requests, of which windows were added up; `timed` where hours are times.

    Metrics that are no means of losses are left out where the rows of either version were given up.
    """
    metrics = follow(stable.losses, candidate.losses, asked, timed=timed)
    one, two = stable.judgeable(), candidate.judgeable()
    if one is not None and two is not None:
        metrics.extend(_unpaired_ratios((one, two), asked))
    seen = stable.seen, candidate.seen
    warnings = [*_unanswered(seen), *_shifted(metrics)]
    return Comparison(asked, seen, _deciding_first(metrics), warnings=warnings)


def compare_pairs(pairs: Pairs, asked: Asked) -> Comparison:
    """Compare two versions that answered the same requests; losses only where there are labels.

    Raises:
        InputError: predictions do not fit the problem.
    """
    sides = pairs.answers()
    seen = Seen.of(sides[0]), Seen.of(sides[1])
    slices: dict[str, Agreement] = {}
    for spec in asked.slices:
        slices |= agreement_by_slice(pairs, asked.looking(), spec)
    whole = agreement(pairs, asked.looking())
    if pairs.labels is None:
        return Comparison(asked, seen, agreement=whole, slices=slices, warnings=list(_unanswered(seen)))
    places = np.flatnonzero(sides[0].labelled() & sides[0].answered() & sides[1].answered())
    judgeable = sides[0].take(places), sides[1].take(places)
    metrics = [*_paired_losses(sides, judgeable, asked), *_paired_ratios(judgeable, asked)]
    test = _mcnemar(judgeable, asked)
    return Comparison(asked, seen, _deciding_first(metrics), whole, slices, test, list(_unanswered(seen)))


def _unpaired_ratios(sides: tuple[Answers, Answers], asked: Asked) -> Iterator[Metric]:
    requests = sides[0].requests, sides[1].requests
    for name, ratio in asked.ratios().items():
        one, two = (ratio.of(side.outcomes, asked.threshold) for side in sides)
        variances = one.variance(sides[0].clusters), two.variance(sides[1].clusters)
        yield _ratio_metric(name, ratio, (one, two), variances, requests, asked)


def _paired_losses(
    sides: tuple[Answers, Answers], judgeable: tuple[Answers, Answers], asked: Asked
) -> Iterator[Metric]:
    for name, loss in asked.losses().items():
        stable, candidate = sides if name == UNANSWERED else judgeable
        one, two = losses_of(loss, stable, asked), losses_of(loss, candidate, asked)
        weights = stable.outcomes.weights
        decision = PairedSequential(hourly_sums(two - one, weights, stable.clusters, stable.hours)).verdict(
            asked.rule(name)
        )
        means = (math.nan, math.nan)
        if len(one):
            means = float(np.average(one, weights=weights)), float(np.average(two, weights=weights))
        yield loss_metric(name, means, decision, asked, timed=stable.hours is not None)


def _paired_ratios(judgeable: tuple[Answers, Answers], asked: Asked) -> Iterator[Metric]:
    stable, candidate = judgeable
    requests = stable.requests, candidate.requests
    for name, ratio in asked.ratios().items():
        one, two = (ratio.of(side.outcomes, asked.threshold) for side in judgeable)
        variances = (two.less(one).variance(stable.clusters),)
        yield _ratio_metric(name, ratio, (one, two), variances, requests, asked)


def _ratio_metric(
    name: str,
    ratio: Ratio,
    estimates: tuple[Estimate, Estimate],
    variances: Sequence[float],
    requests: tuple[int, int],
    asked: Asked,
) -> Metric:
    """Return a metric that is no mean, from its estimates and what adds up to the variance of their difference."""
    decides, level = name in asked.deciding(), asked.level(name) / (asked.looks or 1)
    one, two = estimates
    difference, support = two.value - one.value, min(one.support, two.support)
    fixed, verdict = None, Verdict.UNDECIDED
    if not math.isfinite(difference):
        reason = f"{name} is undefined for the rows of one version"
    elif support < LEAST:
        reason = f"an interval takes {LEAST} examples that count for {name}, of each version; there are {support}"
    elif min(variances) == 0.0 and difference:
        reason = f"all examples that count for {name} agree in one version, which tells no variance"
    else:
        width = math.sqrt(sum(variances)) * normal_multiplier(level)
        fixed = difference - width, difference + width
        # The larger is the better one, where it is, so the difference is a loss's with its sign turned.
        verdict = judged((-fixed[1], -fixed[0]) if ratio.higher_is_better else fixed, asked.margin)
        reason = (
            f"good for each of {asked.looks} looks" if asked.looks else "good for one look only, so it does not decide"
        )
    return Metric(
        name=name,
        decides=decides,
        higher_is_better=ratio.higher_is_better,
        stable=one.value,
        candidate=two.value,
        estimate=difference if math.isfinite(difference) else None,
        interval=None,
        fixed_interval=fixed,
        level=level,
        verdict=verdict if decides else None,
        reason=reason,
        requests=requests,
    )


def _mcnemar(judgeable: tuple[Answers, Answers], asked: Asked) -> McNemar | None:
    deciding = [decisions(side.outcomes.predictions, asked.problem, asked.threshold) for side in judgeable]
    labels = judgeable[0].outcomes.labels
    if deciding[0] is None or deciding[1] is None:
        return None
    independent = judgeable[0].requests == len(judgeable[0])
    return mcnemar(deciding[0] != labels, deciding[1] != labels, independent=independent)


def _deciding_first(metrics: Sequence[Metric]) -> list[Metric]:
    return sorted(metrics, key=lambda metric: not metric.decides)


def _unanswered(seen: tuple[Seen, Seen]) -> Iterator[str]:
    for side, each in zip(("stable version", "candidate"), seen, strict=True):
        if each.unanswered:
            yield (
                f"{each.unanswered:,} of {each.rows:,} rows of the {side} have no prediction that is a number; "
                f"they count in no metric but {UNANSWERED} (--metric {UNANSWERED})"
            )


def _shifted(metrics: Sequence[Metric]) -> Iterator[str]:
    """Say where means over all hours tell another story than differences within hours."""
    for metric in metrics:
        if not metric.decides or metric.estimate is None or metric.fixed_interval is None:
            continue
        plain, width = metric.candidate - metric.stable, metric.fixed_interval[1] - metric.estimate
        if metric.interval is not None and abs(plain - metric.estimate) > width:
            yield (
                f"{metric.name} differs by {plain:.3g} over all rows, but by {metric.estimate:.3g} within hours: "
                "the versions answered at different times, and only the latter compares them"
            )
