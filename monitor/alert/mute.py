"""A data break explains what else moved of its feature: those findings are muted; changes with what a break explains.

Retraining on broken data makes things worse, so a rule about drift must not see the drift of a column whose unit has changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.alert.facts import FlaggedFinding
from monitor.compare.findings import Kind
from monitor.matchers import Matcher

MUTED_BY = "muted_by"
"""Key of a muted finding's object: what mutes it, in words."""
_EXPLAINED = frozenset({Kind.SKEW, Kind.DRIFT, Kind.MISSING_VALUES})


def muted(findings: Sequence[FlaggedFinding]) -> tuple[list[FlaggedFinding], list[FlaggedFinding]]:
    """Return the findings of one window that speak for themselves, and those that a data break of their feature explains.

    A break is found in all rows; it explains the slices of the same version too.
    """
    breaks = {
        (finding["version"], finding["feature"]): finding
        for finding in findings
        if finding["kind"] == Kind.DATA_BREAK and finding["feature"]
    }
    kept: list[FlaggedFinding] = []
    explained: list[FlaggedFinding] = []
    for finding in findings:
        found = breaks.get((finding["version"], finding["feature"]))
        if found is None or finding["kind"] not in _EXPLAINED:
            kept.append(finding)
        else:
            explained.append(dict(finding) | {MUTED_BY: f"data break: {found['measure']}"})
    return kept, explained


def asks_for_breaks(matchers: Sequence[Matcher]) -> bool:
    """Say whether matchers name the kind of data breaks: whoever asks for breaks and drift together gets both."""
    return any(
        matcher.name == "kind" and matcher.operator in ("=", "=~") and matcher.matches({"kind": Kind.DATA_BREAK})
        for matcher in matchers
    )
