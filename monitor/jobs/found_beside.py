"""What is found of a window beside comparing it: by rules, and by the health of its outputs; changes with what else there is."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from monitor.compare.findings import Finding
from monitor.config.detection import DetectionSettings
from monitor.evaluate.health import health_findings, kind_of
from monitor.evaluate.model_outputs import OutputKind, outputs_of
from monitor.jobs.rules import rules_on
from monitor.profile.baseline import Baseline
from monitor.profile.profile import Profile
from monitor.profile.sliced import WindowProfile
from monitor.records import Rows

_SHARE = 0.02
"""Of the false-alarm rate: what is wrong with outputs is seldom a matter of a few per cent, so that little is enough."""


def found_beside(
    rows: Rows,
    current: WindowProfile,
    baseline: Baseline,
    earlier: Mapping[str, WindowProfile],
    settings: DetectionSettings,
) -> list[Finding]:
    """Return the findings of rules and of output health on a window's rows; arguments and errors as of `rules.rules_on`."""
    rules = rules_on(rows, current, baseline, earlier, settings)
    return [*rules, *output_findings(rows, current.overall, baseline, settings)]


def output_findings(rows: Rows, current: Profile, baseline: Baseline, settings: DetectionSettings) -> list[Finding]:
    """Return what the outputs of a window's rows look like beside those of the baseline; nothing where there are none."""
    name = rows.prediction
    ignored = name is not None and name in settings.features and settings.features[name].ignore
    if name is None or not len(rows) or ignored:
        return []
    column = rows.features.column(name)
    many = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    known = None if many else baseline.features.get(name)
    if known is not None:
        kind = kind_of(known)
    else:
        kind = OutputKind.CLASS if many or pa.types.is_string(column.type) else OutputKind.NUMBER
    outputs = outputs_of(column, rows.weights, kind, current.n_effective)
    return list(health_findings(outputs, name, known, settings.false_alarm_rate * _SHARE))
