"""Everything that is accumulated over the windows of one model version; changes with which features are followed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from monitor.clock import to_micros
from monitor.compare.case import Case, Reference
from monitor.compare.feedback import Feedback, called_false_alarm
from monitor.compare.findings import Finding
from monitor.compare.gradual.findings import Budget, accumulated_findings, count_tracks
from monitor.compare.gradual.state import State, accept, advance, begin, residual_of
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.records import Window

_PART_OF_BUDGET = 0.1
"""Of a window's own rate of false alarms, on top of it."""


@dataclass(frozen=True, slots=True)
class Accumulation:
    """The states of all features that are followed, since a baseline was activated.

    Attributes:
        states: by feature; none where the baseline's blocks tell too little, or are no windows.
    """

    baseline: Baseline
    settings: DetectionSettings
    states: Mapping[str, State]

    @classmethod
    def start(cls, baseline: Baseline, settings: DetectionSettings, window: Window) -> Accumulation:
        """Begin for windows as long as `window`."""
        calendar, states = baseline.calendar, dict[str, State]()
        if settings.gradual and calendar is not None and calendar.length == _length(window):
            ignored = {name for name, feature in settings.features.items() if feature.ignore}
            for name, reference in baseline.features.items():
                state = None if name in ignored | {baseline.label} else begin(reference, calendar)
                if state is not None:
                    states[name] = state
        return cls(baseline, settings, states)

    def added(self, window: Window, profile: Profile) -> Accumulation:
        """Return what is known with one more window, or with another revision of one."""
        place = _place(window)
        states = {
            name: advance(state, residual_of(profile.counts[name], state, place)) if name in profile.counts else state
            for name, state in self.states.items()
        }
        return replace(self, states=states)

    def accepted(self, features: Collection[str], window: Window) -> Accumulation:
        """Return what is known after somebody took `window` for normal: for these features its level is the usual one."""
        place = _place(window)
        states = {
            name: accept(_until(state, place)) if name in features else state for name, state in self.states.items()
        }
        return replace(self, states=states)

    def findings(self, window: Window, profile: Profile, feedback: Feedback) -> list[Finding]:
        """Return what the windows up to `window`, which is among them, add up to."""
        if not self.states:
            return []
        kinds = Case(profile, self.baseline, (), self.settings).kinds(Reference.earlier("", profile))
        rate = _PART_OF_BUDGET * self.settings.false_alarm_rate
        budget = Budget(rate, count_tracks(self.states.values()), self.settings.min_effect)
        place = _place(window)
        return [
            called_false_alarm(finding, feedback)
            for name, state in self.states.items()
            if name in kinds and name in profile.counts
            for finding in accumulated_findings(name, _until(state, place), budget, kind=kinds[name])
        ]


def _length(window: Window) -> int:
    return to_micros(window.end) - to_micros(window.start)


def _place(window: Window) -> int:
    return to_micros(window.start) // _length(window)


def _until(state: State, place: int) -> State:
    return replace(state, history=tuple(each for each in state.history if each.place <= place))
