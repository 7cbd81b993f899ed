from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from monitor.config.validation_settings import ValidationRule
from monitor.jobs.rule_database import Limits
from monitor.jobs.validating import evaluate_rules, rule_problems
from monitor.profile.validations import RuleResult, State
from monitor.records import FeatureType, Rows, ValueType

ROWS = Rows(
    pa.table(
        {
            "fare": pa.array([10.0, 20.0, None, float("nan")]),
            "distance": [2, 4, 6, 8],
            "origin": ["EWR", "JFK", "JFK", None],
            "trip.words": pa.array([[1, 2], [], None, [3]], pa.list_(pa.int64())),
            "score": [0.1, 0.2, 0.3, 0.4],
        }
    ),
    weights=np.array([1.0, 1.0, 2.0, 2.0]),
    event_times=np.array([0, 1, 2, 3_600_000_000]),
    prediction="score",
)
TYPES = {
    "fare": FeatureType(ValueType.FLOAT),
    "distance": FeatureType(ValueType.INT),
    "origin": FeatureType(ValueType.BYTES),
    "trip.words": FeatureType(ValueType.INT, multivalent=True),
}


def _evaluated(
    sql: str, rows: Rows = ROWS, limits: Limits | None = None, more: Mapping[str, object] = MappingProxyType({})
) -> RuleResult:
    rule = ValidationRule.model_validate({"name": "rule", "sql": sql, **more})
    (result,) = evaluate_rules(rows, [rule], limits)
    return result


@pytest.mark.parametrize(
    ("sql", "holds"),
    [
        ("avg(fare) / avg(distance) between 1 and 5", True),
        ("avg(fare) / avg(distance) between 4 and 5", False),
        ("count(*) filter (fare < 0) = 0", True),
        ("count(fare) = 2", True),
        ('sum(len("trip.words")) = 3', True),
        ("count(distinct origin) = 2 and bool_and(distance > 0)", True),
        ("avg(prediction) = avg(score)", True),
        ("sum(fare * weight) / sum(weight) filter (fare is not null) = 15", True),
        ("max(hour(event_time)) = 1", True),
        ("count(*) = 4 -- all of them", True),
        ("sum(DISTANCE) = 20", True),
        ("(select max(n) from (select count(*) as n from window_rows group by origin)) <= 1", False),
    ],
)
def test_a_rule_over_the_rows_is_true_or_false(sql: str, holds: bool) -> None:
    assert _evaluated(sql).state is (State.HOLDS if holds else State.BROKEN)


def test_a_broken_rule_tells_what_it_compared() -> None:
    result = _evaluated("avg(fare) < 10 and not count(*) > 3")
    assert result.detail == "avg(fare) = 15, count(*) = 4"


@pytest.mark.parametrize(
    ("limits", "state", "threshold"),
    [
        ({"max": 0.5}, State.HOLDS, 0.5),
        ({"max": 0.2}, State.BROKEN, 0.2),
        ({"min": 0.3}, State.BROKEN, 0.3),
        ({"min": 0.1, "max": 0.3}, State.HOLDS, None),
        ({"min": 0.25, "max": 0.25}, State.HOLDS, None),
    ],
)
def test_a_number_is_held_against_its_limits(limits: dict[str, float], state: State, threshold: float | None) -> None:
    result = _evaluated("avg(cast(distance > 6 as int))", more=limits)
    assert (result.state, result.value, result.threshold) == (state, 0.25, threshold)


@pytest.mark.parametrize(
    ("sql", "more", "said"),
    [
        ("avg(label) > 0", {}, "NULL"),
        ("avg(label)", {"max": 1}, "no value"),
        ("avg(fare) / sum(distance - distance) > 3", {}, "NULL"),
        ("avg(fare) > 0", {"min_rows": 5}, "too few rows: 4"),
    ],
    ids=["no labels yet", "a number without labels", "a division by zero", "too few rows"],
)
def test_what_cannot_be_decided_is_neither_broken_nor_held(sql: str, more: dict[str, object], said: str) -> None:
    result = _evaluated(sql, more=more)
    assert result.state is State.UNDECIDED
    assert said in result.detail


