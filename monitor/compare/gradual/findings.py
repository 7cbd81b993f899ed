"""Findings about changes that build up over windows; changes with what people are told of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from monitor.clock import from_micros, rfc3339
from monitor.compare.comparisons import MIN_RATE_DIFFERENCE
from monitor.compare.explain import number, percent
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.compare.gradual.scan import HISTORY, MIN_SPAN, Span, critical_mean, critical_ratio, level_of, rate_of, scan
from monitor.compare.gradual.state import Quantity, State, Track
from monitor.profile.counts import Indices
from monitor.profile.document import Floats

ACCUMULATED = "accumulated"
_MEASURES = {
    Quantity.LOCATION: "accumulated_d",
    Quantity.MISSING: "accumulated_missing_h",
    Quantity.SHARE: "accumulated_share_h",
}
_HOUR = timedelta(hours=1) // timedelta(microseconds=1)
_UNITS = {168 * _HOUR: "week", 24 * _HOUR: "day", _HOUR: "hour"}


@dataclass(frozen=True, slots=True)
class Budget:
    """What one model version may cost.

    Attributes:
        false_alarms: expected number a window, over all tracks of all features.
        tracks: how many there are; `count_tracks` adds them up.
        min_effect: smallest mean change of interest, in Cohen's d or h.
    """

    false_alarms: float
    tracks: int
    min_effect: float = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """Since when, and how much in all: the better of a step and a steady rise, by least squares."""

    place: int
    total: float
    steady: bool


def accumulated_findings(feature: str, state: State, budget: Budget, *, kind: Kind) -> list[Finding]:
    """Return one finding for each quantity of a feature as of the last window: the most surprising of its tracks.

    The value is the mean change since the change began, Cohen's d for numbers and h for shares. `p_value` is the expected
    number of as surprising spans in a window over the quantity's tracks, so that it can be held against a rate.

    Args:
        feature: its name.
        state: with the last window in it.
        budget: of the model version.
        kind: of findings about values; those about missing values have their own.
    """
    level = level_of(budget.false_alarms / max(1, budget.tracks))
    return [
        _finding(feature, state, quantity, level, budget.min_effect, kind)
        for quantity in Quantity
        if any(track.quantity is quantity for track in state.tracks)
    ]


def _finding(
    feature: str,
    state: State,
    quantity: Quantity,
    level: float,
    min_effect: float,
    kind: Kind,
) -> Finding:
    spans = list(_spans(state, quantity))
    missing = quantity is Quantity.MISSING
    used = Kind.MISSING_VALUES if missing else kind
    if not spans:
        return Finding(
            kind=used,
            feature=feature,
            reference=ACCUMULATED,
            measure=_MEASURES[quantity],
            value=None,
            threshold=None,
            p_value=None,
            flagged=False,
            reason=f"too few windows: a change must have lasted for {MIN_SPAN}",
            explanation=f"{feature}: fewer than {MIN_SPAN} windows have been seen since the baseline",
            outcome=Outcome.INFORMATIVE,
        )
    track, places, span = max(spans, key=lambda found: _strength(found, level, min_effect))
    threshold = max(_least(track, span, min_effect), critical_mean(track.usual, span, level))
    flagged = abs(span.mean) > threshold
    alone = span.furthest > critical_ratio(track.usual, level)
    said = (
        explain_change(feature, track, places, span, state.length, alone=alone) if flagged else _unmoved(feature, track)
    )
    return Finding(
        kind=used,
        feature=feature,
        reference=ACCUMULATED,
        measure=_MEASURES[quantity],
        value=abs(span.mean),
        threshold=threshold,
        p_value=min(1.0, rate_of(span.p_value) * len(spans)),
        flagged=flagged,
        reason=None,
        explanation=said,
        outcome=Outcome.JUDGED,
        null=f"mean of {span.windows} windows: {span.spread:.4g} times Student's t, {track.usual.freedom:.0f} degrees of freedom",
    )


def count_tracks(states: Iterable[State]) -> int:
    """Return the size of the family whose false alarms one budget holds."""
    return sum(len(state.tracks) for state in states)


def change_of(places: Indices, deviations: Floats) -> Change:
    """Return the change up to the last window that explains the deviations best, of at least `MIN_SPAN` windows."""
    starts = np.arange(len(places) - MIN_SPAN + 1)
    steps = [(float(deviations[s:].sum()) ** 2 / len(places[s:]), int(s), False) for s in starts]
    rises = [(_projected(places[s:], deviations[s:]), int(s), True) for s in starts]
    _, start, steady = max(steps + rises)
    after = deviations[start:]
    if not steady:
        return Change(int(places[start]), float(after.mean()), steady=False)
    times = places[start:] - places[start] + 1.0
    return Change(int(places[start]), float(after @ times / (times @ times)) * float(times[-1]), steady=True)


def explain_change(feature: str, track: Track, places: Indices, span: Span, length: int, *, alone: bool) -> str:
    """Say in one sentence how a track has moved, since when, and by how much; `alone` says that one window shows it."""
    change = change_of(places, span.deviations)
    unit = _UNITS.get(length, "window")
    lasted = int(places[-1]) - change.place + 1
    # What began before the history may have begun any time before.
    at_least = "at least " if len(places) == HISTORY and change.place == places[0] else ""
    since = f"for {at_least}{lasted} {unit}s since {_date(change.place, length)}"
    up = change.total > 0.0
    if change.steady:
        moved = f"has {'risen' if up else 'fallen'} {since}, {_amount(track, change)} in all"
    else:
        moved = f"has been {'higher' if up else 'lower'} {since}, {_amount(track, change)}"
    return f"{_what(feature, track)} {moved}" + ("" if alone else f"; no single {unit} shows it")


def _unmoved(feature: str, track: Track) -> str:
    return f"{_what(feature, track)} has stayed near its usual level"


def _what(feature: str, track: Track) -> str:
    followed = {
        Quantity.LOCATION: "",
        Quantity.MISSING: " the share of missing values",
        Quantity.SHARE: f" the share of {track.name}",
    }
    return f"{feature}:{followed[track.quantity]}"


def _spans(state: State, quantity: Quantity) -> Iterator[tuple[Track, Indices, Span]]:
    for index, track in enumerate(state.tracks):
        if track.quantity is not quantity:
            continue
        places, residuals, noises = state.arrays(index)
        span = scan(track.usual, places, residuals, noises)
        if span is not None:
            yield track, places, span


def _strength(found: tuple[Track, Indices, Span], level: float, min_effect: float) -> float:
    track, _, span = found
    return abs(span.mean) / max(_least(track, span, min_effect), critical_mean(track.usual, span, level))


def _least(track: Track, span: Span, min_effect: float) -> float:
    """Return the least effect of interest: of a share, h of one point too, since h makes much of a trifle near 0 and 1."""
    if track.quantity is Quantity.LOCATION:
        return min_effect
    shares = np.clip([track.centre, track.centre + math.copysign(MIN_RATE_DIFFERENCE, span.mean)], 0.0, 1.0)
    usual, moved = 2.0 * np.arcsin(np.sqrt(shares))
    return max(min_effect, float(abs(moved - usual)))


def _projected(places: Indices, deviations: Floats) -> float:
    """Return by how much a rise from 0 that begins with the first window lowers the sum of squares."""
    times = places - places[0] + 1.0
    return float(deviations @ times) ** 2 / float(times @ times)


def _amount(track: Track, change: Change) -> str:
    if track.quantity is Quantity.LOCATION:
        return f"by {number(float(f'{abs(change.total):.2g}'))} standard deviations"
    usual = 2.0 * np.arcsin(np.sqrt(np.clip(track.centre, 0.0, 1.0)))
    now = float(np.sin(np.clip(usual + track.usual.mean + change.total, 0.0, np.pi) / 2.0) ** 2)
    before = float(np.sin(np.clip(usual + track.usual.mean, 0.0, np.pi) / 2.0) ** 2)
    return f"from {percent(before)} to {percent(now)}"


def _date(place: int, length: int) -> str:
    moment = from_micros(place * length)
    return moment.date().isoformat() if length % (24 * _HOUR) == 0 else rfc3339(moment)
