"""Everything that is accumulated over the windows of one model version; changes with which features are followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from monitor.clock import to_micros
from monitor.compare.case import Case
from monitor.compare.feedback import Feedback, called_false_alarm
from monitor.compare.findings import Finding, Kind
from monitor.compare.gradual.findings import Budget, accumulated_findings, count_tracks
from monitor.compare.gradual.state import State, accept, advance, begin, residual_of
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.calendar import Calendar
from monitor.profile.daily import DAY
from monitor.profile.features import FeatureReference
from monitor.profile.profile import Profile
from monitor.profile.rollup import rolled_up
from monitor.records import Window

_PART_OF_BUDGET = 0.1
"""Of a window's own rate of false alarms, on top of it."""


@dataclass(frozen=True, slots=True)
class Accumulation:
    """The states of all features that are followed, since a baseline was activated.

    Windows shorter than a day are put together to days: what lasts for some hours is weather.

    Attributes:
        step: length of what is followed, in microseconds: a window, or a day.
        states: by feature; none where the baseline's blocks tell too little, or are no windows.
        day: number and profile of the day that is not over yet, where days are followed.
        ended: number of the window or day that the last window ended; None where it ended none.
        accepted: what people took for normal, as (start of the window, feature), that the states know of.
    """

    baseline: Baseline
    settings: DetectionSettings
    step: int
    states: Mapping[str, State]
    day: tuple[int, Profile] | None = None
    ended: int | None = None
    accepted: frozenset[tuple[int, str]] = frozenset()

    @classmethod
    def start(cls, baseline: Baseline, settings: DetectionSettings, window: Window) -> Accumulation:
        """Begin for windows as long as `window`."""
        length, states = _length(window), dict[str, State]()
        calendar, references = _followed(baseline, length)
        if settings.gradual and calendar is not None:
            ignored = {name for name, feature in settings.features.items() if feature.ignore}
            for name, reference in references.items():
                state = None if name in ignored | {baseline.label} else begin(reference, calendar)
                if state is not None:
                    states[name] = state
        return cls(baseline, settings, length if calendar is None else calendar.length, states)

    def added(self, window: Window, profile: Profile) -> Accumulation:
        """Return what is known with one more window; one of a day before the present one comes too late and changes nothing."""
        place, day = self._place(window), self.day
        if _length(window) == self.step:
            return self.advanced(place, profile)
        if day is not None and place < day[0]:
            return replace(self, ended=None)
        same = day is not None and place == day[0]
        whole = rolled_up([day[1], profile]) if same and day is not None else profile
        known = replace(self, ended=None) if same or day is None else self.advanced(*day)
        if to_micros(window.end) % self.step == 0:
            return replace(known.advanced(place, whole), day=None)
        return replace(known, day=(place, whole))

    def advanced(self, place: int, profile: Profile) -> Accumulation:
        """Return what is known with one more of what is followed, a window or a day; another of the same place is replaced."""
        states = {
            name: advance(state, residual_of(profile.counts[name], state, place)) if name in profile.counts else state
            for name, state in self.states.items()
        }
        return replace(self, states=states, ended=place)

    def _place(self, window: Window) -> int:
        return to_micros(window.start) // self.step

    def accepting(self, said: Collection[tuple[int, str]]) -> Accumulation:
        """Return what is known after people took windows for normal: for these features the present level is the usual one.

        `said` are pairs of the start of a window, in microseconds, and a feature; those that are known already change nothing.
        """
        features = {feature for start, feature in said if (start, feature) not in self.accepted}
        if not features:
            return self
        states = {name: accept(state) if name in features else state for name, state in self.states.items()}
        return replace(self, states=states, accepted=frozenset(said))

    def findings(self, profile: Profile, feedback: Feedback) -> list[Finding]:
        """Return what all windows up to the last, whose profile is given, add up to; nothing before a day is over."""
        if not self.states or self.ended is None:
            return []
        kinds = Case(profile, self.baseline, (), self.settings).kinds(Kind.DRIFT)
        rate = _PART_OF_BUDGET * self.settings.false_alarm_rate
        budget = Budget(rate, count_tracks(self.states.values()), self.settings.min_effect)
        place = self.ended
        return [
            called_false_alarm(finding, feedback)
            for name, state in self.states.items()
            if name in kinds and name in profile.counts
            for finding in accumulated_findings(name, _until(state, place), budget, kind=kinds[name])
        ]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back, given the same baseline and settings."""
        return {
            "step": self.step,
            "states": {name: state.to_document() for name, state in self.states.items()},
            "day": None if self.day is None else [self.day[0], replace(self.day[1], statistics=b"").to_document()],
            "accepted": sorted(self.accepted),
        }

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], baseline: Baseline, settings: DetectionSettings
    ) -> Accumulation:
        """Undo `to_document`."""
        day = document["day"]
        return cls(
            baseline,
            settings,
            int(document["step"]),
            {name: State.from_document(state) for name, state in document["states"].items()},
            None if day is None else (int(day[0]), Profile.from_document(day[1])),
            accepted=frozenset((int(start), str(feature)) for start, feature in document["accepted"]),
        )


def _length(window: Window) -> int:
    return to_micros(window.end) - to_micros(window.start)


def _followed(baseline: Baseline, length: int) -> tuple[Calendar | None, Mapping[str, FeatureReference]]:
    """Return the blocks that windows of a length are followed by: their own, or days."""
    if baseline.calendar is None or baseline.calendar.length != length:
        return None, {}
    if length >= DAY:
        return baseline.calendar, baseline.features
    if baseline.daily is None:
        return None, {}
    days = baseline.daily.blocks
    references = {name: replace(baseline.features[name], blocks=blocks) for name, blocks in days.items()}
    return baseline.daily.calendar, references


def _until(state: State, place: int) -> State:
    return replace(state, history=tuple(each for each in state.history if each.place <= place))
