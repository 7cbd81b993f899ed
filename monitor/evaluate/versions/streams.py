"""Metrics of two versions from hourly sums, which traffic leaves window by window; changes with what is kept of a window.

Of each window and version `window_sums` are kept. Whenever somebody looks, `follow` says what is known of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.evaluate.versions.answers import Answers
from monitor.evaluate.versions.asked import UNANSWERED, Asked
from monitor.evaluate.versions.deciding import Decision
from monitor.evaluate.versions.losses import Loss
from monitor.evaluate.versions.result import Metric
from monitor.evaluate.versions.sequential import Sequential
from monitor.evaluate.versions.sums import Hourly, hourly_sums, total

HourlyByLoss = Mapping[str, Hourly]
"""Hourly sums of one version, by the name of a loss."""


def losses_of(loss: Loss, answers: Answers, asked: Asked) -> Floats:
    """Return the losses of rows (n,) that have a label and a prediction.

    Raises:
        InputError: a loss is beyond any number, or predictions do not fit the problem.
    """
    losses = loss.of(answers.outcomes, asked.threshold)
    if len(losses) and not losses.max() < float("inf"):
        raise InputError("a loss is too large to be a number: labels or predictions are out of all bounds")
    return losses


def window_sums(answers: Answers, asked: Asked) -> dict[str, Hourly]:
    """Return the hourly sums of one version's rows, by loss; rows without a label or prediction count for `unanswered` only.

    Raises:
        InputError: predictions do not fit the problem.
    """
    judgeable = answers.judgeable()
    found: dict[str, Hourly] = {}
    for name, loss in asked.losses().items():
        rows = answers if name == UNANSWERED else judgeable
        found[name] = hourly_sums(losses_of(loss, rows, asked), rows.outcomes.weights, rows.clusters, rows.hours)
    return found


def follow(stable: HourlyByLoss, candidate: HourlyByLoss, asked: Asked, *, timed: bool = True) -> list[Metric]:
    """Return what is known of each loss after a look at the end of every hour; `timed` where hours are times."""
    found = []
    for name in asked.losses():
        sequential = Sequential(stable.get(name, {}), candidate.get(name, {}))
        decision = sequential.verdict(asked.rule(name))
        means = total(sequential.stable).mean, total(sequential.candidate).mean
        found.append(loss_metric(name, means, decision, asked, timed=timed))
    return found


def loss_metric(name: str, means: tuple[float, float], decision: Decision, asked: Asked, *, timed: bool) -> Metric:
    """Return a loss as a metric; without times nobody can say when it was decided."""
    return Metric(
        name=name,
        decides=name in asked.deciding(),
        higher_is_better=False,
        stable=means[0],
        candidate=means[1],
        estimate=decision.estimate,
        interval=decision.interval,
        fixed_interval=decision.fixed_interval,
        level=asked.level(name),
        verdict=decision.verdict,
        reason=decision.reason,
        requests=decision.requests,
        decided_in=decision.decided_in if timed else None,
    )
