"""The earlier windows of a model version as the ledger keeps them; changes with how their profiles are kept or made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.compare.pooled import POOLED_WINDOWS
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.profile.rollup import rolled_up_windows
from monitor.profile.sliced import WindowProfile
from monitor.profile.slices import Spec
from monitor.records import Window, WindowKey
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import JudgedWindow
from monitor.store.window_ledger import PendingWindow
from monitor.window.slicing import OVERALL, slice_name


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pinned range as one window, and what it was made from: while that stays the same, so does it."""

    made_from: tuple[object, ...]
    profile: WindowProfile | None


@dataclass(frozen=True, slots=True)
class LedgerHistory:
    """The judged windows before one, of its version; see `monitor.jobs.references.History`.

    Attributes:
        key: the window that is judged.
        baseline: what it is judged by.
        specs: the slices that are judged.
        again: makes the profile of a window that was profiled on another baseline, from its spans.
        known: pinned ranges by (model, version), which this one adds to.
    """

    ledger: Ledger
    key: WindowKey
    baseline: Baseline
    specs: tuple[Spec, ...]
    again: Callable[[PendingWindow], WindowProfile]
    known: dict[tuple[str, str], Pinned]

    def previous(self) -> WindowProfile | None:
        """Return the nearest window that had rows; None too where it cannot be profiled any more."""
        found = self.ledger.verdicts.previous(self.key, self._number)
        return None if found is None else self._profile(found)

    def at(self, starts: Sequence[datetime]) -> list[WindowProfile]:
        """Return those of the windows with these starts that are known and had rows."""
        return self._profiles(self.ledger.verdicts.at(self.key, starts, self._number))

    def within(self, pinned: Window) -> WindowProfile | None:
        """Return the windows within the pinned range as one."""
        verdicts, version = self.ledger.verdicts, (self.key.model, self.key.version)
        made_from = (self._number, self.specs, pinned, verdicts.revisions_within(self.key, pinned))
        known = self.known.get(version)
        if known is None or known.made_from != made_from:
            profiles = self._profiles(verdicts.within(self.key, pinned, self._number))
            known = Pinned(made_from, rolled_up_windows(profiles) if profiles else None)
            self.known[version] = known
        return known.profile

    def recent(self) -> list[Profile]:
        """Return all rows of the last windows that had some, oldest first; only those profiled on the same baseline."""
        window = self.key.window
        back = Window(window.start - (POOLED_WINDOWS - 1) * (window.end - window.start), window.start)
        found = self.ledger.verdicts.within(self.key, back, self._number)
        documents = (each.profiles.get(slice_name(OVERALL)) for each in found)
        return [Profile.from_document(document) for document in documents if document is not None]

    @property
    def _number(self) -> int:
        return self.baseline.number or 0

    def _profiles(self, found: Sequence[JudgedWindow]) -> list[WindowProfile]:
        return [profile for each in found if (profile := self._profile(each)) is not None and profile.overall.rows]

    def _profile(self, found: JudgedWindow) -> WindowProfile | None:
        documents, overall = found.profiles, slice_name(OVERALL)
        if overall in documents:
            slices = {
                key: Profile.from_document(documents[name])
                for key in self.baseline.slices.kept
                if (name := slice_name(key)) in documents
            }
            return WindowProfile(Profile.from_document(documents[overall]), slices)
        # It was profiled on another baseline: what it holds is the spans' to say, so build it again from them.
        judged = self.ledger.windows.spans_of(WindowKey(self.key.model, self.key.version, found.window))
        return None if judged.deleted else self.again(judged)
