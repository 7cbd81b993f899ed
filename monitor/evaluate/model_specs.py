"""The models of an EvalConfig: which columns they are read from, and which of them is the baseline. Changes with `ModelSpec`.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import config_util

from monitor.errors import ConfigError
from monitor.evaluate.eval_config import Source, tfma_errors
from monitor.evaluate.reading import OutputColumns, listed_columns

_DEFAULTS = {"label_key": "label", "prediction_key": "prediction"}
"""Columns that are taken where neither the configuration nor the user names any, as by `tfma.analyze_raw_data`."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Columns that the user names for what the configuration leaves open."""

    label: str | None = None
    prediction: str | None = None
    weight: str | None = None

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield the field of a `ModelSpec` and the column, where one is named."""
        fields = (
            ("label_key", self.label),
            ("prediction_key", self.prediction),
            ("example_weight_key", self.weight),
        )
        yield from ((field, column) for field, column in fields if column is not None)


@dataclass(frozen=True, slots=True)
class Settled:
    """An EvalConfig as it is evaluated.

    Attributes:
        config: TFMA's EvalConfig with TFMA's defaults; a single model has no name.
        change_thresholds_dropped: whether thresholds on changes were left out, because there is no baseline to compare with.
    """

    config: Any
    change_thresholds_dropped: bool = False


def model_problems(config: Any, source: Source) -> Iterator[str]:
    """Yield a line for each thing that is wrong with the models of a configuration in which nothing is filled in yet."""
    specs = config.model_specs
    names = [spec.name for spec in specs]
    for place, spec in enumerate(specs):
        field = f"model_specs[{place}]"
        if len(specs) > 1 and not spec.name:
            yield source.at(f"{field}.name: each of several models needs a name")
        elif names.index(spec.name) < place:
            yield source.at(f"{field}.name: a model {spec.name!r} is there already")
        for one, many in (
            ("label_key", "label_keys"),
            ("prediction_key", "prediction_keys"),
            ("example_weight_key", "example_weight_keys"),
        ):
            if getattr(spec, one) and getattr(spec, many):
                yield source.at(f"{field}: {one} and {many} are both there; only one of them can be")
        yield from _output_problems(spec, source, field)
    baselines = [spec.name for spec in specs if spec.is_baseline]
    if len(baselines) > 1:
        yield source.at(
            f"model_specs: only one model can be the baseline, here are {len(baselines)}: {_listed(baselines)}"
        )
    if baselines and len(baselines) == len(specs) == 1:
        yield source.at("model_specs[0].is_baseline: there is no candidate beside the baseline; add its model_spec")


def _output_problems(spec: Any, source: Source, field: str) -> Iterator[str]:
    if spec.label_keys and spec.prediction_key:
        yield source.at(f"{field}.label_keys: a label for each output needs prediction_keys, a prediction for each")
    if spec.label_keys and spec.prediction_keys:
        lacking = sorted(set(spec.prediction_keys) - set(spec.label_keys))
        if lacking:
            yield source.at(f"{field}.label_keys: there is no label for the output {_listed(lacking)}")


def filled(config: Any, roles: Roles, columns: Collection[str], baseline_columns: Collection[str] | None) -> Any:
    """Return a configuration whose models all name their columns.

    Args:
        config: TFMA's EvalConfig; it stays as it is. Without a model_spec there is one model.
        roles: columns that the user names; they fill what the configuration leaves open.
        columns: those there are.
        baseline_columns: those of the baseline's own rows, where it has any.

    Raises:
        ConfigError: a column that the user names is none that any model is read from.
    """
    result = _copied(config)
    if not result.model_specs:
        result.model_specs.add()
    for spec in result.model_specs:
        own = columns if baseline_columns is None or not spec.is_baseline else baseline_columns
        defaults = [
            (field, column)
            for field, column in _DEFAULTS.items()
            if column in own or (field == "label_key" and column in columns)
        ]
        for field, column in (*roles.named(), *defaults):
            if not getattr(spec, field) and not getattr(spec, f"{field}s"):
                setattr(spec, field, column)
    for field, column in roles.named():
        used = {
            key for spec in result.model_specs for key in (getattr(spec, field), *getattr(spec, f"{field}s").values())
        }
        if column not in used:
            raise ConfigError(
                f"column {column!r} is given as the {field.removesuffix('_key').replace('_', ' ')}, "
                f"but the EvalConfig's {field} says {_listed(sorted(used))}; leave one of them out"
            )
    return result


def reads_own_predictions(config: Any) -> bool:
    """Say whether the baseline of a filled configuration is read from other columns than every candidate."""
    baselines = [_predictions(spec) for spec in config.model_specs if spec.is_baseline]
    candidates = [_predictions(spec) for spec in config.model_specs if not spec.is_baseline]
    return any(each not in candidates for each in baselines)


def _predictions(spec: Any) -> tuple[str, dict[str, str]]:
    return spec.prediction_key, dict(spec.prediction_keys)


def with_baseline(config: Any, source: Source) -> Settled:
    """Return the configuration with a baseline: the one it has, or for a single model one that is read as this is.

    Raises:
        ConfigError: there are several models, and none of them is the baseline.
    """
    result = _copied(config)
    if len(result.model_specs) == 1:
        # TFMA adds a baseline to a model without a name only.
        result.model_specs[0].ClearField("name")
        for spec in result.metrics_specs:
            spec.ClearField("model_names")
    elif not any(spec.is_baseline for spec in result.model_specs):
        raise ConfigError(source.at("model_specs: rows of the baseline are given, but no model has is_baseline: true"))
    with tfma_errors(source.name):
        return Settled(config_util.update_eval_config_with_defaults(result, has_baseline=True))


def without_baseline(config: Any, source: Source) -> Settled:
    """Return the configuration without a baseline, and without thresholds on changes, as TFMA does when it rubber-stamps."""
    dropped = config_util.has_change_threshold(config)
    result = _copied(config)
    baselines = {spec.name for spec in result.model_specs if spec.is_baseline}
    for spec in result.metrics_specs:
        kept = [name for name in spec.model_names if name not in baselines]
        del spec.model_names[:]
        spec.model_names.extend(kept)
    with tfma_errors(source.name):
        settled = config_util.update_eval_config_with_defaults(result, has_baseline=False, rubber_stamp=True)
    return Settled(settled, dropped)


def baseline_of(config: Any) -> Any:
    """Return the `ModelSpec` of the baseline, or None."""
    return next((spec for spec in config.model_specs if spec.is_baseline), None)


def output_columns(config: Any, known: Collection[str]) -> dict[tuple[str, str], OutputColumns]:
    """Return the columns of each output of each model of a filled configuration, by their names; `known` are those there are.

    Raises:
        ConfigError: no column is known for labels or predictions.
    """
    found: dict[tuple[str, str], OutputColumns] = {}
    for spec in config.model_specs:
        outputs: Sequence[str] = list(spec.prediction_keys) or [""]
        for output in outputs:
            label = spec.label_key or spec.label_keys.get(output, "")
            prediction = spec.prediction_key or spec.prediction_keys.get(output, "")
            for column, what in ((label, "label"), (prediction, "prediction")):
                if not column:
                    of = f" of model {spec.name!r}" if spec.name else ""
                    raise ConfigError(
                        f"no column is known for the {what}{of}: set {what}_key in model_specs, or give --{what}-column; "
                        f"the columns are: {listed_columns(known)}"
                    )
            weight = spec.example_weight_key or spec.example_weight_keys.get(output, "")
            found[spec.name, output] = OutputColumns(label, prediction, weight or None)
    return found


def _copied(config: Any) -> Any:
    result = config_pb2.EvalConfig()
    result.CopyFrom(config)
    return result


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
