"""Flagged findings for tests of alerts."""

from __future__ import annotations

from typing import Any


def finding(feature: str | None = "distance", kind: str = "skew", **more: Any) -> dict[str, Any]:
    """Return a flagged finding of all rows of version 1."""
    return {
        "kind": kind,
        "feature": feature,
        "reference": "training",
        "measure": "cohens_w",
        "value": 0.3,
        "threshold": 0.1,
        "p_value": 0.001,
        "flagged": True,
        "reason": None,
        "explanation": f"{feature}: {kind}",
        "version": "1",
        "slice": {},
        "window_start": "2026-03-01T00:00:00Z",
        "window_end": "2026-03-01T01:00:00Z",
    } | more
