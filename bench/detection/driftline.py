"""Driftline as the detector: the stages that production calls, with or without TFDV's part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bench.detection.cases import Case, Source
from bench.detection.datasets import TIME
from bench.detection.tally import Flag, Judged
from monitor.compare.findings import Finding
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.calendar import block_length
from monitor.profile.profile import build_profile, count_rows
from monitor.window.frames import ColumnRoles, event_times, rows_from_table

NAME = "Driftline"


class Detector:
    """Judges windows of one data set; a baseline is made for each length of blocks when it is first asked for."""

    def __init__(self, source: Source, settings: Mapping[str, Any], *, timed: bool, full: bool) -> None:
        """Prepare for the windows of `source`.

        Args:
            source: where the baseline's rows are, too.
            settings: of `detection`, where they are not the defaults.
            timed: the baseline of windows drawn at random knows its time column too.
            full: TFDV's statistics, anomalies and distances are part of the verdict.
        """
        self._source = source
        self._settings = DetectionSettings(**settings)
        self._timed = timed
        self._full = full
        self._baselines: dict[tuple[bool, timedelta | None], Baseline] = {}

    def judge(self, case: Case) -> Judged:
        """Return production's verdict, without TFDV's statistics where they are not asked for: they take most of the time."""
        baseline = self._baseline(case)
        rows = rows_from_table(case.table, self._roles(case), baseline.column_types)
        profile = build_profile(rows, baseline) if self._full else count_rows(rows, baseline)
        return _judged(case, judge(profile, baseline, {}, self._settings).findings)

    def _roles(self, case: Case) -> ColumnRoles:
        return ColumnRoles(timestamp=TIME) if self._knows_time(case) else ColumnRoles(ignore=(TIME,))

    def _knows_time(self, case: Case) -> bool:
        return self._timed or case.consecutive

    def _baseline(self, case: Case) -> Baseline:
        roles = self._roles(case)
        times = event_times(self._source.reference, TIME) if self._knows_time(case) else None
        length = block_length(times, _span(case)) if times is not None else None
        key = (times is not None, length)
        if key not in self._baselines:
            rows = rows_from_table(self._source.reference, roles)
            self._baselines[key] = create_baseline(rows, block_length=length, joint=self._settings.joint)
        return self._baselines[key]


def _span(case: Case) -> timedelta:
    """Return the time that a window covers, as `driftline check` measures it."""
    times = event_times(case.table, TIME)
    return timedelta(microseconds=int(times.max() - times.min()))


def _judged(case: Case, findings: Sequence[Finding]) -> Judged:
    flags = [_flag(finding) for finding in findings if finding.flagged]
    own = [flag for flag in map(_flag, findings) if flag.about(case.changed)]
    best = max(own, key=lambda flag: flag.strength, default=None)
    return Judged.of(case, flags, best)


def _flag(finding: Finding) -> Flag:
    return Flag(_columns(finding), finding.measure, finding.value, finding.threshold)


def _columns(finding: Finding) -> tuple[str, ...]:
    """Return the columns of a finding; dependence is of two, and the number of rows of none."""
    if finding.feature is None:
        return ()
    return tuple(finding.feature.split(" x ")) if finding.kind == "joint_drift" else (finding.feature,)
