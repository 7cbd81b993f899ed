"""What is kept of a feature between windows, and how a window enters it; changes with what is accumulated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

import numpy as np

from monitor.compare.gradual.scan import HISTORY, recent_level
from monitor.compare.gradual.usual import Usual, learn
from monitor.profile.bins import CategoricalBins
from monitor.profile.calendar import Calendar
from monitor.profile.counts import Indices
from monitor.profile.document import Floats, pack_floats, unpack_floats
from monitor.profile.features import Blocks, FeatureCounts, FeatureReference

_DAY = timedelta(days=1) // timedelta(microseconds=1)
_SETTLED = 7
"""Windows whose mean is the new level that a person accepts."""


class Quantity(StrEnum):
    """What a track follows."""

    LOCATION = "location"
    MISSING = "missing"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Track:
    """One number that is followed from window to window.

    Residuals of a location are in standard deviations of the baseline's scores; those of a share are differences of
    2 asin(sqrt(share)), Cohen's h, whose sampling variance is one over the number of rows.

    Attributes:
        quantity: what is followed.
        name: of the category, or of the group of categories, for a share.
        cells: the cells whose share it is.
        centre: mean score or share of the baseline.
        scale: standard deviation of the baseline's scores; 1 for shares.
        usual: what residuals do where nothing has changed.
    """

    quantity: Quantity
    name: str
    cells: tuple[int, ...]
    centre: float
    scale: float
    usual: Usual

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "quantity": str(self.quantity),
            "name": self.name,
            "cells": list(self.cells),
            "centre": self.centre,
            "scale": self.scale,
            "usual": self.usual.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Track:
        """Undo `to_document`."""
        return cls(
            Quantity(document["quantity"]),
            document["name"],
            tuple(document["cells"]),
            float(document["centre"]),
            float(document["scale"]),
            Usual.from_document(document["usual"]),
        )


@dataclass(frozen=True, slots=True)
class Residual:
    """How far one window is from the baseline.

    Attributes:
        place: number of the window: its start in microseconds since the epoch, divided by its length.
        values: one a track; NaN where the window tells nothing.
        noises: their sampling variances.
    """

    place: int
    values: tuple[float, ...]
    noises: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class State:
    """All that is kept of one feature of one model version since its baseline was activated.

    Attributes:
        length: of a window, in microseconds: that of the baseline's blocks.
        tracks: what is followed; the same in every residual.
        history: at most `HISTORY` residuals, by place.
    """

    length: int
    tracks: tuple[Track, ...]
    history: tuple[Residual, ...] = ()

    def arrays(self, track: int) -> tuple[Indices, Floats, Floats]:
        """Return places, residuals and sampling variances of the windows that tell something about a track."""
        told = [r for r in self.history if not math.isnan(r.values[track])]
        return (
            np.array([r.place for r in told], np.int64),
            np.array([r.values[track] for r in told], np.float64),
            np.array([r.noises[track] for r in told], np.float64),
        )

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        numbers = [[r.values, r.noises] for r in self.history]
        return {
            "length": self.length,
            "tracks": [track.to_document() for track in self.tracks],
            "places": [r.place for r in self.history],
            "residuals": pack_floats(np.array(numbers, np.float64).reshape(len(numbers), 2, len(self.tracks))),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> State:
        """Undo `to_document`."""
        pairs = unpack_floats(document["residuals"]).tolist()
        return cls(
            int(document["length"]),
            tuple(Track.from_document(track) for track in document["tracks"]),
            tuple(
                Residual(int(place), tuple(values), tuple(noises))
                for place, (values, noises) in zip(document["places"], pairs, strict=True)
            ),
        )


def begin(reference: FeatureReference, calendar: Calendar) -> State | None:
    """Return the state of a feature whose baseline has just been activated; None where its blocks tell too little.

    Windows that are shorter than the calendar's blocks are to be rolled up to their length first. Seasons are a week and a day,
    where blocks divide them.
    """
    if reference.blocks is None:
        return None
    length = calendar.length
    periods = [season // length for season in (7 * _DAY, _DAY) if season % length == 0 and season > length]
    tracks = tuple(_tracks(reference, reference.blocks, calendar.numbers, periods))
    return State(length, tracks) if tracks else None


def residual_of(counts: FeatureCounts, state: State, place: int) -> Residual:
    """Return what a window that was counted on the baseline's cells says of each track."""
    pairs = [_measure(counts, track) for track in state.tracks]
    return Residual(place, tuple(value for value, _ in pairs), tuple(noise for _, noise in pairs))


def advance(state: State, residual: Residual) -> State:
    """Return the state with one more window; a residual of the same place is replaced, and order does not matter."""
    by_place = {each.place: each for each in (*state.history, residual)}
    return replace(state, history=tuple(by_place[place] for place in sorted(by_place)[-HISTORY:]))


