"""The windows of a model with what labels say of them and what was estimated before; changes with where either is kept."""

from __future__ import annotations

from monitor.clock import rfc3339
from monitor.report.quality_table import WindowQuality
from monitor.store.ledger import Ledger


def quality_windows(ledger: Ledger, model: str) -> list[WindowQuality]:
    """Return the windows that were evaluated or estimated, in window order, each in its newest revision."""
    estimates = ledger.estimates.estimates(model)
    evaluations = {each.evaluation.key: each.evaluation.document for each in ledger.evaluations.evaluations(model)}
    keys = sorted({*estimates, *evaluations}, key=lambda key: (key.window.start, key.version))
    return [
        WindowQuality(rfc3339(key.window.start), key.version, evaluations.get(key), estimates.get(key)) for key in keys
    ]
