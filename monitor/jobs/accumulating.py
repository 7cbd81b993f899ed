"""What the windows of a model version add up to, from the ledger and back; changes with what is kept between windows."""

from __future__ import annotations

from datetime import timedelta

from monitor.clock import to_micros
from monitor.compare.gradual.accumulation import Accumulation
from monitor.compare.gradual.findings import ACCUMULATED
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.records import WindowKey
from monitor.store.ledger import Ledger
from monitor.store.marks import MarkSort

_DAY = timedelta(days=1)


def accumulated(
    ledger: Ledger, key: WindowKey, revision: int, profile: Profile, baseline: Baseline, settings: DetectionSettings
) -> Accumulation | None:
    """Return what the windows so far and this one add up to, to be recorded with its judgement; None where nothing is to be.

    A revision takes the place of what the window said before; only of windows shorter than a day the first counts, since a day
    that is over is not put together again.
    """
    if not settings.gradual or not profile.rows or (revision > 1 and key.window.length < _DAY):
        return None
    number = baseline.number or 0
    document = ledger.verdicts.accumulation(key, number)
    if document is None:
        known = Accumulation.start(baseline, settings, key.window)
    else:
        known = Accumulation.from_document(document, baseline, settings)
    said = {
        (to_micros(mark.window_start), mark.feature)
        for mark in ledger.marks.of(key.model, number)
        if (mark.sort, mark.reference, mark.version) == (MarkSort.NORMAL, ACCUMULATED, key.version)
    }
    return known.accepting(said).added(key.window, profile) if known.states else None
