"""Says of the strongest findings in which slice of the rows the change is concentrated; changes with which are searched."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from monitor.compare.case import TRAINING
from monitor.compare.findings import Finding, Kind, WindowFindings
from monitor.compare.slice_search.search import FoundSlice, Search, search_change
from monitor.errors import InputError
from monitor.profile.calendar import Calendar
from monitor.profile.extras import is_attribution
from monitor.records import Rows

_SEARCHED = 3
"""Features that are searched, since each takes about as long as the comparison of the whole window."""
_CONCENTRATED = 0.5
"""Share of a change that a slice must account for to be worth naming."""
_MORE_THAN_ITS_ROWS = 1.25
"""Times its share of the rows that this must be."""
_KINDS = frozenset({Kind.SKEW, Kind.PREDICTION_DRIFT, Kind.MISSING_VALUES})


def located(found: WindowFindings, current: Rows, reference: Rows, calendar: Calendar | None) -> WindowFindings:
    """Return findings whose first about each of the three leading features says where the change is, if it is anywhere.

    Args:
        found: of all rows, the strongest first.
        current: the window's rows.
        reference: the training rows.
        calendar: the baseline's; its blocks of time are taken to differ by themselves.
    """
    block = None if calendar is None else timedelta(microseconds=calendar.length)
    moved = {finding.feature for finding in found.findings if finding.flagged and finding.feature is not None}
    broken = {finding.feature for finding in found.findings if finding.kind is Kind.DATA_BREAK}
    searched: set[str] = set()
    findings: list[Finding] = []
    for finding in found.findings:
        name = finding.feature
        wanted = (
            name is not None and name not in searched | broken and len(searched) < _SEARCHED and _about_rows(finding)
        )
        if not wanted or name is None:
            findings.append(finding)
            continue
        searched.add(name)
        sides = [_explaining(rows, moved - {name}) for rows in (current, reference)]
        where = _where(name, sides[0], sides[1], block)
        findings.append(replace(finding, explanation=f"{finding.explanation}; {where}") if where else finding)
    return replace(found, findings=findings)


def _about_rows(finding: Finding) -> bool:
    return finding.flagged and finding.p_value is not None and finding.reference == TRAINING and finding.kind in _KINDS


def _where(feature: str, current: Rows, reference: Rows, block: timedelta | None) -> str | None:
    try:
        slices = search_change(current, reference, feature, Search(block=block))
    except InputError:  # a derived column, or one of another type on each side
        return None
    return slices[0].explanation if slices and _concentrated(slices[0]) else None


def _concentrated(found: FoundSlice) -> bool:
    share = found.change_share
    return share is not None and share >= max(_CONCENTRATED, _MORE_THAN_ITS_ROWS * found.row_share)


def _explaining(rows: Rows, moved: Collection[str]) -> Rows:
    """Return the rows without columns that moved too, and without attributions: they explain a change only by itself."""
    names = [name for name in rows.features.column_names if name not in moved and not is_attribution(name)]
    return replace(rows, features=rows.features.select(names))