def accept(state: State) -> State:
    """Return the state after a person called the present normal: the level of the last week of windows is the usual one."""
    return State(state.length, tuple(_moved(track, *state.arrays(i)) for i, track in enumerate(state.tracks)))


def _moved(track: Track, places: Indices, residuals: Floats, noises: Floats) -> Track:
    if len(places) == 0:
        return track
    last = slice(-_SETTLED, None)
    by, variance = recent_level(track.usual, places[last], residuals[last], noises[last])
    return replace(track, usual=track.usual.moved(by, variance))


def _measure(counts: FeatureCounts, track: Track) -> tuple[float, float]:
    if track.quantity is Quantity.LOCATION:
        location = counts.location
        if location is None or location.weight <= 0.0:
            return math.nan, math.nan
        # A window of one value has no spread of its own to judge by.
        variance = max(location.variance_of_mean, track.scale**2 / counts.values.effective)
        return (location.mean - track.centre) / track.scale, variance / track.scale**2
    held = counts.presence if track.quantity is Quantity.MISSING else counts.values
    n, total = held.effective, held.total
    if n <= 0.0:
        return math.nan, math.nan
    share = float(held.sums[list(track.cells)].sum()) / total
    return float(_cohens_h(np.array([share]), np.array([n]), track.centre)[0]), 1.0 / n


def _tracks(reference: FeatureReference, blocks: Blocks, places: Indices, periods: Sequence[int]) -> Iterator[Track]:
    counts = reference.counts
    presence = counts.presence.effective / counts.presence.total
    yield from _share((Quantity.MISSING, "", (1,)), blocks.presence[:, 1], blocks.presence, presence, places, periods)
    if counts.values.total <= 0.0:
        return
    ratio = counts.values.effective / counts.values.total
    if counts.location is not None:
        yield from _location(reference, places, periods)
    elif isinstance(reference.bins, CategoricalBins):
        for key, amounts in _categories(reference.bins, blocks):
            yield from _share(key, amounts, blocks.values, ratio, places, periods)


def _location(reference: FeatureReference, places: Indices, periods: Sequence[int]) -> Iterator[Track]:
    location, blocks = reference.counts.location, reference.blocks
    if location is None or blocks is None or location.variance <= 0.0:
        return
    scale = math.sqrt(location.variance)
    kept = blocks.location[:, 0] > 0.0
    weights, totals = blocks.location[kept, :2].T
    levels = (totals / weights - location.mean) / scale
    noises = location.variance_of_mean / location.variance * location.weight / weights
    usual = learn(levels, noises, places[kept], periods)
    if usual is not None:
        yield Track(Quantity.LOCATION, "", (), location.mean, scale, usual)


_Key = tuple[Quantity, str, tuple[int, ...]]


def _share(
    key: _Key,
    amounts: Floats,
    cells: Floats,
    ratio: float,
    places: Indices,
    periods: Sequence[int],
) -> Iterator[Track]:
    """Yield the track of a share, given (B,) amounts among (B, K) counts and the effective rows of one counted."""
    totals = cells.sum(axis=1)
    kept = totals > 0.0
    if not kept.any():
        return
    amounts, totals = amounts[kept], totals[kept]
    centre = float(amounts.sum() / totals.sum())
    rows = totals * ratio
    usual = learn(_cohens_h(amounts / totals, rows, centre), 1.0 / rows, places[kept], periods)
    if usual is not None:
        yield Track(*key, centre, 1.0, usual)


def _categories(bins: CategoricalBins, blocks: Blocks) -> Iterator[tuple[_Key, Floats]]:
    """Yield what is followed of categories: each frequent value, the other known ones together, and unseen ones."""
    for cell, value in enumerate(bins.frequent):
        yield (Quantity.SHARE, value.decode("utf-8", errors="backslashreplace"), (cell,)), blocks.values[:, cell]
    rest = tuple(range(len(bins.frequent), bins.unseen))
    if not bins.complete:
        yield (Quantity.SHARE, "all other values", rest), blocks.values[:, list(rest)].sum(axis=1)
        return
    # What no other block holds is what a window would call unseen.
    others = blocks.values[:, [*rest, bins.unseen]].sum(axis=1) - blocks.novel
    yield (Quantity.SHARE, "all other known values", rest), np.maximum(others, 0.0)
    yield (Quantity.SHARE, "values unseen in training", (bins.unseen,)), blocks.novel


def _cohens_h(shares: Floats, rows: Floats, centre: float) -> Floats:
    """Return differences from `centre` on the arcsine scale of Anscombe (1948, Biometrika 35:246) for this many rows.

    Both sides get his correction, so that a share that is 0 in both differs by nothing whatever the number of rows.
    """
    h: Floats = _angle(shares, rows) - _angle(np.full(len(rows), centre), rows)
    return h


def _angle(shares: Floats, rows: Floats) -> Floats:
    angle: Floats = 2.0 * np.arcsin(np.sqrt((np.clip(shares, 0.0, 1.0) * rows + 0.375) / (rows + 0.75)))
    return angle
