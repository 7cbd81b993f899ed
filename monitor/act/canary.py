"""What to make of a canary by what is known of it; changes with what counts as harm, and how long to wait. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from monitor.act.steps import CanaryVerdict
from monitor.act.timing import words
from monitor.config.canary import CanarySettings


class Quality(StrEnum):
    """What labels say of a candidate beside the stable version."""

    UNKNOWN = "unknown"
    WORSE = "worse"
    NO_WORSE = "no_worse"


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a canary so far.

    Attributes:
        elapsed: event time that was judged since it began.
        waited: wall-clock time since then, where the traffic is live; None in a replay, whose time is not ours.
        rows: of the stable version and of the candidate, in judged windows since.
        harms: what is worse than at the stable version at the same time, a clause each.
        quality: by labels.
        shift: distance between the predictions of both; None where it is not known.
    """

    elapsed: timedelta
    waited: timedelta | None
    rows: tuple[int, int]
    harms: Sequence[str] = ()
    quality: Quality = Quality.UNKNOWN
    shift: float | None = None


def judge_canary(watched: Watched, settings: CanarySettings) -> tuple[CanaryVerdict, str]:
    """Return whether to promote, to roll back or to wait, and why.

    Harm is told as soon as there are rows enough, the end of `watch_for` is awaited for its absence, unless labels show before
    that the candidate is no worse: intervals at all looks may be looked at at any time.
    """
    stable, candidate = watched.rows
    seen = f"{candidate:,} rows of the candidate and {stable:,} of the stable version in {words(watched.elapsed)}"
    over = max(watched.elapsed, watched.waited or timedelta(0)) >= settings.give_up_after
    if min(watched.rows) < settings.min_rows:
        if over:
            return CanaryVerdict.BAD, f"too few rows: {seen}, {settings.min_rows:,} of each are needed"
        return CanaryVerdict.WAITING, f"{seen}; {settings.min_rows:,} of each are needed"
    harms = [*watched.harms, *_shifted(watched, settings)]
    if harms:
        return CanaryVerdict.BAD, f"{'; '.join(harms)} ({seen})"
    if watched.quality is Quality.NO_WORSE:
        return CanaryVerdict.GOOD, f"labels show that it is no worse: {seen}"
    if watched.elapsed < settings.watch_for and not over:
        return CanaryVerdict.WAITING, f"no harm so far: {seen}"
    if settings.labels == "require":
        if over:
            return CanaryVerdict.BAD, f"labels have not shown that it is no worse: {seen}"
        return CanaryVerdict.WAITING, f"labels have not shown yet that it is no worse: {seen}"
    if watched.elapsed < settings.watch_for:
        return CanaryVerdict.BAD, f"the traffic stands still: {seen} of {words(settings.watch_for)}"
    return CanaryVerdict.GOOD, f"no evidence of harm: {seen}"


def _shifted(watched: Watched, settings: CanarySettings) -> list[str]:
    most = settings.max_prediction_shift
    if most is None or watched.shift is None or watched.shift <= most:
        return []
    return [f"predictions are {watched.shift:.3f} away from the stable version's, {most:g} are allowed"]
