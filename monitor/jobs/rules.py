"""The rules of a model's settings, judged on a window: SQL over its rows, and TFDV's custom validations over its statistics."""

from __future__ import annotations

from collections.abc import Mapping

import fsspec

from monitor.compare.case import PREVIOUS, TRAINING
from monitor.compare.findings import Finding
from monitor.compare.validations.judging import rule_findings
from monitor.config.detection import DetectionSettings
from monitor.errors import ConfigError
from monitor.jobs.validating import evaluate_rules
from monitor.profile.baseline import Baseline
from monitor.profile.schema import serving_environment
from monitor.profile.sliced import WindowProfile
from monitor.profile.validations import custom_validations, parse_custom_validations
from monitor.records import Rows


def rules_on(
    rows: Rows,
    current: WindowProfile,
    baseline: Baseline,
    earlier: Mapping[str, WindowProfile],
    settings: DetectionSettings,
) -> list[Finding]:
    """Return what the rules say of a window's rows; raises ConfigError where the file of custom validations cannot be used."""
    if not len(rows):
        return []
    results = evaluate_rules(rows, settings.validations)
    if settings.custom_validations is not None:
        bases = {TRAINING: baseline.statistics}
        if PREVIOUS in earlier:
            bases[PREVIOUS] = earlier[PREVIOUS].overall.statistics
        config = read_custom_validations(settings.custom_validations)
        environment = serving_environment(baseline.schema)
        results += custom_validations(config, current.overall.statistics, _present(bases), environment)
    return list(rule_findings(results))


def read_custom_validations(uri: str) -> bytes:
    """Return a file with TFDV's CustomValidationConfig, serialized; raises ConfigError where it cannot be read as one."""
    try:
        with fsspec.open(uri, "rb") as stream:
            content = stream.read()
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{uri}: the custom validations cannot be read ({error})") from error
    return parse_custom_validations(content)


def _present(bases: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: statistics for name, statistics in bases.items() if statistics}
