"""An EvalConfig for rows that a model served, and those rows as examples; changes with how served rows differ from a file's.

A served model is alone: it has no baseline beside it, so thresholds on changes fall away, and its columns go by the names that
the store gives them, whatever the EvalConfig calls them.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.evaluate.config_checks import check_as_written, check_settled, mentioned_words, slicing_columns
from monitor.evaluate.eval_config import Source, parse_eval_config
from monitor.evaluate.examples import Examples, Outcomes
from monitor.evaluate.model_specs import Settled, baseline_of, without_baseline
from monitor.evaluate.reading import OutputColumns, Side, check_columns, labelled_examples, mentioned
from monitor.evaluate.scores import usable_predictions
from monitor.records import Rows

_WEIGHT = "\x00weight"
"""Name of the rows' weights in a configuration; no column is called that."""


@dataclass(frozen=True, slots=True)
class ServedExamples:
    """Labelled rows as examples.

    Attributes:
        examples: those with a label and a prediction that is a number.
        places: their places among the rows.
        unlabelled: how many rows have no label.
        invalid: how many labelled rows have no prediction, or one that is not finite or not of the shape that most have.
    """

    examples: Examples
    places: Any
    unlabelled: int
    invalid: int


def served_config(text: str, name: str, *, weighted: bool) -> Settled:
    """Return the EvalConfig of a file for one served model, with TFMA's defaults.

    Args:
        text: of the file.
        name: of the file, for messages; its ending says in which form the text is.
        weighted: whether rows stand for different numbers of requests.

    Raises:
        ConfigError: it is wrong; a line for each thing.
    """
    source = Source(text, name)
    config, had_baseline = of_one_model(source, weighted=weighted)
    settled = without_baseline(config, source)
    check_settled(settled.config, source)
    return replace(settled, change_thresholds_dropped=settled.change_thresholds_dropped or had_baseline)


def of_one_model(source: Source, *, weighted: bool) -> tuple[Any, bool]:
    """Return the EvalConfig of a file as of one model without a name, and whether it had a baseline beside it.

    Raises:
        ConfigError: it is wrong; a line for each thing.
    """
    config = parse_eval_config(source)
    check_as_written(config, source)
    candidate = next((spec for spec in config.model_specs if not spec.is_baseline), None)
    weight = candidate.example_weight_key if candidate is not None else ""
    baseline = baseline_of(config)
    del config.model_specs[:]
    model = config.model_specs.add(label_key="label", prediction_key="prediction")
    if weight or weighted:
        model.example_weight_key = weight or _WEIGHT
    for spec in config.metrics_specs:
        del spec.model_names[:]
    return config, baseline is not None


def served_examples(rows: Rows, config: Any) -> ServedExamples:
    """Return the labelled rows as examples of the one model of a served configuration.

    Raises:
        InputError: the configuration asks for columns that are not there, or labels or predictions are no numbers.
    """
    return examples_beside(rows, {"": rows.features.column(str(rows.prediction))}, config)


def examples_beside(rows: Rows, predictions: Mapping[str, Any], config: Any) -> ServedExamples:
    """Return the labelled rows as examples of several models, those to which all of them gave numbers.

    Args:
        rows: what was served.
        predictions: columns of as many rows, by the name of the model in the configuration.
        config: the settled EvalConfig.

    Raises:
        InputError: as of `served_examples`.
    """
    label = str(rows.label)
    known = np.asarray(rows.features.column(label).is_valid(), dtype=np.bool_)
    usable = {name: usable_predictions(column) for name, column in predictions.items()}
    valid = np.logical_and.reduce([np.asarray(column.is_valid(), dtype=np.bool_) for column in usable.values()])
    places = np.flatnonzero(known & valid)
    names = {name: f"prediction of {name}" if name else str(rows.prediction) for name in usable}
    table = rows.features.drop([names[name] for name in usable if names[name] in rows.features.column_names])
    for name, column in usable.items():
        table = table.append_column(names[name], column)
    table = table.take(pa.array(places))
    wanted = slicing_columns(config)
    check_columns(table.column_names, wanted, "the served rows")
    expressions = [spec.slice_keys_sql for spec in config.slicing_specs if spec.slice_keys_sql]
    needed = mentioned(table.column_names, {*wanted, *mentioned_words(config)}, expressions)
    key = config.model_specs[0].example_weight_key
    weight = key if key and key != _WEIGHT else None
    columns = {(name, ""): OutputColumns(label, names[name], weight) for name in usable}
    used = {*needed, label, weight, *(each.prediction for each in columns.values())}
    kept = table.select([name for name in table.column_names if name in used])
    found = labelled_examples([Side(kept, columns, "the served rows")], needed)
    examples = found.examples
    if rows.weights is not None and len(examples) == len(places):
        weights = rows.weights[places]
        outcomes = {output: _weighted(each, weights) for output, each in examples.outcomes.items()}
        examples = replace(examples, outcomes=outcomes)
    return ServedExamples(examples, places, int((~known).sum()), int((known & ~valid).sum()))


def _weighted(outcomes: Outcomes, weights: Any) -> Outcomes:
    return replace(outcomes, weights=weights if outcomes.weights is None else outcomes.weights * weights)
