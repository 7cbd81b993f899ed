"""Custom validations in TFDV's own configuration, and what evaluating any rule gives; changes with TFDV's.

TFDV runs each validation's SQL (ZetaSQL) over the statistics proto of a feature: `feature`, or `feature_test` and
`feature_base` for a pair of features. See `tensorflow_data_validation.api.validation_api.custom_validate_statistics`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from monitor.errors import ConfigError

ROWS = "rules"
"""The reference of a rule that compares a window with nothing but the rule."""
PREVIOUS = "previous"
MEASURE = "CUSTOM_VALIDATION"
"""TFDV's name of the anomaly that a broken validation is."""


class State(StrEnum):
    """How the evaluation of a rule ended."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    """There is nothing to decide by: too few rows, no value, or no window to compare with."""
    UNUSABLE = "unusable"
    """The rule itself cannot be evaluated: it names what is not there, or takes too long."""


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What evaluating one rule gave.

    Attributes:
        name: of the rule; for TFDV's validations, which have none, its name of the anomaly.
        statement: the SQL.
        error: its severity: an error flags where the rule is broken or unusable, a warning informs.
        state: how the evaluation ended.
        detail: the values by which the rule holds or is broken, or why it could not be decided; may be empty.
        description: the user's, if any.
        feature: the feature that it is about, where it names one.
        reference: what the window was compared with.
        value: of an expression that is a number.
        threshold: the limit that `value` broke, or the only limit that it has.
    """

    name: str
    statement: str
    error: bool
    state: State
    detail: str = ""
    description: str | None = None
    feature: str | None = None
    reference: str = ROWS
    value: float | None = None
    threshold: float | None = None


def parse_custom_validations(text: bytes) -> bytes:
    """Read a CustomValidationConfig, text or binary, and return it serialized; needs no TensorFlow.

    Raises:
        ConfigError: it is neither, or holds no validations, or one without SQL or severity.
    """
    config = _config()
    try:
        text_format.Parse(text.decode("utf-8"), config)
    except (UnicodeDecodeError, text_format.ParseError) as text_problem:
        config = _config()
        try:
            config.ParseFromString(text)
        except DecodeError:
            said = " ".join(str(text_problem).split())
            raise ConfigError(f"not a TFDV CustomValidationConfig, text or binary ({said})") from text_problem
    validations = [each for part in _parts(config) for each in part.validations]
    if not validations:
        raise ConfigError("the TFDV CustomValidationConfig holds no validations")
    for each in validations:
        if not each.sql_expression:
            raise ConfigError("a validation of the TFDV CustomValidationConfig has no sql_expression")
        if each.severity not in (anomalies_pb2.AnomalyInfo.ERROR, anomalies_pb2.AnomalyInfo.WARNING):
            raise ConfigError(f"the validation {each.sql_expression!r} needs a severity, ERROR or WARNING")
    return bytes(config.SerializeToString(deterministic=True))


def custom_validations(
    config: bytes, current: bytes, bases: Mapping[str, bytes], environment: str | None = None
) -> list[RuleResult]:
    """Evaluate every validation of a configuration on the statistics of a window, each by itself.

    TFDV stops at the first validation that it cannot evaluate; one at a time, the others still count.

    Args:
        config: as `parse_custom_validations` returns it.
        current: serialized statistics of the window.
        bases: serialized statistics of what is known beside it, by name. A pair of features takes its base from "previous",
            as in `tfdv.validate_statistics`, or from the one that `base_dataset_name` names.
        environment: validations of other environments are left out.
    """
    parsed = _config()
    parsed.ParseFromString(config)
    return [
        _evaluated(part, validation, current, bases)
        for part in _parts(parsed)
        for validation in part.validations
        if environment is None or not validation.in_environment or environment in validation.in_environment
    ]


def _evaluated(part: Any, validation: Any, current: bytes, bases: Mapping[str, bytes]) -> RuleResult:
    pair = part.DESCRIPTOR.name == "FeaturePairValidation"
    reference = (part.base_dataset_name or PREVIOUS) if pair else ROWS
    state, detail = State.UNDECIDED, f"there is no {reference} window or data to compare with"
    if not pair or reference in bases:
        state, detail = _asked(part, validation, current, bases.get(reference))
    return RuleResult(
        name=MEASURE,
        statement=validation.sql_expression,
        error=validation.severity == anomalies_pb2.AnomalyInfo.ERROR,
        state=state,
        detail=detail,
        description=validation.description or None,
        feature=".".join((part.feature_test_path if pair else part.feature_path).step),
        reference=reference,
    )


def _asked(part: Any, validation: Any, current: bytes, base: bytes | None) -> tuple[State, str]:
    """Return how TFDV's evaluation of a single validation ended."""
    from tensorflow_data_validation.api.validation_api import custom_validate_statistics

    single = _config()
    target = single.feature_validations if base is None else single.feature_pair_validations
    copied = target.add()
    copied.CopyFrom(part)
    if base is not None:
        copied.ClearField("base_dataset_name")
    del copied.validations[:]
    copied.validations.add().CopyFrom(validation)
    # The environment was looked at already.
    copied.validations[0].ClearField("in_environment")
    try:
        found = custom_validate_statistics(_statistics(current), single, base and _statistics(base))
    except RuntimeError as error:
        return State.UNUSABLE, str(error).rpartition("Failed to run custom validations: ")[2]
    return (State.BROKEN if found.anomaly_info else State.HOLDS), ""


def _statistics(serialized: bytes) -> Any:
    parsed: Any = statistics_pb2.DatasetFeatureStatisticsList()
    parsed.ParseFromString(serialized)
    return parsed


def _parts(config: Any) -> Iterator[Any]:
    yield from config.feature_validations
    yield from config.feature_pair_validations


def _config() -> Any:
    return _messages().CustomValidationConfig()


@cache
def _messages() -> ModuleType:
    """Load TFDV's message definitions without TFDV itself, whose import takes ten seconds."""
    package = importlib.util.find_spec("tensorflow_data_validation")
    if package is None or not package.submodule_search_locations:
        raise ConfigError("tensorflow_data_validation is not installed, and custom validations need it")
    place = Path(package.submodule_search_locations[0], "anomalies", "proto", "custom_validation_config_pb2.py")
    if not place.is_file():
        raise ConfigError("this version of TFDV has no custom validations (1.16 has them): write rules in SQL instead")
    spec = importlib.util.spec_from_file_location("_custom_validation_config", place)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{place} is missing; custom validations need it")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
