"""One broken expectation of every kind that rows can break, found by Driftline as by TFDV on the same rows.

TFDV publishes such cases only in its C++ sources; here TFDV itself is the oracle. See docs/conformance.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from monitor.compare.case import PREVIOUS, TRAINING
from monitor.compare.findings import Finding
from monitor.compare.judge import judge
from monitor.config.detection import DetectionSettings
from monitor.profile.baseline import create_baseline
from monitor.profile.profile import build_profile
from monitor.records import Rows
from tests.conformance.answers import Answer, answer_of_findings, answer_of_tfdv, statistics_by_tfdv

TRAINING_ROWS, WINDOW_ROWS = 600, 400


@dataclass(frozen=True, slots=True)
class Expectation:
    """A column, what the schema says of it, and how a window breaks that.

    Attributes:
        type: TFDV's name of the anomaly; None where there is none.
        schema: the rest of the feature's schema, as text.
        training: values of training and of the previous window, repeated; None where the column is not there.
        window: the same of the window.
    """

    column: str
    type: str | None
    schema: str | None
    training: list[Any] | None
    window: list[Any] | None


_NEEDED = "presence { min_fraction: 1 }"
_AB = 'string_domain { value: "a" value: "b" }'
EXPECTATIONS = [
    Expectation("value outside the domain", "ENUM_TYPE_UNEXPECTED_STRING_VALUES", f"type: BYTES {_AB}", ["a"], ["c"]),
    Expectation(
        "too much outside the domain",
        "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        f"type: BYTES {_AB} distribution_constraints {{ min_domain_mass: 0.5 }}",
        ["a"],
        ["a", "c", "c", "c"],
    ),
    Expectation(
        "little outside the domain",
        None,
        f"type: BYTES {_AB} distribution_constraints {{ min_domain_mass: 0.5 }}",
        ["a"],
        ["a", "a", "a", "c"],
    ),
    Expectation("not UTF-8", "ENUM_TYPE_INVALID_UTF8", f"type: BYTES {_AB}", [b"a"], [b"\xff"]),
    Expectation(
        "present too seldom",
        "FEATURE_TYPE_LOW_FRACTION_PRESENT",
        "type: INT presence { min_fraction: 0.9 }",
        [1],
        [1, None],
    ),
    Expectation(
        "present in too few rows", "FEATURE_TYPE_LOW_NUMBER_PRESENT", "type: INT presence { min_count: 300 }", [1], [1, None]
    ),
    Expectation("never present", "FEATURE_TYPE_NOT_PRESENT", "type: INT presence { min_count: 1 }", [1], [None]),
    Expectation("gone", "SCHEMA_MISSING_COLUMN", f"type: INT {_NEEDED}", [1], None),
    Expectation("gone, and deprecated", None, f"type: INT {_NEEDED} lifecycle_stage: DEPRECATED", [1], None),
    Expectation("gone, and of training only", None, f'type: INT {_NEEDED} not_in_environment: "SERVING"', [1], None),
    Expectation("gone, and optional", None, "type: INT", [1], None),
    Expectation("new", "SCHEMA_NEW_COLUMN", None, None, [1]),
    Expectation(
        "too few values", "FEATURE_TYPE_LOW_NUMBER_VALUES", "type: INT value_count { min: 2 max: 2 }", [[1, 2]], [[1]]
    ),
    Expectation(
        "too many values", "FEATURE_TYPE_HIGH_NUMBER_VALUES", "type: INT value_count { min: 1 max: 2 }", [[1, 2]], [[1, 2, 3]]
    ),
    Expectation(
        "another shape",
        "INVALID_FEATURE_SHAPE",
        f"type: INT {_NEEDED} shape {{ dim {{ size: 2 }} }}",
        [[1, 2]],
        [[1, 2, 3]],
    ),
    Expectation("too large", "FLOAT_TYPE_BIG_FLOAT", "type: FLOAT float_domain { max: 1 }", [0.5], [2.0]),
    Expectation("too small", "FLOAT_TYPE_SMALL_FLOAT", "type: FLOAT float_domain { min: 0 }", [0.5], [-1.0]),
    Expectation("infinite", "FLOAT_TYPE_HAS_INF", "type: FLOAT float_domain { disallow_inf: true }", [0.5], [float("inf")]),
    Expectation("at the limit", None, "type: FLOAT float_domain { min: 0 max: 1 }", [0.5], [0.0, 1.0]),
    Expectation("whole and too large", "INT_TYPE_BIG_INT", "type: INT int_domain { max: 5 }", [3], [7]),
    Expectation("whole and too small", "INT_TYPE_SMALL_INT", "type: INT int_domain { min: 1 }", [3], [0]),
    Expectation("text for numbers", "UNEXPECTED_DATA_TYPE", "type: INT", [1], ["x"]),
    Expectation("numbers for text", "UNEXPECTED_DATA_TYPE", "type: BYTES", ["1"], [1]),
    Expectation("fractions for whole numbers", "UNEXPECTED_DATA_TYPE", "type: INT", [1], [1.5]),
    Expectation("whole numbers for fractions", "UNEXPECTED_DATA_TYPE", "type: FLOAT", [1.5], [1]),
    Expectation(
        "too few kinds", "FEATURE_TYPE_LOW_UNIQUE", "type: BYTES unique_constraints { min: 3 max: 9 }", list("abc"), ["a"]
    ),
    Expectation(
        "too many kinds", "FEATURE_TYPE_HIGH_UNIQUE", "type: BYTES unique_constraints { min: 1 max: 2 }", ["a", "b"], list("abc")
    ),
    Expectation("neither 0 nor 1", "BOOL_TYPE_BIG_INT", "type: INT bool_domain { }", [0, 1], [0, 2]),
    Expectation(
        "neither yes nor no",
        "BOOL_TYPE_UNEXPECTED_STRING",
        'type: BYTES bool_domain { true_value: "y" false_value: "n" }',
        ["y", "n"],
        ["y", "maybe"],
    ),
    Expectation("text that is no number", "FLOAT_TYPE_STRING_NOT_FLOAT", "type: BYTES float_domain { }", ["1.5"], ["x"]),
    Expectation("text that is not whole", "INT_TYPE_NOT_INT_STRING", "type: BYTES int_domain { min: 0 }", ["1"], ["1.5"]),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limit:
    """A column, and what the schema's thresholds make of one measure of it.

    Attributes:
        schema: its type.
        limits: the thresholds against training and against the previous window.
        flags: whether the distance is above each.
    """

    column: str
    measure: str
    schema: str
    limits: tuple[float, float]
    training: list[Any]
    window: list[Any]
    flags: tuple[bool, bool]

    def expectation(self) -> Expectation:
        """Return what the schema says of the column."""
        said = f"{self.schema} {_limits(self.measure, *self.limits)}"
        return Expectation(self.column, None, said, self.training, self.window)


def _limits(measure: str, skew: float, drift: float) -> str:
    sides = (("skew", skew), ("drift", drift))
    return " ".join(f"{side}_comparator {{ {measure} {{ threshold: {limit} }} }}" for side, limit in sides)


_INF, _JS, _COUNTS = "infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference"
_WIDE, _NARROW = [value / 10 for value in range(100)], [value / 20 for value in range(100)]
_AAAB = ["a", "a", "a", "b"]
LIMITS = [
    Limit("share of a category", _INF, "type: BYTES", (0.1, 0.9), ["a", "b"], ["a"], (True, False)),
    Limit("just at the threshold", _INF, "type: BYTES", (0.25, 0.2), ["a", "b"], _AAAB, (False, True)),
    Limit("numbers, which TFDV gives 0", _INF, "type: INT", (0.0, 0.0), [1, 2], [1], (False, False)),
    Limit("divergence of categories", _JS, "type: BYTES", (0.9, 0.01), ["a", "b"], ["a"], (False, True)),
    Limit("divergence of fractions", _JS, "type: FLOAT", (0.01, 0.01), _WIDE, _NARROW, (True, True)),
    Limit("divergence of whole numbers", _JS, "type: INT", (0.01, 0.9), [1, 2, 3, 4], [1, 2], (True, False)),
    Limit("difference of the counts", _COUNTS, "type: BYTES", (0.01, 0.9), ["a", "b"], ["a"], (True, False)),
]
COLUMNS = [*EXPECTATIONS, *(limit.expectation() for limit in LIMITS)]

_DATA_SET = """
default_environment: "TRAINING"
default_environment: "SERVING"
dataset_constraints {
  min_examples_count: 500
  num_examples_drift_comparator { min_fraction_threshold: 0.9 max_fraction_threshold: 1.1 }
}
"""


def _schema(*features: tuple[str, str], more: str = "") -> Any:
    said = " ".join(f'feature {{ name: "{name}" {text} }}' for name, text in features)
    return text_format.Parse(more + said, schema_pb2.Schema())


def _rows(rows: int, columns: dict[str, list[Any] | None]) -> pa.Table:
    there = {name: values for name, values in columns.items() if values is not None}
    return pa.table({name: pa.array((values * rows)[:rows]) for name, values in there.items()})


@dataclass(frozen=True, slots=True)
class Sides:
    """A training table, a window, and the window before it."""

    training: pa.Table
    window: pa.Table
    previous: pa.Table

    def findings(self, schema: Any, prediction: str | None = None, label: str | None = None) -> list[Finding]:
        """Judge the window by the path of production."""
        training, window, previous = (
            Rows(table, prediction=prediction, label=label) for table in (self.training, self.window, self.previous)
        )
        baseline = create_baseline(training, schema=schema.SerializeToString())
        earlier = {PREVIOUS: build_profile(previous, baseline)}
        return list(judge(build_profile(window, baseline), baseline, earlier, DetectionSettings()).findings)

    def answer_of_tfdv(self, schema: Any) -> Answer:
        """Ask TFDV of the same rows: of the window in SERVING, where there is that, and of training beside the window."""
        import tensorflow_data_validation as tfdv

        training, window, previous = map(statistics_by_tfdv, (self.training, self.window, self.previous))
        environment = "SERVING" if schema.default_environment else None
        found = answer_of_tfdv(tfdv.validate_statistics(window, schema, environment, previous_statistics=previous))
        skew = answer_of_tfdv(tfdv.validate_statistics(training, schema, serving_statistics=window))
        return Answer(found.broken, found.distances | skew.distances)


@pytest.fixture(scope="module")
def both() -> tuple[Answer, Answer]:
    """What Driftline and TFDV say of one window that breaks every expectation."""
    schema = _schema(*((each.column, each.schema) for each in COLUMNS if each.schema is not None), more=_DATA_SET)
    training = _rows(TRAINING_ROWS, {each.column: each.training for each in COLUMNS})
    window = _rows(WINDOW_ROWS, {each.column: each.window for each in COLUMNS})
    sides = Sides(training, window, training)
    return answer_of_findings(sides.findings(schema)), sides.answer_of_tfdv(schema)


@pytest.mark.parametrize("expected", EXPECTATIONS, ids=lambda each: each.column)
def test_a_broken_expectation_is_an_anomaly_of_tfdvs_type(expected: Expectation, both: tuple[Answer, Answer]) -> None:
    ours, theirs = ([each for each in answer.broken if each.feature == expected.column] for answer in both)
    assert [(each.type, each.flagged) for each in ours] == ([] if expected.type is None else [(expected.type, True)])
    assert ours == theirs


@pytest.mark.parametrize("type_", ["DATASET_LOW_NUM_EXAMPLES", "COMPARATOR_LOW_NUM_EXAMPLES"])
def test_too_few_rows_are_an_anomaly_of_the_data_set(type_: str, both: tuple[Answer, Answer]) -> None:
    ours, theirs = ([each for each in answer.broken if (each.feature, each.type) == (None, type_)] for answer in both)
    assert [each.flagged for each in ours] == [True]
    assert ours == theirs


@pytest.mark.parametrize("limit", LIMITS, ids=lambda each: each.column)
def test_a_distance_flags_above_the_schemas_threshold(limit: Limit, both: tuple[Answer, Answer]) -> None:
    ours, theirs = ([each for each in answer.distances if each.feature == limit.column] for answer in both)
    said = {each.reference: (each.measure, each.threshold, each.flagged) for each in ours}
    assert said == {
        reference: (limit.measure, threshold, flagged)
        for reference, threshold, flagged in zip((TRAINING, PREVIOUS), limit.limits, limit.flags, strict=True)
    }
    assert set(ours) == set(theirs)


def test_too_many_rows_are_an_anomaly_of_the_data_set_and_of_the_step_from_the_previous_window() -> None:
    few, many = (_rows(rows, {"a": [1]}) for rows in (WINDOW_ROWS, TRAINING_ROWS))
    sides, schema = Sides(few, many, few), _schema(("a", "type: INT"), more=_DATA_SET)
    schema.dataset_constraints.max_examples_count = 500
    findings = sides.findings(schema)
    assert answer_of_findings(findings).broken == sides.answer_of_tfdv(schema).broken
    found = {(each.measure, each.reference, each.flagged) for each in findings if each.feature is None}
    assert found == {
        ("DATASET_HIGH_NUM_EXAMPLES", TRAINING, True),
        ("COMPARATOR_HIGH_NUM_EXAMPLES", PREVIOUS, True),
    }


def test_nothing_else_is_said(both: tuple[Answer, Answer]) -> None:
    ours, theirs = both
    assert ours == theirs


def test_a_prediction_or_label_that_is_absent_or_new_is_no_anomaly_as_it_is_to_tfdv() -> None:
    training = _rows(TRAINING_ROWS, {"a": [1], "label": [0, 1], "score": [0.5]})
    sides = Sides(training, _rows(WINDOW_ROWS, {"a": [1], "score": [0.5]}), training)
    schema = _schema(("a", "type: INT"), ("label", f"type: INT {_NEEDED}"))
    theirs = {(each.feature, each.type) for each in sides.answer_of_tfdv(schema).broken}
    assert theirs == {("label", "SCHEMA_MISSING_COLUMN"), ("score", "SCHEMA_NEW_COLUMN")}
    assert answer_of_findings(sides.findings(schema)).broken == sides.answer_of_tfdv(schema).broken
    assert not answer_of_findings(sides.findings(schema, prediction="score", label="label")).broken


def test_a_column_that_the_reference_lacks_too_only_informs() -> None:
    rows = _rows(TRAINING_ROWS, {"a": [1]})
    sides = Sides(rows, rows, rows)
    schema = _schema(("a", "type: INT"), ("id", f"type: BYTES {_NEEDED}"))
    (theirs,) = sides.answer_of_tfdv(schema).broken
    (finding,) = (each for each in sides.findings(schema) if each.measure == "SCHEMA_MISSING_COLUMN")
    assert (theirs.feature, theirs.flagged, finding.feature, finding.flagged) == ("id", True, "id", False)
    assert finding.reason == "the reference lacks this column too"


def test_a_column_that_only_the_previous_window_lacked_is_no_anomaly_of_this_one() -> None:
    rows = _rows(TRAINING_ROWS, {"a": [1], "back": ["x", "y"]})
    sides = Sides(rows, rows, rows.select(["a"]))
    schema = _schema(("a", "type: INT"), ("back", f"type: BYTES {_NEEDED} {_limits('infinity_norm', 0.1, 0.1)}"))
    assert {each.type for each in sides.answer_of_tfdv(schema).broken} == {"COMPARATOR_CONTROL_DATA_MISSING"}
    assert not answer_of_findings(sides.findings(schema)).broken
    before = Sides(rows, rows.select(["a"]), rows)
    assert {each.type for each in answer_of_findings(before.findings(schema)).broken} == {"SCHEMA_MISSING_COLUMN"}
