"""What people say of findings: remembered, and put together for the judge; changes with how marks become feedback."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitor.clock import rfc3339
from monitor.compare.feedback import FalseAlarm, Feedback, Normal
from monitor.errors import InputError
from monitor.profile.profile import Profile
from monitor.records import Window, WindowKey
from monitor.store.ledger import Ledger
from monitor.store.marks import Mark, MarkSort
from monitor.window.slicing import slice_key, slice_name


def marks_of_window(
    documents: Sequence[Mapping[str, Any]],
    start: datetime,
    *,
    version: str | None,
    features: Sequence[str],
    sort: MarkSort,
    actor: str,
    note: str,
    now: datetime,
) -> list[Mark]:
    """Return a mark for each flagged calibrated finding of a judged window.

    Args:
        documents: findings objects of the model, as the ledger has them.
        start: of the window.
        version: of the model; None where only one was judged in it.
        features: only findings about these, and all where none is named.
        sort: what is said of them.
        actor: who says it.
        note: why.
        now: when.

    Raises:
        InputError: there is no such window, several versions of it, or nothing in it that can be marked.
    """
    there = [each for each in documents if each["window_start"] == rfc3339(start)]
    found = [each for each in there if version in (None, each["version"])]
    versions = sorted({str(each["version"]) for each in found})
    if not found:
        raise InputError(f"no window that starts at {rfc3339(start)} has been judged")
    if len(versions) > 1:
        raise InputError(f"versions {', '.join(versions)} were judged in this window; name one with --version")
    marks = [
        Mark(
            model=document["model"],
            version=document["version"],
            window_start=start,
            slice=slice_name(slice_key(document["slice"])),
            feature=finding["feature"],
            reference=finding["reference"],
            measure=finding["measure"],
            sort=sort,
            value=finding["value"],
            baseline=document["baseline"] or 0,
            actor=actor,
            note=note,
            created_at=now,
        )
        for document in found
        for finding in document["findings"]
        if finding["flagged"] and finding["p_value"] is not None and finding["feature"] is not None
        if not features or finding["feature"] in features
    ]
    if not marks:
        about = f" about {', '.join(features)}" if features else ""
        raise InputError(f"no calibrated finding{about} is flagged in the window of {rfc3339(start)}")
    return marks


def feedback_of(ledger: Ledger, key: WindowKey, baseline: int) -> dict[str, Feedback]:
    """Return what was said of a model's findings against its baseline, by the name of the slice."""
    by_slice: dict[str, list[Mark]] = defaultdict(list)
    for mark in ledger.marks.of(key.model, baseline):
        by_slice[mark.slice].append(mark)
    return {
        name: Feedback(_false_alarms(marks), _normal(ledger, key, baseline, name, marks))
        for name, marks in by_slice.items()
    }


def _false_alarms(marks: Sequence[Mark]) -> dict[tuple[str, str, str], FalseAlarm]:
    found: dict[tuple[str, str, str], FalseAlarm] = {}
    for mark in marks:
        place = (mark.feature, mark.reference, mark.measure)
        if mark.sort is MarkSort.FALSE_ALARM and (place not in found or found[place].value < mark.value):
            found[place] = FalseAlarm(mark.value, mark.said)
    return found


def _normal(ledger: Ledger, key: WindowKey, baseline: int, name: str, marks: Sequence[Mark]) -> dict[str, list[Normal]]:
    found: dict[str, list[Normal]] = defaultdict(list)
    said = {(mark.version, mark.window_start, mark.feature): mark for mark in marks if mark.sort is MarkSort.NORMAL}
    for (version, start, feature), mark in said.items():
        for profile in _profiles(ledger, WindowKey(key.model, version, Window(start, start)), baseline, name):
            if feature in profile.counts:
                found[feature].append(Normal(profile.counts[feature], profile.blocks, mark.said))
    return dict(found)


def _profiles(ledger: Ledger, key: WindowKey, baseline: int, name: str) -> Iterator[Profile]:
    for judged in ledger.verdicts.at(key, [key.window.start], baseline):
        if name in judged.profiles:
            yield Profile.from_document(judged.profiles[name])
