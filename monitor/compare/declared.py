"""Changes of the schema that a person declared: what they explain informs only; changes with what a declaration covers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from monitor.clock import rfc3339
from monitor.compare.findings import Finding, Kind, Outcome
from monitor.config.detection import SchemaChange
from monitor.records import Window

_COVERED = frozenset({Kind.DATA_BREAK, Kind.SCHEMA_ANOMALY, Kind.SKEW, Kind.DRIFT, Kind.MISSING_VALUES})


def with_declared(
    findings: Iterable[Finding], changes: Sequence[SchemaChange], window: Window | None
) -> Iterator[Finding]:
    """Yield the findings of a window, those not flagging that a declared change explains.

    A change covers the features that it names, all where it names none, in every window that reaches beyond its time. A baseline
    made with the new schema makes it needless.
    """
    for finding in findings:
        declared = next((each for each in changes if _covers(each, finding, window)), None)
        if declared is None:
            yield finding
            continue
        note = f": {declared.note}" if declared.note else ""
        said = f"declared: the schema changed at {rfc3339(declared.at)}{note}"
        yield replace(finding, flagged=False, reason=said, outcome=Outcome.INFORMATIVE)


def _covers(change: SchemaChange, finding: Finding, window: Window | None) -> bool:
    named = not change.features or finding.feature in change.features
    return finding.flagged and finding.kind in _COVERED and named and (window is None or window.end > change.at)
