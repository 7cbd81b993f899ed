"""What the ledger's windows of a model version add up to, kept in memory between judgements; changes with what is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from monitor.clock import to_micros
from monitor.compare.feedback import NO_FEEDBACK, Feedback
from monitor.compare.findings import Finding
from monitor.compare.gradual.accumulation import Accumulation
from monitor.compare.gradual.findings import ACCUMULATED
from monitor.compare.gradual.scan import HISTORY
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.records import Window, WindowKey
from monitor.store.ledger import Ledger
from monitor.store.marks import Mark, MarkSort
from monitor.window.slicing import OVERALL, slice_name


@dataclass(frozen=True, slots=True)
class _Known:
    """What was accumulated: by which baseline, settings and marks, and of which windows in which revisions."""

    by: tuple[object, ...]
    windows: frozenset[tuple[int, int]]
    accumulation: Accumulation


@dataclass(frozen=True, slots=True)
class LedgerAccumulation:
    """Accumulations by (model, version)."""

    ledger: Ledger
    _known: dict[tuple[str, str], _Known] = field(default_factory=dict)

    def findings(
        self,
        key: WindowKey,
        revision: int,
        profile: Profile,
        baseline: Baseline,
        settings: DetectionSettings,
        feedback: Mapping[str, Feedback],
    ) -> list[Finding]:
        """Return what a window and those before it add up to; they are read again where anything of them has changed."""
        if not settings.gradual or not profile.rows:
            return []
        span = _span(key.window)
        marks = [
            mark
            for mark in self.ledger.marks.of(key.model, baseline.number or 0)
            if (mark.sort, mark.reference, mark.version) == (MarkSort.NORMAL, ACCUMULATED, key.version)
        ]
        by = (baseline.number, settings, tuple((mark.window_start, mark.feature) for mark in marks))
        earlier = frozenset(self.ledger.verdicts.revisions_within(key, span))
        version = (key.model, key.version)
        known = self._known.get(version)
        if known is None or known.by != by or not earlier <= known.windows:
            known = _Known(by, earlier, self._read(key, span, baseline, settings, marks))
        now = known.accumulation.added(key.window, profile)
        self._known[version] = _Known(by, earlier | {(to_micros(key.window.start), revision)}, now)
        return now.findings(key.window, profile, feedback.get(slice_name(OVERALL), NO_FEEDBACK))

    def _read(
        self, key: WindowKey, span: Window, baseline: Baseline, settings: DetectionSettings, marks: list[Mark]
    ) -> Accumulation:
        found = Accumulation.start(baseline, settings, key.window)
        if not found.states:
            return found
        accepted: dict[datetime, set[str]] = {}
        for mark in marks:
            accepted.setdefault(mark.window_start, set()).add(mark.feature)
        for judged in self.ledger.verdicts.within(key, span, baseline.number or 0):
            document = judged.profiles.get(slice_name(OVERALL))
            if document is not None:
                found = found.added(judged.window, Profile.from_document(document))
            if judged.window.start in accepted:
                found = found.accepted(accepted[judged.window.start], judged.window)
        return found


def _span(window: Window) -> Window:
    """Return the time before a window that is looked back over."""
    return Window(window.start - (HISTORY + 1) * (window.end - window.start), window.start)
