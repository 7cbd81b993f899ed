"""An EvalConfig for rows that a model served, and those rows as examples; changes with how served rows differ from a file's.

A served model is alone: it has no baseline beside it, so thresholds on changes fall away, and its columns go by the names that
the store gives them, whatever the EvalConfig calls them.

Importing this module imports TFMA, which takes seconds: do so where an evaluation runs.
"""

from __future__ import annotations

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
    settled = without_baseline(config, source)
    check_settled(settled.config, source)
    return replace(settled, change_thresholds_dropped=settled.change_thresholds_dropped or baseline is not None)


def served_examples(rows: Rows, config: Any) -> ServedExamples:
    """Return the labelled rows as examples of the one model of a served configuration.

    Raises:
        InputError: the configuration asks for columns that are not there, or labels or predictions are no numbers.
    """
    label, prediction = str(rows.label), str(rows.prediction)
    known = np.asarray(rows.features.column(label).is_valid(), dtype=np.bool_)
    usable = usable_predictions(rows.features.column(prediction))
    valid = np.asarray(usable.is_valid(), dtype=np.bool_)
    places = np.flatnonzero(known & valid)
    column = rows.features.column_names.index(prediction)
    table = rows.features.set_column(column, prediction, usable).take(pa.array(places))
    wanted = slicing_columns(config)
    check_columns(table.column_names, wanted, "the served rows")
    expressions = [spec.slice_keys_sql for spec in config.slicing_specs if spec.slice_keys_sql]
    needed = mentioned(table.column_names, {*wanted, *mentioned_words(config)}, expressions)
    key = config.model_specs[0].example_weight_key
    columns = OutputColumns(label, prediction, key if key and key != _WEIGHT else None)
    found = labelled_examples(
        [Side(table.select(_of_use(table, columns, needed)), {("", ""): columns}, "the served rows")], needed
    )
    examples = found.examples
    if rows.weights is not None and len(examples) == len(places):
        examples = replace(examples, outcomes={("", ""): _weighted(examples.outcomes["", ""], rows.weights[places])})
    return ServedExamples(examples, places, int((~known).sum()), int((known & ~valid).sum()))


def _of_use(table: pa.Table, columns: OutputColumns, needed: set[str]) -> list[str]:
    return [
        name
        for name in table.column_names
        if name in needed or name in (columns.label, columns.prediction, columns.weight)
    ]


def _weighted(outcomes: Outcomes, weights: Any) -> Outcomes:
    return replace(outcomes, weights=weights if outcomes.weights is None else outcomes.weights * weights)
