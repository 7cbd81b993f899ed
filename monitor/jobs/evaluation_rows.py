"""The rows of an evaluation of files: read, paired, and made into labelled examples. Changes with how rows are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from collectors.files import read_table
from monitor.evaluate.examples import Examples, Output
from monitor.evaluate.pairing import paired
from monitor.evaluate.reading import Labelled, OutputColumns, Side, check_columns, labelled_examples, mentioned
from monitor.jobs.checking import known_types
from monitor.report.evaluation_documents import RowCounts
from monitor.window.frames import ColumnRoles


@dataclass(frozen=True, slots=True)
class EvaluationFiles:
    """What is evaluated, by what, and where the result goes.

    Attributes:
        data: location of the rows: labels, predictions, and what to slice by.
        eval_config: location of TFMA's EvalConfig.
        output: local folder for the result.
        baseline_data: location of the baseline's own rows, where it has any.
        roles: of columns that the configuration leaves open, of the id and of those to leave out.
        least_labels: labelled examples below which nothing is blessed.
    """

    data: str
    eval_config: str
    output: str
    baseline_data: str | None = None
    roles: ColumnRoles = field(default_factory=ColumnRoles)
    least_labels: int = 100


@dataclass(frozen=True, slots=True)
class RowsOf:
    """The rows of some files, and what people call these."""

    table: pa.Table
    location: str

    def counts(self, found: Labelled) -> RowCounts:
        """Return what became of the rows."""
        rows = self.table.num_rows
        return RowCounts(self.location, rows, rows - found.rows, found.unlabelled, len(found.examples))

    def unused(self) -> RowCounts:
        """Return the counts where no row is evaluated."""
        return RowCounts(self.location, self.table.num_rows, 0, self.table.num_rows, 0)


@dataclass(frozen=True, slots=True)
class EvaluationRows:
    """The rows of an evaluation, and those of the baseline where they are others."""

    files: EvaluationFiles
    data: RowsOf
    baseline: RowsOf | None

    @property
    def are_paired(self) -> bool:
        """Whether both have a column that tells which rows are of one request."""
        name = self.files.roles.id
        return self.baseline is not None and all(name in each.table.column_names for each in (self.data, self.baseline))


@dataclass(frozen=True, slots=True)
class EvaluationExamples:
    """Labelled examples (of the candidate; of the baseline too, unless it has its own beside them), and the counts of rows."""

    examples: Examples
    baseline: Examples | None
    data: RowCounts
    baseline_data: RowCounts | None

    @property
    def labelled(self) -> int:
        """How many labelled examples there are, of the model that has fewer."""
        return min(len(self.examples), len(self.examples if self.baseline is None else self.baseline))


def read_rows(files: EvaluationFiles) -> EvaluationRows:
    """Return the rows of an evaluation; there may be none.

    Raises:
        InputError: files cannot be read, or a column that the user names is in neither.
    """
    types, roles = known_types({}, files.roles), files.roles
    data = read_table(files.data, types=types)
    other = None if files.baseline_data is None else read_table(files.baseline_data, types=types)
    if data.num_rows:
        named = [(roles.timestamp, "for the time"), (roles.id, "for the id")] + [
            (name, "to ignore") for name in roles.ignore
        ]
        names = [*data.column_names, *(other.column_names if other is not None else ())]
        check_columns(names, {name: purpose for name, purpose in named if name is not None}, files.data)
    baseline = None if other is None else RowsOf(other, str(files.baseline_data))
    return EvaluationRows(files, RowsOf(data, files.data), baseline)


def examples_of(rows: EvaluationRows, config: Any) -> EvaluationExamples:
    """Return the labelled examples of an evaluation.

    Args:
        rows: what was read.
        config: the settled EvalConfig (see `monitor.evaluate.model_specs`).

    Raises:
        InputError: rows or columns do not fit the configuration.
        ConfigError: the configuration names no columns for labels or predictions.
    """
    from monitor.evaluate.model_specs import baseline_of, output_columns

    data, baseline = rows.data, rows.baseline
    if not data.table.num_rows or (baseline is not None and not baseline.table.num_rows):
        # Without rows there may be no columns either, and there is nothing to say but that labels lack.
        return EvaluationExamples(Examples({}), None, data.unused(), None if baseline is None else baseline.unused())
    columns = output_columns(config, data.table.column_names)
    if baseline is None:
        every = _labelled(rows, config, [_side(data, columns)])
        return EvaluationExamples(every.examples, None, data.counts(every), None)
    name = baseline_of(config).name
    theirs = {output: each for output, each in columns.items() if output[0] == name}
    ours = {output: each for output, each in columns.items() if output[0] != name}
    if rows.are_paired:
        one, other = _paired(rows, baseline, theirs)
        both = _labelled(rows, config, [_side(one, ours), _side(other, theirs)])
        return EvaluationExamples(both.examples, None, data.counts(both), baseline.counts(both))
    first, second = _labelled(rows, config, [_side(data, ours)]), _labelled(rows, config, [_side(baseline, theirs)])
    return EvaluationExamples(first.examples, second.examples, data.counts(first), baseline.counts(second))


def _side(rows: RowsOf, columns: Mapping[Output, OutputColumns]) -> Side:
    return Side(rows.table, columns, rows.location)


def _paired(rows: EvaluationRows, baseline: RowsOf, columns: Mapping[Output, OutputColumns]) -> tuple[RowsOf, RowsOf]:
    shared = {name for each in columns.values() for name in (each.label, each.weight) if name is not None}
    names = (rows.data.location, baseline.location)
    one, other = paired(rows.data.table, baseline.table, str(rows.files.roles.id), names, shared)
    return RowsOf(one, names[0]), RowsOf(other, names[1])


def _labelled(rows: EvaluationRows, config: Any, sides: list[Side]) -> Labelled:
    """Return labelled examples with the features that slices, queries and metrics may need: those of the first side."""
    from monitor.evaluate.config_checks import mentioned_words, slicing_columns

    names, wanted = sides[0].table.column_names, slicing_columns(config)
    check_columns(names, wanted, sides[0].name)
    expressions = [spec.slice_keys_sql for spec in config.slicing_specs if spec.slice_keys_sql]
    needed = mentioned(names, {*wanted, *mentioned_words(config)}, expressions)
    roles = rows.files.roles
    ignored = {name for name in (roles.id, roles.timestamp, *roles.ignore) if name is not None}
    return labelled_examples(sides, needed, ignored)