UNUSABLE = [
    ("avg(distnce) > 0", {}, "did you mean 'distance'"),
    ("avg(origin) > 0", {}, "avg(VARCHAR)"),
    ("fare > 0", {}, "a value for each row"),
    ("true", {}, "a value for each row"),
    ("avg(fare)", {}, "neither true nor false"),
    ("max(origin)", {"max": 1}, "no number"),
    ("count(*) > 0", {"max": 1}, "no number"),
    ("avg(fare) >", {}, "no SQL expression"),
    ("1; drop table window_rows", {}, "no SQL expression"),
    ("true) from window_rows; select (true", {}, "one expression"),
    ("true), (false", {}, "one expression"),
    ("1) from read_csv('/etc/hostname') --", {}, "no SQL expression"),
    ("(select count(*) from read_text('/etc/hostname')) = 0", {}, "may read window_rows only"),
    ("(select count(*) from '/etc/hostname') = 0", {}, "may read window_rows only"),
    ("(select count(*) from window_rows a join duckdb_settings() b on true) = 0", {}, "may read window_rows only"),
    ("(select count(*) from window_rows, duckdb_settings()) = 0", {}, "may read window_rows only"),
    ("(select count(*) from query('select 1')) = 0", {}, "may read window_rows only"),
    ("(select count(*) from (describe window_rows)) = 0", {}, ""),
    ("random() < count(*)", {}, "could not be reproduced"),
    ("max(event_time) < now()", {}, "could not be reproduced"),
    ("max(event_time) < current_date", {}, "could not be reproduced"),
    ("count(*) > $1", {}, "parameter"),
]


@pytest.mark.parametrize(("sql", "more", "said"), UNUSABLE, ids=[sql for sql, _, _ in UNUSABLE])
def test_what_cannot_or_must_not_be_asked_is_said(sql: str, more: dict[str, object], said: str) -> None:
    result = _evaluated(sql, more=more)
    assert result.state is State.UNUSABLE
    assert said in result.detail


@pytest.mark.parametrize(
    "sql", [sql for sql, more, _ in UNUSABLE if not more], ids=[sql for sql, more, _ in UNUSABLE if not more]
)
def test_the_same_is_found_from_the_schema_alone(sql: str) -> None:
    (problem,) = rule_problems([ValidationRule(name="odd", sql=sql)], TYPES, prediction="score")
    assert problem.startswith("the rule 'odd' cannot be evaluated: ")


def test_a_rule_that_never_ends_is_stopped() -> None:
    result = _evaluated("(select count(*) from range(1000000000000)) = 0", limits=Limits(seconds=0.05))
    assert result.state is State.UNUSABLE
    assert result.detail == "it took longer than 0.05 seconds"


def test_a_rule_that_needs_too_much_memory_is_stopped() -> None:
    sql = "(select len(list(r)) from range(100000000) t(r)) = 0"
    result = _evaluated(sql, limits=Limits(memory_bytes=32 * 1024 * 1024))
    assert result.state is State.UNUSABLE
    assert "more than 32 MiB" in result.detail


def test_one_bad_rule_leaves_the_others_alone() -> None:
    rules = [ValidationRule(name="bad", sql="avg(nothing) > 0"), ValidationRule(name="good", sql="count(*) = 4")]
    assert [result.state for result in evaluate_rules(ROWS, rules)] == [State.UNUSABLE, State.HOLDS]


def test_features_that_differ_in_capitals_only_are_told_apart_where_one_is_named() -> None:
    rows = Rows(pa.table({"fare": [1.0], "Fare": [2.0]}))
    assert _evaluated("sum(fare) = 1", rows).state is State.HOLDS
    assert _evaluated("sum(Fare) = 2", rows).state is State.HOLDS
    assert "differ in capitals only" in _evaluated("sum(fare) < sum(Fare)", rows).detail


def test_a_feature_that_has_the_name_of_a_role_is_what_the_name_means() -> None:
    rows = Rows(pa.table({"weight": [70.0, 80.0]}), weights=np.array([1.0, 3.0]))
    assert _evaluated("avg(weight) = 75", rows).state is State.HOLDS


def test_no_rows_can_be_asked_about_where_a_rule_says_so() -> None:
    empty = Rows(pa.table({"fare": pa.array([], pa.float64())}))
    assert _evaluated("count(*) > 0", empty, more={"min_rows": 0}).state is State.BROKEN


def test_rules_that_fit_the_schema_have_no_problems() -> None:
    sqls = (
        "avg(fare) > 0",
        "avg(score) > avg(prediction)",
        "max(event_time) is not null",
        'sum(len("trip.words")) > 0',
    )
    rules = [ValidationRule(name=f"r{place}", sql=sql) for place, sql in enumerate(sqls)]
    assert (
        rule_problems([*rules, ValidationRule(name="n", sql="avg(distance)", max=1)], TYPES, prediction="score") == []
    )


def test_without_a_schema_only_the_sql_is_looked_at() -> None:
    rules = [ValidationRule(name="any", sql="avg(anything) > 0"), ValidationRule(name="none", sql="avg(")]
    (problem,) = rule_problems(rules)
    assert "'none'" in problem


@pytest.mark.parametrize(
    "settings",
    [{"name": "two words", "sql": "true"}, {"name": "r", "sql": ""}, {"name": "r", "sql": "1", "min": 2, "max": 1}],
    ids=["a name with a space", "no SQL", "min above max"],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ValidationRule.model_validate(settings)
